//! Words to an agent that others provoke: however fast they come, what waits for the control stream is bounded by
//! what they are about.
//!
//! Whoever provokes them (a requester that cancels, a subscriber that is slow, a receiver that refuses or signs
//! for a thousand messages at once) must not fill somebody else's control queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testudo_wire::frame::{Cancelled, CopiesRefused, Credit, FromNode, Lost, RefusedMessage};
use testudo_wire::{AgentName, MessageId, Refusal};
use tokio::sync::Notify;

/// Entries of one frame.
const ENTRIES: usize = 500;
/// Words about single messages that wait; an agent that lets more come up does not read its control stream.
const WAITING_MAX: usize = 65_536;

#[derive(Debug, Default)]
struct Waiting {
    /// Receipts, each after the introduction of who signed it.
    receipts: Vec<FromNode>,
    refused: Vec<RefusedMessage>,
    cancelled: Vec<MessageId>,
    lost: Vec<MessageId>,
    credits: BTreeMap<MessageId, u64>,
    copies: BTreeMap<(AgentName, Refusal), u64>,
}

/// What one agent is to hear.
#[derive(Debug)]
pub(crate) struct News {
    waiting: Mutex<Waiting>,
    ready: Arc<Notify>,
}

impl News {
    /// Nothing yet; `ready` is told when there is something.
    pub(crate) fn new(ready: Arc<Notify>) -> Self {
        Self { waiting: Mutex::default(), ready }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for the answer to this request. `false` when more waits than an agent may let come up.
    #[must_use]
    pub(crate) fn cancelled(&self, request: MessageId) -> bool {
        let mut waiting = self.waiting();
        waiting.credits.remove(&request);
        waiting.cancelled.push(request);
        self.ready.notify_one();
        waiting.cancelled.len() <= WAITING_MAX
    }

    /// Receivers, and what they signed. `false` when more waits than an agent may let come up.
    #[must_use]
    pub(crate) fn receipts(&self, frames: impl IntoIterator<Item = FromNode>) -> bool {
        let mut waiting = self.waiting();
        waiting.receipts.extend(frames);
        self.ready.notify_one();
        waiting.receipts.len() <= WAITING_MAX
    }

    /// These messages came to nothing. `false` when more waits than an agent may let come up.
    #[must_use]
    pub(crate) fn refused(&self, messages: impl IntoIterator<Item = RefusedMessage>) -> bool {
        let mut waiting = self.waiting();
        waiting.refused.extend(messages);
        self.ready.notify_one();
        waiting.refused.len() <= WAITING_MAX
    }

    /// Nobody can know what became of these messages. `false` when more waits than an agent may let come up.
    #[must_use]
    pub(crate) fn lost(&self, messages: impl IntoIterator<Item = MessageId>) -> bool {
        let mut waiting = self.waiting();
        waiting.lost.extend(messages);
        self.ready.notify_one();
        waiting.lost.len() <= WAITING_MAX
    }

    /// The requester has taken in so much of an answer.
    pub(crate) fn credited(&self, credit: Credit) {
        self.waiting().credits.insert(credit.request, credit.bytes);
        self.ready.notify_one();
    }

    /// A subscriber did not get its copies.
    pub(crate) fn copies(&self, to: AgentName, refusal: Refusal, count: u64) {
        *self.waiting().copies.entry((to, refusal)).or_default() += count;
        self.ready.notify_one();
    }

    /// What another link of the same agent was to hear is to be heard here.
    pub(crate) fn absorb(&self, other: &Self) {
        let Waiting { receipts, refused, cancelled, lost, credits, copies } =
            std::mem::take(&mut *other.waiting());
        let mut waiting = self.waiting();
        waiting.receipts.extend(receipts);
        waiting.refused.extend(refused);
        waiting.cancelled.extend(cancelled);
        waiting.lost.extend(lost);
        waiting.credits.extend(credits);
        for (of, count) in copies {
            *waiting.copies.entry(of).or_default() += count;
        }
        self.ready.notify_one();
    }

    /// Everything there is to hear now, as frames.
    pub(crate) fn take(&self) -> Vec<FromNode> {
        let Waiting { receipts, refused, cancelled, lost, credits, copies } =
            std::mem::take(&mut *self.waiting());
        let refused = refused.chunks(ENTRIES).map(|refused| FromNode::RefusedMessages(refused.to_vec()));
        let cancelled = cancelled
            .chunks(ENTRIES)
            .map(|requests| FromNode::Cancelled(Cancelled { requests: requests.to_vec() }));
        let lost = lost.chunks(ENTRIES).map(|messages| FromNode::Lost(Lost { messages: messages.to_vec() }));
        let credits: Vec<_> = credits.into_iter().map(|(request, bytes)| Credit { request, bytes }).collect();
        let credits = credits.chunks(ENTRIES).map(|credits| FromNode::Credited(credits.to_vec()));
        let copies: Vec<_> =
            copies.into_iter().map(|((to, refusal), count)| CopiesRefused { to, refusal, count }).collect();
        let copies = copies.chunks(ENTRIES).map(|copies| FromNode::CopiesRefused(copies.to_vec()));
        let told = receipts.into_iter().chain(refused).chain(cancelled);
        told.chain(lost).chain(credits).chain(copies).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_come_often_are_told_once() {
        let news = News::new(Arc::new(Notify::new()));
        let (id, to) = (MessageId::new([1; 16]), AgentName::parse("slow").unwrap());
        for bytes in 0..10_000 {
            news.credited(Credit { request: id, bytes });
            news.copies(to, Refusal::Overloaded, 2);
        }
        let told = news.take();
        let copies = CopiesRefused { to, refusal: Refusal::Overloaded, count: 20_000 };
        let credit = Credit { request: id, bytes: 9_999 };
        assert_eq!(told, [FromNode::Credited(vec![credit]), FromNode::CopiesRefused(vec![copies])]);
        assert!(news.take().is_empty());
    }

    #[test]
    fn a_cancelled_request_needs_no_credit_and_long_lists_become_several_frames() {
        let news = News::new(Arc::new(Notify::new()));
        news.credited(Credit { request: MessageId::new([0; 16]), bytes: 1 });
        for n in 0..1_200_u16 {
            let mut id = [0; 16];
            id[14..].copy_from_slice(&n.to_be_bytes());
            assert!(news.cancelled(MessageId::new(id)));
        }
        let sizes: Vec<_> = news
            .take()
            .into_iter()
            .filter_map(
                |frame| if let FromNode::Cancelled(c) = frame { Some(c.requests.len()) } else { None },
            )
            .collect();
        assert_eq!(sizes, [500, 500, 200]);
    }
}

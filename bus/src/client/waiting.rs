//! Who waits for what on a link and on those that renew it: receipts, answers, room in the window.
//!
//! Everything that waits ends: with an answer, a refusal, a time-out of the caller, or the link's end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use testudo_wire::{AgentName, Digest, MessageId, Refusal, Resource, SessionId};

use super::inflow::Flow;
use super::line::Number;
use super::receipts::{Answer, Delivered, Receipts};
use super::requests::{Place, Requests};
use super::sent::{Bundles, Receipt, Sent};
use super::{Delivery, SendError};

/// What the sender of one message waits for.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Nothing but refusals, which are counted.
    Nothing,
    /// The receipt *accepted*.
    Receipt(Answer<Receipt>),
    /// The receipt *delivered*, of this agent if it is known which.
    Delivered(Option<AgentName>, Answer<Delivered>),
    /// The answer to a request, which is open already.
    Reply,
}

/// What became of messages that nobody may wait for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    /// Refused, by reason.
    pub(super) refused: BTreeMap<Refusal, u64>,
    /// Single copies of messages to topics that were refused or dropped, by reason.
    pub(super) copies: BTreeMap<Refusal, u64>,
    /// Of unknown outcome, because another's link ended.
    pub(super) lost: u64,
}

/// All tables of links that renewed one another.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) bundles: Bundles,
    pub(super) requests: Requests<Delivery>,
    pub(super) receipts: Receipts,
    pub(super) counts: Counts,
    topics: BTreeSet<Resource>,
    newest: Number,
    /// Links that were renewed and have not ended.
    older: BTreeSet<Number>,
    ended: bool,
}

impl Waiting {
    /// A request that is about to be queued.
    pub(super) fn open(&mut self, request: MessageId, from: Option<AgentName>, flow: Arc<Flow<Delivery>>) {
        if self.ended {
            flow.close(Err(SendError::Unknown));
        } else {
            self.requests.open(request, from, flow);
        }
    }

    /// Enters a bundle that is about to be written.
    pub(super) fn sent(
        &mut self,
        place: Place,
        session: SessionId,
        bytes: usize,
        messages: Vec<(MessageId, Digest, Waiter)>,
    ) {
        let digests = messages.iter().map(|(_, digest, _)| *digest).collect();
        let mut sent = Sent::new(bytes, digests);
        for (position, (message, digest, waiter)) in (0_u16..).zip(messages) {
            match waiter {
                Waiter::Nothing => continue,
                Waiter::Receipt(answer) => {
                    sent.receipts.insert(position, (message, answer));
                    continue;
                }
                Waiter::Delivered(from, answer) => {
                    self.receipts.wish(message, (session, digest), from, answer);
                }
                Waiter::Reply => self.requests.placed(&message, place),
            }
            sent.others.push(message);
        }
        self.bundles.enter(place, sent);
        let (link, ..) = place;
        if self.ended {
            self.end();
        } else if link != self.newest && !self.older.contains(&link) {
            self.link_ended(link);
        }
    }

    /// A message that the node, or its receiver, refused.
    pub(super) fn refused_message(&mut self, message: &MessageId, refusal: Refusal, rules: Vec<String>) {
        *self.counts.refused.entry(refusal).or_default() += 1;
        self.fail(message, &SendError::Refused { refusal, rules });
    }

    /// Subscribers' copies of messages to topics, which is no word on the messages themselves.
    pub(super) fn refused_copies(&mut self, refusal: Refusal, count: u64) {
        *self.counts.copies.entry(refusal).or_default() += count;
    }

    /// A bundle that the node refused whole.
    pub(super) fn refused_bundle(&mut self, place: Place, refusal: Refusal) {
        let why = SendError::refused(refusal);
        let (messages, others) = self.bundles.refused(place, &why);
        if messages > 0 {
            *self.counts.refused.entry(refusal).or_default() += messages as u64;
        }
        for message in others {
            self.fail(&message, &why);
        }
    }

    /// A message of which nobody can know any more.
    pub(super) fn lost(&mut self, message: &MessageId) {
        self.counts.lost += 1;
        self.fail(message, &SendError::Unknown);
    }

    fn fail(&mut self, message: &MessageId, why: &SendError) {
        let _ = self.requests.close(message, why.clone())
            || self.receipts.fail(message, why.clone())
            || self.bundles.fail(message, why.clone());
    }

    /// The caller gave up. `true` when the node is to hear of it now; if it may not have the request yet, that
    /// comes with [`Bundles::settled`], and what has not gone will not go.
    pub(super) fn abandon(&mut self, request: &MessageId) -> bool {
        match self.requests.abandon(request) {
            Some(Some(place)) => !self.bundles.cancel_when_settled(place, *request),
            Some(None) | None => false,
        }
    }

    /// The node's word on a subscription, asked or not.
    pub(super) fn subscribed(&mut self, topic: Resource, refusal: Option<Refusal>) {
        match refusal {
            None => self.topics.insert(topic),
            Some(_) => self.topics.remove(&topic),
        };
    }

    /// The topic is wanted no more.
    pub(super) fn unsubscribe(&mut self, topic: &Resource) {
        self.topics.remove(topic);
    }

    /// The topics whose messages come.
    pub(super) const fn topics(&self) -> &BTreeSet<Resource> {
        &self.topics
    }

    /// A link renews the newest one: its number. `None` when that has ended, and everything with it.
    pub(super) fn succeed(&mut self) -> Option<Number> {
        if self.ended {
            return None;
        }
        self.older.insert(self.newest);
        self.newest += 1;
        Some(self.newest)
    }

    /// Whether everything that went on a link is done with.
    pub(super) fn is_done(&self, link: Number) -> bool {
        self.bundles.is_done(link)
    }

    /// Whether the newest link has ended.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// A link has ended. Of an older one only what the node had not settled is unknown; `true` when it was the newest.
    pub(super) fn link_ended(&mut self, link: Number) -> bool {
        if link == self.newest {
            self.end();
            return true;
        }
        self.older.remove(&link);
        for message in self.bundles.link_ended(link) {
            self.fail(&message, &SendError::Unknown);
        }
        false
    }

    /// The newest link has ended: whoever still waits will never know. Dropping the answers tells them so.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.bundles.end();
        self.requests.end();
        self.receipts.end();
        self.topics.clear();
    }
}

#[cfg(test)]
mod tests;

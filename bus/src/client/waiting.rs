//! Who waits for what on a link: receipts, answers, tokens, room in the window.
//!
//! Everything that waits ends: with an answer, a refusal, a time-out of the caller, or the link's end.

use std::collections::{BTreeMap, HashMap};

use testudo_wire::{AgentName, Digest, MessageId, Refusal, TokenId};
use tokio::sync::oneshot;

use super::{Delivery, SendError};

/// The node's durable word on one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Index of the verdict's record on the node's audit log.
    pub record: u64,
}

type Answer<T> = oneshot::Sender<Result<T, SendError>>;

/// What the sender of one message waits for.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Nothing but refusals, which are counted.
    Nothing,
    /// The receipt *accepted*.
    Receipt(Answer<Receipt>),
    /// The answer to a request asked of this agent.
    Reply(AgentName, Answer<Delivery>),
}

#[derive(Debug)]
struct Sent {
    bytes: usize,
    digests: Vec<Digest>,
    receipts: HashMap<u16, (MessageId, Answer<Receipt>)>,
    requests: Vec<MessageId>,
    settled: bool,
}

/// All tables of one link.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bundles: BTreeMap<u64, Sent>,
    places: HashMap<MessageId, (u64, u16)>,
    requests: HashMap<MessageId, (AgentName, Answer<Delivery>)>,
    tokens: HashMap<TokenId, Vec<oneshot::Sender<Result<(), SendError>>>>,
    unsettled: usize,
    refused: BTreeMap<Refusal, u64>,
    ended: bool,
}

impl Waiting {
    /// Bytes that the node is not done with.
    pub(super) const fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Messages refused so far, by reason.
    pub(super) const fn refused(&self) -> &BTreeMap<Refusal, u64> {
        &self.refused
    }

    /// Enters a bundle that is about to be written.
    pub(super) fn sent(&mut self, bundle: u64, bytes: usize, messages: Vec<(MessageId, Digest, Waiter)>) {
        let mut sent = Sent {
            bytes,
            digests: messages.iter().map(|(_, digest, _)| *digest).collect(),
            receipts: HashMap::new(),
            requests: Vec::new(),
            settled: false,
        };
        for (position, (message, _, waiter)) in (0_u16..).zip(messages) {
            match waiter {
                Waiter::Nothing => {}
                Waiter::Receipt(answer) => {
                    self.places.insert(message, (bundle, position));
                    sent.receipts.insert(position, (message, answer));
                }
                Waiter::Reply(from, answer) => {
                    self.requests.insert(message, (from, answer));
                    sent.requests.push(message);
                }
            }
        }
        self.unsettled += bytes;
        if self.ended {
            self.end();
        } else {
            self.bundles.insert(bundle, sent);
        }
    }

    /// Every bundle below this number is settled.
    pub(super) fn settled(&mut self, bundles: u64) {
        for (_, sent) in self.bundles.range_mut(..bundles) {
            if !std::mem::replace(&mut sent.settled, true) {
                self.unsettled = self.unsettled.saturating_sub(sent.bytes);
            }
        }
        self.bundles.retain(|_, sent| !sent.settled || !sent.receipts.is_empty());
    }

    /// The digests of a bundle by position, to check a receipt against.
    pub(super) fn digests(&self, bundle: u64) -> Option<&[Digest]> {
        self.bundles.get(&bundle).map(|sent| sent.digests.as_slice())
    }

    /// A verified receipt.
    pub(super) fn accepted(&mut self, bundle: u64, positions: &[u16], record: u64) {
        let Some(sent) = self.bundles.get_mut(&bundle) else { return };
        for position in positions {
            let digest = sent.digests.get(usize::from(*position)).copied();
            if let (Some((message, answer)), Some(digest)) = (sent.receipts.remove(position), digest) {
                self.places.remove(&message);
                let _ = answer.send(Ok(Receipt { message, digest, record }));
            }
        }
        if sent.settled && sent.receipts.is_empty() {
            self.bundles.remove(&bundle);
        }
    }

    /// A message that the node, or its receiver, refused.
    pub(super) fn refused_message(&mut self, message: MessageId, refusal: Refusal, rules: Vec<String>) {
        *self.refused.entry(refusal).or_default() += 1;
        let error = SendError::Refused { refusal, rules };
        if let Some((_, answer)) = self.requests.remove(&message) {
            let _ = answer.send(Err(error));
        } else if let Some((bundle, position)) = self.places.remove(&message)
            && let Some(sent) = self.bundles.get_mut(&bundle)
        {
            if let Some((_, answer)) = sent.receipts.remove(&position) {
                let _ = answer.send(Err(error));
            }
            if sent.settled && sent.receipts.is_empty() {
                self.bundles.remove(&bundle);
            }
        }
    }

    /// A bundle that the node refused whole.
    pub(super) fn refused_bundle(&mut self, bundle: u64, refusal: Refusal) {
        let Some(sent) = self.bundles.get_mut(&bundle) else { return };
        *self.refused.entry(refusal).or_default() += sent.digests.len() as u64;
        let error = || SendError::Refused { refusal, rules: Vec::new() };
        for (message, answer) in std::mem::take(&mut sent.receipts).into_values() {
            self.places.remove(&message);
            let _ = answer.send(Err(error()));
        }
        for message in std::mem::take(&mut sent.requests) {
            if let Some((_, answer)) = self.requests.remove(&message) {
                let _ = answer.send(Err(error()));
            }
        }
        if sent.settled {
            self.bundles.remove(&bundle);
        }
    }

    /// Whether an answer to this request may come from this agent.
    pub(super) fn awaits(&self, request: &MessageId, from: &AgentName) -> bool {
        self.requests.get(request).is_some_and(|(expected, _)| expected == from)
    }

    /// A verified answer.
    pub(super) fn answered(&mut self, request: &MessageId, delivery: Delivery) {
        if let Some((_, answer)) = self.requests.remove(request) {
            let _ = answer.send(Ok(delivery));
        }
    }

    /// The caller gave up.
    pub(super) fn abandon(&mut self, request: &MessageId) {
        self.requests.remove(request);
    }

    /// Somebody waits for the node's word on a token.
    pub(super) fn present(&mut self, token: TokenId, answer: oneshot::Sender<Result<(), SendError>>) {
        self.tokens.entry(token).or_default().push(answer);
    }

    /// The node's word on a token.
    pub(super) fn presented(&mut self, token: TokenId, refusal: Option<Refusal>) {
        for answer in self.tokens.remove(&token).unwrap_or_default() {
            let word =
                refusal.map_or(Ok(()), |refusal| Err(SendError::Refused { refusal, rules: Vec::new() }));
            let _ = answer.send(word);
        }
    }

    /// The link has ended: whoever still waits will never know. Dropping the answers tells them so.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.bundles.clear();
        self.places.clear();
        self.requests.clear();
        self.tokens.clear();
        self.unsettled = 0;
    }
}

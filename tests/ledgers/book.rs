//! An agent's own ledger: what it sent and heard of that, and what came to its handler and to its questions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use testudo_bus::client::{Delivered, Delivery, Receipt, SendError};
use testudo_wire::{AgentName, CorrelationId, MessageId};

/// What the sender heard.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// The node's durable word.
    Accepted(Receipt),
    /// The receiver's signed word.
    Delivered(Box<Delivered>),
    /// It asked for no word.
    Posted(MessageId),
    /// The answer, whole or by its parts.
    Answered,
    /// It gave up first.
    GaveUp,
    /// Something else.
    Failed(SendError),
}

/// How a message was sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Tell,
    Deliver,
    Post,
    Request,
    Publish,
}

/// One message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) heard: Option<Heard>,
}

/// One message that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) correlation: CorrelationId,
    pub(crate) from: AgentName,
}

/// A ledger.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every message that was begun, by the piece of work that it alone is.
    pub(crate) sent: BTreeMap<CorrelationId, Sent>,
    /// What the handler got.
    pub(crate) handled: BTreeMap<MessageId, Took>,
    /// Answers and parts of them that were taken in.
    pub(crate) answers: BTreeMap<MessageId, Took>,
    /// Pieces of answers that the agent gave, by the request's piece of work.
    pub(crate) pieces: BTreeMap<CorrelationId, usize>,
}

/// A ledger that the agent's tasks share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    pub(crate) fn open(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    pub(crate) fn begun(&self, correlation: CorrelationId, kind: Kind) {
        let before = self.open().sent.insert(correlation, Sent { kind, heard: None });
        assert!(before.is_none(), "correlations are unique");
    }

    pub(crate) fn heard(&self, correlation: CorrelationId, heard: Heard) {
        self.open().sent.get_mut(&correlation).unwrap().heard = Some(heard);
    }

    /// The handler begins.
    pub(crate) fn handles(&self, delivery: &Delivery) {
        let took = Took { correlation: delivery.correlation(), from: delivery.sender().name };
        let before = self.open().handled.insert(delivery.message(), took);
        assert!(before.is_none(), "handled twice: {took:?}");
    }

    /// A part of an answer, or a whole one.
    pub(crate) fn answer(&self, delivery: &Delivery) {
        let took = Took { correlation: delivery.correlation(), from: delivery.sender().name };
        let before = self.open().answers.insert(delivery.message(), took);
        assert!(before.is_none(), "answered twice: {took:?}");
    }

    /// The handler has given a piece of an answer, or could not.
    pub(crate) fn replied(&self, request: &Delivery, word: &Result<(), SendError>) {
        match word {
            Ok(()) => *self.open().pieces.entry(request.correlation()).or_default() += 1,
            Err(SendError::Cancelled | SendError::Unknown) => {}
            Err(other) => panic!("an answer that cannot even be queued: {other}"),
        }
    }
}

//! A bundle, whole or pruned, on its way to one receiver, with everything that its accounting needs.

use std::sync::Arc;

use bytes::Bytes;
use testudo_registry::Snapshot;
use testudo_rules::audit::{Cause, Outcome, OutcomeOf};
use testudo_rules::token::Meaning;
use testudo_wire::standing::Standings;
use testudo_wire::{AgentName, Capability, Digest, MessageId, RegistrySequence, TokenId};
use tokio::time::Instant;

use super::link::Link;
use super::outbox::Permit;
use super::settle::{Reservation, Ticket};
use crate::traced::Handing;

/// An answer, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) request: MessageId,
    /// Nothing comes after it: the node holds the request open no more.
    pub(crate) is_last: bool,
}

/// One message of a parcel: where it stands in the recorded bundle, its id, its digest while the receiver is to
/// sign for it, and what it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: u16,
    pub(crate) message: MessageId,
    pub(crate) wants_signature: Option<Digest>,
    pub(crate) answers: Option<Answer>,
}

/// A token that a parcel needs: its id, its sealed bytes, what it means.
pub(crate) type Carried = (TokenId, Bytes, Arc<Meaning>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bundle: Bytes,
    pub(crate) sender: Arc<Link>,
    pub(crate) to: AgentName,
    /// One of several copies: of messages to a topic.
    pub(crate) is_copy: bool,
    pub(crate) tokens: Arc<[Carried]>,
    /// What the receiver must serve, or of a copy: have the right to.
    pub(crate) needs: Arc<[Capability]>,
    pub(crate) judged: RegistrySequence,
    pub(crate) alerts: Vec<(u16, Vec<String>)>,
    pub(crate) places: Vec<Place>,
    pub(crate) record: u64,
    pub(crate) since: Instant,
    pub(crate) expires: Instant,
    /// Holds the sender's window; let go of when the receiver is too slow.
    pub(crate) ticket: Option<Arc<Ticket>>,
    /// What was set aside for it, when it is large.
    pub(crate) memory: Option<Arc<Reservation>>,
    /// Those of its messages that are traced.
    pub(crate) traced: Option<Box<Handing>>,
    pub(crate) _permit: Permit,
}

impl Parcel {
    /// Its sender need not wait for it any more. `false` when there is no memory for those that nobody waits for.
    pub(crate) fn let_go(&mut self) -> bool {
        let may = self.memory.as_ref().is_none_or(|memory| memory.is_late());
        if may {
            self.ticket = None;
        }
        may
    }

    /// Whether sender and every holder of its tokens are still in good standing.
    pub(crate) fn is_good(&self, standings: &dyn Standings) -> bool {
        let sender = &self.sender.peer.holder;
        standings.is_good(sender, RegistrySequence(u64::MAX))
            && self.tokens.iter().all(|(_, _, meaning)| meaning.standing(standings).is_ok())
    }

    /// Whether the receiver's grant still has what these messages are for.
    pub(crate) fn is_due(&self, snapshot: &Snapshot) -> bool {
        self.needs.is_empty()
            || snapshot.agent(&self.to).is_some_and(|standing| {
                let grant = if self.is_copy { &standing.grant.right } else { &standing.grant.serve };
                self.needs.iter().all(|needed| grant.contains(needed))
            })
    }

    /// Why it must not be handed over any more.
    pub(crate) fn overtaken(&self, snapshot: &Snapshot, now: Instant) -> Option<Cause> {
        if !self.is_good(snapshot) {
            Some(Cause::Revoked)
        } else if !self.is_due(snapshot) {
            Some(Cause::NoReceiver)
        } else if self.expires < now {
            Some(Cause::Expired)
        } else {
            None
        }
    }

    /// Tells whoever takes spans how it ended; `error` says of a message, by its place, why in no good way.
    pub(crate) fn trace(&self, error: impl Fn(usize) -> Option<String>) {
        if let Some(traced) = &self.traced {
            let message = |place: usize| self.places.get(place).map(|place| place.message);
            traced.ended(&self.to, self.since, |place| (message(place), error(place)));
        }
    }

    /// The same end for every message of it.
    pub(crate) fn all(&self, outcome: Outcome) -> Ended {
        let outcomes =
            self.places.iter().map(|place| OutcomeOf { position: place.position, outcome }).collect();
        Ended { record: self.record, to: self.to, outcomes }
    }
}

/// What became of one receiver's copies of messages of one record.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) record: u64,
    pub(crate) to: AgentName,
    pub(crate) outcomes: Vec<OutcomeOf>,
}

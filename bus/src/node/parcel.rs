//! A bundle, whole or pruned, on its way to one receiver, with everything that its accounting needs.

use std::sync::Arc;

use bytes::Bytes;
use testudo_rules::audit::{Cause, Outcome, OutcomeOf};
use testudo_rules::token::Meaning;
use testudo_wire::standing::Standings;
use testudo_wire::{AgentName, Digest, MessageId, RegistrySequence, TokenId};
use tokio::time::Instant;

use super::link::Link;
use super::outbox::Permit;
use super::settle::Ticket;

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
    pub(crate) judged: RegistrySequence,
    pub(crate) alerts: Vec<(u16, Vec<String>)>,
    pub(crate) places: Vec<Place>,
    pub(crate) record: u64,
    pub(crate) since: Instant,
    pub(crate) expires: Instant,
    /// Holds the sender's window; let go of when a subscriber is too slow.
    pub(crate) ticket: Option<Arc<Ticket>>,
    pub(crate) _permit: Permit,
}

impl Parcel {
    /// Whether sender and every holder of its tokens are still in good standing.
    pub(crate) fn is_good(&self, standings: &dyn Standings) -> bool {
        let sender = &self.sender.peer.holder;
        standings.is_good(sender, RegistrySequence(u64::MAX))
            && self.tokens.iter().all(|(_, _, meaning)| meaning.standing(standings).is_ok())
    }

    /// Why it must not be handed over any more.
    pub(crate) fn overtaken(&self, standings: &dyn Standings, now: Instant) -> Option<Cause> {
        if !self.is_good(standings) {
            Some(Cause::Revoked)
        } else if self.expires < now {
            Some(Cause::Expired)
        } else {
            None
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

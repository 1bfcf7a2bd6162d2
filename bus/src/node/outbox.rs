//! A receiver's queue at the node: bounded in bytes, filled only with a permit and a written record, emptied
//! by one writer, accounted to the last message.
//!
//! Credit comes back when the receiver acknowledges, so the bound covers what is queued and what is on its
//! way. Knows no QUIC.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use testudo_rules::audit::{Cause, Outcome, OutcomeOf};
use testudo_rules::token::Meaning;
use testudo_wire::frame::RefusedDelivery;
use testudo_wire::standing::Standings;
use testudo_wire::{AgentName, MessageId, Refusal, RegistrySequence, TokenId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::Link;
use super::settle::Ticket;
use crate::audit::Appended;

/// Bytes that may be queued or unacknowledged for one receiver (threat A63).
const BYTES_MAX: usize = 1024 * 1024;
/// The part of them that one sender may hold: a flooder leaves room for others (threat A64).
const SHARE_MAX: usize = BYTES_MAX / 2;
/// Messages, however small, for one receiver: each costs a place beside its bytes. Two full windows of the
/// smallest messages stay below it.
const MESSAGES_MAX: usize = 16_384;
/// Stands for every message of a delivery that the receiver refused whole.
const ALL: u16 = u16::MAX;

/// One message of a parcel: where it stands in the recorded bundle, and its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: u16,
    pub(crate) message: MessageId,
}

/// A token that a parcel needs: its id, its sealed bytes, what it means.
pub(crate) type Carried = (TokenId, Bytes, Arc<Meaning>);

/// A bundle, whole or pruned, on its way to one receiver.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bundle: Bytes,
    pub(crate) sender: Arc<Link>,
    pub(crate) tokens: Vec<Carried>,
    pub(crate) judged: RegistrySequence,
    pub(crate) alerts: Vec<(u16, Vec<String>)>,
    pub(crate) places: Vec<Place>,
    pub(crate) record: u64,
    pub(crate) expires: Instant,
    pub(crate) _permit: Permit,
    pub(crate) _ticket: Arc<Ticket>,
}

impl Parcel {
    /// Whether sender and every holder of its tokens are still in good standing.
    pub(crate) fn is_good(&self, standings: &dyn Standings) -> bool {
        let sender = &self.sender.peer.holder;
        standings.is_good(sender, RegistrySequence(u64::MAX))
            && self.tokens.iter().all(|(_, _, meaning)| meaning.standing(standings).is_ok())
    }

    /// The same end for every message of it.
    pub(crate) fn all(&self, outcome: Outcome) -> Ended {
        let outcomes =
            self.places.iter().map(|place| OutcomeOf { position: place.position, outcome }).collect();
        Ended { record: self.record, outcomes }
    }
}

/// What became of messages of one record.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) record: u64,
    pub(crate) outcomes: Vec<OutcomeOf>,
}

/// Room in an outbox; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    outbox: Arc<Outbox>,
    sender: AgentName,
    bytes: usize,
    messages: usize,
}

impl Permit {
    /// Takes room for one message of so many bytes more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let mut state = self.outbox.state();
        if state.closed {
            return Err(Refusal::Unroutable);
        }
        let share = state.shares.get(&self.sender).copied().unwrap_or_default() + bytes;
        if state.reserved + bytes > BYTES_MAX || share > SHARE_MAX || state.messages >= MESSAGES_MAX {
            return Err(Refusal::Overloaded);
        }
        state.messages += 1;
        self.messages += 1;
        state.shares.insert(self.sender, share);
        state.reserved += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.outbox.state();
        state.reserved = state.reserved.saturating_sub(self.bytes);
        state.messages = state.messages.saturating_sub(self.messages);
        let left = state.shares.get(&self.sender).map_or(0, |share| share.saturating_sub(self.bytes));
        if left == 0 {
            state.shares.remove(&self.sender);
        } else {
            state.shares.insert(self.sender, left);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    queued: VecDeque<Parcel>,
    in_flight: BTreeMap<u64, (Instant, Parcel)>,
    deliveries: u64,
    written: u64,
    reserved: usize,
    messages: usize,
    shares: HashMap<AgentName, usize>,
    closed: bool,
}

/// One receiver's queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    ready: Notify,
}

/// What is left of an outbox when its link ends.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) queued: Vec<Parcel>,
    pub(crate) in_flight: Vec<Parcel>,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty permit, to be grown.
    pub(crate) fn permit(self: &Arc<Self>, sender: AgentName) -> Permit {
        Permit { outbox: self.clone(), sender, bytes: 0, messages: 0 }
    }

    /// Takes a parcel in. Demands the proof that its verdicts are recorded; gives the parcel back when the
    /// link has ended meanwhile.
    pub(crate) fn hand_over(&self, _recorded: &Appended, parcel: Parcel) -> Result<(), Box<Parcel>> {
        let mut state = self.state();
        if state.closed {
            return Err(Box::new(parcel));
        }
        state.queued.push_back(parcel);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Returns when there may be something to take.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Removes queued parcels that are no longer good, or too late.
    pub(crate) fn weed(&self, standings: &dyn Standings, now: Instant) -> Vec<(Parcel, Cause)> {
        let mut state = self.state();
        let mut weeds = Vec::new();
        for parcel in std::mem::take(&mut state.queued) {
            if !parcel.is_good(standings) {
                weeds.push((parcel, Cause::Revoked));
            } else if parcel.expires < now {
                weeds.push((parcel, Cause::Expired));
            } else {
                state.queued.push_back(parcel);
            }
        }
        weeds
    }

    /// Takes parcels off the front, up to so many bytes but at least one, each with its delivery number.
    pub(crate) fn take(&self, bytes_max: usize) -> Vec<(u64, Parcel)> {
        let mut state = self.state();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(parcel) = state.queued.front() {
            bytes += parcel.bundle.len();
            if !taken.is_empty() && bytes > bytes_max {
                break;
            }
            state.deliveries += 1;
            let number = state.deliveries;
            if let Some(parcel) = state.queued.pop_front() {
                taken.push((number, parcel));
            }
        }
        taken
    }

    /// Whether every parcel in flight from a number on is still good.
    pub(crate) fn is_good_from(&self, number: u64, standings: &dyn Standings) -> bool {
        self.state().in_flight.range(number..).all(|(_, (_, parcel))| parcel.is_good(standings))
    }

    /// The writer begins to hand this parcel over.
    pub(crate) fn in_flight(&self, number: u64, parcel: Parcel) -> Result<(), Box<Parcel>> {
        let mut state = self.state();
        if state.closed {
            return Err(Box::new(parcel));
        }
        state.in_flight.insert(number, (Instant::now(), parcel));
        Ok(())
    }

    /// Every delivery up to this number is with the transport; before that nobody can have received it.
    pub(crate) fn written(&self, number: u64) {
        let mut state = self.state();
        state.written = state.written.max(number);
    }

    /// Since when the receiver owes an acknowledgement.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        self.state().in_flight.values().next().map(|(since, _)| *since)
    }

    /// The receiver's word: parcels up to a number are done. `None` for a number that was never written: whoever
    /// acknowledges what it cannot have would keep a revocation from seeing it.
    pub(crate) fn acknowledge(
        &self,
        upto: u64,
        refused: &[RefusedDelivery],
    ) -> Option<Vec<(Parcel, Vec<Option<Refusal>>)>> {
        let mut state = self.state();
        if upto > state.written {
            return None;
        }
        let later = state.in_flight.split_off(&(upto + 1));
        let done = std::mem::replace(&mut state.in_flight, later);
        drop(state);
        let verdicts = |number: u64, parcel: Parcel| {
            let refusal = |at: usize| {
                let of = |r: &&RefusedDelivery| {
                    r.delivery == number && (usize::from(r.position) == at || r.position == ALL)
                };
                refused.iter().find(of).map(|r| r.refusal)
            };
            let verdicts = (0..parcel.places.len()).map(refusal).collect();
            (parcel, verdicts)
        };
        Some(done.into_iter().map(|(number, (_, parcel))| verdicts(number, parcel)).collect())
    }

    /// Closes the queue; nothing goes in any more.
    pub(crate) fn close(&self) -> Remains {
        let mut state = self.state();
        state.closed = true;
        Remains {
            queued: std::mem::take(&mut state.queued).into(),
            in_flight: std::mem::take(&mut state.in_flight).into_values().map(|(_, parcel)| parcel).collect(),
        }
    }
}

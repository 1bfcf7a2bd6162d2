//! A receiver's queue at the node: bounded in bytes, filled only with a permit and a written record, emptied
//! by one writer, accounted to the last message.
//!
//! Credit comes back when the receiver acknowledges, so the bound covers what is queued and what is on its
//! way. Senders take turns, so a flooder's queue is its own. Knows no QUIC.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testudo_registry::Snapshot;
use testudo_rules::audit::Cause;
use testudo_wire::frame::RefusedDelivery;
use testudo_wire::{AgentName, Digest, MessageId, Refusal};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::allowance::Allowance;
use super::bounds::{Bounds, Patience};
use super::link::Link;
use super::parcel::{Parcel, Place};
use super::turns::Queue;
use crate::audit::Appended;

/// Stands for every message of a delivery that the receiver refused whole.
const ALL: u16 = u16::MAX;

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
        let bounds = self.outbox.bounds;
        let mut state = self.outbox.state();
        if state.closed {
            return Err(Refusal::Unroutable);
        }
        if state.reserved + bytes > bounds.bytes || state.messages >= bounds.messages {
            return Err(Refusal::Overloaded);
        }
        // A place among the shares goes with the permit that has some of it; without one, none is made.
        match state.shares.get_mut(&self.sender) {
            Some(share) if *share + bytes > bounds.share => return Err(Refusal::Overloaded),
            Some(share) => *share += bytes,
            None if bytes > bounds.share => return Err(Refusal::Overloaded),
            None => {
                state.shares.insert(self.sender, bytes);
            }
        }
        state.messages += 1;
        self.messages += 1;
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

/// What the writer has begun to hand over and the receiver has not acknowledged.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) since: Instant,
    /// When all of it was with the transport; of large bodies alone.
    pub(super) written: Option<Instant>,
    pub(super) parcel: Parcel,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queued: Queue,
    pub(super) in_flight: BTreeMap<u64, Flight>,
    /// When the receiver was last done with something.
    pub(super) done: Option<Instant>,
    deliveries: u64,
    written: u64,
    /// The highest number in flight that is traced.
    traced: u64,
    reserved: usize,
    messages: usize,
    shares: HashMap<AgentName, usize>,
    /// Its link was renewed: nothing goes in any more, what is in flight ends here.
    sealed: bool,
    closed: bool,
}

/// One receiver's queue for one lane.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(super) bounds: Bounds,
    pub(super) allowance: Arc<Allowance>,
    state: Mutex<State>,
    ready: Notify,
}

/// What is left of an outbox when its link ends.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) queued: Vec<Parcel>,
    pub(crate) in_flight: Vec<Parcel>,
}

/// A parcel that stood in a queue, so its verdicts are recorded.
#[derive(Debug)]
pub(crate) struct Queued(Parcel);

impl Queued {
    /// There is no queue for it any more.
    pub(crate) fn given_up(self) -> Parcel {
        self.0
    }
}

/// A parcel that is given up, and why.
pub(crate) type Weed = (Parcel, Cause);

/// A parcel that the receiver is done with, and what it said of each message.
pub(crate) type Done = (Parcel, Vec<Option<Refusal>>);

impl Outbox {
    pub(super) fn new(bounds: Bounds, allowance: Arc<Allowance>) -> Self {
        Self { bounds, allowance, state: Mutex::default(), ready: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty permit, to be grown.
    pub(crate) fn permit(self: &Arc<Self>, sender: AgentName) -> Permit {
        Permit { outbox: self.clone(), sender, bytes: 0, messages: 0 }
    }

    /// Messages that are queued or unacknowledged.
    pub(crate) fn load(&self) -> usize {
        self.state().messages
    }

    /// Bytes of these.
    pub(crate) fn bytes(&self) -> usize {
        self.state().reserved
    }

    /// Takes a parcel in. Demands the proof that its verdicts are recorded; gives the parcel back when the
    /// link has ended meanwhile.
    pub(crate) fn hand_over(&self, _recorded: &Appended, parcel: Parcel) -> Result<(), Box<Parcel>> {
        let mut state = self.state();
        if state.closed || state.sealed {
            return Err(Box::new(parcel));
        }
        state.queued.push(parcel);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Nothing goes in any more, and what is queued goes to the queue of the link that renewed this one.
    pub(crate) fn seal(&self) -> Vec<Queued> {
        let mut state = self.state();
        state.sealed = true;
        let queued = state.queued.drain().into_iter().map(Queued).collect();
        drop(state);
        self.ready.notify_one();
        queued
    }

    /// Whether the writer is to end its stream once the queue is empty.
    pub(crate) fn is_sealed(&self) -> bool {
        self.state().sealed
    }

    /// Whether nothing is queued and everything acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.in_flight.is_empty() && state.queued.peek().is_none()
    }

    /// Takes in what stood in the queue of the link that this one's renews. It keeps the room that it has there: there
    /// is no more of it than fitted one queue.
    pub(crate) fn take_over(&self, parcel: Queued) {
        self.state().queued.push(parcel.0);
        self.ready.notify_one();
    }

    /// Returns when there may be something to take.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Removes queued parcels that are no longer good, or too late.
    pub(crate) fn weed(&self, snapshot: &Snapshot, now: Instant) -> Vec<Weed> {
        self.state().queued.weed(|parcel| parcel.overtaken(snapshot, now))
    }

    /// Takes parcels, in turns of their senders, up to so many bytes but at least one, each with its delivery
    /// number; and those that are no longer good.
    pub(crate) fn take(
        &self,
        bytes_max: usize,
        snapshot: &Snapshot,
        now: Instant,
    ) -> (Vec<(u64, Parcel)>, Vec<Weed>) {
        let mut state = self.state();
        let (mut taken, mut weeds) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some(parcel) = state.queued.peek() {
            bytes += parcel.bundle.len();
            if !taken.is_empty() && bytes > bytes_max {
                break;
            }
            let Some(parcel) = state.queued.pop() else { break };
            if let Some(cause) = parcel.overtaken(snapshot, now) {
                weeds.push((parcel, cause));
                continue;
            }
            state.deliveries += 1;
            taken.push((state.deliveries, parcel));
        }
        (taken, weeds)
    }

    /// Whether every parcel in flight from a number on is still good, and still for its receiver.
    pub(crate) fn is_good_from(&self, number: u64, snapshot: &Snapshot) -> bool {
        let state = self.state();
        let mut flights = state.in_flight.range(number..).map(|(_, flight)| &flight.parcel);
        flights.all(|parcel| parcel.is_good(snapshot) && parcel.is_due(snapshot))
    }

    /// The writer begins to hand this parcel over.
    pub(crate) fn in_flight(&self, number: u64, mut parcel: Parcel) -> Result<(), Box<Parcel>> {
        let mut state = self.state();
        if state.closed {
            return Err(Box::new(parcel));
        }
        let now = Instant::now();
        if let Some(traced) = &mut parcel.traced {
            traced.taken = Some(now);
            state.traced = number;
        }
        state.in_flight.insert(number, Flight { since: now, written: None, parcel });
        Ok(())
    }

    /// Every delivery up to this number is with the transport; before that nobody can have received it.
    pub(crate) fn written(&self, number: u64) {
        let mut state = self.state();
        let (is_body, is_traced) =
            (matches!(self.bounds.patience, Patience::Body { .. }), state.traced > state.written);
        if (is_body || is_traced) && number > state.written {
            let (now, from) = (Instant::now(), state.written + 1);
            for (_, flight) in state.in_flight.range_mut(from..=number) {
                flight.written = is_body.then_some(now);
                if let Some(traced) = &mut flight.parcel.traced {
                    traced.written = Some(now);
                }
            }
        }
        state.written = state.written.max(number);
    }

    /// The receiver signs for a message: who sent it, its id and its digest. `None` unless it was written, wished
    /// for it, and was not signed for before.
    pub(crate) fn sign_for(&self, delivery: u64, position: u16) -> Option<(Arc<Link>, MessageId, Digest)> {
        let mut state = self.state();
        let written = state.written;
        let parcel = &mut state.in_flight.get_mut(&delivery).filter(|_| delivery <= written)?.parcel;
        let place: &mut Place = parcel.places.get_mut(usize::from(position))?;
        Some((parcel.sender.clone(), place.message, place.wants_signature.take()?))
    }

    /// The receiver's word: parcels up to a number are done. `None` for a number that was never written: whoever
    /// acknowledges what it cannot have would keep a revocation from seeing it.
    pub(crate) fn acknowledge(&self, upto: u64, refused: &[RefusedDelivery]) -> Option<Vec<Done>> {
        let mut state = self.state();
        if upto > state.written {
            return None;
        }
        let later = state.in_flight.split_off(&(upto + 1));
        let done = std::mem::replace(&mut state.in_flight, later);
        if !done.is_empty() {
            state.done = Some(Instant::now());
        }
        drop(state);
        // Looked up, not searched for: a receiver says what it likes, and the node must not sweat over it.
        let refused: HashMap<_, _> = refused.iter().map(|r| ((r.delivery, r.position), r.refusal)).collect();
        let verdicts = |number: u64, parcel: Parcel| {
            let refusal = |at: usize| {
                let one = u16::try_from(at).ok().and_then(|at| refused.get(&(number, at)));
                one.or_else(|| refused.get(&(number, ALL))).copied()
            };
            let verdicts = (0..parcel.places.len()).map(refusal).collect();
            (parcel, verdicts)
        };
        Some(done.into_iter().map(|(number, flight)| verdicts(number, flight.parcel)).collect())
    }

    /// Closes the queue; nothing goes in any more.
    pub(crate) fn close(&self) -> Remains {
        let mut state = self.state();
        state.closed = true;
        Remains {
            queued: state.queued.drain(),
            in_flight: std::mem::take(&mut state.in_flight)
                .into_values()
                .map(|flight| flight.parcel)
                .collect(),
        }
    }
}

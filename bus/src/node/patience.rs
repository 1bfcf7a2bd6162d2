//! How long a receiver is waited for (threat A63): when senders and publishers go on without it, and when it loses its
//! link. Only decides; the sweep and the writer act.

use std::time::Duration;

use testudo_rules::audit::Cause;
use tokio::time::Instant;

use super::bounds::{HOLD_MAX, Patience, hold};
use super::outbox::{Flight, Outbox, State, Weed};
use super::parcel::Parcel;

/// What it takes to let those go on who wait for a receiver.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    /// Copies for which there is no memory without their senders.
    pub(crate) given_up: Vec<Weed>,
    /// There is none for one that is being written, either, and its publisher has waited long enough.
    pub(crate) is_in_the_way: bool,
}

/// Whether a publisher has waited too long for this copy.
fn is_overdue(parcel: &Parcel, now: Instant) -> bool {
    parcel.is_copy && parcel.ticket.is_some() && now > parcel.since + hold(parcel.bundle.len())
}

impl State {
    /// What the receiver has had for the longest time without a word on it.
    fn oldest(&self) -> Option<&Flight> {
        self.in_flight.values().next()
    }

    /// Whether the receiver has said nothing for so long of what it has.
    fn is_silent(&self, patience: Duration, now: Instant) -> bool {
        let since = self.oldest().map(|flight| self.done.map_or(flight.since, |done| flight.since.max(done)));
        since.is_some_and(|since| now > since + patience)
    }
}

impl Outbox {
    /// Whether a publisher is to wait for this receiver.
    pub(crate) fn holds_publishers(&self, now: Instant) -> bool {
        self.allowance.is_there(now)
    }

    /// Whether those who write to this receiver alone are to wait for it: not while it owes them all its word. One
    /// that is only slow says something now and then. The memory of large bodies is their senders', who wait for it as
    /// long as the receiver has its link.
    pub(crate) fn holds_senders(&self, now: Instant) -> bool {
        match self.bounds.patience {
            Patience::Small { stuck, .. } => !self.state().is_silent(stuck, now),
            Patience::Body { .. } => true,
        }
    }

    /// Lets senders go on that this receiver has held up for too long: what it keeps of them fills its queue, and
    /// none of their windows. A copy for which there is no memory then is given up; one that is being written has
    /// its publisher wait on, for a while.
    pub(crate) fn let_senders_go(&self, now: Instant) -> Relief {
        let holds_senders = self.holds_senders(now);
        let mut state = self.state();
        let State { queued, in_flight, .. } = &mut *state;
        let mut relief = Relief::default();
        let mut is_full = false;
        let queued_parcels = queued.all_mut().map(|parcel| (None, parcel));
        let given = in_flight.values_mut().map(|flight| (Some(flight.since), &mut flight.parcel));
        for (given_at, parcel) in queued_parcels.chain(given) {
            if is_overdue(parcel, now) {
                self.allowance.spend(now);
                if parcel.let_go() {
                    continue;
                }
                is_full |= given_at.is_none();
                // What it stood behind before is not the receiver's fault.
                relief.is_in_the_way |= given_at.is_some_and(|given| now > given + HOLD_MAX);
            } else if !parcel.is_copy && !holds_senders {
                parcel.ticket = None;
            }
        }
        if is_full {
            relief.given_up = queued.weed(|parcel| is_overdue(parcel, now).then_some(Cause::Overflow));
        }
        relief
    }

    /// Whether the receiver reads too slowly: the oldest of what it was given is too old, of small messages much sooner
    /// so when others wait behind it. One that reads, however much is sent to it, is not slow: a flood closes nobody.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        let state = self.state();
        let Some(flight) = state.oldest() else { return false };
        match self.bounds.patience {
            Patience::Small { stuck, acknowledge } => {
                now > flight.since + acknowledge
                    || (state.queued.peek().is_some() && now > flight.since + stuck)
            }
            // While it is being written, its writer's pace decides: that knows what the link takes on its other lanes.
            Patience::Body { acknowledge } => {
                flight.written.is_some_and(|written| now > written + acknowledge)
            }
        }
    }
}

//! What an agent has seen of its node's log, over all links of this process, and whose word on it it waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use testudo_rules::audit::Origin;
use testudo_rules::gossip::{Alarm, Peers, Seen, View};
use testudo_wire::{Holder, SwarmId};
use tokio::sync::watch;

/// What an agent has seen of its node's log, in numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Watched {
    /// Records under the head that the node told last; `None` as long as it told none.
    pub records: Option<u64>,
    /// Sightings of others that were taken in: signed by them, of this log, new.
    pub sightings: u64,
    /// Sightings that were forged, old, or of somebody whom nobody asked for.
    pub refused: u64,
    /// Sightings of a log with another key. Their senders count as unwitnessed, too.
    pub other_logs: u64,
    /// Heads that could not be compared: a proof was asked for and did not come, or showed nothing.
    pub unproved: u64,
    /// Senders whose messages are taken while the node shows nothing of what they are told.
    pub unwitnessed: usize,
    /// Messages of senders beyond those who can be watched at once.
    pub untracked: u64,
    /// Why this agent does not link any more.
    pub alarm: Option<Alarm>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Begun with the first link, which knows the swarm.
    view: Option<View>,
    pub(super) peers: Peers,
    pub(super) counts: Watched,
}

/// See the module.
#[derive(Debug)]
pub(in crate::client) struct Log {
    state: Mutex<State>,
    seen: watch::Sender<Option<Seen>>,
}

impl Default for Log {
    fn default() -> Self {
        Self::of(None)
    }
}

impl Log {
    pub(in crate::client) fn of(seen: Option<Seen>) -> Self {
        let state = State { view: None, peers: Peers::default(), counts: Watched::default() };
        Self { state: Mutex::new(state), seen: watch::Sender::new(seen) }
    }

    // A panic while it is held leaves nothing half done that would be believed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of this sender was taken.
    pub(in crate::client) fn took(&self, sender: &Holder) {
        self.state().peers.took(sender);
    }

    /// Why the log is not believed any more.
    pub(in crate::client) fn alarm(&self) -> Option<Alarm> {
        self.seen.borrow().as_ref().and_then(|seen| seen.alarm.clone())
    }

    pub(in crate::client) fn seen(&self) -> watch::Receiver<Option<Seen>> {
        self.seen.subscribe()
    }

    pub(in crate::client) fn watched(&self) -> Watched {
        let state = self.state();
        let (unwitnessed, untracked) = (state.peers.unwitnessed().count(), state.peers.untracked());
        let records = self.seen.borrow().as_ref().and_then(|seen| seen.newest).map(|head| head.size);
        Watched { records, unwitnessed, untracked, alarm: self.alarm(), ..state.counts.clone() }
    }

    /// Works on what was seen; whoever keeps it is told what has changed.
    pub(super) fn with<T>(&self, swarm: &SwarmId, work: impl FnOnce(&mut View, &mut State) -> T) -> T {
        let mut state = self.state();
        let view = state.view.take();
        let mut view = view.unwrap_or_else(|| View::new(Origin::of_swarm(swarm), self.seen.borrow().clone()));
        let result = work(&mut view, &mut state);
        let now = view.seen();
        state.view = Some(view);
        // Under the lock: what another link has found meanwhile, an alarm above all, must not be followed by less.
        self.seen.send_if_modified(|seen| {
            let is_new = *seen != now;
            *seen = now;
            is_new
        });
        drop(state);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use testudo_rules::audit::{Checkpoint, LogHash};
    use testudo_wire::SecretKey;

    use super::*;

    #[test]
    fn t_a74_what_one_link_has_seen_is_not_taken_back_by_another() {
        let (swarm, key) = (SwarmId::new([1; 32]), SecretKey::from_seed(&[9; 32]));
        let origin = Origin::of_swarm(&swarm);
        let head = |size| Checkpoint { size, root: LogHash::new([7; 32]) }.head(&origin, &key);
        let (log, told) = (Log::default(), AtomicU64::new(1));
        log.with(&swarm, |view, _| view.told(&head(1), None)).unwrap();
        let heads: Vec<_> = (0..4_000).map(head).collect();
        let link = || {
            loop {
                let told = log.with(&swarm, |view, _| {
                    let head = heads.get(told.fetch_add(1, Ordering::Relaxed) as usize)?;
                    view.go_on_with(head);
                    Some(head.size)
                });
                let Some(told) = told else { return };
                assert!(log.watched().records >= Some(told), "{told} records were told, and forgotten");
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(link)));
    }
}

//! What host, keeper and handle tell each other: how far the host is, and why it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::host::Stopped;

/// How far the host is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Messages are handled.
    Open,
    /// What runs may finish, the rest is turned away.
    Closing(Stopped),
    /// Out of patience: what runs is dropped.
    Abandoned(Stopped),
    /// Over.
    Ended(Stopped),
}

impl Phase {
    const fn rank(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Closing(_) => 1,
            Self::Abandoned(_) => 2,
            Self::Ended(_) => 3,
        }
    }

    const fn stopped(self) -> Option<Stopped> {
        match self {
            Self::Open => None,
            Self::Closing(why) | Self::Abandoned(why) | Self::Ended(why) => Some(why),
        }
    }
}

/// What host, keeper and handle tell each other.
#[derive(Debug)]
pub(crate) struct Signals {
    phase: watch::Sender<Phase>,
    /// An agent has stood.
    stood: watch::Sender<bool>,
    faults: AtomicU64,
}

impl Signals {
    pub(crate) fn new() -> Arc<Self> {
        let (phase, stood) = (watch::Sender::new(Phase::Open), watch::Sender::new(false));
        Arc::new(Self { phase, stood, faults: AtomicU64::new(0) })
    }

    /// Goes on to a later phase, never back; the first reason to stop stays.
    pub(crate) fn advance(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = next.rank() > phase.rank();
            if later {
                *phase = match (phase.stopped(), next) {
                    (Some(why), Phase::Abandoned(_)) => Phase::Abandoned(why),
                    (Some(why), Phase::Ended(_)) => Phase::Ended(why),
                    (_, next) => next,
                };
            }
            later
        });
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// An agent is built, subscribed and started.
    pub(crate) fn stands(&self) {
        self.stood.send_replace(true);
    }

    /// Waits for the first agent that stands; an error when the host stops without one.
    pub(crate) async fn ready(&self) -> Result<(), Stopped> {
        let mut stood = self.stood.subscribe();
        tokio::select! {
            biased;
            _ = stood.wait_for(|stood| *stood) => Ok(()),
            why = self.closing() => Err(why),
        }
    }

    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    async fn reached(&self, rank: u8) -> Stopped {
        let mut phase = self.phase.subscribe();
        let found = phase.wait_for(|phase| phase.rank() >= rank).await;
        // The sender lives in `self`, and a phase beyond the first has its reason.
        found.ok().and_then(|phase| phase.stopped()).unwrap_or(Stopped::Crashed)
    }

    pub(crate) async fn closing(&self) -> Stopped {
        self.reached(1).await
    }

    pub(crate) async fn abandoned(&self) {
        self.reached(2).await;
    }

    pub(crate) async fn ended(&self) -> Stopped {
        self.reached(3).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_on_and_the_first_reason_stays() {
        let signals = Signals::new();
        assert!(signals.is_open());
        let steps = [
            (Phase::Closing(Stopped::Asked), Phase::Closing(Stopped::Asked)),
            (Phase::Closing(Stopped::Crashed), Phase::Closing(Stopped::Asked)),
            (Phase::Open, Phase::Closing(Stopped::Asked)),
            (Phase::Abandoned(Stopped::Crashed), Phase::Abandoned(Stopped::Asked)),
            (Phase::Closing(Stopped::LinkEnded), Phase::Abandoned(Stopped::Asked)),
            (Phase::Ended(Stopped::Crashed), Phase::Ended(Stopped::Asked)),
        ];
        for (next, expected) in steps {
            signals.advance(next);
            assert_eq!(*signals.phase.borrow(), expected);
        }
    }
}

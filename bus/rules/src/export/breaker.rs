//! A breaker: after so many failures in a row nobody asks for a while, then exactly one does.
//!
//! The clock is an argument: time since anything fixed, never going back.

use std::time::Duration;

/// Where a breaker is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakerState {
    /// All attempts go.
    Closed,
    /// One attempt is on its way, and decides.
    HalfOpen,
    /// None goes.
    Open {
        /// Until then.
        until: Duration,
    },
}

/// A breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    failures_max: u32,
    open: Duration,
    failures: u32,
    state: BreakerState,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(failures_max: u32, open: Duration) -> Self {
        Self { failures_max, open, failures: 0, state: BreakerState::Closed }
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// When an attempt may go at the earliest; `None` while one that decides is on its way.
    #[must_use]
    pub const fn ready_at(&self) -> Option<Duration> {
        match self.state {
            BreakerState::Closed => Some(Duration::ZERO),
            BreakerState::HalfOpen => None,
            BreakerState::Open { until } => Some(until),
        }
    }

    /// Whether an attempt may go now. One that may must be followed by what came of it.
    pub fn admits(&mut self, now: Duration) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::HalfOpen => false,
            BreakerState::Open { until } if now >= until => {
                self.state = BreakerState::HalfOpen;
                true
            }
            BreakerState::Open { .. } => false,
        }
    }

    /// An attempt succeeded.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.state = BreakerState::Closed;
    }

    /// An attempt failed.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.failures >= self.failures_max,
            BreakerState::HalfOpen => true,
            // A late word of an attempt before it opened.
            BreakerState::Open { .. } => false,
        };
        if opens {
            self.state = BreakerState::Open { until: now.saturating_add(self.open) };
        }
    }

    /// An attempt said nothing about the receiver's health: the event was bad, or the exporter is off. If it was
    /// the one that decides, the next one is.
    pub const fn undecided(&mut self, now: Duration) {
        if matches!(self.state, BreakerState::HalfOpen) {
            self.state = BreakerState::Open { until: now };
        }
    }
}

//! The queue of one exporter: what goes next, in order, and what came of it.
//!
//! One attempt at a time. An attempt that fails is repeated, ever later; one that the receiver refuses is split in
//! two until the bad event stands alone, fails alone, and its neighbours go. A receiver that refuses one event after
//! the other, as many as a batch, and takes none, is itself at fault: from then on nothing is given up for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::breaker::{Breaker, BreakerState};
use super::settings::Settings;
use crate::account::Account;

/// The wait after a first failure.
const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// The longest wait after a failure.
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// The pump is full: what is offered stays where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the queue is full")]
pub struct NoRoom;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The receiver has them.
    Delivered,
    /// The exporter is off: they are given up.
    Dropped,
    /// No answer, or one that says nothing about the events; all of it is tried again.
    Failed {
        /// The receiver asked for a wait of this length.
        after: Option<Duration>,
    },
    /// The receiver took them but for so many, does not say which, and must not be asked again.
    Partly {
        /// How many it did not take.
        failed: usize,
    },
    /// The receiver will never take these as they are.
    Refused,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing until something comes or an attempt ends.
    Idle,
    /// Send so many from the front: [`Pump::batch`], then [`Pump::ended`].
    Send(usize),
    /// Nothing before this time, unless something comes.
    Wait(Duration),
}

/// The queue.
#[derive(Debug)]
pub struct Pump<T> {
    settings: Settings,
    breaker: Breaker,
    counts: Account,
    queue: VecDeque<T>,
    in_flight: usize,
    /// Sizes of the attempts that a split left to do, the next one last.
    splits: Vec<usize>,
    /// How many from the front were part of a failed attempt.
    tried: usize,
    failures: u32,
    /// How many failed alone since anything was delivered.
    refused: usize,
    not_before: Duration,
    /// When the oldest that was never tried came.
    oldest: Option<Duration>,
    hurried: bool,
    ended: bool,
}

impl<T> Pump<T> {
    /// An empty one.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            breaker: Breaker::new(settings.failures, settings.open),
            settings,
            counts: Account::default(),
            queue: VecDeque::new(),
            in_flight: 0,
            splits: Vec::new(),
            tried: 0,
            failures: 0,
            refused: 0,
            not_before: Duration::ZERO,
            oldest: None,
            hurried: false,
            ended: false,
        }
    }

    /// The books.
    #[must_use]
    pub const fn counts(&self) -> Account {
        self.counts
    }

    /// Where the breaker is.
    #[must_use]
    pub const fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// How many more it takes; none after its end.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.ended { 0 } else { self.settings.queue.saturating_sub(self.queue.len()) }
    }

    /// The oldest that is not done.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.queue.front()
    }

    /// Takes one. After the end it is dropped at once.
    ///
    /// # Errors
    /// [`NoRoom`], and then nothing is counted: offer it again.
    pub fn submit(&mut self, item: T, now: Duration) -> Result<(), NoRoom> {
        if self.ended {
            self.counts.submitted += 1;
            self.counts.dropped += 1;
            return Ok(());
        }
        if self.room() == 0 {
            return Err(NoRoom);
        }
        self.counts.submitted += 1;
        self.counts.queued += 1;
        self.queue.push_back(item);
        self.oldest.get_or_insert(now);
        Ok(())
    }

    /// Counts one that cannot even be written down: it fails alone.
    pub const fn spoilt(&mut self) {
        self.counts.submitted += 1;
        self.counts.failed += 1;
    }

    /// What is to be done; to send is begun by this.
    pub fn poll(&mut self, now: Duration) -> Step {
        if self.in_flight > 0 || self.queue.is_empty() {
            return Step::Idle;
        }
        let Some(ready) = self.breaker.ready_at() else { return Step::Idle };
        let mut ready = ready.max(self.not_before);
        let whole = self.queue.len() >= self.settings.batch || self.hurried || self.tried > 0;
        if !whole && let Some(oldest) = self.oldest {
            ready = ready.max(oldest.saturating_add(self.settings.interval));
        }
        if now < ready || !self.breaker.admits(now) {
            return Step::Wait(ready);
        }
        let most = self.splits.pop().unwrap_or(self.settings.batch);
        self.in_flight = self.queue.len().min(most);
        self.counts.queued -= self.in_flight as u64;
        self.counts.in_flight += self.in_flight as u64;
        Step::Send(self.in_flight)
    }

    /// What is on its way.
    pub fn batch(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().take(self.in_flight)
    }

    /// The attempt has ended; `random` spreads the wait after a failure.
    pub fn ended(&mut self, outcome: Outcome, now: Duration, random: u64) {
        let n = std::mem::take(&mut self.in_flight);
        self.counts.in_flight -= n as u64;
        let at_fault = outcome == Outcome::Refused && n == 1 && self.refused >= self.settings.batch;
        let outcome = if at_fault { Outcome::Failed { after: None } } else { outcome };
        match outcome {
            Outcome::Delivered => {
                self.breaker.succeeded();
                (self.failures, self.refused) = (0, 0);
                self.counts.delivered += n as u64;
                self.done(n, now);
            }
            Outcome::Partly { failed } => {
                self.breaker.succeeded();
                (self.failures, self.refused) = (0, 0);
                let failed = failed.min(n);
                self.counts.failed += failed as u64;
                self.counts.delivered += (n - failed) as u64;
                self.done(n, now);
            }
            Outcome::Dropped => {
                self.breaker.undecided(now);
                self.counts.dropped += n as u64;
                self.done(n, now);
            }
            Outcome::Refused if n == 1 => {
                self.breaker.undecided(now);
                self.refused += 1;
                self.counts.failed += 1;
                self.done(1, now);
            }
            Outcome::Refused => {
                self.breaker.undecided(now);
                self.counts.queued += n as u64;
                self.splits.extend([n - n / 2, n / 2]);
                self.tried = self.tried.max(n);
            }
            Outcome::Failed { after } => {
                self.breaker.failed(now);
                self.counts.queued += n as u64;
                self.splits.push(n);
                self.tried = self.tried.max(n);
                let wait = self.backoff(random).max(after.unwrap_or_default().min(BACKOFF_CAP * 2));
                self.not_before = now.saturating_add(wait);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    fn done(&mut self, n: usize, now: Duration) {
        self.queue.drain(..n);
        self.tried = self.tried.saturating_sub(n);
        self.oldest = (!self.queue.is_empty()).then_some(now);
    }

    /// Half of a limit that doubles with each failure, and anything up to the other half.
    fn backoff(&self, random: u64) -> Duration {
        let limit = BACKOFF_BASE.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_CAP);
        let half = limit / 2;
        let share = (half.as_nanos() * u128::from(random)) >> 64;
        half + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// From now on nothing waits for company: the end is near.
    pub const fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Ends: what is left goes back to the log, counted as failed if it was tried and as dropped if not. Whether
    /// all that was ever submitted was delivered.
    pub fn give_up(&mut self) -> bool {
        self.ended = true;
        let tried = self.tried.max(self.in_flight).min(self.queue.len());
        self.counts.failed += tried as u64;
        self.counts.dropped += (self.queue.len() - tried) as u64;
        (self.counts.queued, self.counts.in_flight) = (0, 0);
        self.queue.clear();
        self.splits.clear();
        (self.in_flight, self.tried) = (0, 0);
        self.counts.failed == 0 && self.counts.dropped == 0
    }
}

//! Proofs that were asked for and have not come.

use std::time::Duration;

use testudo_rules::gossip::Pair;
use testudo_wire::frame::LogHead;
use tokio::time::Instant;

/// Proofs that are waited for at once: with those of the node's own heads no more than it answers in a second.
const WANTED_MAX: usize = 8;

/// A proof that is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) pair: Pair,
    /// The head in question.
    pub(super) of: LogHead,
    /// The node told it as its own.
    pub(super) is_own: bool,
    since: Instant,
}

/// Whether a proof is asked for.
pub(super) enum Asked {
    Now,
    Already,
    TooMany,
}

pub(super) struct Proofs {
    wanted: Vec<Wanted>,
    patience: Duration,
}

impl Proofs {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { wanted: Vec::new(), patience }
    }

    pub(super) fn ask(&mut self, pair: Pair, of: LogHead, is_own: bool, now: Instant) -> Asked {
        if let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.pair == pair && wanted.of == of) {
            wanted.is_own |= is_own;
            return Asked::Already;
        }
        // The node's own heads have places that nobody else's word can take.
        let room = if is_own { 2 * WANTED_MAX } else { WANTED_MAX };
        if self.wanted.len() >= room {
            return Asked::TooMany;
        }
        self.wanted.push(Wanted { pair, of, is_own, since: now });
        Asked::Now
    }

    /// Those that this answer is for: several heads of one size may be in question.
    pub(super) fn answered(&mut self, old: u64, new: u64) -> Vec<Wanted> {
        self.drain(|wanted| wanted.pair.old.size == old && wanted.pair.new.size == new)
    }

    /// Those that have not come in their time.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Wanted> {
        let patience = self.patience;
        self.drain(|wanted| now.duration_since(wanted.since) >= patience)
    }

    /// Those that nobody will answer any more.
    pub(super) fn all(&mut self) -> Vec<Wanted> {
        self.drain(|_| true)
    }

    fn drain(&mut self, is_out: impl Fn(&Wanted) -> bool) -> Vec<Wanted> {
        self.wanted.extract_if(.., |wanted| is_out(wanted)).collect()
    }
}

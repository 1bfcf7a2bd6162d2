//! How long to wait before dialling again: full jitter, so that a swarm does not return as one.

use std::time::Duration;

/// The longest first wait.
const BASE: Duration = Duration::from_millis(100);
/// The longest wait.
const CAP: Duration = Duration::from_secs(10);
/// The longest wait for a node that answers, and has no room just now. Where thousands come back at once, whoever was turned
/// away a few times would else be away long after the last of them was let in; turning ten thousand away so often takes a
/// node a third of a processor (case F21).
const BUSY_CAP: Duration = Duration::from_secs(2);
/// Such answers in a row after which a node is no more than any other that fails: it may be one that serves nobody.
const BUSY_TIMES: u32 = 20;

/// Failures in a row. A link that did not stand for long is one too.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    /// Of these, the last ones that were answers of a busy node.
    busy: u32,
}

impl Backoff {
    /// A link has ended that stood for so long.
    pub(super) fn stood(&mut self, time: Duration) {
        if time >= CAP {
            self.failures = 0;
        }
    }

    /// The next wait: anything up to a limit that doubles with each failure.
    pub(crate) fn next(&mut self, random: [u8; 8]) -> Duration {
        self.busy = 0;
        self.within(CAP, random)
    }

    /// The same after a node has said that it has no room.
    pub(crate) fn next_of_busy(&mut self, random: [u8; 8]) -> Duration {
        self.busy = self.busy.saturating_add(1);
        self.within(if self.busy > BUSY_TIMES { CAP } else { BUSY_CAP }, random)
    }

    fn within(&mut self, cap: Duration, random: [u8; 8]) -> Duration {
        let limit = BASE.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        let share = u128::from(u64::from_be_bytes(random));
        // Both factors are small: nanoseconds of ten seconds, and 64 bits.
        let nanos = (limit.as_nanos() * share) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_to_the_cap_and_a_link_that_stood_resets_it() {
        let mut backoff = Backoff::default();
        let limit = |backoff: &mut Backoff| backoff.next([0xff; 8]).as_millis() + 1;
        let limits: Vec<_> = (0..9).map(|_| limit(&mut backoff)).collect();
        assert_eq!(limits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        let busy = |backoff: &mut Backoff| backoff.next_of_busy([0xff; 8]).as_millis() + 1;
        for _ in 0..BUSY_TIMES {
            assert_eq!(busy(&mut backoff), 2_000, "a node that answers is asked sooner");
        }
        assert_eq!(busy(&mut backoff), 10_000, "but not for ever");
        assert_eq!((limit(&mut backoff), busy(&mut backoff)), (10_000, 2_000), "of answers in a row");
        backoff.stood(CAP - Duration::from_millis(1));
        assert_eq!(limit(&mut backoff), 10_000);
        backoff.stood(CAP);
        assert_eq!(limit(&mut backoff), 100);
    }

    #[test]
    fn jitter_is_full() {
        let wait = |random: u64| Backoff::default().next(random.to_be_bytes());
        assert_eq!(wait(0), Duration::ZERO);
        assert_eq!(wait(1 << 63), BASE / 2);
        for _ in 0..100 {
            assert!(Backoff { failures: u32::MAX, busy: 0 }.next([0xff; 8]) < CAP);
        }
    }
}

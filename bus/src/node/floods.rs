//! Floods of refusals become counted records: a peer that is refused ten thousand times a second fills neither
//! the disk nor the log.
//!
//! The first refusal of a kind is recorded at once; those of the next second are counted into one record.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use testudo_wire::Refusal;
use tokio::time::Instant;

/// Between two records of one kind from one peer.
const EVERY: Duration = Duration::from_secs(1);

/// Refusals of a kind that one record stands for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counted {
    pub(crate) count: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug)]
struct Kind {
    recorded: Instant,
    waiting: Counted,
}

/// The refusals of one peer by kind.
#[derive(Debug, Default)]
pub(crate) struct Floods(Mutex<BTreeMap<Refusal, Kind>>);

impl Floods {
    /// Counts one refusal. What it returns is to be recorded now.
    pub(crate) fn count(&self, refusal: Refusal, bytes: usize, now: Instant) -> Option<Counted> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let one = Counted { count: 1, bytes };
        let Some(kind) = kinds.get_mut(&refusal) else {
            kinds.insert(refusal, Kind { recorded: now, waiting: Counted::default() });
            return Some(one);
        };
        kind.waiting.count = kind.waiting.count.saturating_add(1);
        kind.waiting.bytes = kind.waiting.bytes.saturating_add(bytes);
        if now < kind.recorded + EVERY {
            return None;
        }
        kind.recorded = now;
        Some(std::mem::take(&mut kind.waiting))
    }

    /// What was counted and not recorded yet, once its peer is gone.
    pub(crate) fn rest(&self) -> Vec<(Refusal, Counted)> {
        let kinds = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        kinds
            .into_iter()
            .map(|(refusal, kind)| (refusal, kind.waiting))
            .filter(|(_, c)| c.count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_into_one_record_a_second_and_nothing_is_lost() {
        let floods = Floods::default();
        let mut recorded = 0;
        let mut records = 0;
        for _ in 0..10 {
            for _ in 0..1000 {
                if let Some(counted) = floods.count(Refusal::Malformed, 7, Instant::now()) {
                    recorded += counted.count;
                    records += 1;
                }
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let first = floods.count(Refusal::Stale, 1, Instant::now());
        assert_eq!(first, Some(Counted { count: 1, bytes: 1 }), "another kind is recorded at once");
        let rest: u32 = floods.rest().iter().map(|(_, counted)| counted.count).sum();
        assert_eq!((recorded + rest, records), (10_000, 10));
    }
}

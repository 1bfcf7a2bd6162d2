//! How fast a receiver takes what is written to it (threat A63): whoever is five seconds behind the slowest line that
//! this is made for is not waited for, however often it takes a byte. Knows instants and sizes, no stream.

use std::time::Duration;

use tokio::time::Instant;

use super::bounds::slowest;

/// So far a receiver may fall behind before it loses its link.
const BEHIND: Duration = Duration::from_secs(5);

/// How one writer's receiver keeps up while something is written to it.
///
/// What its link takes on other lanes counts, too: a line that is full of small messages carries no body meanwhile, and
/// whoever sends them must not put the receiver out.
#[derive(Debug)]
pub(super) struct Pace {
    until: Instant,
    taken: u64,
}

impl Pace {
    /// Begins now; `taken` is what the link has taken so far, on all lanes.
    pub(super) fn new(now: Instant, taken: u64) -> Self {
        Self { until: now + BEHIND, taken }
    }

    /// What the link has taken by now. Time that is won by haste is not kept: a receiver that stops is as late as any.
    pub(super) fn took(&mut self, now: Instant, taken: u64) {
        let bytes = usize::try_from(taken.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        self.taken = taken;
        self.until = (self.until + slowest(bytes)).min(now + BEHIND);
    }

    /// When it is too late, unless it takes more.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds a receiver is too late that takes so much in each.
    fn lasts(in_each: impl Fn(u64) -> u64) -> Option<u64> {
        let start = Instant::now();
        let (mut pace, mut taken) = (Pace::new(start, 0), 0);
        (1..=600).find(|second| {
            let now = start + Duration::from_secs(*second);
            if pace.until() < now {
                return true;
            }
            taken += in_each(*second);
            pace.took(now, taken);
            false
        })
    }

    #[test]
    fn t_a63_a_receiver_lasts_as_long_as_it_takes_what_the_slowest_line_carries() {
        assert_eq!(lasts(|_| 0), Some(6));
        assert_eq!(lasts(|_| 1), Some(6), "a byte a second is nothing");
        assert_eq!(
            lasts(|_| 128 * 1024),
            Some(10),
            "half as fast is five seconds behind before the tenth is over"
        );
        assert_eq!(lasts(|_| 256 * 1024), None);
        assert_eq!(lasts(|second| if second <= 3 { 1 << 24 } else { 1 }), Some(9), "haste earns nothing");
        assert_eq!(
            lasts(|second| if second % 4 == 0 { 1024 * 1024 } else { 0 }),
            None,
            "a pause is made good"
        );
    }
}

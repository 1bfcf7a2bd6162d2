//! How often an agent may fail: a count within a time. Pure; the clock is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Counts faults within a time, as OTP's restart intensity does.
#[derive(Debug)]
pub(crate) struct Intensity {
    rebuilds: u16,
    within: Duration,
    recent: VecDeque<Instant>,
}

/// Whether to build an agent anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Rebuild,
    GiveUp,
}

impl Intensity {
    pub(crate) const fn new(rebuilds: u16, within: Duration) -> Self {
        Self { rebuilds, within, recent: VecDeque::new() }
    }

    pub(crate) fn fault(&mut self, now: Instant) -> Verdict {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > self.within) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() > usize::from(self.rebuilds) { Verdict::GiveUp } else { Verdict::Rebuild }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_within_the_time_and_one_more_is_too_many() {
        let start = Instant::now();
        let mut intensity = Intensity::new(2, Duration::from_secs(10));
        let mut at = |seconds| intensity.fault(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(5), at(11), at(16)], [Verdict::Rebuild; 4]);
        assert_eq!(at(21), Verdict::GiveUp, "11, 16 and 21: ten seconds, inclusive");
        let mut strict = Intensity::new(0, Duration::from_secs(10));
        assert_eq!(strict.fault(start), Verdict::GiveUp);
    }
}

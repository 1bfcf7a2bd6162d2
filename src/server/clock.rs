//! Whether somebody set the wall clock. Messages, tokens and certificates are judged by it, while leases, windows and
//! everything else that lasts go by the clock that only runs (threats A77, A78): a jump lets no replay in and revokes
//! nobody, but whoever is more than five minutes beside it is refused, and the operator has to hear of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use testudo_bus::env::SharedEnv;
use testudo_wire::Timestamp;
use tokio::time::Instant;

use crate::health::Finding;

/// A clock that was set by no more than this is kept right, not set.
const SET_MS: u64 = 30_000;
/// For so long a jump is told: a machine that slept jumps, too, and is well again.
const TOLD: Duration = Duration::from_secs(60 * 60);

/// The wall clock, held against the one that only runs at each look.
#[derive(Debug)]
pub(super) struct Clock {
    env: SharedEnv,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    wall: Timestamp,
    at: Instant,
    /// How far it was set within the last hour in steps that each are none, in ms; and since when these are counted.
    drift_ms: i64,
    since: Instant,
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    seen: Instant,
    seconds: u64,
    way: &'static str,
}

impl Clock {
    pub(super) fn new(env: SharedEnv) -> Self {
        let (wall, at) = (env.now(), Instant::now());
        let seen = Mutex::new(Seen { wall, at, drift_ms: 0, since: at, jump: None });
        Self { env, seen }
    }

    /// What a look at it finds.
    pub(super) fn check(&self) -> Finding {
        let (wall, at) = (self.env.now(), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = seen.wall.after(at.saturating_duration_since(seen.at)).as_millis();
        let step = i64::try_from(i128::from(wall.as_millis()) - i128::from(expected)).unwrap_or(i64::MAX);
        (seen.wall, seen.at) = (wall, at);
        if at.saturating_duration_since(seen.since) >= TOLD {
            (seen.drift_ms, seen.since) = (0, at);
        }
        let is_small = step.unsigned_abs() <= SET_MS;
        seen.drift_ms = if is_small { seen.drift_ms.saturating_add(step) } else { step };
        let set = seen.drift_ms;
        if set.unsigned_abs() > SET_MS {
            let way = if set > 0 { "forward" } else { "back" };
            // Small steps one after the other are one way that it was set.
            let goes_on =
                |jump: &Jump| is_small && jump.way == way && at.saturating_duration_since(jump.seen) < TOLD;
            let before = seen.jump.filter(goes_on).map_or(0, |jump| jump.seconds);
            seen.jump = Some(Jump { seen: at, seconds: before + set.unsigned_abs() / 1000, way });
            (seen.drift_ms, seen.since) = (0, at);
        }
        match seen.jump.filter(|jump| at.saturating_duration_since(jump.seen) < TOLD) {
            None => Finding::healthy(),
            Some(Jump { seconds, way, .. }) => Finding::degraded(format!(
                "the clock was set {way} by {seconds} s within the last hour; is it right? Messages from agents whose \
                 clocks are more than 5 minutes beside it are refused as stale"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use testudo_bus::env::Env;
    use tokio::time::advance;

    use super::*;
    use crate::health::State;

    #[derive(Debug, Default)]
    struct Wall(AtomicU64);

    impl Env for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn fill(&self, _: &mut [u8]) {}
    }

    #[tokio::test(start_paused = true)]
    async fn t_a77_t_a78_a_clock_that_was_set_is_told_for_an_hour() {
        let wall = Arc::new(Wall(AtomicU64::new(10_000_000)));
        let clock = Clock::new(wall.clone());
        // So many seconds pass, and the wall clock shows so many.
        let pass = async |runs: u64, shows: i64| {
            advance(Duration::from_secs(runs)).await;
            let now = wall.0.load(Ordering::Relaxed).saturating_add_signed(1000 * shows);
            wall.0.store(now, Ordering::Relaxed);
            clock.check()
        };
        assert_eq!(pass(86_400, 86_400).await, Finding::healthy());
        assert_eq!(pass(10, 40).await, Finding::healthy(), "kept right");
        let back = pass(60, -540).await;
        assert_eq!(back.state, State::Degraded);
        assert!(back.reason.unwrap().starts_with("the clock was set back by 600 s"));
        assert_eq!(pass(3_599, 3_599).await.state, State::Degraded);
        assert_eq!(pass(1, 1).await, Finding::healthy());
        let forward = pass(1, 86_401).await;
        assert!(forward.reason.unwrap().starts_with("the clock was set forward by 86400 s"));
        // In steps that each are none: nobody else than these sets it.
        assert_eq!(pass(7_200, 7_200).await, Finding::healthy());
        assert_eq!(pass(60, 89).await, Finding::healthy());
        let steps = pass(60, 89).await;
        assert!(steps.reason.unwrap().starts_with("the clock was set forward by 58 s"));
        for _ in 0..8 {
            pass(60, 89).await;
        }
        let steps = pass(1, 1).await;
        assert!(steps.reason.unwrap().starts_with("the clock was set forward by 290 s"));
        // A clock that runs wrong by a little is kept right, for ever.
        for _ in 0..48 {
            pass(1_800, 1_801).await;
        }
        assert_eq!(pass(1_800, 1_801).await, Finding::healthy());
    }
}

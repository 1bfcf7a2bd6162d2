//! Whether somebody set the wall clock. Tokens and certificates are judged by the node's time, which follows it only as
//! `testudo_bus::clock` says, while leases, windows and everything else that lasts go by the clock that only runs (threats
//! A77, A78): a jump lets no replay in and revokes nobody, but one of the two clocks is wrong, and the operator has to
//! hear of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testudo_bus::clock::{HELD, NEAR, NodeClock};
use testudo_wire::Timestamp;
use tokio::time::Instant;

use crate::health::Finding;

/// For so long a jump is told: a machine that slept jumps, too, and is well again.
const TOLD: Duration = Duration::from_secs(60 * 60);

/// The wall clock, held against the one that only runs at each look.
#[derive(Debug)]
pub(super) struct Clock {
    clock: Arc<NodeClock>,
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
    pub(super) fn new(clock: Arc<NodeClock>) -> Self {
        let (wall, at) = (clock.wall(), Instant::now());
        let seen = Mutex::new(Seen { wall, at, drift_ms: 0, since: at, jump: None });
        Self { clock, seen }
    }

    /// What a look at it finds.
    pub(super) fn check(&self) -> Finding {
        match (self.set(), self.clock.beside()) {
            (None, 0) => Finding::healthy(),
            (Some(Jump { seconds, way, .. }), 0) => Finding::degraded(format!(
                "the clock was set {way} by {seconds} s within the last hour; is it right? Messages from agents whose \
                 clocks are more than 5 minutes beside it are refused as stale"
            )),
            (_, behind @ 1..) => Finding::degraded(format!(
                "the clock was set back: it is {} s behind the node's time, which goes on as before so that nothing that has \
                 expired comes back. Set it right; if it is right, restart the node with --clock-is-right",
                behind / 1000
            )),
            (_, ahead) => Finding::degraded(format!(
                "the clock was set forward: it is {} s ahead of the node's time, which follows when it has shown that for \
                 {} s. Tokens and certificates expire by it then; is it right?",
                ahead.unsigned_abs() / 1000,
                HELD.as_secs()
            )),
        }
    }

    /// How it was set within the last hour.
    fn set(&self) -> Option<Jump> {
        let (wall, at) = (self.clock.wall(), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = seen.wall.after(at.saturating_duration_since(seen.at)).as_millis();
        let step = i64::try_from(i128::from(wall.as_millis()) - i128::from(expected)).unwrap_or(i64::MAX);
        (seen.wall, seen.at) = (wall, at);
        if at.saturating_duration_since(seen.since) >= TOLD {
            (seen.drift_ms, seen.since) = (0, at);
        }
        let set_ms = u64::try_from(NEAR.as_millis()).unwrap_or(u64::MAX);
        let is_small = step.unsigned_abs() <= set_ms;
        seen.drift_ms = if is_small { seen.drift_ms.saturating_add(step) } else { step };
        let set = seen.drift_ms;
        if set.unsigned_abs() > set_ms {
            let way = if set > 0 { "forward" } else { "back" };
            // Small steps one after the other are one way that it was set.
            let goes_on =
                |jump: &Jump| is_small && jump.way == way && at.saturating_duration_since(jump.seen) < TOLD;
            let before = seen.jump.filter(goes_on).map_or(0, |jump| jump.seconds);
            seen.jump = Some(Jump { seen: at, seconds: before + set.unsigned_abs() / 1000, way });
            (seen.drift_ms, seen.since) = (0, at);
        }
        seen.jump.filter(|jump| at.saturating_duration_since(jump.seen) < TOLD)
    }
}

#[cfg(test)]
mod tests {
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
        let clock = Clock::new(NodeClock::new(wall.clone()));
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
        let apart = back.reason.unwrap();
        assert!(apart.starts_with("the clock was set back: it is 600 s behind the node's time"), "{apart}");
        assert_eq!(pass(36_000, 36_000).await.reason.unwrap(), apart, "for as long as it lasts");
        let mended = pass(1, 601).await;
        assert!(mended.reason.unwrap().starts_with("the clock was set forward by 600 s"));
        assert_eq!(pass(3_599, 3_599).await.state, State::Degraded);
        assert_eq!(pass(1, 1).await, Finding::healthy());
        let forward = pass(1, 86_401).await.reason.unwrap();
        assert!(
            forward.starts_with("the clock was set forward: it is 86400 s ahead of the node's"),
            "{forward}"
        );
        let believed = pass(300, 300).await;
        assert!(believed.reason.unwrap().starts_with("the clock was set forward by 86400 s"));
        // In steps that each are none: nobody else than these sets it.
        assert_eq!(pass(7_200, 7_200).await, Finding::healthy());
        assert_eq!(pass(60, 89).await, Finding::healthy());
        let steps = pass(60, 89).await;
        assert!(
            steps.reason.unwrap().starts_with("the clock was set forward: it is 29 s ahead of the node's")
        );
        for _ in 0..8 {
            pass(60, 89).await;
        }
        let steps = pass(1, 1).await;
        assert!(
            steps.reason.unwrap().starts_with("the clock was set forward: it is 261 s ahead of the node's")
        );
        let steps = pass(300, 300).await;
        assert!(steps.reason.unwrap().starts_with("the clock was set forward by 290 s"));
        // A clock that runs wrong by a little is kept right, for ever.
        for _ in 0..48 {
            pass(1_800, 1_801).await;
        }
        assert_eq!(pass(1_800, 1_801).await, Finding::healthy());
    }
}

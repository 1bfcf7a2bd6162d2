//! A node's own time: the wall clock's, but never back, and not forward at once when somebody sets it (threats A51, A77,
//! A78).
//!
//! The wall clock is believed while it runs as the clock does that only runs, give or take [`NEAR`]. When it is set
//! further back, the node's time goes on from where it was: what has expired stays so. When it is set further forward,
//! the node's time goes on as it was until the wall clock has shown that same time, running on, for [`HELD`], and only then
//! jumps: a slip that is mended by then ends no token, no certificate and no link. Until one of the two is right again, a
//! message is as fresh as the better of them says, so that nobody whose clock is right loses one: a replay is known by its
//! session and number, whatever the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testudo_wire::Timestamp;
use tokio::time::Instant;

use crate::env::{Env, SharedEnv};

/// A clock that was set by no more than this is kept right, not set.
pub const NEAR: Duration = Duration::from_secs(30);
/// For so long a wall clock must show another, later time before it is believed.
pub const HELD: Duration = Duration::from_secs(5 * 60);
/// A wall clock that lost a little against the one that only runs is followed after so long; it may gain [`NEAR`] in this
/// time, in steps that each are none.
const SETTLED: Duration = Duration::from_secs(60 * 60);

/// The clock of a node.
#[derive(Debug)]
pub struct NodeClock {
    wall: SharedEnv,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// A time that was believed, and when.
    from: (Timestamp, Instant),
    /// The last that was told.
    told: Timestamp,
    /// What the wall clock showed when it was first far ahead in this way, and when.
    ahead: Option<(Timestamp, Instant)>,
    /// How much it gained in steps that each are none, and since when.
    gained: (Duration, Instant),
}

impl Seen {
    fn new(now: Timestamp, at: Instant) -> Self {
        Self { from: (now, at), told: now, ahead: None, gained: (Duration::ZERO, at) }
    }

    /// What time it is, and whether the wall clock says so.
    fn look(&mut self, wall: Timestamp, at: Instant) -> (Timestamp, bool) {
        let (from, then) = self.from;
        let ran = at.saturating_duration_since(then);
        let carried = from.after(ran);
        if at.saturating_duration_since(self.gained.1) >= SETTLED {
            self.gained = (Duration::ZERO, at);
        }
        // Many small steps forward are one large one, too.
        let room = NEAR.saturating_sub(self.gained.0);
        let is_believed = if wall > carried.after(room) {
            self.is_held_out(wall, at)
        } else {
            self.ahead = None;
            wall.after(NEAR) >= carried
        };
        if is_believed {
            self.gained.0 += between(carried, wall);
            if self.ahead.take().is_some() {
                self.gained = (Duration::ZERO, at);
            }
            // What it lost stays to be seen: many small steps back are one large one.
            if wall >= carried || ran >= SETTLED {
                self.from = (wall, at);
            }
        }
        self.told = self.told.max(if is_believed { wall } else { carried });
        (self.told, is_believed)
    }

    /// Whether the wall clock, which is far ahead, has shown this same time for long enough, as it ran on.
    fn is_held_out(&mut self, wall: Timestamp, at: Instant) -> bool {
        let (shown, since) = *self.ahead.get_or_insert((wall, at));
        let lasts = at.saturating_duration_since(since);
        let expected = shown.after(lasts);
        if wall > expected.after(NEAR) || wall < expected.before(NEAR) {
            self.ahead = Some((wall, at));
            return false;
        }
        lasts >= HELD
    }
}

/// From one time to another; nothing if that is not later.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(to.as_millis().saturating_sub(from.as_millis()))
}

impl NodeClock {
    /// A clock over the wall's.
    #[must_use]
    pub fn new(wall: SharedEnv) -> Arc<Self> {
        let now = wall.now();
        let seen = Mutex::new(Seen::new(now, Instant::now()));
        Arc::new(Self { seen, wall })
    }

    /// Goes on from a time that was told before this clock was there, as by the last record of a log.
    pub fn go_on_from(&self, before: Timestamp) {
        let (now, at) = (self.now(), Instant::now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if before > now.after(NEAR) {
            seen.from = (before, at);
        }
        seen.told = seen.told.max(before);
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.wall.now()
    }

    /// How far the node's time is from the wall clock's while that is not believed, in ms; above 0 when the wall clock is
    /// behind.
    #[must_use]
    pub fn beside(&self) -> i64 {
        let (now, also) = self.times();
        let apart = also.map_or(0, |wall| i128::from(now.as_millis()) - i128::from(wall.as_millis()));
        i64::try_from(apart).unwrap_or(i64::MAX)
    }
}

impl Env for NodeClock {
    fn now(&self) -> Timestamp {
        self.times().0
    }

    fn times(&self) -> (Timestamp, Option<Timestamp>) {
        // Not under the lock: it is somebody else's code.
        let wall = self.wall.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, is_believed) = seen.look(wall, Instant::now());
        (now, (!is_believed).then_some(wall))
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.wall.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::advance;

    use super::*;

    #[derive(Debug)]
    struct Wall(AtomicU64);

    impl Env for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn fill(&self, _: &mut [u8]) {}
    }

    const START: u64 = 10_000_000;

    struct Clocks(Arc<Wall>, Arc<NodeClock>);

    impl Clocks {
        fn new(since: u64) -> Self {
            let wall = Arc::new(Wall(AtomicU64::new(START)));
            let clock = NodeClock::new(wall.clone());
            clock.go_on_from(Timestamp::from_millis(since));
            Self(wall, clock)
        }

        /// So many seconds pass, and the wall clock shows so many; what the node's then shows since its start, and whether
        /// it believes the wall's.
        async fn pass(&self, runs: u64, shows: i64) -> (i64, bool) {
            advance(Duration::from_secs(runs)).await;
            let wall = self.0.now().as_millis().checked_add_signed(1000 * shows).unwrap();
            self.0.0.store(wall, Ordering::Relaxed);
            let (now, also) = self.1.times();
            assert!(also.is_none_or(|also| also == self.0.now()));
            let beside = now.as_millis().cast_signed() - wall.cast_signed();
            assert_eq!(self.1.beside(), if also.is_some() { beside } else { 0 });
            ((now.as_millis().cast_signed() - START.cast_signed()) / 1000, also.is_none())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t_a77_t_a51_a_nodes_time_never_goes_back_and_goes_on() {
        let clocks = Clocks::new(0);
        assert_eq!(clocks.pass(60, 60).await, (60, true));
        // Ten minutes back: on from where it was.
        assert_eq!(clocks.pass(60, -540).await, (120, false));
        assert_eq!(clocks.pass(3_600, 3_600).await, (3_720, false), "for as long as it lasts");
        // Mended.
        assert_eq!(clocks.pass(10, 610).await, (3_730, true));
        // A little back: it stands still until the wall clock is there.
        assert_eq!(clocks.pass(1, -20).await, (3_730, true));
        assert_eq!(clocks.pass(10, 10).await, (3_730, true));
        assert_eq!(clocks.pass(20, 20).await, (3_740, true));
        // Little by little, as somebody does who means harm: it goes on without them.
        let clocks = Clocks::new(0);
        assert_eq!(clocks.pass(60, 35).await, (35, true));
        assert_eq!(clocks.pass(60, 35).await, (120, false));
        assert_eq!(clocks.pass(60, 35).await, (180, false));
    }

    #[tokio::test(start_paused = true)]
    async fn t_a78_what_is_set_forward_is_believed_when_it_lasts() {
        let clocks = Clocks::new(0);
        assert_eq!(clocks.pass(60, 90).await, (90, true), "kept right");
        assert_eq!(clocks.pass(60, 86_460).await, (150, false));
        assert_eq!(clocks.pass(200, 200).await, (350, false));
        // A slip that is mended leaves nothing.
        assert_eq!(clocks.pass(10, -86_390).await, (360, true));
        assert_eq!(clocks.pass(10, 86_410).await, (370, false));
        assert_eq!(clocks.pass(299, 299).await, (669, false), "counted anew");
        assert_eq!(clocks.pass(1, 1).await, (87_070, true));
        assert_eq!(clocks.pass(1, 1).await, (87_071, true));
        // And is not taken back.
        assert_eq!(clocks.pass(1, -86_399).await, (87_072, false));
    }

    #[tokio::test(start_paused = true)]
    async fn t_a78_what_is_set_forward_further_while_it_is_held_is_held_anew() {
        let day = 86_400;
        let clocks = Clocks::new(0);
        // A minute, that nobody minds, and a year once that has nearly lasted.
        assert_eq!(clocks.pass(10, 70).await, (10, false));
        assert_eq!(clocks.pass(299, 299).await, (309, false));
        assert_eq!(clocks.pass(1, 365 * day).await, (310, false), "not what was shown");
        assert_eq!(clocks.pass(299, 299).await, (609, false));
        assert_eq!(clocks.pass(1, 1).await, (60 + 309 + 365 * day + 300, true));
        // And the other way: what it shows is another time, too.
        let clocks = Clocks::new(0);
        assert_eq!(clocks.pass(10, day).await, (10, false));
        assert_eq!(clocks.pass(299, 299 - day / 2).await, (309, false));
        assert_eq!(clocks.pass(1, 1).await, (310, false));
        assert_eq!(clocks.pass(299, 299).await, (day / 2 + 599, true));
    }

    #[tokio::test(start_paused = true)]
    async fn t_a78_many_small_steps_forward_are_one_large_one() {
        let clocks = Clocks::new(0);
        assert_eq!(clocks.pass(1, 25).await, (25, true), "kept right");
        for seconds in 1..600 {
            assert_eq!(clocks.pass(1, 25).await, (25 + seconds, false), "{seconds}");
        }
        assert_eq!(clocks.pass(300, 300).await, (600 * 25 + 300, true), "once it lasts");
        // Kept right by a little each hour, for ever.
        for hour in 1..100 {
            let shown = 600 * 25 + 300 + hour * 3_620;
            assert_eq!(clocks.pass(3_600, 3_620).await, (shown, true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_runs_a_little_wrong_is_followed() {
        let clocks = Clocks::new(0);
        let mut told = 0;
        for hour in 1..200 {
            let (now, is_believed) = clocks.pass(3_600, 3_599).await;
            assert!(is_believed && now == hour * 3_599 && now > told);
            told = now;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t_a51_a_node_begins_where_its_log_ended() {
        let hour = 3_600;
        let clocks = Clocks::new(START + 1000 * hour);
        let hour = hour.cast_signed();
        assert_eq!(clocks.pass(10, 10).await, (hour + 10, false));
        assert_eq!(clocks.pass(10, 10 + hour).await, (hour + 20, true));
        let clocks = Clocks::new(START + 20_000);
        assert_eq!(clocks.pass(10, 10).await, (20, true));
        assert_eq!(clocks.pass(15, 15).await, (25, true));
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_milliseconds_is_not_lost() {
        let clocks = Clocks::new(START + 3_600_000);
        for _ in 0..10_000 {
            advance(Duration::from_micros(100)).await;
            clocks.1.now();
        }
        assert_eq!(clocks.1.now().as_millis(), START + 3_601_000);
    }
}

//! Those who ask, whatever the bus: one alone, and all of them at their own pace.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Done;
use crate::stats::percentile;

/// Honest agents.
pub(crate) const CROWD: usize = 50;
/// What everybody asks.
pub(crate) const QUESTION: &str = r#"{"question":"how are things?"}"#;
/// Between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Somebody who asks.
pub(crate) trait Ask: Clone + Send + Sync + 'static {
    /// One request: how long its answer took, in microseconds.
    fn ask(&self) -> impl Future<Output = Done<f64>> + Send;
}

/// The middle and the 99th percentile of a round, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Trips {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Trips {
    fn of(mut trips: Vec<f64>) -> Done<Self> {
        trips.sort_by(f64::total_cmp);
        let at = |percent| percentile(&trips, percent).ok_or("no requests, no latency");
        Ok(Self { p50: at(50)?, p99: at(99)? })
    }
}

/// Requests of one of them, one after the other.
pub(crate) async fn one<A: Ask>(crowd: &[A], requests: usize) -> Done<Trips> {
    let client = crowd.first().ok_or("nobody asks")?;
    let mut trips = Vec::with_capacity(requests);
    for _ in 0..requests {
        trips.push(client.ask().await?);
    }
    Trips::of(trips)
}

/// Requests of everybody, each at its own pace, for so long.
pub(crate) async fn all<A: Ask>(crowd: &[A], time: Duration) -> Done<Trips> {
    let mut asking = JoinSet::new();
    for (n, client) in (0_u32..).zip(crowd) {
        let client = client.clone();
        asking.spawn(async move {
            // Not all in the same moment.
            sleep(PAUSE * n / CROWD as u32).await;
            let (began, mut trips) = (Instant::now(), Vec::new());
            while began.elapsed() < time {
                trips.push(client.ask().await?);
                sleep(PAUSE).await;
            }
            Ok::<_, crate::Fault>(trips)
        });
    }
    let mut trips = Vec::new();
    while let Some(asked) = asking.join_next().await {
        trips.extend(asked??);
    }
    Trips::of(trips)
}

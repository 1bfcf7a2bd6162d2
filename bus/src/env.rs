//! The clock on the wall and the dice, given by the composition root, so that a whole swarm can run on one
//! paused clock with one seed (measured facts M10, M11). Durations use the runtime's clock.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use testudo_wire::Timestamp;

/// What only the composition root may provide.
pub trait Env: Debug + Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The same, and what else it may be: what the wall clock shows while it is not believed.
    fn times(&self) -> (Timestamp, Option<Timestamp>) {
        (self.now(), None)
    }
    /// Fills with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// How everything holds it.
pub type SharedEnv = Arc<dyn Env>;

/// `N` unpredictable bytes.
pub fn random<const N: usize>(env: &dyn Env) -> [u8; N] {
    let mut bytes = [0; N];
    env.fill(&mut bytes);
    bytes
}

/// The longest sleep before the wall clock is asked again: it may be set, and a machine may have been asleep.
const LOOK: Duration = Duration::from_secs(1);

/// Returns when the wall clock shows this time, at most a second late if it was set or the
/// machine slept, else on time.
pub(crate) async fn until(env: &dyn Env, then: Timestamp) {
    loop {
        let left = then.as_millis().saturating_sub(env.now().as_millis());
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left).min(LOOK)).await;
    }
}

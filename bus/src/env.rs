//! The clock on the wall and the dice, given by the composition root, so that a whole swarm can run on one
//! paused clock with one seed (measured facts M10, M11). Durations use the runtime's clock.

use std::fmt::Debug;
use std::sync::Arc;

use testudo_wire::Timestamp;

/// What only the composition root may provide.
pub trait Env: Debug + Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
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

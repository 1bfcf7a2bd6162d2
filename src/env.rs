//! The one place that reads the system's clock and dice.

use std::sync::Arc;
use std::time::SystemTime;

use testudo_bus::env::{Env, SharedEnv};
use testudo_wire::Timestamp;

/// The machine's wall clock and random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl System {
    /// As everything takes it.
    #[must_use]
    pub fn shared() -> SharedEnv {
        Arc::new(Self)
    }
}

impl Env for System {
    #[expect(clippy::disallowed_methods, reason = "the composition root is where clocks are read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::expect_used, reason = "without randomness nothing may be signed: better to end")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has a random generator");
    }
}

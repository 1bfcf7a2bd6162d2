//! Large bodies: hashing and inspection on a bounded pool, the decisions in the actor, so that no small message
//! waits for a large one. The inspection has a deadline; late is refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use testudo_rules::pipeline::{Authorised, Decoded, Read};
use testudo_wire::Refusal;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::judge::Case;
use super::rules::Rules;
use crate::node::{Reservation, Shared};

/// What an inspection may take ...
const DEADLINE: Duration = Duration::from_millis(50);
/// ... and for each MiB more.
const DEADLINE_MIB: Duration = Duration::from_millis(5);

/// One bundle of a lane, in memory that was set aside for it.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) lane: u8,
    pub(crate) bundle: u64,
    pub(crate) bytes: Bytes,
    pub(crate) reservation: Reservation,
}

/// The threads for it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    places: Arc<Semaphore>,
    rules: Arc<Rules>,
}

impl Pool {
    pub(super) fn new(rules: Arc<Rules>, at_once: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once)), rules }
    }

    /// Runs a piece of work beside the guard; `None` when it panicked.
    async fn run<T: Send + 'static>(
        &self,
        within: Option<Duration>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        let running = spawn_blocking(move || {
            // Held to its end even when nobody waits any more: the pool stays as small as it is.
            let _place = place;
            work()
        });
        match within {
            Some(within) => timeout(within, running).await.ok()?.ok(),
            None => running.await.ok(),
        }
    }

    /// Decodes and hashes.
    pub(super) async fn decode(&self, shared: &Shared, bytes: Bytes) -> Result<Decoded, Refusal> {
        let limits = shared.large_limits;
        let decoded = self.run(None, move || Decoded::of(bytes, &limits)).await;
        decoded.unwrap_or(Err(Refusal::GuardFault))
    }

    /// Vets the content by itself; `None` when it took too long, or the guard failed on it.
    pub(super) async fn read(&self, case: &Case, authorised: Authorised) -> Option<Read> {
        let mib = u32::try_from(case.size / (1024 * 1024)).unwrap_or(u32::MAX);
        let inspector = self.rules.now();
        self.run(Some(DEADLINE + DEADLINE_MIB * mib), move || authorised.read(&inspector)).await
    }
}

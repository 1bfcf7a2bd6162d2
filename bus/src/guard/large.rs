//! Large bodies: hashing and inspection on a bounded pool, the decisions in the actor, so that no small message
//! waits for a large one. The pool takes what others leave of the processors: where there are few, small messages go
//! first. The inspection has a deadline; late is refused.

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

/// What an inspection may take, ten times what it needs: the pool has to wait for others ...
const DEADLINE: Duration = Duration::from_millis(500);
/// ... and for each MiB more.
const DEADLINE_MIB: Duration = Duration::from_millis(50);

/// Steps below the node's own priority: a tenth of its share of a processor that both want.
#[cfg(target_os = "linux")]
const LOWER: i32 = 10;

/// One bundle of a lane, in memory that was set aside for it.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) lane: u8,
    pub(crate) bundle: u64,
    pub(crate) bytes: Bytes,
    pub(crate) reservation: Reservation,
}

/// Runs a piece of work on a thread of its own that has given up its priority: without a right to do so, no thread
/// gets it back. `None` when it panicked, or the system gives no thread.
fn behind_others<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let body = || {
        step_back();
        work()
    };
    std::thread::Builder::new().name("testudo-bodies".to_owned()).spawn(body).ok()?.join().ok()
}

/// Lowers the priority of this thread. Where the system does not do so for one thread, it stays as it is.
fn step_back() {
    // Another system would take the whole process for it.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let lowered = getpriority_process(None).and_then(|own| setpriority_process(None, own + LOWER));
        if let Err(error) = lowered {
            tracing::debug!(%error, "large bodies are read at the priority of small ones");
        }
    }
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
            behind_others(work)
        });
        match within {
            Some(within) => timeout(within, running).await.ok()?.ok()?,
            None => running.await.ok()?,
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

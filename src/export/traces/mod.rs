//! Spans of sampled messages, sent to an OpenTelemetry collector: for a node by `[traces]` of its configuration, for
//! agents of a process of their own by [`Traces::start`] and [`crate::Connection::traced`].
//!
//! Spans are for looking, the audit log is for proof: they wait in bounded memory alone, and what finds no room or
//! comes too often is dropped and counted. Whoever hands a span over never waits; the collector is spoken to on a
//! thread of its own.

mod config;
mod queue;
mod sampler;
mod task;

use std::sync::Arc;
use std::time::Duration;

use testudo_bus::env::SharedEnv;
use testudo_rules::account::Account;
use testudo_wire::Spans;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::config::ExportSection;
use super::state::Breaker;

pub use config::TracesSection;
use queue::Queue;
use task::Task;

/// How long the end may take.
const END: Duration = Duration::from_secs(2);
/// What the thread may take beyond that before it is left behind.
const SLACK: Duration = Duration::from_millis(500);

/// Messages whose senders asked for a trace, by what was decided on each:
/// `offered == traced + beyond_ratio + declined` at every sample.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sampled {
    /// All of them.
    pub offered: u64,
    /// Those whose spans are recorded.
    pub traced: u64,
    /// Those whose trace is not of the share that is recorded here.
    pub beyond_ratio: u64,
    /// Those for which there were too many in a second.
    pub declined: u64,
}

/// How the sending of spans is, at one instant.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TracesStatus {
    /// The books of all spans; they balance at every sample.
    pub counts: Account,
    /// Spans dropped because there were too many in a second; among the dropped ones.
    pub over_limit: u64,
    /// Spans dropped because too many waited, or the end came first: all the other dropped ones.
    pub no_room: u64,
    /// What was decided on messages.
    pub messages: Sampled,
    /// The breaker.
    pub breaker: Breaker,
    /// Why it cannot send for now, or why some were refused.
    pub trouble: Option<String>,
}

/// A view on spans and what becomes of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TracesView(Arc<Queue>);

impl TracesView {
    /// How they are now.
    #[must_use]
    pub fn status(&self) -> TracesStatus {
        self.0.status()
    }

    /// Who takes them.
    #[must_use]
    pub fn spans(&self) -> Arc<dyn Spans> {
        self.0.clone()
    }
}

/// Takes spans and sends them. To drop it ends it at once; see [`Traces::shut_down`].
#[derive(Debug)]
pub struct Traces {
    queue: Arc<Queue>,
    stop: watch::Sender<Option<Instant>>,
    ended: Option<oneshot::Receiver<bool>>,
}

impl Traces {
    /// Starts sending, on a thread of its own, in the name of a service and an instance of it. `None` when the section
    /// has no url.
    ///
    /// # Errors
    /// One line that says what is wrong with the section, or that the system gives no thread.
    pub fn start(
        section: &TracesSection,
        common: ExportSection,
        (service, instance): (&str, &str),
        env: SharedEnv,
    ) -> Result<Option<Self>, String> {
        let Some(plan) = section.plan(common)? else { return Ok(None) };
        let queue = Arc::new(Queue::new(&plan, env));
        let (stop, stopping) = watch::channel(None);
        let task = Task::new(plan, queue.clone(), (service.to_owned(), instance.to_owned()), stopping);
        let no_thread = |error| format!("spans cannot be sent: {error}");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let (last, ended) = oneshot::channel();
        let work = move || {
            let clean = runtime.block_on(task.run());
            runtime.shutdown_background();
            let _ = last.send(clean);
        };
        let _detached =
            std::thread::Builder::new().name("traces".to_owned()).spawn(work).map_err(no_thread)?;
        Ok(Some(Self { queue, stop, ended: Some(ended) }))
    }

    /// A view that outlives it.
    #[must_use]
    pub fn view(&self) -> TracesView {
        TracesView(self.queue.clone())
    }

    /// Sends what waits, as far as the collector takes it at once, and ends within three seconds. Whether every span was
    /// delivered.
    pub async fn shut_down(mut self) -> bool {
        self.stop.send_replace(Some(Instant::now() + END));
        match self.ended.take() {
            Some(ended) => matches!(timeout(END + SLACK, ended).await, Ok(Ok(true))),
            None => true,
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.stop.send_replace(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests;

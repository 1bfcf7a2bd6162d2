//! Exporters: they follow the audit log from a durable cursor and send what it tells, as signed CloudEvents, to
//! standard output, a file, a web hook or an OpenTelemetry collector.
//!
//! Each has a task, a queue and a breaker of its own on one thread beside the node's, so that none of them can
//! delay another or the bus; the bus does not even know of them. Only what is durable is exported. Delivery is at
//! least once: an event sent twice has the same source and id.
//!
//! Where they send to stands in the configuration file alone; no request can change it (threat A76).

pub mod config;
mod metrics;
mod otlp;
mod place;
mod sink;
mod source;
mod state;
mod task;
mod traces;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use testudo_bus::audit::AuditLog;
use testudo_rules::event::EventSource;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use config::Exporter;
pub(crate) use metrics::{register, register_traces};
use state::Shared;
pub use state::{Breaker, ExporterStatus};
use task::Task;
pub use traces::{Sampled, Traces, TracesSection, TracesStatus, TracesView};

/// How long the end may take.
const END: Duration = Duration::from_secs(5);
/// What the thread may take beyond that before it is left behind.
const SLACK: Duration = Duration::from_secs(1);

/// What exporters follow.
#[derive(Clone, Debug)]
pub struct Following {
    /// The log.
    pub log: Arc<AuditLog>,
    /// Its folder.
    pub dir: PathBuf,
    /// Whose log it is.
    pub source: EventSource,
}

/// The exporters of a node. To drop it ends them at once; see [`Exporters::shut_down`].
#[derive(Debug)]
pub struct Exporters {
    states: States,
    stop: watch::Sender<Option<Instant>>,
    ended: Option<oneshot::Receiver<bool>>,
}

/// How the exporters are, at any time. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct States(Arc<[Shared]>);

impl States {
    /// Each exporter's state, at one instant of its own.
    #[must_use]
    pub fn all(&self) -> Vec<ExporterStatus> {
        self.0.iter().map(Shared::get).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Exporters {
    /// Starts them on a thread of their own; without any there is no thread.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub fn start(exporters: Vec<Exporter>, following: &Following) -> std::io::Result<Self> {
        let (stop, stopping) = watch::channel(None);
        let tasks: Vec<_> =
            exporters.into_iter().map(|exporter| Task::new(exporter, following, stopping.clone())).collect();
        let states = States(tasks.iter().map(Task::shared).collect());
        if tasks.is_empty() {
            return Ok(Self { states, stop, ended: None });
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (last, ended) = oneshot::channel();
        std::thread::Builder::new().name("exporters".to_owned()).spawn(move || {
            let clean = runtime.block_on(async {
                let running: Vec<_> = tasks.into_iter().map(|task| tokio::spawn(task.run())).collect();
                join_all(running).await.into_iter().all(|clean| clean.unwrap_or(false))
            });
            // A write that hangs on its pipe or disk must not hold up the end.
            runtime.shutdown_background();
            let _ = last.send(clean);
        })?;
        Ok(Self { states, stop, ended: Some(ended) })
    }

    /// How they are.
    #[must_use]
    pub fn states(&self) -> States {
        self.states.clone()
    }

    /// Sends what the log still holds, as far as receivers take it at once, and ends within six seconds; what is
    /// left goes out after the next start. Whether every event ever taken was delivered.
    pub async fn shut_down(mut self) -> bool {
        self.stop.send_replace(Some(Instant::now() + END));
        match self.ended.take() {
            Some(ended) => match tokio::time::timeout(END + SLACK, ended).await {
                Ok(clean) => clean.unwrap_or(false),
                Err(_) => false,
            },
            None => true,
        }
    }
}

impl Drop for Exporters {
    fn drop(&mut self) {
        // After a proper end nobody listens any more.
        self.stop.send_replace(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_places;

//! The demo's own agent: it hears on the swarm's topic how far the others are.

use std::sync::Arc;
use std::time::Duration;

use testudo::agents::{HostHandle, HostOptions};
use testudo::hosting::Ledger;
use testudo::{Identity, connect};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Honest;
use crate::cli::CliError;
use crate::triage::swarm::topic;
use crate::triage::swarm::watcher::{View, watcher};

/// What was published by agents that have ended arrives within this.
const LATE: Duration = Duration::from_secs(2);

/// The watcher, on a thread of this process.
pub(super) struct Watch {
    view: watch::Receiver<View>,
    host: HostHandle,
    ledger: Arc<Ledger>,
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("the live view: {error}"))
}

impl Watch {
    /// Connects and subscribes: whatever is published from here on is heard.
    pub(super) async fn start(identity: &Identity) -> Result<Self, CliError> {
        let (told, view) = watch::channel(View::default());
        let agent = watcher(&told).map_err(failed)?;
        let linked = connect(identity).await?;
        linked.bus().subscribe(topic().map_err(failed)?).await.map_err(failed)?;
        let ledger = linked.ledger().clone();
        let host = linked.host(move || agent.clone(), HostOptions::default()).await?;
        Ok(Self { view, host, ledger })
    }

    /// The sum of what was heard.
    pub(super) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits for publications that are still on their way, ends, and adds what it received to what the others
    /// did.
    pub(super) async fn end(mut self, honest: &mut Honest) {
        let owed = honest.sent.saturating_sub(honest.delivered);
        // What does not come in time is missing from the sum.
        let _ = timeout(LATE, self.view.wait_for(|view| view.heard >= owed)).await;
        self.host.stop();
        self.host.stopped().await;
        honest.add(self.ledger.sent(), self.ledger.received(), self.ledger.refused());
    }
}

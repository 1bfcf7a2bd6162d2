//! What an embedded swarm is to be, in words that chain.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::error::EmbeddedError;
use super::life::{Hosts, Plan, live};
use super::{Swarm, THREAD};
use crate::export::TracesSection;
use crate::export::config::ExporterSection;
use crate::runtime::{Thread, ThreadError};

/// What a swarm is to be, when a name is not enough.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(pub(super) Plan);

impl Builder {
    /// Keeps keys, registry and audit log in a folder, as `testudo init` makes it: the next start is the same
    /// swarm, `testudo audit` and `testudo agent` work on it, and `testudo node` can take it over.
    ///
    /// The keys of agents that [`Swarm::spawn`] and [`Swarm::connect`] enrol are kept there, too, in `keys/agents`:
    /// the next start finds the same agents under their names and gives them fresh certificates and tokens, however
    /// long it was away. One whose role is another by now, by the program or by an operator, is enrolled anew with the
    /// program's role and another key, and so is one that an operator has revoked. Who was
    /// [enrolled](Swarm::enrol) for elsewhere stays enrolled: keep its identity, and [`Swarm::renew`] it.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.0.folder = Some(folder.into());
        self
    }

    /// Listens at this UDP address instead of any free port of 127.0.0.1.
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.0.listen = Some(address);
        self
    }

    /// Adds a pack of rules for the content guard, a TOML file, to the standard rules and those of the folder.
    pub fn guard_pack(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.packs.push(file.into());
        self
    }

    /// Sends what the audit log tells to one place more, as `[[exporter]]` of a node's configuration does.
    pub fn export(mut self, exporter: ExporterSection) -> Self {
        self.0.exporters.push(exporter);
        self
    }

    /// Sends spans of sampled messages to an OpenTelemetry collector, as `[traces]` of a node's configuration does:
    /// the node's, and those of the agents that run in this process.
    pub fn traces(mut self, traces: TracesSection) -> Self {
        self.0.traces = Some(traces);
        self
    }

    /// Starts the swarm.
    ///
    /// # Errors
    /// [`EmbeddedError`]; nothing of it then runs on.
    pub async fn start(self) -> Result<Swarm, EmbeddedError> {
        let Self(plan) = self;
        let hosts = Hosts::default();
        let (ready, is_ready) = oneshot::channel();
        let with = hosts.clone();
        let (thread, end) = Thread::start(THREAD, move |jobs| live(plan, with, ready, jobs)).await?;
        let started = is_ready.await.map_err(|_| ThreadError::Ended(THREAD))??;
        Ok(Swarm::started(thread, end, hosts, started))
    }
}

//! The swarm's own thread: opens the keys and the data, runs the node and the hosted agents, and ends them in
//! good order.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tempfile::TempDir;
use testudo_agents::HostHandle;
use testudo_bus::metrics::{Account, Metrics};
use testudo_wire::PublicKey;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::EmbeddedError;
use super::kept::Kept;
use crate::config::{Config, Overrides};
use crate::env::System;
use crate::export::config::ExporterSection;
use crate::export::{States, TracesSection, TracesView};
use crate::files::FileError;
use crate::operator::Operator;
use crate::runtime::Jobs;
use crate::server::{Operators, Running, audit_dir, bind};
use crate::swarm::{Addresses, Keys, SwarmError, configuration, init};

/// Agents may take so long to stop; then the node drains without them.
const AGENTS_STOP: Duration = Duration::from_secs(5);

/// Any free port of this machine, for this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The agents that run on a swarm's thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Arc<Mutex<Vec<HostHandle>>>);

impl Hosts {
    fn all(&self) -> MutexGuard<'_, Vec<HostHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers one more, and forgets those that have ended.
    pub(super) fn add(&self, host: HostHandle) {
        let mut all = self.all();
        all.retain(|host| host.stopped().now_or_never().is_none());
        all.push(host);
    }

    async fn stop(&self) {
        let all = std::mem::take(&mut *self.all());
        for host in &all {
            host.stop();
        }
        if timeout(AGENTS_STOP, join_all(all.iter().map(HostHandle::stopped))).await.is_err() {
            tracing::warn!("not every agent stopped in time");
        }
    }
}

/// What a swarm is to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) folder: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    /// Packs of rules for the content guard.
    pub(super) packs: Vec<PathBuf>,
    pub(super) exporters: Vec<ExporterSection>,
    pub(super) traces: Option<TracesSection>,
}

/// What a caller needs of a swarm that has started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) operator: Operator,
    pub(super) metrics: Metrics,
    pub(super) log: PublicKey,
    pub(super) audit: PathBuf,
    pub(super) exporters: States,
    pub(super) traces: Option<TracesView>,
    /// The agents of a swarm with a folder.
    pub(super) kept: Option<Kept>,
}

/// Everything on disk and in memory that a node starts from.
struct Ground {
    config: Config,
    keys: Keys,
    operators: Operators,
    /// Goes with the swarm.
    temporary: Option<TempDir>,
}

impl Plan {
    fn ground(&self) -> Result<Ground, EmbeddedError> {
        let ground =
            self.folder.as_ref().map_or_else(|| self.temporary(), |folder| self.kept(folder.clone()));
        ground.map(|mut ground| {
            ground.config.exporter.extend(self.exporters.iter().cloned());
            if let Some(traces) = &self.traces {
                ground.config.traces = traces.clone();
            }
            ground
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses { listen: self.listen.unwrap_or(ANY), ..Addresses::default() }
    }

    fn temporary(&self) -> Result<Ground, EmbeddedError> {
        let keys = Keys::make(&System).map_err(SwarmError::from)?;
        let mut config = configuration(&self.name, &keys, self.addresses())?;
        config.guard.packs.clone_from(&self.packs);
        let made = tempfile::Builder::new().prefix("testudo-").tempdir();
        let temporary = made.map_err(|error| FileError::of(&std::env::temp_dir(), error))?;
        config.node.data = temporary.path().join("data");
        Ok(Ground { config, keys, operators: Operators::None, temporary: Some(temporary) })
    }

    /// A folder as `testudo init` makes it; made the first time.
    fn kept(&self, folder: PathBuf) -> Result<Ground, EmbeddedError> {
        let path = folder.join("testudo.toml");
        if !path.exists() {
            init(&folder, &self.name, self.addresses(), &System)?;
        }
        let mut config = Config::load(&path, Overrides { listen: self.listen, ..Overrides::default() })?;
        config.guard.packs.extend_from_slice(&self.packs);
        if config.swarm.name != self.name {
            return Err(EmbeddedError::OtherSwarm {
                folder,
                found: config.swarm.name,
                wanted: self.name.clone(),
            });
        }
        let keys = Keys::read(&config.node.keys)?;
        Ok(Ground { config, keys, operators: Operators::Served, temporary: None })
    }
}

impl Ground {
    fn start(self) -> Result<(Running, Started, Option<TempDir>), EmbeddedError> {
        let Self { config, keys, operators, temporary } = self;
        let links = bind(config.node.listen, "Builder::listen")?;
        let log = keys.log.public();
        let kept = temporary.is_none().then(|| Kept::of(&config.node.keys));
        let running = Running::start(&config, keys, links, operators)?;
        let started = Started {
            operator: running.operator().clone(),
            metrics: running.node().metrics().clone(),
            log,
            audit: audit_dir(&config),
            exporters: running.exporters(),
            traces: running.traces(),
            kept,
        };
        Ok((running, started, temporary))
    }
}

/// The life of a swarm: its last account, unless it could not start.
pub(super) async fn live(
    plan: Plan,
    hosts: Hosts,
    ready: oneshot::Sender<Result<Started, EmbeddedError>>,
    jobs: Jobs,
) -> Option<Account> {
    let (running, temporary) = match plan.ground().and_then(Ground::start) {
        Ok((running, started, temporary)) => {
            // Whoever does not wait any more has dropped the jobs' other end, too.
            let _ = ready.send(Ok(started));
            (running, temporary)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return None;
        }
    };
    jobs.done().await;
    hosts.stop().await;
    let account = running.shut_down().await;
    if let Some(Err(error)) = temporary.map(TempDir::close) {
        tracing::warn!(%error, "the swarm's temporary folder could not be removed");
    }
    Some(account)
}

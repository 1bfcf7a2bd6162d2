//! A node on an in-memory network, agents that join it, and the accounts that must agree when it ends.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::Endpoint;
use testudo_bus::client::{Client, ClientIdentity, Deliveries, Delivery, DialError, Outgoing};
use testudo_bus::metrics::Account;
use testudo_bus::node::{Bodies, Commit, Node};
use testudo_bus::transport;
use testudo_wire::frame::Seen;
use testudo_wire::{ContentType, Spans};

use super::ledger::Ledger;
use super::net::SimNet;
use super::swarm::{Swarm, TestEnv, capability, grant, name};

/// A running swarm of one node.
pub(crate) struct World {
    pub(crate) swarm: Swarm,
    pub(crate) net: SimNet,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) node: Node,
}

/// An agent with an open link.
pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) inbox: Deliveries,
    pub(crate) address: SocketAddr,
}

/// A plain message.
pub(crate) fn message(to: &str, what: &str, body: &str) -> Outgoing {
    let mut message = Outgoing::new(name(to), capability(what), body.to_owned());
    message.content_type = ContentType::text();
    message
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::committing(seed, Commit::default())
    }

    /// One whose hand-overs wait for that.
    pub(crate) fn committing(seed: u64, commit: Commit) -> Self {
        Self::within(tempfile::tempdir().unwrap(), seed, commit)
    }

    /// One that keeps its data in this folder.
    pub(crate) fn within(dir: tempfile::TempDir, seed: u64, commit: Commit) -> Self {
        Self::of(Swarm::new(), dir, seed, commit)
    }

    /// One whose node gives its spans to `spans`.
    pub(crate) fn traced(seed: u64, commit: Commit, spans: Arc<dyn Spans>) -> Self {
        let swarm = Swarm { spans: Some(spans), ..Swarm::new() };
        Self::of(swarm, tempfile::tempdir().unwrap(), seed, commit)
    }

    /// One whose node does this with large bodies.
    pub(crate) fn carrying(seed: u64, bodies: Bodies) -> Self {
        let swarm = Swarm { bodies, ..Swarm::new() };
        Self::of(swarm, tempfile::tempdir().unwrap(), seed, Commit::default())
    }

    /// One whose node lets a sender have so many bytes unsettled.
    pub(crate) fn windowed(seed: u64, window: u32) -> Self {
        let swarm = Swarm { window, ..Swarm::new() };
        Self::of(swarm, tempfile::tempdir().unwrap(), seed, Commit::default())
    }

    fn of(swarm: Swarm, dir: tempfile::TempDir, seed: u64, commit: Commit) -> Self {
        let net = SimNet::new(seed);
        let (address, socket) = net.bind();
        let (node, _) = swarm.node_with(dir.path(), socket, commit).unwrap();
        Self { swarm, net, dir, address, node }
    }

    /// Enrols an agent.
    pub(crate) async fn enrol(&self, who: &str, right: &[&str], serve: &[&str]) -> ClientIdentity {
        self.swarm.enrol(&self.node, who, &grant(right, serve)).await
    }

    /// Enrols an agent and connects it.
    pub(crate) async fn agent(&self, who: &str, right: &[&str], serve: &[&str]) -> Agent {
        let identity = self.enrol(who, right, serve).await;
        self.dial(identity).await.unwrap()
    }

    /// An endpoint on a host of its own.
    pub(crate) fn endpoint(&self) -> (SocketAddr, Endpoint) {
        let (address, socket) = self.net.bind();
        (address, transport::dialler(socket).unwrap())
    }

    pub(crate) async fn dial(&self, identity: ClientIdentity) -> Result<Agent, DialError> {
        self.dial_with(identity, None, self.swarm.env.another()).await
    }

    /// Connects with something to show and a clock of its own.
    pub(crate) async fn dial_with(
        &self,
        identity: ClientIdentity,
        seen: Option<Seen>,
        env: Arc<TestEnv>,
    ) -> Result<Agent, DialError> {
        let (address, endpoint) = self.endpoint();
        let (client, inbox) = Client::connect(&endpoint, self.address, Arc::new(identity), seen, env).await?;
        Ok(Agent { client, inbox, address })
    }

    /// What stands on the audit log now.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::read(&self.dir.path().join("audit"))
    }

    /// Shuts the node down; its account and its log must agree, and the log must verify.
    pub(crate) async fn end(self) -> (Account, Ledger) {
        let metrics = self.node.metrics().clone();
        let account = self.node.shut_down().await;
        let ledger = Ledger::read(&self.dir.path().join("audit"));
        let (key, origin) = (self.swarm.log_key.public(), self.swarm.origin());
        testudo_bus::audit::verify_dir(&self.dir.path().join("audit"), &key, &origin).unwrap();
        ledger.agrees_with(&account, &metrics);
        (account, ledger)
    }
}

impl Agent {
    /// The next message, or nothing when none comes within a virtual minute.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        let minute = std::time::Duration::from_secs(60);
        tokio::time::timeout(minute, self.inbox.next()).await.ok().flatten()
    }
}

//! A node that ends and comes back at its address, from the disk that it left: in good order, or as `kill -9`
//! leaves it. Its members dial again by themselves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use testudo_bus::audit::Recovery;
use testudo_bus::client::{Arrivals, ClientIdentity, Member};
use testudo_bus::metrics::Account;
use testudo_bus::node::{Commit, Node};
use testudo_bus::transport;

use super::net::SimNet;
use super::pass;
use super::swarm::{Swarm, grant};

/// A place for one node after the other.
pub(crate) struct Site {
    pub(crate) swarm: Swarm,
    pub(crate) net: SimNet,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    node: Option<Node>,
    commit: Commit,
}

/// An agent that stays in the swarm by itself.
pub(crate) struct Staying {
    pub(crate) member: Member,
    pub(crate) arrivals: Arrivals,
    pub(crate) address: SocketAddr,
}

/// The folder as `kill -9` would leave it at this instant.
pub(crate) fn image(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir(&target).unwrap();
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let to = folder();
    copy(from, to.path());
    to
}

/// A folder in memory where the system has one: a node syncs its log and its registry at each start, and it is the
/// disk that costs then.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Site {
    /// A site whose first node runs. With odd seeds its nodes hand over only what is durable.
    pub(crate) fn new(seed: u64) -> Self {
        let (swarm, net, dir) = (Swarm::new(), SimNet::new(seed), folder());
        let commit = if seed.is_multiple_of(2) { Commit::Receipt } else { Commit::Delivery };
        let (address, socket) = net.bind();
        let (node, _) = swarm.node_with(dir.path(), socket, commit).unwrap();
        Self { swarm, net, dir, address, node: Some(node), commit }
    }

    /// The node that runs.
    #[track_caller]
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("a node that runs")
    }

    /// Shuts the node down in good order; nobody answers at its address any more.
    pub(crate) async fn stop(&mut self) -> Account {
        let node = self.node.take().expect("a node that runs");
        let account = node.shut_down().await;
        self.net.unplug(self.address);
        // Its last tasks let go of the log.
        drop(node);
        pass(Duration::from_millis(100)).await;
        account
    }

    /// Ends the node as `kill -9` does: in the middle of whatever it was doing, and nobody hears of it.
    pub(crate) fn kill(&mut self) -> Account {
        let node = self.node.take().expect("a node that runs");
        let account = node.metrics().account();
        let image = image(self.dir.path());
        let left = std::mem::replace(&mut self.dir, image);
        self.net.unplug(self.address);
        tokio::spawn(async move {
            node.shut_down().await;
            drop(left);
        });
        account
    }

    /// Starts a node on what the last one left.
    pub(crate) fn start(&mut self) -> Recovery {
        let socket = self.net.bind_at(self.address);
        let (node, recovery) = self.swarm.node_with(self.dir.path(), socket, self.commit).unwrap();
        assert!(self.node.replace(node).is_none(), "two nodes");
        recovery
    }

    /// Enrols an agent.
    pub(crate) async fn enrol(&self, who: &str, right: &[&str], serve: &[&str]) -> ClientIdentity {
        self.swarm.enrol(self.node(), who, &grant(right, serve)).await
    }

    /// Has an agent join, on a host of its own, whether or not a node is there.
    pub(crate) fn join(&self, identity: ClientIdentity) -> Staying {
        let (address, socket) = self.net.bind();
        let endpoint = transport::dialler(socket).unwrap();
        let endpoints = move || Ok(endpoint.clone());
        let env = self.swarm.env.another();
        let (member, arrivals) = Member::join(endpoints, self.address, Arc::new(identity), None, env);
        Staying { member, arrivals, address }
    }
}

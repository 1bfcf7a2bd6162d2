//! Links as an operator sees them: a look, from which nothing is decided.

use std::net::SocketAddr;
use std::sync::Arc;

use testudo_wire::{AgentName, Resource, SessionId};

use super::link::Link;
use super::shared::Shared;
use super::{Node, Tallied};

/// One open link.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Its session.
    pub session: SessionId,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// It was renewed, and ends what is under way on it.
    pub drains: bool,
    /// Topics that it has.
    pub topics: Vec<Resource>,
    /// What waits for it.
    pub waiting: Waiting,
}

/// What waits for an agent.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Messages to it that are queued or unacknowledged.
    pub messages: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// Requests that it has to answer.
    pub owes: usize,
}

impl Waiting {
    fn of(shared: &Shared, link: &Link) -> Self {
        Self {
            messages: link.outboxes.load(),
            bytes: link.outboxes.bytes(),
            owes: shared.requests.owed(link),
        }
    }
}

/// What goes on between the node and one agent.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Who it is.
    pub name: AgentName,
    /// Its messages since it linked.
    pub tallied: Tallied,
    /// What waits for it.
    pub waiting: Waiting,
}

impl Node {
    /// What goes on with each agent that is linked, by name.
    #[must_use]
    pub fn traffic(&self) -> Vec<Traffic> {
        let links: Vec<_> = self.shared.routes().values().cloned().collect();
        let of = |link: Arc<Link>| Traffic {
            name: link.peer.holder.name,
            tallied: link.line.tally.now(),
            waiting: Waiting::of(&self.shared, &link),
        };
        let mut all: Vec<_> = links.into_iter().map(of).collect();
        all.sort_by_key(|traffic| traffic.name);
        all
    }

    /// The open links of one agent: mostly one, two while one renews the other.
    #[must_use]
    pub fn links_of(&self, name: &AgentName) -> Vec<LinkView> {
        let links = self.shared.open_links();
        let mut views: Vec<_> = links
            .iter()
            .filter(|link| link.peer.holder.name == *name)
            .map(|link| LinkView {
                session: link.peer.session,
                remote: link.remote,
                drains: link.line.is_over(),
                topics: link.topics().iter().copied().collect(),
                waiting: Waiting::of(&self.shared, link),
            })
            .collect();
        views.sort_by_key(|view| (view.drains, view.session.as_bytes().to_owned()));
        views
    }
}

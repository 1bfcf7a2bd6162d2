//! One agent, for an operator: everything that is known of it, and a change of what it may do while it runs.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use testudo_bus::node::{LinkView, Node};
use testudo_registry::AgentView;
use testudo_wire::amend::Amendment;
use testudo_wire::{AgentName, Resource, SessionId, Timestamp};

use super::{AgentLine, Answer, Done, Operator, WaitingLine, words};

/// One open link of an agent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LinkLine {
    /// Its session.
    pub session: SessionId,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// Another link has renewed it; it ends what is under way.
    pub drains: bool,
    /// Topics that it has.
    pub topics: Vec<Resource>,
    /// What waits for it.
    #[serde(flatten)]
    pub waiting: WaitingLine,
}

impl From<LinkView> for LinkLine {
    fn from(view: LinkView) -> Self {
        let LinkView { session, remote, drains, topics, waiting } = view;
        Self { session, remote, drains, topics, waiting: waiting.into() }
    }
}

/// One agent, whole.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AgentDetail {
    /// As in a list.
    #[serde(flatten)]
    pub line: AgentLine,
    /// When it was put out, if it is, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
    /// Its open links: mostly one; none without a running node.
    pub links: Vec<LinkLine>,
}

impl AgentDetail {
    /// The same with what only a running node knows.
    pub(crate) fn with_node(self, node: &Node) -> Self {
        let links = node.links_of(&self.line.name).into_iter().map(LinkLine::from).collect();
        Self { links, ..self }
    }
}

impl Operator {
    /// An agent as lists have it.
    pub(super) fn line(&self, view: &AgentView) -> AgentLine {
        AgentLine::of(view, self.office.roots.certified_until(&view.holder.name))
    }

    pub(super) async fn show(&self, name: AgentName) -> Done {
        let view = self.view(name).await?;
        let revoked_at_ms = view.revoked_at.map(Timestamp::as_millis);
        let (line, links) = (self.line(&view), Vec::new());
        Ok(Answer::Agent(Box::new(AgentDetail { line, revoked_at_ms, links })))
    }

    pub(super) async fn grant(&self, name: AgentName, amendment: Amendment) -> Done {
        let sequence = self.office.registry.amend(name, amendment).await.map_err(words)?;
        Ok(Answer::Changed { sequence })
    }
}

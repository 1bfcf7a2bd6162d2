//! What goes on between a node and its agents, for an operator who looks on.

use serde::{Deserialize, Serialize};
use testudo_bus::node::{Tallied, Traffic, Waiting};
use testudo_wire::AgentName;

/// One linked agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct TrafficLine {
    /// Its name.
    pub name: AgentName,
    /// Messages of its own that passed, since it linked.
    pub allowed: u64,
    /// Messages of its own that were refused, since it linked; a bundle that cannot be read counts as one.
    pub refused: u64,
    /// Messages to it, and copies, that it has taken in since then.
    pub received: u64,
    /// What waits for it.
    #[serde(flatten)]
    pub waiting: WaitingLine,
}

/// What waits for an agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct WaitingLine {
    /// Messages to it that are queued or unacknowledged.
    pub queued_messages: usize,
    /// Bytes of these.
    pub queued_bytes: usize,
    /// Requests that it has to answer.
    pub owes_answers: usize,
}

impl From<Waiting> for WaitingLine {
    fn from(Waiting { messages, bytes, owes }: Waiting) -> Self {
        Self { queued_messages: messages, queued_bytes: bytes, owes_answers: owes }
    }
}

impl From<Traffic> for TrafficLine {
    fn from(traffic: Traffic) -> Self {
        let Traffic { name, tallied: Tallied { allowed, refused, received }, waiting } = traffic;
        Self { name, allowed, refused, received, waiting: waiting.into() }
    }
}

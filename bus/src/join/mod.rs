//! Joining a swarm by invitation: a port of its own for one question and one answer a connection.
//!
//! [`JoinPort`] listens only while somebody may join, bounds what strangers cost, and asks a [`Desk`] who comes in;
//! [`ask`] is the newcomer's end. What an invitation is worth is the registry's to say, what a newcomer is given
//! the composition root's.

mod client;
mod port;
mod quic;
mod serve;

use std::future::Future;
use std::pin::Pin;

use testudo_registry::Newcomer;
use testudo_wire::AgentName;
use testudo_wire::join::{JoinRefusal, Joined};

pub use client::{AskError, ask};
pub(crate) use port::PortParts;
pub use port::{Bind, JoinPort, PortState};
pub(crate) use serve::Ended;

/// Why a newcomer was turned away: what it hears, and what the log gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Turned {
    /// What it hears.
    pub refusal: JoinRefusal,
    /// Whose invitation it was, where that is known.
    pub agent: Option<AgentName>,
    /// What happened, for the log.
    pub why: String,
}

/// A newcomer's question, read and found to be about the key of its connection.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks, and by which invitation. Its key is proved to be its own; its invitation is not yet.
    pub newcomer: Newcomer,
    /// The PKCS #10 request of that key, in DER, its signature checked: whoever certifies may want it.
    pub request: Vec<u8>,
}

/// What a desk answers.
pub type Decision<'a> = Pin<Box<dyn Future<Output = Result<Joined, Turned>> + Send + 'a>>;

/// Who decides, enrols, and makes what the newcomer is given.
pub trait Desk: Send + Sync {
    /// Lets a newcomer in, or says why not.
    fn admit(&self, question: Question) -> Decision<'_>;
}

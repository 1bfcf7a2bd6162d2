//! What a person writes: an agent, with no word of actors or links in it.

use std::future::{Future, ready};

use bytes::Bytes;
use serde::Serialize;
use testudo_wire::{ContentType, Resource};

use crate::bus::Bus;
use crate::context::Context;
use crate::error::AgentError;
use crate::failure::JsonError;
use crate::incoming::Incoming;

/// A plain value that handles messages, one at a time. Implementations may write `async fn`.
///
/// A panic in any of these is contained: the message gets the error `agent-fault`, this value is thrown
/// away and its factory makes a new one.
/// What blocks the thread blocks the neighbours on it; long work belongs in `tokio::task::spawn_blocking`.
pub trait Agent: Send + 'static {
    /// Topics that it hears, the same each time. The host subscribes to them before [`Agent::on_start`], once
    /// for all agents that it builds; one that it may not hear stops the host.
    fn topics(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Called once, before the first message. An error counts as a panic does.
    fn on_start(&mut self, _bus: &Bus) -> impl Future<Output = Result<(), AgentError>> + Send {
        ready(Ok(()))
    }

    /// Handles one message. A sender who waits hears the outcome or the error, unless `context` has answered
    /// already; one who does not wait hears neither. Whatever is sent through the context's bus belongs to
    /// the same piece of work as the message.
    fn handle(
        &mut self,
        incoming: Incoming,
        context: &Context,
    ) -> impl Future<Output = Result<Outcome, AgentError>> + Send;

    /// Called once, after the last message, when the host stops in good order.
    fn on_stop(&mut self, _bus: &Bus) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// What became of a message.
#[derive(Clone, Eq, PartialEq)]
pub enum Outcome {
    /// Done, nothing to say: a sender who waits gets an empty body.
    Done,
    /// The answer, for a sender who waits.
    Reply {
        /// Media type of the body.
        content_type: ContentType,
        /// The body.
        body: Bytes,
    },
}

impl Outcome {
    /// An answer in JSON.
    ///
    /// # Errors
    /// [`JsonError`] when the value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, JsonError> {
        Ok(Self::Reply { content_type: ContentType::json(), body: serde_json::to_vec(value)?.into() })
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Reply { content_type, body } => f
                .debug_struct("Reply")
                .field("content_type", content_type)
                .field("body_bytes", &body.len())
                .finish(),
        }
    }
}

//! Messages as an agent sees them: verified words and a body, with nothing of how they travelled.
//!
//! `Debug` shows the size of a body, never the body.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testudo_wire::header::TraceParent;
use testudo_wire::{
    AgentName, Capability, ContentType, CorrelationId, Digest, Holder, MessageId, TokenId, Ttl,
};

use crate::error::JsonError;

/// What to send.
#[derive(Clone)]
pub struct Message {
    /// Receiver.
    pub to: AgentName,
    /// What is asked of it.
    pub capability: Capability,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// How long it may wait; an answer is awaited as long.
    pub ttl: Ttl,
    /// The piece of work it belongs to. `None`: that of the message being handled, or else a new one.
    pub correlation: Option<CorrelationId>,
    /// Trace context. `None`: that of the message being handled, if it has one.
    pub trace: Option<TraceParent>,
    /// The presented token to send under; the identity's own when `None`.
    pub token: Option<TokenId>,
}

impl Message {
    /// A message of any content type, with 30 s to live under the identity's own token.
    #[must_use]
    pub fn new(
        to: AgentName,
        capability: Capability,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            to,
            capability,
            content_type,
            body: body.into(),
            ttl: Ttl::default(),
            correlation: None,
            trace: None,
            token: None,
        }
    }

    /// A JSON message with the same defaults.
    ///
    /// # Errors
    /// [`JsonError`] when the value cannot be written as JSON.
    pub fn json(to: AgentName, capability: Capability, value: &impl Serialize) -> Result<Self, JsonError> {
        Ok(Self::new(to, capability, ContentType::json(), serde_json::to_vec(value)?))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("to", &self.to)
            .field("capability", &self.capability)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("correlation", &self.correlation)
            .finish_non_exhaustive()
    }
}

/// A verified message for this agent.
#[derive(Clone)]
pub struct Incoming {
    /// Its id.
    pub message: MessageId,
    /// Who sent it, as proved.
    pub sender: Holder,
    /// What is asked.
    pub capability: Capability,
    /// The piece of work it belongs to.
    pub correlation: CorrelationId,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// Whether the sender waits for an answer.
    pub wants_reply: bool,
    /// Rules of the content guard that alerted without blocking.
    pub alerts: Vec<String>,
    /// Trace context.
    pub trace: Option<TraceParent>,
}

impl Incoming {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        read_json(self.content_type, &self.body)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("message", &self.message)
            .field("sender", &self.sender)
            .field("capability", &self.capability)
            .field("correlation", &self.correlation)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("wants_reply", &self.wants_reply)
            .field("alerts", &self.alerts)
            .finish_non_exhaustive()
    }
}

/// A verified answer to a request of this agent.
#[derive(Clone)]
pub struct Answer {
    /// Its id.
    pub message: MessageId,
    /// Who answered, as proved.
    pub sender: Holder,
    /// The piece of work it belongs to.
    pub correlation: CorrelationId,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// Rules of the content guard that alerted without blocking.
    pub alerts: Vec<String>,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        read_json(self.content_type, &self.body)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("message", &self.message)
            .field("sender", &self.sender)
            .field("correlation", &self.correlation)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("alerts", &self.alerts)
            .finish()
    }
}

/// The durable word that a message was accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Index of the verdict's record on the audit log.
    pub record: u64,
}

fn read_json<T: DeserializeOwned>(content_type: ContentType, body: &[u8]) -> Result<T, JsonError> {
    if content_type == ContentType::json() {
        Ok(serde_json::from_slice(body)?)
    } else {
        Err(JsonError::ContentType(content_type))
    }
}

//! What reaches an agent: verified messages, answers and receipts, with nothing of how they travelled.
//!
//! `Debug` shows the size of a body, never the body, and nothing of a token.

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use testudo_wire::header::TraceParent;
use testudo_wire::{Capability, ContentType, CorrelationId, Digest, Holder, MessageId, Part};

use crate::failure::JsonError;
use crate::message::To;
use crate::token::TokenText;

/// A verified message for this agent.
#[derive(Clone)]
pub struct Incoming {
    /// Its id.
    pub message: MessageId,
    /// Who sent it, as proved.
    pub sender: Holder,
    /// How it was addressed: to this agent, to whoever serves the capability, to a topic.
    pub to: To,
    /// What is asked; `publish:<topic>` for what comes by a topic.
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
    /// Trace context: its sender's, or, while a host that traces has it handled, that of the handler's own span.
    pub trace: Option<TraceParent>,
    /// The token that came with it. The host takes it out of the body; transports leave it `None`.
    pub delegated: Option<TokenText>,
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
            .field("to", &self.to)
            .field("capability", &self.capability)
            .field("correlation", &self.correlation)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("wants_reply", &self.wants_reply)
            .field("alerts", &self.alerts)
            .field("delegated", &self.delegated.is_some())
            .finish_non_exhaustive()
    }
}

/// A verified answer to a request of this agent, or a part of one.
#[derive(Clone)]
pub struct Answer {
    /// Its id.
    pub message: MessageId,
    /// Who answered, as proved.
    pub sender: Holder,
    /// The piece of work it belongs to.
    pub correlation: CorrelationId,
    /// Which part it is, of an answer in parts.
    pub part: Option<Part>,
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
            .field("part", &self.part)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("alerts", &self.alerts)
            .finish()
    }
}

/// The word that a message was accepted, or delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Index of the verdict's record on the audit log, where the word is the node's.
    pub record: Option<u64>,
    /// Who signed that the message arrived; `None` where the word is only the node's, that it was accepted.
    pub delivered_by: Option<Holder>,
}

fn read_json<T: DeserializeOwned>(content_type: ContentType, body: &[u8]) -> Result<T, JsonError> {
    if content_type == ContentType::json() {
        Ok(serde_json::from_slice(body)?)
    } else {
        Err(JsonError::ContentType(content_type))
    }
}

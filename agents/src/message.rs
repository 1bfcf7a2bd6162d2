//! What an agent sends. `Debug` shows the size of a body, never the body.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use testudo_wire::header::TraceParent;
use testudo_wire::{Capability, ContentType, CorrelationId, Resource, TokenId, Ttl};

pub use testudo_wire::To;

use crate::delegated::{DelegatedError, delegated_content_type, wrap};
use crate::failure::JsonError;
use crate::token::TokenText;

/// What to send.
#[derive(Clone)]
pub struct Message {
    /// Receiver.
    pub to: To,
    /// What is asked of it.
    pub capability: Capability,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// How long it may wait; an answer is awaited as long, and each next part of one.
    pub ttl: Ttl,
    /// The piece of work it belongs to. `None`: that of the message being handled, or else a new one.
    pub correlation: Option<CorrelationId>,
    /// Trace context. `None`: that of the message being handled, if it has one.
    pub trace: Option<TraceParent>,
    /// The presented token to send under. `None`: that of the [`crate::Bus`], or else the identity's own.
    pub token: Option<TokenId>,
}

impl Message {
    /// A message of any content type, with 30 s to live under the identity's own token.
    #[must_use]
    pub fn new(
        to: impl Into<To>,
        capability: Capability,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            to: to.into(),
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
    pub fn json(
        to: impl Into<To>,
        capability: Capability,
        value: &impl Serialize,
    ) -> Result<Self, JsonError> {
        Ok(Self::new(to, capability, ContentType::json(), serde_json::to_vec(value)?))
    }

    /// A message for any one agent that serves the capability.
    #[must_use]
    pub fn service(capability: Capability, content_type: ContentType, body: impl Into<Bytes>) -> Self {
        Self::new(To::Service, capability, content_type, body)
    }

    /// A JSON message for any one agent that serves the capability.
    ///
    /// # Errors
    /// [`JsonError`] when the value cannot be written as JSON.
    pub fn service_json(capability: Capability, value: &impl Serialize) -> Result<Self, JsonError> {
        Self::json(To::Service, capability, value)
    }

    /// A message for all subscribers of a topic; its capability is `publish:<topic>`.
    #[must_use]
    pub fn topic(topic: Resource, content_type: ContentType, body: impl Into<Bytes>) -> Self {
        Self::new(To::Topic(topic), Capability::publish(&topic), content_type, body)
    }

    /// A JSON message for all subscribers of a topic.
    ///
    /// # Errors
    /// [`JsonError`] when the value cannot be written as JSON.
    pub fn topic_json(topic: Resource, value: &impl Serialize) -> Result<Self, JsonError> {
        Self::json(To::Topic(topic), Capability::publish(&topic), value)
    }

    /// Sends a token along, under which the receiver may act ([`crate::Context::on_behalf`]). Say it last:
    /// token and body become one.
    ///
    /// # Errors
    /// [`DelegatedError`] unless the message goes to one agent and carries no token yet.
    pub fn under(mut self, token: &TokenText) -> Result<Self, DelegatedError> {
        match self.to {
            To::Agent(_) => {}
            To::Service | To::Topic(_) => return Err(DelegatedError::NotOneAgent),
        }
        self.body = wrap(token, self.content_type, &self.body)?;
        self.content_type = delegated_content_type();
        Ok(self)
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

#[cfg(test)]
mod tests {
    use testudo_wire::AgentName;

    use super::*;

    #[test]
    fn a_token_goes_to_one_agent_and_only_once() {
        let token = TokenText::parse("testudo-token:abc").unwrap();
        let can = Capability::parse("read:logs").unwrap();
        let message = Message::new(AgentName::parse("a").unwrap(), can, ContentType::text(), "secret");
        let carrying = message.under(&token).unwrap();
        assert_eq!(carrying.content_type, delegated_content_type());
        assert!(!format!("{carrying:?}").contains("abc"));
        assert_eq!(carrying.under(&token).unwrap_err(), DelegatedError::Nested);
        let service = Message::service(can, ContentType::text(), "x");
        assert_eq!(service.under(&token).unwrap_err(), DelegatedError::NotOneAgent);
    }
}

//! What a sender says of a message; everything else in its header is the link's.

use bytes::Bytes;
use testudo_wire::header::TraceParent;
use testudo_wire::{AgentName, Capability, ContentType, CorrelationId, Resource, TokenId, Ttl};

pub use testudo_wire::To;

/// What to send. Everything but receiver, capability and body has a sensible default.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub to: To,
    /// What is asked of the receiver.
    pub capability: Capability,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// How long it may wait.
    pub ttl: Ttl,
    /// The piece of work it belongs to; a new one when `None`.
    pub correlation: Option<CorrelationId>,
    /// Trace context to carry on.
    pub trace: Option<TraceParent>,
    /// The presented token to send under; the identity's own when `None`.
    pub token: Option<TokenId>,
}

impl Outgoing {
    /// A message to one agent with the defaults: JSON, 30 s to live, the identity's own token.
    #[must_use]
    pub fn new(to: AgentName, capability: Capability, body: impl Into<Bytes>) -> Self {
        Self::to(To::Agent(to), capability, body.into())
    }

    /// A message to any one live agent that serves the capability, with the same defaults.
    #[must_use]
    pub fn service(capability: Capability, body: impl Into<Bytes>) -> Self {
        Self::to(To::Service, capability, body.into())
    }

    /// A message to all subscribers of a topic, with the same defaults.
    #[must_use]
    pub fn topic(topic: Resource, body: impl Into<Bytes>) -> Self {
        let capability = Capability::publish(&topic);
        Self::to(To::Topic(topic), capability, body.into())
    }

    fn to(to: To, capability: Capability, body: Bytes) -> Self {
        Self {
            to,
            capability,
            content_type: ContentType::json(),
            body,
            ttl: Ttl::default(),
            correlation: None,
            trace: None,
            token: None,
        }
    }
}

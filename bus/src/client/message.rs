//! What a sender says of a message; everything else in its header is the link's.

use bytes::Bytes;
use testudo_wire::header::TraceParent;
use testudo_wire::{AgentName, Capability, ContentType, CorrelationId, Destination, Resource, TokenId, Ttl};

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum To {
    /// One named agent.
    Agent(AgentName),
    /// Any one live agent that serves the capability; at most once.
    Service,
    /// All subscribers of a topic.
    Topic(Resource),
}

impl To {
    /// Who alone may answer or sign for it; `None` when that is not known beforehand.
    pub(super) const fn only(self) -> Option<AgentName> {
        match self {
            Self::Agent(name) => Some(name),
            Self::Service | Self::Topic(_) => None,
        }
    }
}

impl From<To> for Destination {
    fn from(to: To) -> Self {
        match to {
            To::Agent(name) => Self::Agent(name),
            To::Service => Self::Service,
            To::Topic(topic) => Self::Topic(topic),
        }
    }
}

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
        #[expect(clippy::expect_used, reason = "`publish:` and a resource always are a capability")]
        let capability = Capability::of("publish", topic.as_str()).expect("a capability");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_can_be_published_to() {
        for topic in ["a", &"a".repeat(Resource::MAX), "billing/invoices.v1"] {
            let topic = Resource::parse(topic).unwrap();
            let message = Outgoing::topic(topic, "x");
            assert_eq!(
                (message.capability.verb(), message.capability.resource()),
                ("publish", topic.as_str())
            );
        }
    }
}

//! A verified message, as its handler sees it.

use std::sync::Arc;

use bytes::Bytes;
use testudo_rules::receive::Vetted;
use testudo_rules::token::Meaning;
use testudo_wire::{
    Capability, ContentType, CorrelationId, Digest, Header, Holder, MessageId, ReceiptWish, Resource,
    Timestamp, TraceParent,
};
use tokio::time::Instant;

use super::answering::Answering;

/// A message that this agent has verified.
#[derive(Clone, Debug)]
pub struct Delivery {
    vetted: Vetted,
    meaning: Arc<Meaning>,
    handed_over: Timestamp,
    /// Apart, so that what most messages do not have is not moved with them from hand to hand.
    more: Option<Box<More>>,
}

/// What few messages have.
#[derive(Clone, Debug, Default)]
struct More {
    alerts: Vec<String>,
    answering: Option<Arc<Answering>>,
    joined: Option<Bytes>,
    /// When it was verified, if it is traced.
    arrived: Option<Instant>,
    /// What answers go on with, instead of its sender's trace.
    carried_on: Option<TraceParent>,
}

/// It goes through many hands.
const _: () = assert!(size_of::<Delivery>() <= 48, "a delivery grew");

impl Delivery {
    /// What a receiver verified, with what it knows besides.
    pub(super) fn new(
        vetted: Vetted,
        alerts: Vec<String>,
        meaning: Arc<Meaning>,
        handed_over: Timestamp,
    ) -> Self {
        let is_traced = vetted.envelope().header().trace.is_some_and(|trace| trace.is_sampled());
        let arrived = is_traced.then(Instant::now);
        let has_more = is_traced || !alerts.is_empty();
        let more = has_more.then(|| Box::new(More { alerts, arrived, ..More::default() }));
        Self { vetted, meaning, handed_over, more }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// It is a request that this agent may answer.
    pub(super) fn answered_by(&mut self, answering: Arc<Answering>) {
        self.more().answering = Some(answering);
    }

    /// The request as this link answers it; `None` when it asks for no answer.
    pub(super) fn answering(&self) -> Option<&Arc<Answering>> {
        self.more.as_ref()?.answering.as_ref()
    }

    /// The last part of an answer, with the bodies of all.
    pub(super) fn joined(mut self, body: Bytes) -> Self {
        self.more().joined = Some(body);
        self
    }

    /// Who sent it, as the token proves.
    #[must_use]
    pub fn sender(&self) -> &Holder {
        self.vetted.sender()
    }

    /// What is asked; `None` in an answer.
    #[must_use]
    pub fn capability(&self) -> Option<Capability> {
        self.header().capability
    }

    /// The topic that it was published to, if it was.
    #[must_use]
    pub fn topic(&self) -> Option<Resource> {
        match self.header().destination {
            testudo_wire::Destination::Topic(topic) => Some(topic),
            testudo_wire::Destination::Agent(_)
            | testudo_wire::Destination::Reply(_)
            | testudo_wire::Destination::Service => None,
        }
    }

    /// The whole header.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.vetted.envelope().header()
    }

    /// The id of this message.
    #[must_use]
    pub fn message(&self) -> MessageId {
        self.header().message
    }

    /// The piece of work it belongs to.
    #[must_use]
    pub fn correlation(&self) -> CorrelationId {
        self.header().correlation
    }

    /// Media type of the body.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.header().content_type
    }

    /// The leaf digest; of an answer that came in parts and was collected, the last part's.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.vetted.envelope().digest()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.whole().cloned().unwrap_or_else(|| self.vetted.envelope().body())
    }

    /// The body of an answer that came in parts.
    fn whole(&self) -> Option<&Bytes> {
        self.more.as_ref()?.joined.as_ref()
    }

    /// How long the body is, in bytes.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.whole().map_or_else(|| self.vetted.envelope().body_len(), Bytes::len)
    }

    /// The bundle that it came in, as its sender signed it: kept in a file, it shows what this agent was sent without
    /// the node, and beside a proof of its record what the node decided (`testudo audit check --bundle`). May hold
    /// other messages to this agent.
    #[must_use]
    pub fn bundle(&self) -> &Bytes {
        self.vetted.bundle()
    }

    /// Whether the sender waits for an answer.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.header().receipt == ReceiptWish::Reply
    }

    /// Rules of the content guard that alerted without blocking.
    #[must_use]
    pub fn alerts(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.alerts)
    }

    /// When the node handed it over, by its own clock and on its own word.
    #[must_use]
    pub const fn handed_over(&self) -> Timestamp {
        self.handed_over
    }

    /// When it was verified, if it is part of a sampled trace.
    #[must_use]
    pub fn arrived(&self) -> Option<Instant> {
        self.more.as_ref()?.arrived
    }

    /// The trace that an answer to it goes on with: its sender's own, unless [`Delivery::carry_on`] said another.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        let carried_on = self.more.as_ref().and_then(|more| more.carried_on);
        carried_on.or_else(|| self.header().trace)
    }

    /// Answers go on with this trace, such as under a span of whoever handles it.
    pub fn carry_on(&mut self, trace: TraceParent) {
        self.more().carried_on = Some(trace);
    }

    /// What the token under which it came lets its sender do.
    #[must_use]
    pub fn token(&self) -> &Meaning {
        &self.meaning
    }
}

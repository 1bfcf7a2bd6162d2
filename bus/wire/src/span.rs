//! Spans: pieces of a traced message's way, as OpenTelemetry knows them, and who takes them. Words alone: how they are
//! sampled, kept and sent is the composition root's matter.
//!
//! *Invariant*: a span holds names of the bus's own grammars, ids, sizes and reasons; never a body, a key or a token.

use std::fmt;
use std::time::Instant;

use crate::header::TraceParent;
use crate::name::AgentName;

/// The id of a span; never zero, which the W3C forbids.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// These bytes, the last of them 1 if they were all zero.
    #[must_use]
    pub const fn new(bytes: [u8; 8]) -> Self {
        match u64::from_be_bytes(bytes) {
            0 => Self(1_u64.to_be_bytes()),
            _ => Self(bytes),
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TraceParent {
    /// The context of a span; `None` for a trace id of zeros, which the W3C forbids.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span: SpanId, sampled: bool) -> Option<Self> {
        let mut bytes = [u8::from(sampled); 25];
        bytes[..16].copy_from_slice(&trace_id);
        bytes[16..24].copy_from_slice(&span.0);
        (trace_id != [0; 16]).then_some(Self(bytes))
    }

    /// The span under which it goes on.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[16..24]);
        SpanId::new(id)
    }

    /// Whether its sender records it, and asks others to. Ids of zeros are no trace (W3C), whatever the flags say.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.0[24] & 1 == 1 && self.0[..16] != [0; 16] && self.0[16..24] != [0; 8]
    }

    /// The same trace, under another span. Flags that version 00 does not know are not carried on (W3C).
    #[must_use]
    pub const fn child(mut self, span: SpanId) -> Self {
        let (_, rest) = self.0.split_at_mut(16);
        let (parent, flags) = rest.split_at_mut(8);
        parent.copy_from_slice(&span.0);
        flags[0] &= 1;
        self
    }
}

/// A span's part in a conversation, as OpenTelemetry tells them apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpanKind {
    /// A step within one process.
    Internal,
    /// It asks, or sends.
    Producer,
    /// It handles what was sent.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SpanValue {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for SpanValue {
    fn from(n: usize) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: [u8; 16],
    /// Its id.
    pub id: SpanId,
    /// The span above it; `None` for the first of a trace.
    pub parent: Option<SpanId>,
    /// What it is; one of few.
    pub name: &'static str,
    /// Its part in the conversation.
    pub kind: SpanKind,
    /// When it began, on the runtime's clock.
    pub start: Instant,
    /// When it ended.
    pub end: Instant,
    /// What is known of it; names after OpenTelemetry's conventions where it has some.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// What happened in it, and when.
    pub events: Vec<(&'static str, Instant)>,
    /// Why it came to no good end: a reason of few, not a sentence.
    pub error: Option<String>,
}

impl Span {
    /// A span of `context`'s trace, under its span.
    #[must_use]
    pub fn under(
        context: &TraceParent,
        id: SpanId,
        name: &'static str,
        (start, end): (Instant, Instant),
    ) -> Self {
        Self {
            trace: context.trace_id(),
            id,
            parent: Some(context.span_id()),
            name,
            kind: SpanKind::Internal,
            start,
            end: end.max(start),
            attributes: Vec::new(),
            events: Vec::new(),
            error: None,
        }
    }

    /// One attribute more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<SpanValue>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }
}

/// Who takes spans. Called where messages are judged and handled: nothing here may wait, or panic.
pub trait Spans: fmt::Debug + Send + Sync {
    /// Whether a message of this sampled trace, from this sender, is to be recorded, at the cost of about so many
    /// spans. Decides once for each message; to say yes may use up room.
    fn wants(&self, trace: &TraceParent, sender: &AgentName, spans: u32) -> bool;

    /// An id that no other span has.
    fn id(&self) -> SpanId;

    /// Takes a span, or drops and counts it.
    fn take(&self, span: Span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_contexts_are_not_sampled_and_never_yield_a_zero_id() {
        assert!(TraceParent([1; 25]).is_sampled());
        assert!(!TraceParent([0; 25]).is_sampled() && !TraceParent([2; 25]).is_sampled());
        for zeros in [0..16, 16..24] {
            let mut bytes = [0xff; 25];
            bytes[zeros].fill(0);
            let hostile = TraceParent(bytes);
            assert!(!hostile.is_sampled());
            assert_ne!(hostile.span_id().as_bytes(), &[0; 8]);
        }
    }

    #[test]
    fn a_child_keeps_the_trace_and_only_the_flag_that_is_known() {
        let parent = TraceParent([0xff; 25]);
        let child = parent.child(SpanId::new([7; 8]));
        assert_eq!((child.trace_id(), child.span_id()), (parent.trace_id(), SpanId::new([7; 8])));
        assert_eq!((child.0[24], child.is_sampled()), (1, true));
        assert_eq!(TraceParent::new([0xff; 16], SpanId::new([7; 8]), true), Some(child));
        assert_eq!(TraceParent::new([0; 16], SpanId::new([7; 8]), true), None);
        assert_eq!(child.to_string().parse(), Ok(child));
    }
}

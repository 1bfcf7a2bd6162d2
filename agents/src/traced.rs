//! Spans of what a host does with a traced message: how long it waited, and how long its handler worked. The handler's
//! own messages and its answer go on under its span. Knows not what becomes of spans.

use std::sync::Arc;

use testudo_wire::{Span, SpanKind, Spans, TraceParent};
use tokio::time::Instant;

use crate::incoming::Incoming;
use crate::message::To;
use crate::transport::{Arrived, Transport};

/// The wait, and the work.
const SPANS: u32 = 2;

/// A traced message that is being handled.
#[derive(Debug)]
pub(crate) struct Traced {
    spans: Arc<dyn Spans>,
    work: Span,
}

impl Traced {
    /// Begins the work on a message: from here on its trace goes on under the work's own span. `None` for a message
    /// that is not traced.
    pub(crate) fn begin<T: Transport>(transport: &T, arrived: &mut Arrived<T::Origin>) -> Option<Self> {
        let context = arrived.incoming.trace.filter(TraceParent::is_sampled)?;
        let sender = arrived.incoming.sender.name;
        let spans = transport.spans().filter(|spans| spans.wants(&context, &sender, SPANS))?;
        let (id, now) = (spans.id(), Instant::now().into_std());
        if let Some(came) = transport.arrived(&arrived.origin) {
            let wait = Span::under(&context, spans.id(), "inbox", (came.into_std(), now));
            spans.take(described(wait, &arrived.incoming));
        }
        let mut work = described(Span::under(&context, id, "process", (now, now)), &arrived.incoming)
            .with("messaging.operation.name", "process")
            .with("messaging.operation.type", "process");
        work.kind = SpanKind::Consumer;
        let own = context.child(id);
        arrived.incoming.trace = Some(own);
        transport.carry_on(&mut arrived.origin, own);
        Some(Self { spans, work })
    }

    /// The work has ended; `error` says why, if in no good way.
    pub(crate) fn end(self, error: Option<String>) {
        let end = Instant::now().into_std();
        self.spans.take(Span { end, error, ..self.work });
    }
}

/// What is known of a message, in the words of OpenTelemetry's conventions for messaging where it has some.
fn described(span: Span, incoming: &Incoming) -> Span {
    let (kind, name) = match &incoming.to {
        To::Agent(name) => ("agent", Some(name.as_str())),
        To::Topic(topic) => ("topic", Some(topic.as_str())),
        To::Service => ("service", None),
    };
    let span = span
        .with("messaging.system", "testudo")
        .with("messaging.message.id", incoming.message.to_string())
        .with("messaging.message.conversation_id", incoming.correlation.to_string())
        .with("messaging.message.body.size", incoming.body.len())
        .with("testudo.destination.kind", kind)
        .with("testudo.sender", incoming.sender.name.as_str())
        .with("testudo.capability", incoming.capability.to_string());
    match name {
        Some(name) => span.with("messaging.destination.name", name),
        None => span,
    }
}

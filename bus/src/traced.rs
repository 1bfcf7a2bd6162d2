//! Spans of sampled messages on their way through the node: what was when is copied from the clock readings that the
//! metrics take anyway, and put into spans once the message is through. A message that is not sampled costs a look at
//! one flag; a node that traces nothing, a look at one pointer for each bundle.
//!
//! Only what its sender has signed is traced: a bundle that is refused whole leaves no span. Knows not what becomes of
//! spans.

use std::sync::Arc;

use testudo_rules::pipeline::{Inspected, Verdict};
use testudo_wire::{
    AgentName, Destination, Envelope, Item, MessageId, Refusal, Span, SpanId, SpanKind, Spans, TraceParent,
};
use tokio::time::Instant;

/// Spans of a message that goes to one receiver: route with receive, wait, guard, record; deliver with queue and
/// hand-over.
const SPANS: u32 = 8;
/// Copies of one publication whose delivery is traced; of the others the audit log tells.
const COPIES_MAX: usize = 8;

/// Who takes the node's spans, if anybody does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracing(Option<Arc<dyn Spans>>);

/// When a bundle came to which step of its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// It was read off its link.
    pub(crate) arrived: Instant,
    /// It had room in its sender's window, and went to the guard.
    pub(crate) sent: Instant,
    /// The guard began.
    pub(crate) began: Instant,
    /// Its sender's authority was established.
    pub(crate) assessed: Instant,
    /// Its content was vetted.
    pub(crate) inspected: Instant,
    /// Receivers and room were found.
    pub(crate) placed: Instant,
    /// Its record began to be written ...
    pub(crate) recording: Instant,
    /// ... and was.
    pub(crate) recorded: Instant,
}

/// A sampled message.
#[derive(Clone, Copy, Debug)]
struct Followed {
    position: usize,
    context: TraceParent,
    route: SpanId,
}

/// The sampled messages of one bundle.
#[derive(Debug)]
pub(crate) struct Traced {
    spans: Arc<dyn Spans>,
    messages: Vec<Followed>,
}

/// The sampled messages of one parcel.
#[derive(Debug)]
pub(crate) struct Handing {
    spans: Arc<dyn Spans>,
    /// By place in the parcel.
    messages: Vec<(usize, Followed)>,
    /// When a writer took it.
    pub(crate) taken: Option<Instant>,
    /// When it was with the transport.
    pub(crate) written: Option<Instant>,
}

impl Steps {
    /// The guard begins with what came at `arrived` and was sent to it at `sent`.
    pub(crate) const fn begun(arrived: Option<Instant>, sent: Instant, began: Instant) -> Self {
        let arrived = match arrived {
            Some(arrived) => arrived,
            None => sent,
        };
        Self {
            arrived,
            sent,
            began,
            assessed: began,
            inspected: began,
            placed: began,
            recording: began,
            recorded: began,
        }
    }
}

impl Tracing {
    pub(crate) const fn new(spans: Option<Arc<dyn Spans>>) -> Self {
        Self(spans)
    }

    /// The time, for a node that traces.
    pub(crate) fn now(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// The messages of a bundle that are to be traced; mostly none.
    pub(crate) fn follow(&self, sender: &AgentName, inspected: &Inspected) -> Option<Traced> {
        let spans = self.0.as_ref()?;
        let mut messages = Vec::new();
        for (position, envelope) in inspected.bundle().envelopes().enumerate() {
            let sampled = envelope.header().trace.as_ref().filter(|trace| trace.is_sampled());
            if let Some(context) = sampled.filter(|trace| spans.wants(trace, sender, SPANS)) {
                messages.push(Followed { position, context: *context, route: spans.id() });
            }
        }
        (!messages.is_empty()).then(|| Traced { spans: spans.clone(), messages })
    }
}

impl Traced {
    /// Tells of the way up to here. `record` is the index of the verdict's record, unless there is none; `ended` is now,
    /// and `waited` says whether the hand-over waited for the disk.
    pub(crate) fn routed(
        &self,
        steps: &Steps,
        inspected: &Inspected,
        record: Option<u64>,
        waited: Option<Instant>,
        ended: Instant,
    ) {
        let count = inspected.verdicts().len();
        for followed in &self.messages {
            let Some(Item::Envelope(envelope)) = inspected.bundle().items().get(followed.position) else {
                continue;
            };
            let refusal = inspected.verdicts().get(followed.position).and_then(refusal);
            let context = &followed.context;
            let times = (steps.arrived.into_std(), ended.into_std());
            let mut route = described(Span::under(context, followed.route, "route", times), envelope)
                .with("messaging.batch.message_count", count);
            if let Some(record) = record {
                route = route.with("testudo.audit.record", usize::try_from(record).unwrap_or(usize::MAX));
            }
            route.error = refusal.map(|refusal| refusal.as_str().to_owned());
            let inner = context.child(followed.route);
            self.step(&inner, "receive", steps.arrived, steps.sent);
            self.step(&inner, "wait", steps.sent, steps.began);
            let mut guard = self.span(&inner, "guard", steps.began, steps.placed);
            guard.events = vec![
                ("authorised", steps.assessed.into_std()),
                ("inspected", steps.inspected.into_std()),
                ("placed", steps.placed.into_std()),
            ];
            guard.error.clone_from(&route.error);
            self.spans.take(guard);
            if record.is_some() {
                self.step(&inner, "record", steps.recording, steps.recorded);
            }
            if let Some(until) = waited {
                self.step(&inner, "commit", steps.recorded, until);
            }
            self.spans.take(route);
        }
    }

    /// What goes on with the messages at these positions, to the `nth` of their receivers.
    pub(crate) fn part(&self, positions: &[usize], nth: usize) -> Option<Box<Handing>> {
        let place = |followed: &Followed| {
            positions.binary_search(&followed.position).ok().map(|place| (place, *followed))
        };
        if nth >= COPIES_MAX {
            return None;
        }
        let messages: Vec<_> = self.messages.iter().filter_map(place).collect();
        (!messages.is_empty())
            .then(|| Box::new(Handing { spans: self.spans.clone(), messages, taken: None, written: None }))
    }

    fn span(&self, under: &TraceParent, name: &'static str, start: Instant, end: Instant) -> Span {
        Span::under(under, self.spans.id(), name, (start.into_std(), end.into_std()))
    }

    fn step(&self, under: &TraceParent, name: &'static str, start: Instant, end: Instant) {
        self.spans.take(self.span(under, name, start, end));
    }
}

impl Handing {
    /// The parcel has come to its end; `ends` says of a message, by its place, its id and why it came to no good one.
    pub(crate) fn ended(
        &self,
        to: &AgentName,
        since: Instant,
        ends: impl Fn(usize) -> (Option<MessageId>, Option<String>),
    ) {
        let now = Instant::now();
        for (place, followed) in &self.messages {
            let (message, error) = ends(*place);
            let under = followed.context.child(followed.route);
            let id = self.spans.id();
            let times = (since.into_std(), now.into_std());
            let mut deliver = Span::under(&under, id, "deliver", times)
                .with("messaging.system", "testudo")
                .with("testudo.receiver", to.as_str());
            if let Some(message) = message {
                deliver = deliver.with("messaging.message.id", message.to_string());
            }
            deliver.kind = SpanKind::Producer;
            deliver.error = error;
            let inner = followed.context.child(id);
            let taken = self.taken.unwrap_or(now);
            let step = |name, start: Instant, end: Instant| {
                let times = (start.into_std(), end.into_std());
                self.spans.take(Span::under(&inner, self.spans.id(), name, times));
            };
            step("queue", since, taken);
            if self.taken.is_some() {
                step("hand-over", taken, self.written.unwrap_or(now));
            }
            self.spans.take(deliver);
        }
    }
}

const fn refusal(verdict: &Verdict) -> Option<Refusal> {
    match verdict {
        Verdict::Allowed { .. } => None,
        Verdict::Refused { refusal, .. } => Some(*refusal),
    }
}

/// What is known of a message, in the words of OpenTelemetry's conventions for messaging where it has some.
fn described(span: Span, envelope: &Envelope) -> Span {
    let header = envelope.header();
    let (kind, name) = match &header.destination {
        Destination::Agent(name) => ("agent", Some(name.as_str())),
        Destination::Reply(name) => ("reply", Some(name.as_str())),
        Destination::Topic(topic) => ("topic", Some(topic.as_str())),
        Destination::Service => ("service", None),
    };
    let mut span = span
        .with("messaging.system", "testudo")
        .with("messaging.operation.name", "route")
        .with("messaging.message.id", header.message.to_string())
        .with("messaging.message.conversation_id", header.correlation.to_string())
        .with("messaging.message.envelope.size", envelope.bytes().len())
        .with("testudo.destination.kind", kind)
        .with("testudo.sender", header.sender.as_str());
    if let Some(name) = name {
        span = span.with("messaging.destination.name", name);
    }
    if let Some(capability) = header.capability {
        span = span.with("testudo.capability", capability.to_string());
    }
    span
}

//! From a record to its events: one for each verdict, each outcome, and each other thing that a record tells.
//!
//! An event's id is its record's index and its place in it, so an event sent twice is the same event, by every
//! exporter and after every restart.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use testudo_wire::{AgentName, NodeName, SessionId, SpiffeId, SwarmId};

use super::cloud::{CloudEvent, Content, Extension};
use super::kind::{Kind, Severity};
use crate::audit::{
    EnvelopeRecord, Event, LinkChange, NodeEvent, Outcome, OutcomeOf, Outcomes, Record, RegistryChange,
    Verdict, Verdicts,
};
use crate::moment;

/// The version of the data that our events carry.
const SCHEMA: &str = "1";

/// Longest source that is given.
const SOURCE_BYTES_MAX: usize = 256;

/// A source that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "source must be a URI reference of 1 to 256 bytes, such as /swarm/blue; percent-encode other letters"
)]
pub struct SourceError;

/// Whose log it is: the `source` of its events.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventSource(String);

impl EventSource {
    /// The log of a node of a swarm: `spiffe://<swarm>/node/<name>`.
    #[must_use]
    pub fn of_node(swarm: SwarmId, node: NodeName) -> Self {
        Self(SpiffeId::Node(swarm, node).to_string())
    }

    /// A source of an operator's choice, in the place of the node's own.
    ///
    /// # Errors
    /// [`SourceError`] when it is no URI reference, or a longer one than readers need.
    pub fn explicit(text: &str) -> Result<Self, SourceError> {
        let marks = b"-._~:/?#[]@!$&'()*+,;=";
        let bytes = text.as_bytes();
        let good = |(at, byte): (usize, &u8)| match byte {
            b'%' => bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric() || marks.contains(byte),
        };
        let fits = (1..=SOURCE_BYTES_MAX).contains(&bytes.len());
        if fits && bytes.iter().enumerate().all(good) { Ok(Self(text.to_owned())) } else { Err(SourceError) }
    }

    /// The URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text as one segment of a URI's path: all but letters, digits and `-._~` percent-encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What one event tells, before it has its place.
struct Draft {
    kind: Kind,
    severity: Severity,
    agent: Option<AgentName>,
    session: Option<SessionId>,
    extensions: Vec<(&'static str, String)>,
    data: Value,
}

impl Draft {
    fn new(kind: Kind, agent: Option<AgentName>, data: Value) -> Self {
        let severity = kind.severity();
        Self { kind, severity, agent, session: None, extensions: Vec::new(), data }
    }
}

/// The events of a record, at least one.
#[must_use]
pub fn events_of(source: &EventSource, index: u64, record: &Record) -> Vec<(Kind, CloudEvent)> {
    let drafts = drafts(record);
    let of = i32::try_from(drafts.len()).unwrap_or(i32::MAX);
    let placed = drafts.into_iter().enumerate();
    placed.map(|(place, draft)| (draft.kind, placed_event(source, index, place, of, record, draft))).collect()
}

fn placed_event(
    source: &EventSource,
    index: u64,
    place: usize,
    of: i32,
    record: &Record,
    draft: Draft,
) -> CloudEvent {
    let mut core = BTreeMap::from([
        ("id", format!("{index}-{place}")),
        ("source", source.0.clone()),
        ("type", draft.kind.type_name()),
        ("time", moment::utc_millis(record.at)),
        ("datacontenttype", "application/json".to_owned()),
    ]);
    if let Some(agent) = draft.agent {
        core.insert("subject", format!("agent/{}", percent_encoded(agent.as_str())));
    }
    let text = |name: &str, value: String| (name.to_owned(), Extension::Text(value));
    let mut extensions = BTreeMap::from([
        text("schemaversion", SCHEMA.to_owned()),
        // Sorts as text in the order of the log, as the sequence extension asks.
        text("sequence", format!("{index:020}-{place:05}")),
        ("recordevents".to_owned(), Extension::Integer(of)),
        ("severitynumber".to_owned(), Extension::Integer(draft.severity.number())),
        text("severitytext", draft.severity.as_str().to_owned()),
    ]);
    extensions.extend(draft.session.map(|session| text("sessionid", session.to_string())));
    extensions.extend(draft.extensions.into_iter().map(|(name, value)| text(name, value)));
    // What is the record's own is written last: nothing that an event tells can stand in its place.
    let mut data = draft.data;
    data["index"] = json!(index);
    data["at_ms"] = json!(record.at.as_millis());
    data["registry"] = json!(record.registry.0);
    CloudEvent { core, extensions, content: Content::Json(data) }
}

fn drafts(record: &Record) -> Vec<Draft> {
    let fields = || record.event.fields();
    match &record.event {
        Event::BundleRefused(refused) => vec![Draft {
            session: refused.session,
            ..Draft::new(Kind::BundleRefused, refused.agent, fields())
        }],
        Event::Link(link) => {
            vec![Draft { session: link.session, ..Draft::new(link_kind(&link.what), link.agent, fields()) }]
        }
        Event::Node(event) => vec![node(event, fields())],
        Event::Outcomes(outcomes) if outcomes.outcomes.is_empty() => {
            vec![Draft::new(Kind::OutcomesNone, outcomes.to, fields())]
        }
        Event::Outcomes(outcomes) => outcomes.outcomes.iter().map(|one| outcome(outcomes, one)).collect(),
        Event::Registry(event) => {
            vec![Draft::new(registry_kind(event.change), event.agent, fields())]
        }
        Event::Verdicts(verdicts) if verdicts.envelopes.is_empty() => {
            vec![Draft::new(Kind::VerdictsNone, Some(verdicts.sender), fields())]
        }
        Event::Verdicts(verdicts) => {
            let each = verdicts.envelopes.iter().enumerate();
            each.map(|(position, envelope)| verdict(verdicts, position, envelope)).collect()
        }
    }
}

fn verdict(verdicts: &Verdicts, position: usize, envelope: &EnvelopeRecord) -> Draft {
    let mut data = envelope.fields();
    // A sender may number its envelopes as it likes: as text, no reader rounds it.
    data["sequence"] = json!(envelope.sequence.0.to_string());
    data["agent"] = json!(verdicts.sender);
    data["key"] = json!(verdicts.key);
    data["session"] = json!(verdicts.session);
    data["lane"] = json!(verdicts.lane);
    data["root"] = json!(verdicts.root);
    data["position"] = json!(position);
    let (kind, severity) = match &envelope.verdict {
        Verdict::Allowed { alerts, .. } if !alerts.is_empty() => (Kind::MessageAllowed, Severity::Warn),
        Verdict::Allowed { .. } => (Kind::MessageAllowed, Kind::MessageAllowed.severity()),
        Verdict::Refused { .. } => (Kind::MessageRefused, Kind::MessageRefused.severity()),
    };
    let mut extensions = vec![("correlationid", envelope.correlation.to_string())];
    if let Some(trace) = envelope.trace.filter(|trace| *trace.as_bytes() != [0; 16]) {
        // The message stands for the span that sent it: the log keeps the trace, not the span.
        let span = envelope.message.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        if span != [0; 8] {
            extensions.push(("traceparent", format!("00-{trace}-{}-00", hex::encode(span))));
        }
    }
    let agent = Some(verdicts.sender);
    Draft { kind, severity, agent, session: Some(verdicts.session), extensions, data }
}

fn outcome(outcomes: &Outcomes, one: &OutcomeOf) -> Draft {
    let kind = match one.outcome {
        Outcome::Delivered => Kind::MessageDelivered,
        Outcome::Dropped(_) => Kind::MessageDropped,
        Outcome::Failed(_) => Kind::MessageFailed,
    };
    let mut data = one.fields();
    data["of"] = json!(outcomes.of);
    data["to"] = json!(outcomes.to);
    let mut draft = Draft::new(kind, outcomes.to, data);
    // The event of the verdict, as the correlation extension has it.
    draft.extensions = vec![("causationid", format!("{}-{}", outcomes.of, one.position))];
    draft
}

fn node(event: &NodeEvent, fields: Value) -> Draft {
    let kind = match event {
        NodeEvent::Cosigned { .. } => Kind::NodeCosigned,
        NodeEvent::Exporting { .. } => Kind::NodeExporting,
        NodeEvent::Resumed { .. } => Kind::NodeResumed,
        NodeEvent::Rules { .. } => Kind::NodeRules,
        NodeEvent::Started { .. } => Kind::NodeStarted,
        NodeEvent::Stopped => Kind::NodeStopped,
        NodeEvent::Trust { .. } => Kind::NodeTrust,
    };
    let mut draft = Draft::new(kind, None, fields);
    if matches!(event, NodeEvent::Started { recovered_bytes: 1.., .. }) {
        draft.severity = Severity::Warn;
    }
    draft
}

const fn link_kind(change: &LinkChange) -> Kind {
    match change {
        LinkChange::Certified { .. } => Kind::LinkCertified,
        LinkChange::Closed { .. } => Kind::LinkClosed,
        LinkChange::Displaced { .. } => Kind::LinkDisplaced,
        LinkChange::DisplacedTooOften { .. } => Kind::LinkContested,
        LinkChange::Opened => Kind::LinkOpened,
        LinkChange::Refused { .. } => Kind::LinkRefused,
        LinkChange::Subscribed { .. } => Kind::LinkSubscribed,
        LinkChange::SubscriptionRefused { .. } => Kind::LinkSubscriptionRefused,
        LinkChange::SubscriptionWithdrawn { .. } => Kind::LinkSubscriptionWithdrawn,
        LinkChange::Unsubscribed { .. } => Kind::LinkUnsubscribed,
    }
}

const fn registry_kind(change: RegistryChange) -> Kind {
    match change {
        RegistryChange::Enrolled => Kind::AgentEnrolled,
        RegistryChange::InvitationCancelled { .. } => Kind::InvitationCancelled,
        RegistryChange::Invited { .. } => Kind::AgentInvited,
        RegistryChange::Joined { .. } => Kind::AgentJoined,
        RegistryChange::Narrowed => Kind::AgentNarrowed,
        RegistryChange::Regranted => Kind::AgentRegranted,
        RegistryChange::Reinstated => Kind::AgentReinstated,
        RegistryChange::Rekeyed => Kind::AgentRekeyed,
        RegistryChange::Revoked(_) => Kind::AgentRevoked,
        RegistryChange::TokenRevoked { .. } => Kind::TokenRevoked,
        RegistryChange::Withdrawn => Kind::RegistryWithdrawn,
    }
}

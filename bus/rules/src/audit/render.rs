//! Records for people (one line, times in UTC) and for their tools (JSON, times in milliseconds). Ids are hex.
//!
//! All that an outsider could choose is a name or a [`super::Note`], and stands under `fields`: it can neither
//! shadow a fixed key nor act on a terminal (threat A65).

use std::fmt::Write as _;

use serde_json::{Value, json};
use testudo_wire::AgentName;
use testudo_wire::standing::RevocationCause;

use super::outcome::{Cause, Outcome, OutcomeOf, Outcomes};
use super::record::{
    BundleRefused, EnvelopeRecord, Event, LinkChange, LinkEvent, NodeEvent, Record, RegistryChange,
    RegistryEvent, Verdict, Verdicts,
};
use crate::moment::utc_millis;

impl Record {
    /// The record as `{index, at_ms, registry, event, fields}`.
    #[must_use]
    pub fn to_json(&self, index: u64) -> Value {
        json!({
            "index": index,
            "at_ms": self.at.as_millis(),
            "registry": self.registry.0,
            "event": self.event.name(),
            "fields": self.event.fields(),
        })
    }

    /// The record as one line.
    #[must_use]
    pub fn to_line(&self, index: u64) -> String {
        format!("#{index} {} {} {}", utc_millis(self.at), self.event.name(), self.event.words())
    }
}

impl Event {
    /// The event's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BundleRefused(_) => "bundle-refused",
            Self::Link(_) => "link",
            Self::Node(_) => "node",
            Self::Outcomes(_) => "outcomes",
            Self::Registry(_) => "registry",
            Self::Verdicts(_) => "verdicts",
        }
    }

    pub(crate) fn fields(&self) -> Value {
        match self {
            Self::BundleRefused(refused) => json!({
                "agent": refused.agent,
                "session": refused.session,
                "refusal": refused.refusal.as_str(),
                "bytes": refused.bytes,
                "count": refused.count,
            }),
            Self::Link(link) => link_fields(link),
            Self::Node(NodeEvent::Cosigned { records, witness, key }) => {
                json!({ "what": "cosigned", "records": records, "witness": witness, "key": key })
            }
            Self::Node(NodeEvent::Exporting { exporters, configuration }) => {
                json!({ "what": "exporting", "exporters": exporters, "configuration": configuration })
            }
            Self::Node(NodeEvent::Resumed { refused, lost }) => {
                json!({ "what": "resumed", "refused": refused, "lost": lost })
            }
            Self::Node(NodeEvent::Started { records, recovered_bytes }) => {
                json!({ "what": "started", "records": records, "recovered_bytes": recovered_bytes })
            }
            Self::Node(NodeEvent::Rules { digest, packs }) => {
                json!({ "what": "rules", "digest": digest, "packs": packs })
            }
            Self::Node(NodeEvent::Stopped) => json!({ "what": "stopped" }),
            Self::Node(NodeEvent::Trust { number, authorities, cas, statement }) => json!({
                "what": "trust",
                "number": number,
                "authorities": authorities,
                "cas": cas,
                "statement": statement,
            }),
            Self::Outcomes(outcomes) => outcomes_fields(outcomes),
            Self::Registry(event) => registry_fields(event),
            Self::Verdicts(verdicts) => json!({
                "session": verdicts.session,
                "sender": verdicts.sender,
                "key": verdicts.key,
                "lane": verdicts.lane,
                "root": verdicts.root,
                "envelopes": verdicts.envelopes.iter().map(envelope_fields).collect::<Vec<_>>(),
            }),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::BundleRefused(refused) => bundle_words(refused),
            Self::Link(link) => link_words(link),
            Self::Node(NodeEvent::Cosigned { records, witness, .. }) => {
                format!("had {records} records cosigned by {witness}")
            }
            Self::Node(NodeEvent::Exporting { exporters, configuration }) => {
                format!("exports to {exporters} places, configuration {}", configuration.short())
            }
            Self::Node(NodeEvent::Resumed { refused, lost }) => {
                format!("could write again; {refused} messages were refused meanwhile, {lost} events lost")
            }
            Self::Node(NodeEvent::Started { records, recovered_bytes: 0 }) => {
                format!("started with {records} records")
            }
            Self::Node(NodeEvent::Started { records, recovered_bytes }) => {
                format!("started with {records} records, cut off {recovered_bytes} bytes of half a record")
            }
            Self::Node(NodeEvent::Rules { digest, packs }) => {
                format!("the guard's rules are the standard ones and {packs} packs, {digest}")
            }
            Self::Node(NodeEvent::Stopped) => "stopped".to_owned(),
            Self::Node(NodeEvent::Trust { number, authorities, cas, statement }) => format!(
                "goes by trust statement {number}: {authorities} authority keys, {cas} CAs, {}",
                statement.short()
            ),
            Self::Outcomes(outcomes) => outcomes_words(outcomes),
            Self::Registry(event) => registry_words(event),
            Self::Verdicts(verdicts) => verdicts_words(verdicts),
        }
    }
}

impl EnvelopeRecord {
    pub(crate) fn fields(&self) -> Value {
        envelope_fields(self)
    }
}

impl OutcomeOf {
    pub(crate) fn fields(&self) -> Value {
        let (outcome, cause) = outcome_name(self.outcome);
        json!({ "position": self.position, "outcome": outcome, "cause": cause })
    }
}

fn envelope_fields(envelope: &EnvelopeRecord) -> Value {
    json!({
        "message": envelope.message,
        "digest": envelope.digest,
        "sequence": envelope.sequence,
        "destination": envelope.destination,
        "capability": envelope.capability,
        "correlation": envelope.correlation,
        "trace": envelope.trace.map(|trace| trace.to_string()),
        "verdict": verdict_fields(&envelope.verdict),
    })
}

pub(super) fn verdict_fields(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Allowed { alerts, copies } => {
            json!({ "allowed": true, "alerts": alerts, "copies": copies })
        }
        Verdict::Refused { refusal, rules } => {
            json!({ "allowed": false, "refusal": refusal.as_str(), "rules": rules })
        }
    }
}

fn verdicts_words(verdicts: &Verdicts) -> String {
    let mut words = format!(
        "{} key={} session={} lane={}",
        verdicts.sender,
        verdicts.key.short(),
        verdicts.session.short(),
        verdicts.lane
    );
    // Whole, for `audit trace`; where there are several, the JSON has them.
    let mut works = verdicts.envelopes.iter().map(|envelope| envelope.correlation);
    if let Some(first) = works.next().filter(|first| works.all(|work| work == *first)) {
        let _ = write!(words, " correlation={first}");
    }
    words.push(':');
    for envelope in &verdicts.envelopes {
        let _ = write!(words, " {}->{}", envelope.message.short(), envelope.destination);
        if let Some(capability) = &envelope.capability {
            let _ = write!(words, " {capability}");
        }
        let (verdict, rules) = match &envelope.verdict {
            Verdict::Allowed { alerts, copies: 0 } => ("allowed, no receiver".to_owned(), alerts),
            Verdict::Allowed { alerts, copies: 1 } => ("allowed".to_owned(), alerts),
            Verdict::Allowed { alerts, copies } => (format!("allowed to {copies} receivers"), alerts),
            Verdict::Refused { refusal, rules } => (format!("refused: {refusal}"), rules),
        };
        let _ = write!(words, " {verdict}");
        for (n, rule) in rules.iter().enumerate() {
            let _ = write!(words, "{}{rule}", if n == 0 { " by " } else { ", " });
        }
        words.push(';');
    }
    words
}

fn bundle_words(refused: &BundleRefused) -> String {
    let BundleRefused { agent, session, refusal, bytes, count } = refused;
    let session = session.map_or_else(|| "-".to_owned(), |session| session.short());
    format!("{} session={session}: {refusal}, {count} bundles, {bytes} bytes", who(agent.as_ref()))
}

fn who(agent: Option<&AgentName>) -> &str {
    agent.map_or("somebody", AgentName::as_str)
}

pub(super) fn cause_name(cause: Cause) -> String {
    if let Cause::ReceiverRefused(refusal) = cause {
        format!("refused by the receiver: {refusal}")
    } else {
        cause.as_str().to_owned()
    }
}

pub(super) fn outcome_name(outcome: Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Delivered => ("delivered", None),
        Outcome::Dropped(cause) => ("dropped", Some(cause_name(cause))),
        Outcome::Failed(cause) => ("failed", Some(cause_name(cause))),
    }
}

fn outcomes_fields(outcomes: &Outcomes) -> Value {
    let each = outcomes.outcomes.iter().map(OutcomeOf::fields);
    json!({ "of": outcomes.of, "to": outcomes.to, "outcomes": each.collect::<Vec<_>>() })
}

fn outcomes_words(outcomes: &Outcomes) -> String {
    let mut words = format!("of #{}", outcomes.of);
    if let Some(to) = outcomes.to {
        let _ = write!(words, " to {to}");
    }
    words.push(':');
    for one in &outcomes.outcomes {
        let (outcome, cause) = outcome_name(one.outcome);
        let _ = write!(words, " {} {outcome}", one.position);
        if let Some(cause) = cause {
            let _ = write!(words, " ({cause})");
        }
        words.push(';');
    }
    words
}

/// The change, and what is said about it.
fn link_change(change: &LinkChange) -> (&'static str, Vec<(&'static str, &str)>) {
    match change {
        LinkChange::Certified { until } => ("certified", vec![("until", until.as_str())]),
        LinkChange::Closed { reason } => ("closed", vec![("reason", reason.as_str())]),
        LinkChange::Displaced { by } => ("displaced", vec![("by", by.as_str())]),
        LinkChange::DisplacedTooOften { by } => ("displaced-too-often", vec![("by", by.as_str())]),
        LinkChange::Opened => ("opened", Vec::new()),
        LinkChange::Refused { reason } => ("refused", vec![("reason", reason.as_str())]),
        LinkChange::Subscribed { topic } => ("subscribed", vec![("topic", topic.as_str())]),
        LinkChange::SubscriptionRefused { topic, refusal } => {
            ("subscription-refused", vec![("topic", topic.as_str()), ("refusal", refusal.as_str())])
        }
        LinkChange::SubscriptionWithdrawn { topic } => {
            ("subscription-withdrawn", vec![("topic", topic.as_str())])
        }
        LinkChange::Unsubscribed { topic } => ("unsubscribed", vec![("topic", topic.as_str())]),
    }
}

fn link_fields(link: &LinkEvent) -> Value {
    let (what, details) = link_change(&link.what);
    let mut fields =
        json!({ "agent": link.agent, "session": link.session, "remote": link.remote, "what": what });
    for (key, text) in details {
        fields[key] = json!(text);
    }
    fields
}

fn link_words(link: &LinkEvent) -> String {
    let (what, details) = link_change(&link.what);
    let session = link.session.map_or_else(|| "-".to_owned(), |session| session.short());
    let mut words = format!("{} from {} session={session} {what}", who(link.agent.as_ref()), link.remote);
    for (key, text) in details {
        let _ = write!(words, " ({key}: {text})");
    }
    words
}

fn registry_fields(event: &RegistryEvent) -> Value {
    let mut fields = json!({ "agent": event.agent, "change": registry_change(event.change) });
    match event.change {
        RegistryChange::Revoked(cause) => fields["cause"] = json!(cause),
        RegistryChange::TokenRevoked { id } => fields["id"] = json!(id),
        RegistryChange::InvitationCancelled { id }
        | RegistryChange::Invited { id }
        | RegistryChange::Joined { id } => fields["invitation"] = json!(id),
        RegistryChange::Enrolled
        | RegistryChange::Narrowed
        | RegistryChange::Regranted
        | RegistryChange::Reinstated
        | RegistryChange::Rekeyed
        | RegistryChange::Withdrawn => {}
    }
    fields
}

const fn registry_change(change: RegistryChange) -> &'static str {
    match change {
        RegistryChange::Enrolled => "enrolled",
        RegistryChange::InvitationCancelled { .. } => "invitation-cancelled",
        RegistryChange::Invited { .. } => "invited",
        RegistryChange::Joined { .. } => "joined",
        RegistryChange::Narrowed => "narrowed",
        RegistryChange::Regranted => "regranted",
        RegistryChange::Reinstated => "reinstated",
        RegistryChange::Rekeyed => "rekeyed",
        RegistryChange::Revoked(_) => "revoked",
        RegistryChange::TokenRevoked { .. } => "token-revoked",
        RegistryChange::Withdrawn => "withdrawn",
    }
}

pub(super) const fn revocation_word(cause: RevocationCause) -> &'static str {
    match cause {
        RevocationCause::Compromised => "compromised",
        RevocationCause::Failed => "failed",
        RevocationCause::Operator => "operator",
        RevocationCause::Silent => "silent",
    }
}

fn registry_words(event: &RegistryEvent) -> String {
    let mut words = format!("{} {}", who(event.agent.as_ref()), registry_change(event.change));
    match event.change {
        RegistryChange::Revoked(cause) => {
            let _ = write!(words, " ({})", revocation_word(cause));
        }
        RegistryChange::TokenRevoked { id } => {
            let _ = write!(words, " (id {id})");
        }
        RegistryChange::InvitationCancelled { id }
        | RegistryChange::Invited { id }
        | RegistryChange::Joined { id } => {
            let _ = write!(words, " (invitation {id})");
        }
        RegistryChange::Enrolled
        | RegistryChange::Narrowed
        | RegistryChange::Regranted
        | RegistryChange::Reinstated
        | RegistryChange::Rekeyed
        | RegistryChange::Withdrawn => {}
    }
    words
}

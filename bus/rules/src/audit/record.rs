//! What the log holds: one record per bundle's verdicts, later its outcomes, and what happened to links,
//! registry and node.
//!
//! Encoded by `testudo_wire::canonical`: structs are arrays, variants their kebab-case names. Digests,
//! never bodies (threat A70).

use serde::{Deserialize, Serialize};
use testudo_wire::canonical::{self, CanonicalError};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, Limits, MessageId, PublicKey, Refusal,
    RegistrySequence, Sequence, SessionId, Timestamp, TokenFactId,
};

use super::Note;

/// Names of rules kept for one envelope; the rest is counted in one more note.
const RULES_MAX: usize = 16;

/// One entry of the log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// The node's wall clock.
    pub at: Timestamp,
    /// The state of the registry under which it was decided.
    pub registry: RegistrySequence,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A bundle, or several alike, refused as a whole.
    BundleRefused(BundleRefused),
    /// A link came, went or was turned away.
    Link(LinkEvent),
    /// The node itself.
    Node(NodeEvent),
    /// What became of messages that an earlier record allowed.
    Outcomes(Outcomes),
    /// The registry changed.
    Registry(RegistryEvent),
    /// What was decided on each envelope of one bundle.
    Verdicts(Verdicts),
}

/// The verdicts on one bundle; what its envelopes share stands here once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Verdicts {
    /// The link's session.
    pub session: SessionId,
    /// Who sent it.
    pub sender: AgentName,
    /// The key that signed it.
    pub key: PublicKey,
    /// The lane it came on.
    pub lane: u8,
    /// The root that was signed.
    pub root: Digest,
    /// Its envelopes, in order.
    pub envelopes: Vec<EnvelopeRecord>,
}

/// The verdict on one envelope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EnvelopeRecord {
    /// Its id.
    pub message: MessageId,
    /// Its leaf digest, the only digest of a message.
    pub digest: Digest,
    /// Its number in session and lane.
    pub sequence: Sequence,
    /// Where to, as `kind/name`; see [`EnvelopeRecord::destination_note`].
    pub destination: Note,
    /// What was asked for; `None` for a reply.
    pub capability: Option<Capability>,
    /// The piece of work it belongs to.
    pub correlation: CorrelationId,
    /// Its W3C trace id.
    pub trace: Option<TraceId>,
    /// What was decided.
    pub verdict: Verdict,
}

impl EnvelopeRecord {
    /// A destination as the log writes it: `agent/x`, `reply/x`, `topic/x` or `service`.
    #[must_use]
    pub fn destination_note(destination: &Destination) -> Note {
        match destination {
            Destination::Agent(name) => Note::new(&format!("agent/{name}")),
            Destination::Reply(name) => Note::new(&format!("reply/{name}")),
            Destination::Service => Note::new("service"),
            Destination::Topic(topic) => Note::new(&format!("topic/{topic}")),
        }
    }
}

/// A W3C trace id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TraceId(#[serde(with = "serde_bytes")] [u8; 16]);

impl TraceId {
    /// Takes the raw bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What was decided on one envelope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// To be handed over.
    Allowed {
        /// Rules of the content guard that found something of medium severity.
        alerts: Vec<Note>,
    },
    /// Not delivered.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Rules of the content guard that found something.
        rules: Vec<Note>,
    },
}

impl Verdict {
    /// Allowed, with the names of rules that raised an alert.
    #[must_use]
    pub fn allowed<'a>(alerts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Allowed { alerts: bounded(alerts) }
    }

    /// Refused, with the names of rules that found something.
    #[must_use]
    pub fn refused<'a>(refusal: Refusal, rules: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Refused { refusal, rules: bounded(rules) }
    }

    /// Whether the envelope may be handed over, and so will have an outcome.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        match self {
            Self::Allowed { .. } => true,
            Self::Refused { .. } => false,
        }
    }
}

fn bounded<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Note> {
    let mut names = names.into_iter();
    let mut kept: Vec<_> = names.by_ref().take(RULES_MAX).map(Note::new).collect();
    match names.count() {
        0 => {}
        more => kept.push(Note::new(&format!("and {more} more"))),
    }
    kept
}

/// Bundles refused as a whole; a flood of them becomes one counted record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BundleRefused {
    /// The link's agent.
    pub agent: Option<AgentName>,
    /// The link's session.
    pub session: Option<SessionId>,
    /// Why.
    pub refusal: Refusal,
    /// Their bytes, all together.
    pub bytes: u32,
    /// How many.
    pub count: u32,
}

/// What became of messages of one earlier [`Verdicts`] record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outcomes {
    /// The index of that record.
    pub of: u64,
    /// One for each message that came to an end.
    pub outcomes: Vec<OutcomeOf>,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OutcomeOf {
    /// Its place in `envelopes` of the verdicts.
    pub position: u16,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The receiver acknowledged it (measured fact M12: writing to a stream is not delivery).
    Delivered,
    /// Given up before it reached a receiver's link.
    Dropped(Cause),
    /// Handed over, but it did not come to a good end.
    Failed(Cause),
}

/// Why a message was not delivered although it was allowed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The audit log could not be written in time.
    AuditUnavailable,
    /// The node ended without knowing; written at its next start.
    Crash,
    /// Its time to live ran out.
    Expired,
    /// The receiver's handler failed.
    HandlerFailed,
    /// The link went down before an acknowledgement.
    LinkLost,
    /// Nobody was there to receive it.
    NoReceiver,
    /// The receiver's queue was full.
    Overflow,
    /// The receiver refused it.
    ReceiverRefused(Refusal),
    /// Sender or receiver was revoked meanwhile.
    Revoked,
    /// The node was stopped.
    Shutdown,
}

/// What happened to a link.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkEvent {
    /// Whose it is, where that is known.
    pub agent: Option<AgentName>,
    /// Its session, once there is one.
    pub session: Option<SessionId>,
    /// The peer's address.
    pub remote: Note,
    /// What happened.
    pub what: LinkChange,
}

/// How a link changed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkChange {
    /// Ended.
    Closed {
        /// Why.
        reason: Note,
    },
    /// Ended because the same agent opened another.
    Displaced {
        /// The other's address.
        by: Note,
    },
    /// Ended, and the other with it: links of one identity displace each other without end, so somebody has
    /// a copy of it.
    DisplacedTooOften {
        /// The other's address.
        by: Note,
    },
    /// Welcomed.
    Opened,
    /// Turned away.
    Refused {
        /// Why.
        reason: Note,
    },
}

/// What changed in the registry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RegistryEvent {
    /// Whom it is about.
    pub agent: Option<AgentName>,
    /// What changed.
    pub change: RegistryChange,
}

/// How the registry changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryChange {
    /// A new agent.
    Enrolled,
    /// Another, smaller grant.
    Narrowed,
    /// Another grant, perhaps a wider one.
    Regranted,
    /// Back from silence.
    Reinstated,
    /// The name has a new key.
    Rekeyed,
    /// Out.
    Revoked(RevocationCause),
    /// One token and what was delegated from it is void.
    TokenRevoked {
        /// The token block's id.
        id: TokenFactId,
    },
    /// An earlier change could not be made durable and did not take effect.
    Withdrawn,
}

/// What happened to the node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeEvent {
    /// The log was opened; everything before is settled.
    Started {
        /// Records in the log before this one.
        records: u64,
        /// Bytes of half a record that were cut off its end.
        recovered_bytes: u64,
    },
    /// The node ended in good order.
    Stopped,
}

/// The limits of a record: 256 envelopes with all their rules, and nothing deeper than our own types.
const fn limits() -> Limits {
    let mut limits = Limits::standard();
    limits.elements_max = 65_536;
    limits
}

impl Record {
    /// The payload of a frame.
    ///
    /// # Errors
    /// [`CanonicalError`], which no record gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// [`CanonicalError`] for anything but what [`Record::encode`] makes.
    pub fn decode(payload: &[u8]) -> Result<Self, CanonicalError> {
        canonical::decode(payload, &limits())
    }
}

macro_rules! into_event {
    ($($event:ident($of:ty)),+) => {
        $(impl From<$of> for Event {
            fn from(of: $of) -> Self {
                Self::$event(of)
            }
        })+
    };
}

into_event!(
    BundleRefused(BundleRefused),
    Link(LinkEvent),
    Node(NodeEvent),
    Outcomes(Outcomes),
    Registry(RegistryEvent),
    Verdicts(Verdicts)
);

//! What the log holds: one record per bundle's verdicts, later its outcomes, and what happened to links,
//! registry and node.
//!
//! Encoded by `testudo_wire::canonical`: structs are arrays, variants their kebab-case names; verdicts as `columns`
//! says. Digests, never bodies (threat A70).

use serde::{Deserialize, Serialize};
use testudo_wire::canonical::{self, CanonicalError};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, InvitationId, Limits, MessageId, PublicKey,
    Refusal, RegistrySequence, Sequence, SessionId, Timestamp, TokenFactId,
};

use super::{Note, Outcomes, columns, packed};

/// Names of rules kept for one envelope; the rest is counted in one more note.
const RULES_MAX: usize = 16;
/// Notes of one verdict: those, and how many more there were.
pub(super) const NOTES_MAX: usize = RULES_MAX + 1;

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
        /// How many receivers it was routed to: one for an agent, a service or a reply, the subscribers of a
        /// topic. Each copy has an outcome of its own; with none there is nothing more to say, and the
        /// account holds the message as dropped for [`super::Cause::NoReceiver`].
        copies: u32,
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
    /// Whether it names no more than so many rules.
    pub(super) fn is_noted_within(&self, most: usize) -> bool {
        match self {
            Self::Allowed { alerts: notes, .. } | Self::Refused { rules: notes, .. } => notes.len() <= most,
        }
    }

    /// Allowed and routed to so many receivers, with the names of rules that raised an alert.
    #[must_use]
    pub fn allowed<'a>(alerts: impl IntoIterator<Item = &'a str>, copies: u32) -> Self {
        Self::Allowed { alerts: bounded(alerts), copies }
    }

    /// Refused, with the names of rules that found something.
    #[must_use]
    pub fn refused<'a>(refusal: Refusal, rules: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Refused { refusal, rules: bounded(rules) }
    }

    /// How many outcomes will follow.
    #[must_use]
    pub const fn copies(&self) -> u32 {
        match self {
            Self::Allowed { copies, .. } => *copies,
            Self::Refused { .. } => 0,
        }
    }
}

fn bounded<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Note> {
    let mut names = names.into_iter();
    // Nearly every message.
    let Some(first) = names.next() else { return Vec::new() };
    let mut names = std::iter::once(first).chain(names);
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
    /// Was given a new certificate for its name and key.
    Certified {
        /// Until when that is good, in milliseconds since the Unix epoch.
        until: Note,
    },
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
    /// Receives a topic from now on.
    Subscribed {
        /// The topic.
        topic: Note,
    },
    /// Asked for a topic that it may not have.
    SubscriptionRefused {
        /// The topic.
        topic: Note,
        /// Why.
        refusal: Refusal,
    },
    /// Receives a topic no more: its grant does not cover it any longer.
    SubscriptionWithdrawn {
        /// The topic.
        topic: Note,
    },
    /// Receives a topic no more, as it wished.
    Unsubscribed {
        /// The topic.
        topic: Note,
    },
}

impl LinkChange {
    /// Was given a certificate that is good until then.
    #[must_use]
    pub fn certified(until: Timestamp) -> Self {
        Self::Certified { until: Note::new(&until.as_millis().to_string()) }
    }
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
    /// An invitation was taken back.
    InvitationCancelled {
        /// Which one.
        id: InvitationId,
    },
    /// Somebody may join.
    Invited {
        /// With which invitation.
        id: InvitationId,
    },
    /// A new agent, or a new key for a name that was revoked for good, by an invitation.
    Joined {
        /// The invitation, which is spent.
        id: InvitationId,
    },
    /// Another, smaller grant.
    Narrowed,
    /// Another grant, perhaps a wider one.
    Regranted,
    /// Back from silence or failure.
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
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeEvent {
    /// A witness cosigned the log's checkpoint; its signature is kept beside the log and must be there from now on
    /// (threat A73).
    Cosigned {
        /// How many records the checkpoint covers.
        records: u64,
        /// The witness's name.
        witness: Note,
        /// Its key.
        key: PublicKey,
    },
    /// The log goes out to so many places: written at each start with exporters, and at the first without, so that
    /// a place that was added, changed or taken away is on record (threat A76).
    Exporting {
        /// How many.
        exporters: u16,
        /// The digest of their configuration.
        configuration: Digest,
    },
    /// The log could be written again after a time in which it could not.
    Resumed {
        /// Messages refused meanwhile, which stand on no record of their own.
        refused: u64,
        /// Other events that are not on the log.
        lost: u64,
    },
    /// The log was opened; everything before is settled.
    Started {
        /// Records in the log before this one.
        records: u64,
        /// Bytes of half a record that were cut off its end.
        recovered_bytes: u64,
    },
    /// The content guard vets by these rules from here on.
    Rules {
        /// Which packs, besides the standard rules: a digest that whoever holds the packs can make again.
        digest: Digest,
        /// How many packs.
        packs: u16,
    },
    /// The node ended in good order.
    Stopped,
    /// The node goes by this trust statement from here on: written when it is made, and at each start.
    Trust {
        /// Its number.
        number: u64,
        /// How many authority keys are trusted.
        authorities: u8,
        /// How many CAs are.
        cas: u8,
        /// Its digest.
        statement: Digest,
    },
}

/// The limits of a record: 256 envelopes with all their rules, and nothing deeper than our own types.
pub(super) const fn limits() -> Limits {
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
        let mut payload = Vec::new();
        self.encode_to(&mut payload)?;
        Ok(payload)
    }

    /// Appends the payload of a frame to a buffer, and makes nothing in between.
    ///
    /// # Errors
    /// [`CanonicalError`], which no record gives.
    pub fn encode_to(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match &self.event {
            Event::Verdicts(verdicts) => columns::encode(self.at, self.registry, verdicts, out),
            Event::BundleRefused(_)
            | Event::Link(_)
            | Event::Node(_)
            | Event::Outcomes(_)
            | Event::Registry(_) => canonical::encode_to(self, out),
        }
    }

    /// Reads the payload of a frame, of this node or of an earlier one.
    ///
    /// # Errors
    /// [`CanonicalError`] for anything but what [`Record::encode`] makes, or made: verdicts with every envelope
    /// whole, or after the one before it.
    pub fn decode(payload: &[u8]) -> Result<Self, CanonicalError> {
        if columns::is_columns(payload) {
            columns::decode(payload)
        } else if packed::is_packed(payload) {
            packed::decode(payload)
        } else {
            canonical::decode(payload, &limits())
        }
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

//! What travels on a link besides bundles: control frames each way, and the node's annotations before a
//! delivered bundle.
//!
//! On every stream a frame is its length as u32, big-endian, and then its bytes. A control frame is the
//! canonical MessagePack array `[tag, [fields]]`. One place owns every tag; 6 to 15 and 23 to 31 are
//! reserved. Says nothing about when a frame is allowed: that is the link's state.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError, Reader};
use crate::standing::{Quota, RevocationCause};
use crate::{
    AgentName, Digest, Limits, MessageId, PublicKey, Purpose, Refusal, RegistrySequence, SecretKey,
    SessionId, Signature, SwarmId, Timestamp, TokenFactId, TokenId, tree,
};

/// The only ALPN of a link (RFC 7301).
pub const ALPN: &[u8] = b"testudo/1";

/// First frame of a link, from the agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// Protocol version; anything but 1 closes the link.
    pub version: u8,
    /// The highest registry sequence this agent was ever welcomed under, as the node signed it.
    pub seen: Option<Seen>,
}

/// A welcome of the past, with which an agent proves how far the registry had come (threat A75).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// That welcome's session.
    pub session: SessionId,
    /// That welcome's registry sequence.
    pub registry: RegistrySequence,
    /// That welcome's node time.
    pub time: Timestamp,
    /// The node's signature over them.
    pub signature: Signature,
}

impl Seen {
    fn signed(
        swarm: &SwarmId,
        session: &SessionId,
        agent: &PublicKey,
        registry: RegistrySequence,
        time: Timestamp,
    ) -> Vec<u8> {
        let numbers = [registry.0.to_be_bytes(), time.as_millis().to_be_bytes()].concat();
        [swarm.as_bytes().as_slice(), session.as_bytes(), agent.as_bytes(), &numbers].concat()
    }

    /// Makes the statement: `swarm(32) || session(16) || agent key(32) || registry(u64) || time(u64)`.
    #[must_use]
    pub fn sign(
        node: &SecretKey,
        swarm: &SwarmId,
        agent: &PublicKey,
        session: SessionId,
        registry: RegistrySequence,
        time: Timestamp,
    ) -> Self {
        let signed = Self::signed(swarm, &session, agent, registry, time);
        Self { session, registry, time, signature: node.sign(Purpose::Welcome, &[&signed]) }
    }

    /// Whether `node` said so to `agent`.
    #[must_use]
    pub fn is_signed_by(&self, node: &PublicKey, swarm: &SwarmId, agent: &PublicKey) -> bool {
        let signed = Self::signed(swarm, &self.session, agent, self.registry, self.time);
        node.verifies(Purpose::Welcome, &[&signed], &self.signature)
    }
}

/// A sign of life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Heartbeat {
    /// Rises with each heartbeat of a session.
    pub counter: u64,
    /// The agent's signature over swarm, session and counter.
    pub signature: Signature,
}

impl Heartbeat {
    /// Makes one: `swarm(32) || session(16) || counter(u64)`.
    #[must_use]
    pub fn sign(key: &SecretKey, swarm: &SwarmId, session: &SessionId, counter: u64) -> Self {
        let parts: [&[u8]; 3] = [swarm.as_bytes(), session.as_bytes(), &counter.to_be_bytes()];
        Self { counter, signature: key.sign(Purpose::Heartbeat, &parts) }
    }

    /// Whether `key` made it for this session.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, swarm: &SwarmId, session: &SessionId) -> bool {
        let parts: [&[u8]; 3] = [swarm.as_bytes(), session.as_bytes(), &self.counter.to_be_bytes()];
        key.verifies(Purpose::Heartbeat, &parts, &self.signature)
    }
}

/// A sealed token, shown before its id is used in an envelope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Present {
    /// The sealed bytes.
    #[serde(with = "serde_bytes")]
    pub token: Vec<u8>,
}

/// The receiver's cumulative acknowledgement: every message of every delivery up to a number was verified
/// and taken, except those listed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Acknowledge {
    /// The highest delivery number handled; all below are too.
    pub upto: u64,
    /// What the receiver refused.
    pub refused: Vec<RefusedDelivery>,
}

/// One message that a receiver refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedDelivery {
    /// The delivery it came in.
    pub delivery: u64,
    /// Its position among the envelopes of that delivery.
    pub position: u16,
    /// Why.
    pub refusal: Refusal,
}

/// A frame from agent to node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromAgent {
    /// First frame.
    Hello(Hello),
    /// Sign of life.
    Heartbeat(Heartbeat),
    /// Shows a token.
    Present(Present),
    /// Confirms deliveries.
    Acknowledge(Acknowledge),
    /// Leaves in good order.
    Goodbye,
}

/// The node's answer to a hello: the session is open.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Welcome {
    /// The statement to keep for the next hello; its session is this link's.
    pub seen: Seen,
    /// Send a heartbeat this often, in milliseconds.
    pub heartbeat_ms: u32,
    /// Bytes of bundles that may be sent beyond the last one settled; one bundle always fits.
    pub window: u32,
    /// The sender's quota, to pace itself by.
    pub quota: Quota,
}

/// The node's answer to a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Presented {
    /// Which token.
    pub token: TokenId,
    /// Why it may not be used; nil when it may.
    pub refusal: Option<Refusal>,
}

/// A whole bundle that was refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedBundle {
    /// Its number on the link's data stream, from zero.
    pub bundle: u64,
    /// Why.
    pub refusal: Refusal,
}

/// One message that was refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedMessage {
    /// Which message.
    pub message: MessageId,
    /// Why.
    pub refusal: Refusal,
    /// The rules of the content guard that it met.
    pub rules: Vec<String>,
}

/// The node's statement that the verdicts of a bundle are durable: the receipt *accepted*.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Accepted {
    /// The bundle's number on the link's data stream, from zero.
    pub bundle: u64,
    /// Index of the record on the node's audit log.
    pub record: u64,
    /// Positions of the accepted messages in the bundle, rising.
    pub positions: Vec<u16>,
    /// The node's signature.
    pub signature: Signature,
}

impl Accepted {
    /// Makes the statement over the accepted messages' digests:
    /// `swarm(32) || session(16) || record(u64) || tree root of the digests(32)`.
    #[must_use]
    pub fn sign(
        node: &SecretKey,
        swarm: &SwarmId,
        session: &SessionId,
        bundle: u64,
        record: u64,
        accepted: &[(u16, Digest)],
    ) -> Option<Self> {
        let digests: Vec<_> = accepted.iter().map(|(_, digest)| *digest).collect();
        let root = tree::root(&digests)?;
        let record_bytes = record.to_be_bytes();
        let parts: [&[u8]; 4] = [swarm.as_bytes(), session.as_bytes(), &record_bytes, root.as_bytes()];
        let positions = accepted.iter().map(|(position, _)| *position).collect();
        Some(Self { bundle, record, positions, signature: node.sign(Purpose::Accepted, &parts) })
    }

    /// Whether `node` said so of the messages with these digests, which the sender kept, by position.
    #[must_use]
    pub fn is_signed_by(
        &self,
        node: &PublicKey,
        swarm: &SwarmId,
        session: &SessionId,
        sent: &[Digest],
    ) -> bool {
        let digests: Option<Vec<_>> =
            self.positions.iter().map(|position| sent.get(usize::from(*position)).copied()).collect();
        let Some(root) = digests.and_then(|digests| tree::root(&digests)) else { return false };
        let record = self.record.to_be_bytes();
        let parts: [&[u8]; 4] = [swarm.as_bytes(), session.as_bytes(), &record, root.as_bytes()];
        node.verifies(Purpose::Accepted, &parts, &self.signature)
    }
}

/// How far the node is done with this link's bundles: refused, or handed to their receivers' links.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Settled {
    /// Number of bundles, from the first, that are settled.
    pub bundles: u64,
}

/// Who and what is out, said by the node and signed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revoked {
    /// What was revoked.
    pub notice: Notice,
    /// The node's signature over the swarm and the canonical notice.
    pub signature: Signature,
}

/// The content of a revocation notice.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Notice {
    /// The registry sequence under which it is said.
    pub registry: RegistrySequence,
    /// Agents whose tokens are void when minted before the number beside them.
    pub agents: Vec<(AgentName, PublicKey, RegistrySequence)>,
    /// Token blocks that are void.
    pub tokens: Vec<TokenFactId>,
}

impl Revoked {
    /// Signs a notice: `swarm(32) || canonical notice`.
    ///
    /// # Errors
    /// [`CanonicalError`], which no notice gives.
    pub fn sign(node: &SecretKey, swarm: &SwarmId, notice: Notice) -> Result<Self, CanonicalError> {
        let signature = node.sign(Purpose::Revoked, &[swarm.as_bytes(), &canonical::encode(&notice)?]);
        Ok(Self { notice, signature })
    }

    /// Whether `node` said so.
    #[must_use]
    pub fn is_signed_by(&self, node: &PublicKey, swarm: &SwarmId) -> bool {
        canonical::encode(&self.notice).is_ok_and(|notice| {
            node.verifies(Purpose::Revoked, &[swarm.as_bytes(), &notice], &self.signature)
        })
    }
}

/// Why a node closes a link.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The certificate has run out.
    CertificateExpired,
    /// A newer link of the same identity took over.
    Displaced,
    /// More than three displacements of one identity within a minute: somebody has a copy of it.
    DisplacedTooOften,
    /// The receiver reads too slowly.
    Lagging,
    /// The peer broke the protocol.
    Protocol,
    /// The registry revoked this agent.
    Revoked(RevocationCause),
    /// The node shuts down.
    Shutdown,
    /// The node was shown a registry sequence above its own: its disk is an old copy.
    StaleRegistry,
}

impl CloseReason {
    /// The QUIC application error code.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Shutdown => 1,
            Self::Protocol => 2,
            Self::Displaced => 3,
            Self::DisplacedTooOften => 4,
            Self::Lagging => 5,
            Self::CertificateExpired => 6,
            Self::StaleRegistry => 7,
            Self::Revoked(RevocationCause::Silent) => 16,
            Self::Revoked(RevocationCause::Operator) => 17,
            Self::Revoked(RevocationCause::Compromised) => 18,
        }
    }

    /// The reason of a QUIC application error code.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }

    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::CertificateExpired,
        Self::Displaced,
        Self::DisplacedTooOften,
        Self::Lagging,
        Self::Protocol,
        Self::Revoked(RevocationCause::Silent),
        Self::Revoked(RevocationCause::Operator),
        Self::Revoked(RevocationCause::Compromised),
        Self::Shutdown,
        Self::StaleRegistry,
    ];

    /// Whether dialling again can help.
    #[must_use]
    pub const fn may_reconnect(self) -> bool {
        match self {
            Self::Lagging | Self::Shutdown | Self::StaleRegistry => true,
            Self::CertificateExpired
            | Self::Displaced
            | Self::DisplacedTooOften
            | Self::Protocol
            | Self::Revoked(_) => false,
        }
    }

    /// The words people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CertificateExpired => "certificate expired",
            Self::Displaced => "displaced by a newer link",
            Self::DisplacedTooOften => "displaced too often",
            Self::Lagging => "reads too slowly",
            Self::Protocol => "broke the protocol",
            Self::Revoked(RevocationCause::Silent) => "revoked: silent",
            Self::Revoked(RevocationCause::Operator) => "revoked by the operator",
            Self::Revoked(RevocationCause::Compromised) => "revoked: compromised",
            Self::Shutdown => "node shuts down",
            Self::StaleRegistry => "node's registry is an old copy",
        }
    }
}

/// A frame from node to agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromNode {
    /// The session is open.
    Welcome(Welcome),
    /// Answer to a token.
    Presented(Presented),
    /// A bundle was refused.
    RefusedBundle(RefusedBundle),
    /// Messages were refused.
    RefusedMessages(Vec<RefusedMessage>),
    /// Verdicts are durable.
    Accepted(Accepted),
    /// Bundles are settled.
    Settled(Settled),
    /// Who is out.
    Revoked(Revoked),
}

/// What the node says about a delivery: unsigned, inside the link's TLS.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Annotation {
    /// Number of this delivery on this link, from one.
    pub delivery: u64,
    /// Rules of the content guard that alerted without blocking, by position among the envelopes.
    pub alerts: Vec<(u16, Vec<String>)>,
    /// Registry sequence of the verdict.
    pub registry: RegistrySequence,
    /// The node's wall clock at hand-over.
    pub time: Timestamp,
    /// Sealed tokens that the messages need and this link has not carried lately.
    pub tokens: Vec<serde_bytes::ByteBuf>,
}

fn encode<T: Serialize>(tag: u8, fields: &T) -> Result<Vec<u8>, CanonicalError> {
    canonical::encode(&(tag, fields))
}

fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], limits: &Limits) -> Result<T, CanonicalError> {
    canonical::decode::<(u8, T)>(bytes, limits).map(|(_, fields)| fields)
}

fn tag(bytes: &[u8], limits: &Limits) -> Result<u64, CanonicalError> {
    if bytes.len() > limits.control_bytes_max {
        return Err(CanonicalError::Limit);
    }
    let mut reader = Reader::new(bytes);
    if reader.array()? == 2 { reader.uint() } else { Err(CanonicalError::Unexpected) }
}

impl FromAgent {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no frame gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        match self {
            Self::Hello(fields) => encode(1, fields),
            Self::Heartbeat(fields) => encode(2, fields),
            Self::Present(fields) => encode(3, fields),
            Self::Acknowledge(fields) => encode(4, fields),
            Self::Goodbye => encode(5, &()),
        }
    }

    /// Decodes one frame.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, CanonicalError> {
        match tag(bytes, limits)? {
            1 => decode(bytes, limits).map(Self::Hello),
            2 => decode(bytes, limits).map(Self::Heartbeat),
            3 => decode(bytes, limits).map(Self::Present),
            4 => decode(bytes, limits).map(Self::Acknowledge),
            5 => decode::<()>(bytes, limits).map(|()| Self::Goodbye),
            _ => Err(CanonicalError::Unexpected),
        }
    }
}

impl FromNode {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no frame gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        match self {
            Self::Welcome(fields) => encode(16, fields),
            Self::Presented(fields) => encode(17, fields),
            Self::RefusedBundle(fields) => encode(18, fields),
            Self::RefusedMessages(fields) => encode(19, fields),
            Self::Accepted(fields) => encode(20, fields),
            Self::Settled(fields) => encode(21, fields),
            Self::Revoked(fields) => encode(22, fields),
        }
    }

    /// Decodes one frame.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, CanonicalError> {
        match tag(bytes, limits)? {
            16 => decode(bytes, limits).map(Self::Welcome),
            17 => decode(bytes, limits).map(Self::Presented),
            18 => decode(bytes, limits).map(Self::RefusedBundle),
            19 => decode(bytes, limits).map(Self::RefusedMessages),
            20 => decode(bytes, limits).map(Self::Accepted),
            21 => decode(bytes, limits).map(Self::Settled),
            22 => decode(bytes, limits).map(Self::Revoked),
            _ => Err(CanonicalError::Unexpected),
        }
    }
}

impl Annotation {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no annotation gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::encode(self)
    }

    /// Decodes one.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, CanonicalError> {
        if bytes.len() > limits.annotation_bytes_max {
            return Err(CanonicalError::Limit);
        }
        canonical::decode(bytes, limits)
    }
}

#[cfg(test)]
mod tests;

//! What nodes say on the control stream, and before a delivered bundle.

use serde::{Deserialize, Serialize};

use super::Seen;
use super::from_agent::is_zero;
use crate::canonical::{self, CanonicalError};
use crate::standing::Quota;
use crate::{
    AgentName, Digest, Limits, MessageId, PublicKey, Purpose, Refusal, RegistrySequence, Resource, SecretKey,
    SessionId, Signature, SwarmId, Timestamp, TokenFactId, TokenId, tree,
};

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
    /// The largest body, in bytes, on a lane of its own.
    pub body: u32,
    /// The number of the node's trust statement; not written while that is 0. When it is above the hello's, the
    /// statements in between come next, each in a frame of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub trust: u64,
}

/// The node's answer to the wish for a new certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Renewed {
    /// Why there is none; nil when there is.
    pub refusal: Option<Refusal>,
    /// Certificates (DER), leaf first, for the same name and key; empty when refused.
    pub chain: Vec<serde_bytes::ByteBuf>,
    /// A new token of the agent's own, unsealed; nil when the node has no authority key or gives none.
    pub token: Option<serde_bytes::ByteBuf>,
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
    /// The lane it came on.
    pub lane: u8,
    /// Its number on that lane's stream, from zero.
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
    /// The lane that the bundle came on.
    pub lane: u8,
    /// The bundle's number on that lane's stream, from zero.
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
        (lane, bundle): (u8, u64),
        record: u64,
        accepted: &[(u16, Digest)],
    ) -> Option<Self> {
        let digests: Vec<_> = accepted.iter().map(|(_, digest)| *digest).collect();
        let root = tree::root(&digests)?;
        let record_bytes = record.to_be_bytes();
        let parts: [&[u8]; 4] = [swarm.as_bytes(), session.as_bytes(), &record_bytes, root.as_bytes()];
        let positions = accepted.iter().map(|(position, _)| *position).collect();
        Some(Self { lane, bundle, record, positions, signature: node.sign(Purpose::Accepted, &parts) })
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
    /// The lane that they came on.
    pub lane: u8,
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

/// The node's answer to a subscription; also sent unasked when the right to it has gone.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Subscribed {
    /// The topic.
    pub topic: Resource,
    /// Why its messages do not come; nil when they do.
    pub refusal: Option<Refusal>,
}

/// A receiver's receipt, handed on to the sender.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Delivered {
    /// Who signed: introduced before, see [`Introduced`].
    pub receiver: AgentName,
    /// The messages that it signed for, in the order of the tree.
    pub messages: Vec<MessageId>,
    /// The receiver's signature, see [`is_received`](super::is_received).
    pub signature: Signature,
}

/// Who an agent is: the certificates that it showed the node, which the reader checks against the swarm's CAs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Introduced {
    /// The agent.
    pub name: AgentName,
    /// Its chain in DER, leaf first; empty when no such agent can be introduced.
    pub chain: Vec<serde_bytes::ByteBuf>,
}

/// Requests whose answer nobody waits for any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cancelled {
    /// Which requests.
    pub requests: Vec<MessageId>,
}

/// Copies of messages to topics that one subscriber did not get.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CopiesRefused {
    /// The subscriber.
    pub to: AgentName,
    /// Why.
    pub refusal: Refusal,
    /// How many since the last word of this kind.
    pub count: u64,
}

/// Messages whose outcome nobody can know: handed over, or being answered, when the other side's link ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// Which messages.
    pub messages: Vec<MessageId>,
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

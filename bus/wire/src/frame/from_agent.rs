//! What agents say on the control stream.

use serde::{Deserialize, Serialize};

use crate::{
    AgentName, Digest, MessageId, PublicKey, Purpose, Refusal, RegistrySequence, Resource, SecretKey,
    SessionId, Signature, SwarmId, Timestamp, tree,
};

/// First frame of a link, from the agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// Protocol version; anything but 1 closes the link.
    pub version: u8,
    /// The highest registry sequence this agent was ever welcomed under, as the node signed it.
    pub seen: Option<Seen>,
    /// The session of the open link that this one renews, under the certificate that was issued on it.
    pub renews: Option<SessionId>,
    /// The number of the trust statement that it goes by; not written while that is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub trust: u64,
}

/// Numbers of trust statements are not written in a swarm that has made none.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An agent has taken in the trust statements up to this one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trusts {
    /// Its number.
    pub number: u64,
}

/// The wish for a new certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Renew {
    /// The agent's certificate request (PKCS #10, DER) for its own name and key. Some issuers sign nothing else.
    pub csr: Option<serde_bytes::ByteBuf>,
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

/// The receiver's cumulative acknowledgement of one lane: every message of every delivery up to a number was
/// verified and taken, except those listed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Acknowledge {
    /// The lane that the deliveries came on.
    pub lane: u8,
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

/// Asks for, or gives up, the messages of one topic.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Subscription {
    /// The topic, by its exact name.
    pub topic: Resource,
}

/// The requester waits no longer: the node closes its request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cancel {
    /// The request.
    pub request: MessageId,
}

/// How far the requester has taken in an answer that comes in parts: from agent to node, and on to the replier.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Credit {
    /// The request.
    pub request: MessageId,
    /// Bytes of bodies taken in so far. The replier may be [`crate::Limits::stream_window_bytes`] ahead of it.
    pub bytes: u64,
}

/// One message as its receiver had it: lane, delivery number, position among the envelopes of that delivery.
pub type DeliveredAt = (u8, u64, u16);

/// The receiver's statement that it verified messages: the receipt *delivered*, for messages of one sender.
/// Sent before the deliveries are acknowledged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Received {
    /// The session in the messages' headers, which is their sender's.
    pub session: SessionId,
    /// Which messages, in the order of the tree.
    pub messages: Vec<DeliveredAt>,
    /// The receiver's signature.
    pub signature: Signature,
}

/// Signs the receipt *delivered* over the messages' digests: `swarm(32) || session(16) || tree root of the
/// digests(32)`; the session is the sender's. `None` without digests.
#[must_use]
pub fn sign_received(
    receiver: &SecretKey,
    swarm: &SwarmId,
    session: &SessionId,
    digests: &[Digest],
) -> Option<Signature> {
    let root = tree::root(digests)?;
    Some(receiver.sign(Purpose::Receipt, &[swarm.as_bytes(), session.as_bytes(), root.as_bytes()]))
}

/// Whether `receiver` signed the receipt *delivered* over these digests.
#[must_use]
pub fn is_received(
    signature: &Signature,
    receiver: &PublicKey,
    swarm: &SwarmId,
    session: &SessionId,
    digests: &[Digest],
) -> bool {
    tree::root(digests).is_some_and(|root| {
        let parts: [&[u8]; 3] = [swarm.as_bytes(), session.as_bytes(), root.as_bytes()];
        receiver.verifies(Purpose::Receipt, &parts, signature)
    })
}

/// Asks who an agent is: its key, proved by its certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Whois {
    /// The agent.
    pub name: AgentName,
}

//! What travels on a link besides bundles: control frames each way, and the node's annotations before a
//! delivered bundle.
//!
//! On every stream a frame is its length as u32, big-endian, and then its bytes. A control frame is the
//! canonical MessagePack array `[tag, [fields]]`. One place owns every tag; 15 is
//! reserved. Says nothing about when a frame is allowed: that is the link's state.

mod close;
mod from_agent;
mod from_node;
mod gossip;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Limits;
use crate::canonical::{self, CanonicalError, Reader};
use crate::trust::SignedStatement;

pub use close::CloseReason;
pub use from_agent::{
    Acknowledge, Cancel, Credit, DeliveredAt, Heartbeat, Hello, Present, Received, RefusedDelivery, Renew,
    Seen, Subscription, Trusts, Whois, is_received, sign_received,
};
pub use from_node::{
    Accepted, Annotation, Cancelled, CopiesRefused, Delivered, Introduced, Lost, Notice, Presented,
    RefusedBundle, RefusedMessage, Renewed, Revoked, Settled, Subscribed, Welcome,
};

pub use gossip::{
    ASKED_MAX, Ask, GossipFromAgent, GossipFromNode, LogHead, LogProof, PROOF_MAX, Prove, Shown, Sighting,
};

/// The only ALPN of a link (RFC 7301).
pub const ALPN: &[u8] = b"testudo/1";

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
    /// Wants a topic.
    Subscribe(Subscription),
    /// Wants a topic no more.
    Unsubscribe(Subscription),
    /// Waits for an answer no more.
    Cancel(Cancel),
    /// Has taken in parts of an answer.
    Credit(Credit),
    /// Signs for messages.
    Received(Received),
    /// Asks for an agent's certificate.
    Whois(Whois),
    /// The agent's host has given up on it: it is to be revoked and reported.
    Failed,
    /// Wants a new certificate for its name and key, and a new token of its own.
    Renew(Renew),
    /// Has taken in a trust statement.
    Trusts(Trusts),
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
    /// Answer to a subscription.
    Subscribed(Subscribed),
    /// Nobody waits for this agent's answer any more.
    Cancelled(Cancelled),
    /// Requesters have taken in parts of this agent's answers.
    Credited(Vec<Credit>),
    /// A receiver signed for messages.
    Delivered(Delivered),
    /// Who an agent is.
    Introduced(Introduced),
    /// Messages of unknown outcome.
    Lost(Lost),
    /// Subscribers did not get what this agent published.
    CopiesRefused(Vec<CopiesRefused>),
    /// Answer to the wish for a new certificate.
    Renewed(Renewed),
    /// What the swarm trusts from now on.
    Trust(Box<SignedStatement>),
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
            Self::Subscribe(fields) => encode(6, fields),
            Self::Unsubscribe(fields) => encode(7, fields),
            Self::Cancel(fields) => encode(8, fields),
            Self::Credit(fields) => encode(9, fields),
            Self::Received(fields) => encode(10, fields),
            Self::Whois(fields) => encode(11, fields),
            Self::Failed => encode(12, &()),
            Self::Renew(fields) => encode(13, fields),
            Self::Trusts(fields) => encode(14, fields),
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
            6 => decode(bytes, limits).map(Self::Subscribe),
            7 => decode(bytes, limits).map(Self::Unsubscribe),
            8 => decode(bytes, limits).map(Self::Cancel),
            9 => decode(bytes, limits).map(Self::Credit),
            10 => decode(bytes, limits).map(Self::Received),
            11 => decode(bytes, limits).map(Self::Whois),
            12 => decode::<()>(bytes, limits).map(|()| Self::Failed),
            13 => decode(bytes, limits).map(Self::Renew),
            14 => decode(bytes, limits).map(Self::Trusts),
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
            Self::Subscribed(fields) => encode(23, fields),
            Self::Cancelled(fields) => encode(24, fields),
            Self::Credited(fields) => encode(25, fields),
            Self::Delivered(fields) => encode(26, fields),
            Self::Introduced(fields) => encode(27, fields),
            Self::Lost(fields) => encode(28, fields),
            Self::CopiesRefused(fields) => encode(29, fields),
            Self::Renewed(fields) => encode(30, fields),
            Self::Trust(fields) => encode(31, fields),
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
            23 => decode(bytes, limits).map(Self::Subscribed),
            24 => decode(bytes, limits).map(Self::Cancelled),
            25 => decode(bytes, limits).map(Self::Credited),
            26 => decode(bytes, limits).map(Self::Delivered),
            27 => decode(bytes, limits).map(Self::Introduced),
            28 => decode(bytes, limits).map(Self::Lost),
            29 => decode(bytes, limits).map(Self::CopiesRefused),
            30 => decode(bytes, limits).map(Self::Renewed),
            31 => decode(bytes, limits).map(Self::Trust),
            _ => Err(CanonicalError::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests;

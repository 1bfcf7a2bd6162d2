//! What travels on a link's gossip stream: heads of the node's audit log, proofs that one extends another, and what
//! agents say of the heads that they were told (threat A74).
//!
//! A stream of its own, which the agent opens when it cares to: an older end of either kind never hears of it. A frame
//! is framed as on the control stream; tags go on behind those.

use serde::{Deserialize, Serialize};

use super::{decode, encode, tag};
use crate::canonical::CanonicalError;
use crate::{AgentName, Limits, LogRoot, PublicKey, Purpose, SecretKey, Signature, SwarmId, Timestamp};

/// Agents that one [`Ask`] may name, and one answer to it.
pub const ASKED_MAX: usize = 64;
/// Hashes of the longest consistency proof.
pub const PROOF_MAX: usize = 64;

/// The head of an audit log: a signed checkpoint (C2SP `tlog-checkpoint`) without what every note of one log repeats.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LogHead {
    /// The log's key.
    pub log: PublicKey,
    /// Number of records.
    pub size: u64,
    /// The root over them.
    pub root: LogRoot,
    /// The log's signature, as it stands in the note: over `testudo/<swarm>\n<size>\n<root, base64>\n`.
    pub signature: Signature,
}

/// An agent's statement of the head that its node told it last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sighting {
    /// When, by the agent's clock; rises with each.
    pub time: Timestamp,
    /// The head.
    pub head: LogHead,
    /// The agent's signature.
    pub signature: Signature,
}

impl Sighting {
    fn signed(swarm: &SwarmId, head: &LogHead, time: Timestamp) -> Vec<u8> {
        let (size, time) = (head.size.to_be_bytes(), time.as_millis().to_be_bytes());
        [swarm.as_bytes().as_slice(), head.log.as_bytes(), &size, head.root.as_bytes(), &time].concat()
    }

    /// Makes one: `swarm(32) || log key(32) || size(u64) || root(32) || time(u64)`.
    #[must_use]
    pub fn sign(agent: &SecretKey, swarm: &SwarmId, head: LogHead, time: Timestamp) -> Self {
        let signature = agent.sign(Purpose::Sighting, &[&Self::signed(swarm, &head, time)]);
        Self { time, head, signature }
    }

    /// Whether `agent` said so. Whether the log signed the head is another question.
    #[must_use]
    pub fn is_signed_by(&self, agent: &PublicKey, swarm: &SwarmId) -> bool {
        let signed = Self::signed(swarm, &self.head, self.time);
        agent.verifies(Purpose::Sighting, &[&signed], &self.signature)
    }
}

/// Asks for the latest sightings of these agents.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Which agents, [`ASKED_MAX`] at most.
    pub agents: Vec<AgentName>,
}

/// Asks for the proof that the log of one size was extended to that of another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Prove {
    /// The smaller size, at least 1.
    pub old: u64,
    /// The larger one.
    pub new: u64,
}

/// The proof that was asked for (RFC 6962, 2.1.2).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LogProof {
    /// The smaller size.
    pub old: u64,
    /// The larger one.
    pub new: u64,
    /// The root that this log has at the smaller size, and the hashes; nil when there is no proof: retention removed
    /// what it needs, or the log is shorter.
    pub shown: Option<Shown>,
}

/// What a proof consists of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shown {
    /// The root at the smaller size. Where another one was signed, the proof shows that the log has two stories.
    pub root: LogRoot,
    /// The hashes, [`PROOF_MAX`] at most.
    pub hashes: Vec<LogRoot>,
}

/// A gossip frame from agent to node.
#[expect(clippy::large_enum_variant, reason = "made, written and gone: none of them waits in a queue")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GossipFromAgent {
    /// Opens the stream: heads are wanted from now on.
    Watch,
    /// The head that it was told last.
    Sighting(Sighting),
    /// Wants others' sightings.
    Ask(Ask),
    /// Wants a proof.
    Prove(Prove),
}

/// A gossip frame from node to agent.
#[expect(clippy::large_enum_variant, reason = "made, written and gone: none of them waits in a queue")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GossipFromNode {
    /// The log's head: the same for every link until the next one.
    Head(LogHead),
    /// The latest sightings of those agents that were asked for and have made one.
    Sightings(Vec<(AgentName, Sighting)>),
    /// Answer to the wish for a proof.
    Proof(LogProof),
}

impl GossipFromAgent {
    /// No frame is longer, in bytes.
    pub const BYTES_MAX: usize = 8 * 1024;

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no frame gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        match self {
            Self::Watch => encode(32, &()),
            Self::Sighting(fields) => encode(33, fields),
            Self::Ask(fields) => encode(34, fields),
            Self::Prove(fields) => encode(35, fields),
        }
    }

    /// Decodes one frame.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, CanonicalError> {
        match tag(bytes, limits)? {
            32 => decode::<()>(bytes, limits).map(|()| Self::Watch),
            33 => decode(bytes, limits).map(Self::Sighting),
            34 => match decode::<Ask>(bytes, limits)? {
                ask if ask.agents.len() > ASKED_MAX => Err(CanonicalError::Limit),
                ask => Ok(Self::Ask(ask)),
            },
            35 => decode(bytes, limits).map(Self::Prove),
            _ => Err(CanonicalError::Unexpected),
        }
    }
}

impl GossipFromNode {
    /// No frame is longer, in bytes.
    pub const BYTES_MAX: usize = 32 * 1024;

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`CanonicalError`], which no frame gives.
    pub fn encode(&self) -> Result<Vec<u8>, CanonicalError> {
        match self {
            Self::Head(fields) => encode(40, fields),
            Self::Sightings(fields) => encode(41, fields),
            Self::Proof(fields) => encode(42, fields),
        }
    }

    /// Decodes one frame.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, CanonicalError> {
        match tag(bytes, limits)? {
            40 => decode(bytes, limits).map(Self::Head),
            41 => match decode::<Vec<_>>(bytes, limits)? {
                sightings if sightings.len() > ASKED_MAX => Err(CanonicalError::Limit),
                sightings => Ok(Self::Sightings(sightings)),
            },
            42 => match decode::<LogProof>(bytes, limits)? {
                LogProof { shown: Some(shown), .. } if shown.hashes.len() > PROOF_MAX => {
                    Err(CanonicalError::Limit)
                }
                proof => Ok(Self::Proof(proof)),
            },
            _ => Err(CanonicalError::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64) -> LogHead {
        let key = SecretKey::from_seed(&[9; 32]);
        LogHead {
            log: key.public(),
            size,
            root: LogRoot::new([7; 32]),
            signature: key.sign_bytes(b"any signature"),
        }
    }

    #[test]
    fn every_frame_reads_as_it_was_written_and_fits_its_bound() {
        let limits = Limits::standard();
        let agent = SecretKey::from_seed(&[3; 32]);
        let long = |n: usize| AgentName::parse(&format!("{n:0>63}")).unwrap();
        let (swarm, time) = (SwarmId::new([1; 32]), Timestamp::from_millis(u64::MAX >> 20));
        let sighting = Sighting::sign(&agent, &swarm, head(u64::MAX), time);
        let names: Vec<_> = (0..ASKED_MAX).map(long).collect();
        let said = [
            GossipFromAgent::Watch,
            GossipFromAgent::Sighting(sighting),
            GossipFromAgent::Ask(Ask { agents: names.clone() }),
            GossipFromAgent::Prove(Prove { old: u64::MAX - 1, new: u64::MAX }),
        ];
        for frame in said {
            let bytes = frame.encode().unwrap();
            assert!(bytes.len() <= GossipFromAgent::BYTES_MAX, "{} bytes", bytes.len());
            assert_eq!(GossipFromAgent::decode(&bytes, &limits), Ok(frame));
        }
        let shown = Shown { root: LogRoot::new([1; 32]), hashes: vec![LogRoot::new([2; 32]); PROOF_MAX] };
        let told = [
            GossipFromNode::Head(head(u64::MAX)),
            GossipFromNode::Sightings(names.into_iter().map(|name| (name, sighting)).collect()),
            GossipFromNode::Proof(LogProof { old: 1, new: u64::MAX, shown: Some(shown) }),
            GossipFromNode::Proof(LogProof { old: 1, new: 2, shown: None }),
        ];
        for frame in told {
            let bytes = frame.encode().unwrap();
            assert!(bytes.len() <= GossipFromNode::BYTES_MAX, "{} bytes", bytes.len());
            assert_eq!(GossipFromNode::decode(&bytes, &limits), Ok(frame));
        }
    }

    #[test]
    fn t_a74_what_is_longer_than_its_bound_is_no_frame() {
        let limits = Limits::standard();
        let agents = (0..=ASKED_MAX).map(|n| AgentName::parse(&format!("a{n}")).unwrap()).collect();
        let ask = GossipFromAgent::Ask(Ask { agents }).encode().unwrap();
        assert_eq!(GossipFromAgent::decode(&ask, &limits), Err(CanonicalError::Limit));
        let hashes = vec![LogRoot::new([2; 32]); PROOF_MAX + 1];
        let shown = Some(Shown { root: LogRoot::new([1; 32]), hashes });
        let proof = GossipFromNode::Proof(LogProof { old: 1, new: 2, shown }).encode().unwrap();
        assert_eq!(GossipFromNode::decode(&proof, &limits), Err(CanonicalError::Limit));
    }

    #[test]
    fn t_a74_a_sighting_is_of_one_agent_one_swarm_and_one_head() {
        let (agent, swarm) = (SecretKey::from_seed(&[3; 32]), SwarmId::new([1; 32]));
        let good = Sighting::sign(&agent, &swarm, head(5), Timestamp::from_millis(7));
        let holds = |sighting: &Sighting| sighting.is_signed_by(&agent.public(), &swarm);
        assert!(holds(&good));
        assert!(!good.is_signed_by(&SecretKey::from_seed(&[4; 32]).public(), &swarm));
        assert!(!good.is_signed_by(&agent.public(), &SwarmId::new([2; 32])));
        assert!(!holds(&Sighting { time: Timestamp::from_millis(8), ..good }));
        assert!(!holds(&Sighting { head: head(6), ..good }));
        let root = LogRoot::new([8; 32]);
        assert!(!holds(&Sighting { head: LogHead { root, ..good.head }, ..good }));
        let log = SecretKey::from_seed(&[10; 32]).public();
        assert!(!holds(&Sighting { head: LogHead { log, ..good.head }, ..good }));
    }
}

//! The stages of a node, one after the other, on a bundle as one agent sends it to another.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use testudo_rules::audit::{self, EnvelopeRecord, Event, Record, Verdicts};
use testudo_rules::inspect::{Context, Inspector};
use testudo_rules::pipeline::{
    Admitted, Authorised, Bound, Decoded, Fresh, Inspected, OpenRequests, Pair, Peer, Tokens, Verified,
};
use testudo_rules::quota::Bucket;
use testudo_rules::replay::LinkWindows;
use testudo_rules::token::{self, Meaning, Mint, SealedToken, Trust};
use testudo_wire::standing::{Quota, Standings};
use testudo_wire::{
    AgentName, Capability, ContentType, CorrelationId, Destination, Header, Holder, Limits, MessageId,
    PublicKey, ReceiptWish, RegistrySequence, Sealer, SecretKey, Sequence, SessionId, SwarmId, Timestamp,
    TokenFactId, TokenId, Ttl,
};

/// Why a bench cannot go on, in words.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// 256 bytes of JSON that no content rule minds.
const PAYLOAD: &str = concat!(
    r#"{"finding":"licence-missing","path":"services/billing/src/invoice.rs","line":214,"severity":"medium","#,
    r#""note":"No licence header here, while every other file of this folder has one. Please add it, or say why "#,
    r#"this file is the only exception.","by":"reader-3"}"#,
);

const LIMITS: Limits = Limits::standard();
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SESSION: SessionId = SessionId::new([3; 16]);
const REGISTRY: RegistrySequence = RegistrySequence(7);

/// What registry and link know: one sender, one token, and nothing is revoked.
struct World {
    holder: Holder,
    tokens: BTreeMap<TokenId, Meaning>,
}

impl Tokens for World {
    fn meaning(&self, id: &TokenId) -> Option<&Meaning> {
        self.tokens.get(id)
    }
}

impl OpenRequests for World {
    fn asked(&self, _: &MessageId, _: &AgentName, _: &AgentName) -> Option<Capability> {
        None
    }
}

impl Standings for World {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        *holder == self.holder && minted >= REGISTRY
    }
    fn is_revoked(&self, _: &TokenFactId) -> bool {
        false
    }
    fn is_delegated_only(&self, _: &AgentName) -> bool {
        false
    }
    fn is_authority(&self, _: &PublicKey) -> bool {
        true
    }
}

/// A link, and the bundle that comes on it.
pub(crate) struct Way {
    world: World,
    peer: Peer,
    inspector: Inspector,
    tails: Context<Pair>,
    bundle: Bytes,
    messages: u64,
}

impl Way {
    /// Of so many messages.
    pub(crate) fn new(messages: u64) -> Result<Self, Fault> {
        let (authority, key) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let swarm = SwarmId::of(&authority.public());
        let capability: Capability = "read:logs".parse()?;
        let holder = Holder { name: "sender".parse()?, key: key.public() };
        let mint = Mint {
            swarm,
            id: TokenFactId::new([4; 16]),
            holder,
            rights: [capability].into(),
            delegatable: [].into(),
            expires: Timestamp::from_millis(NOW.as_millis() + 60_000),
            minted: REGISTRY,
            hops: 0,
        };
        let token = mint.sign(&authority, token::Fresh::from_random([5; 32]), &LIMITS)?.seal()?;
        let (token, meaning) = SealedToken::read(token.bytes(), &Trust::of(authority.public()), &LIMITS)?;
        let header = |n: u64| -> Result<Header, Fault> {
            Ok(Header {
                swarm,
                sender: holder.name,
                key: *key.public().as_bytes(),
                destination: Destination::Agent("receiver".parse()?),
                capability: Some(capability),
                message: MessageId::new([6; 16]),
                timestamp: NOW,
                session: SESSION,
                lane: 0,
                sequence: Sequence(n),
                correlation: CorrelationId::new([8; 16]),
                in_reply_to: None,
                part: None,
                receipt: ReceiptWish::None,
                trace: None,
                token: token.id(),
                ttl: Ttl::default(),
                content_type: ContentType::json(),
            })
        };
        let mut sealer = Sealer::with_capacity(messages as usize * 600);
        for n in 1..=messages {
            sealer.push(&header(n)?, PAYLOAD.as_bytes());
        }
        Ok(Self {
            bundle: sealer.sign(&key, &LIMITS)?.bytes,
            world: World { holder, tokens: [(token.id(), meaning)].into() },
            peer: Peer { swarm, holder, session: SESSION },
            inspector: Inspector::standard(),
            tails: Context::default(),
            messages,
        })
    }

    pub(crate) fn decode(&self) -> Result<Decoded, Fault> {
        Ok(Decoded::of(self.bundle.clone(), &LIMITS).map_err(|refusal| refusal.to_string())?)
    }

    /// Sender, session and standing; quota; age.
    pub(crate) fn bind(&self, decoded: Decoded) -> Result<Fresh, Fault> {
        let mut bucket = Bucket::new(Quota::default(), Duration::ZERO);
        let bound: Bound = decoded.bind(&self.peer, 0, &self.world).map_err(|refusal| refusal.to_string())?;
        let admitted: Admitted =
            bound.admit(&mut bucket, Duration::ZERO).map_err(|refusal| refusal.to_string())?;
        Ok(admitted.fresh(NOW, None))
    }

    /// The signature, then the sequences.
    pub(crate) fn verify(&self, fresh: Fresh) -> Result<Verified, Fault> {
        let verified = fresh.verify(&self.peer, &mut LinkWindows::default());
        Ok(verified.map_err(|refusal| refusal.to_string())?)
    }

    /// The sequences alone: a part of [`Self::verify`].
    pub(crate) fn replay(&self) -> Result<LinkWindows, Fault> {
        let mut windows = LinkWindows::default();
        for n in 1..=self.messages {
            windows.record(0, Sequence(n)).map_err(|refusal| refusal.to_string())?;
        }
        Ok(windows)
    }

    pub(crate) fn authorise(&self, verified: Verified) -> Authorised {
        verified.authorise(&self.peer, &self.world, &self.world, &self.world, NOW)
    }

    pub(crate) fn inspect(&mut self, authorised: Authorised) -> Inspected {
        authorised.inspect(&self.inspector, &mut self.tails)
    }

    /// The record, up to the bytes that are written.
    pub(crate) fn record(&self, inspected: &Inspected) -> Result<Vec<u8>, Fault> {
        // Where all of a bundle goes is spelt out once, as the guard does it.
        let mut to = None;
        let envelope = |(_, envelope): (usize, &testudo_wire::Envelope)| {
            let header = envelope.header();
            EnvelopeRecord {
                message: header.message,
                digest: envelope.digest(),
                sequence: header.sequence,
                destination: to
                    .get_or_insert_with(|| EnvelopeRecord::destination_note(&header.destination))
                    .clone(),
                capability: header.capability,
                correlation: header.correlation,
                trace: None,
                verdict: audit::Verdict::allowed([], 1),
            }
        };
        let envelopes: Vec<_> = inspected.allowed().map(envelope).collect();
        // A bench of refusals would measure something else.
        if envelopes.len() as u64 != self.messages {
            return Err("the bench's own messages were refused".into());
        }
        let event = Event::Verdicts(Verdicts {
            session: SESSION,
            sender: self.peer.holder.name,
            key: self.peer.holder.key,
            lane: 0,
            root: inspected.bundle().root(),
            envelopes,
        });
        let mut frame = Vec::new();
        let at = audit::frame::begin(&mut frame);
        Record { at: NOW, registry: REGISTRY, event }.encode_to(&mut frame)?;
        audit::frame::finish(1, at, &mut frame).ok_or("a record that fits no frame")?;
        Ok(frame)
    }
}

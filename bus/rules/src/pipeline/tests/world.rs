//! A tiny swarm: three agents, what the registry says of them, their tokens and the link of one sender.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use testudo_wire::standing::{Quota, Standings};
use testudo_wire::{
    AgentName, Bundle, Capability, ContentType, CorrelationId, Destination, Envelope, Header, Holder, Limits,
    MessageId, PublicKey, ReceiptWish, RegistrySequence, Resource, SecretKey, Sequence, SessionId, SwarmId,
    Timestamp, TokenFactId, TokenId, Ttl,
};

use crate::inspect::{Context, Inspector};
use crate::pipeline::{Authorised, Decoded, Inspected, OpenRequests, Pair, Peer, Tokens, Verdict};
use crate::quota::Bucket;
use crate::replay::LinkWindows;
use crate::token::{Fresh, Meaning, Mint, SealedToken, Token, Trust};
use testudo_wire::Refusal;

pub(crate) const LIMITS: Limits = Limits::standard();
/// The clock of node and receivers, on a whole second.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
pub(crate) const SESSION: SessionId = SessionId::new([0x5e; 16]);
pub(crate) const NAMES: [&str; 3] = ["ada", "bob", "cyd"];
/// The registry's sequence at which all tokens are minted.
pub(crate) const MINTED: RegistrySequence = RegistrySequence(7);

pub(crate) static INSPECTOR: LazyLock<Inspector> = LazyLock::new(Inspector::standard);

pub(crate) fn authority() -> SecretKey {
    SecretKey::from_seed(&[0xaa; 32])
}

pub(crate) fn swarm() -> SwarmId {
    SwarmId::of(&authority().public())
}

pub(crate) fn key_of(name: &str) -> SecretKey {
    SecretKey::from_seed(&[name.as_bytes()[0]; 32])
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

pub(crate) fn holder(text: &str) -> Holder {
    Holder { name: name(text), key: key_of(text).public() }
}

pub(crate) fn capability(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

pub(crate) fn capabilities(text: &str) -> BTreeSet<Capability> {
    text.split_whitespace().map(capability).collect()
}

pub(crate) fn to(text: &str) -> Destination {
    Destination::Agent(name(text))
}

pub(crate) fn topic(text: &str) -> Destination {
    Destination::Topic(Resource::parse(text).unwrap())
}

pub(crate) fn fact(n: u8) -> TokenFactId {
    TokenFactId::new([n; 16])
}

pub(crate) fn message(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

pub(crate) fn later(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().checked_add_signed(ms).unwrap())
}

pub(crate) fn fresh_seed() -> Fresh {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0xf1; 32];
    seed[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Fresh::from_random(seed)
}

/// All of it may be handed on, twice, for a minute. The `id` is 1.
pub(crate) fn mint(to: &str, rights: &str) -> Mint {
    Mint {
        swarm: swarm(),
        id: fact(1),
        holder: holder(to),
        rights: capabilities(rights),
        delegatable: capabilities(rights),
        expires: later(60_000),
        minted: MINTED,
        hops: 2,
    }
}

pub(crate) fn signed(mint: &Mint) -> Token {
    mint.sign(&authority(), fresh_seed(), &LIMITS).unwrap()
}

/// What registry, link and table of requests would know.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) tokens: BTreeMap<TokenId, Meaning>,
    /// Request, requester, replier.
    pub(crate) open: BTreeSet<(MessageId, AgentName, AgentName)>,
    pub(crate) revoked: BTreeSet<AgentName>,
    pub(crate) revoked_ids: BTreeSet<TokenFactId>,
    pub(crate) valid_from: BTreeMap<AgentName, RegistrySequence>,
    pub(crate) delegated_only: BTreeSet<AgentName>,
    /// Authorities whose tokens count no more.
    pub(crate) retired: BTreeSet<PublicKey>,
    /// The node's own agent.
    pub(crate) resident: Option<AgentName>,
}

impl World {
    /// A world in which the token has been shown, sealed, as every link sees it.
    pub(crate) fn show(&mut self, token: &Token) -> TokenId {
        let sealed = token.seal().unwrap();
        let (sealed, meaning) =
            SealedToken::read(sealed.bytes(), &Trust::of(authority().public()), &LIMITS).unwrap();
        self.tokens.insert(sealed.id(), meaning);
        sealed.id()
    }

    pub(crate) fn with(to: &str, rights: &str) -> (Self, TokenId) {
        let mut world = Self::default();
        let token = world.show(&signed(&mint(to, rights)));
        (world, token)
    }
}

impl Tokens for World {
    fn meaning(&self, id: &TokenId) -> Option<&Meaning> {
        self.tokens.get(id)
    }
}

impl OpenRequests for World {
    fn asked(&self, request: &MessageId, requester: &AgentName, replier: &AgentName) -> Option<Capability> {
        self.open.contains(&(*request, *requester, *replier)).then(|| capability("read:logs"))
    }
}

impl Standings for World {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        holder.key == key_of(holder.name.as_str()).public()
            && !self.revoked.contains(&holder.name)
            && self.valid_from.get(&holder.name).is_none_or(|from| minted >= *from)
    }
    fn is_revoked(&self, id: &TokenFactId) -> bool {
        self.revoked_ids.contains(id)
    }
    fn is_delegated_only(&self, name: &AgentName) -> bool {
        self.delegated_only.contains(name)
    }
    fn is_authority(&self, key: &PublicKey) -> bool {
        !self.retired.contains(key)
    }
    fn resident(&self) -> Option<AgentName> {
        self.resident
    }
}

/// Ada asks Bob to `read:logs`: the sample from which tests depart.
pub(crate) fn ask(sequence: u64, token: TokenId) -> Header {
    Header {
        swarm: swarm(),
        sender: name("ada"),
        key: *key_of("ada").public().as_bytes(),
        destination: to("bob"),
        capability: Some(capability("read:logs")),
        message: message(u8::try_from(sequence % 256).unwrap()),
        timestamp: NOW,
        session: SESSION,
        lane: 0,
        sequence: Sequence(sequence),
        correlation: CorrelationId::new([5; 16]),
        in_reply_to: None,
        part: None,
        receipt: ReceiptWish::None,
        trace: None,
        token,
        ttl: Ttl::default(),
        content_type: ContentType::text(),
    }
}

/// Ada answers `request` of `requester`.
pub(crate) fn answer(sequence: u64, token: TokenId, requester: &str, request: MessageId) -> Header {
    Header {
        destination: Destination::Reply(name(requester)),
        capability: None,
        in_reply_to: Some(request),
        ..ask(sequence, token)
    }
}

/// A bundle of harmless bodies, signed by `key`.
pub(crate) fn bundle_by(key: &SecretKey, headers: &[Header]) -> Bundle {
    let envelopes =
        headers.iter().map(|header| Envelope::encode(*header, b"all quiet in the north")).collect();
    Bundle::sign(envelopes, key, &LIMITS).unwrap()
}

/// As Ada sends it.
pub(crate) fn bundle(headers: &[Header]) -> Bytes {
    bundle_by(&key_of("ada"), headers).bytes().clone()
}

/// One bundle of Ada's with these bodies, under one token.
pub(crate) fn bodies(token: TokenId, bodies: &[&[u8]]) -> Bytes {
    let envelopes =
        bodies.iter().zip(1..).map(|(body, sequence)| Envelope::encode(ask(sequence, token), body)).collect();
    Bundle::sign(envelopes, &key_of("ada"), &LIMITS).unwrap().bytes().clone()
}

/// What a node keeps of one link, and its clock.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) bucket: Bucket,
    pub(crate) windows: LinkWindows,
    pub(crate) tails: Context<Pair>,
    pub(crate) now: Timestamp,
}

impl Link {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            peer: Peer { swarm: swarm(), holder: holder(name), session: SESSION },
            bucket: Bucket::new(Quota::default(), Duration::ZERO),
            windows: LinkWindows::default(),
            tails: Context::default(),
            now: NOW,
        }
    }

    /// The whole way.
    pub(crate) fn send(&mut self, world: &World, bytes: Bytes) -> Result<Inspected, Refusal> {
        Ok(self.authorise(world, bytes)?.inspect(&INSPECTOR, &mut self.tails))
    }

    /// As far as the content.
    pub(crate) fn authorise(&mut self, world: &World, bytes: Bytes) -> Result<Authorised, Refusal> {
        Ok(Decoded::of(bytes, &LIMITS)?
            .bind(&self.peer, 0, world)?
            .admit(&mut self.bucket, Duration::ZERO)?
            .fresh(self.now, None)
            .verify(&self.peer, &mut self.windows)?
            .authorise(&self.peer, world, world, world, self.now))
    }

    /// The whole way, to the refusals by position; `None` goes on.
    pub(crate) fn outcomes(&mut self, world: &World, bytes: Bytes) -> Result<Vec<Option<Refusal>>, Refusal> {
        let refusal = |verdict: &Verdict| match verdict {
            Verdict::Allowed { .. } => None,
            Verdict::Refused { refusal, .. } => Some(*refusal),
        };
        Ok(self.send(world, bytes)?.verdicts().iter().map(refusal).collect())
    }
}

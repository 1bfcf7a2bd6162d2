//! The actor behind [`super::CapabilityDoor`]: the authority's key and the cache have one owner.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use actix::{Actor, Context, Handler, Message};
use testudo_rules::token::{BuildError, Fresh, Meaning, Mint, SealedToken, Token, TokenError, Trust};
use testudo_wire::{Limits, SecretKey, TokenId};

use super::counts::Counts;

/// Meanings kept; the oldest goes first.
const CACHE: usize = 4096;

type Read = (SealedToken, Arc<Meaning>);

pub(super) struct Capability {
    authority: Option<SecretKey>,
    trust: Trust,
    limits: Limits,
    cache: HashMap<TokenId, Read>,
    order: VecDeque<TokenId>,
    counts: Counts,
}

impl Capability {
    pub(super) fn new(authority: Option<SecretKey>, trust: Trust, counts: Counts) -> Self {
        let limits = Limits::standard();
        Self { authority, trust, limits, cache: HashMap::new(), order: VecDeque::new(), counts }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Read, TokenError> {
        if bytes.len() <= self.limits.token_bytes_max
            && let Some(read) = self.cache.get(&TokenId::of(bytes))
        {
            self.counts.hit();
            return Ok(read.clone());
        }
        self.counts.miss();
        let (token, meaning) = SealedToken::read(bytes, &self.trust, &self.limits)?;
        if self.order.len() >= CACHE
            && let Some(oldest) = self.order.pop_front()
        {
            self.cache.remove(&oldest);
        }
        let read = (token, Arc::new(meaning));
        self.order.push_back(read.0.id());
        self.cache.insert(read.0.id(), read.clone());
        self.counts.kept(self.cache.len());
        Ok(read)
    }
}

impl Actor for Capability {
    type Context = Context<Self>;
}

/// What does this token mean?
pub(super) struct ReadToken(pub(super) Vec<u8>, pub(super) tokio::sync::OwnedSemaphorePermit);

impl Message for ReadToken {
    type Result = Result<Read, TokenError>;
}

impl Handler<ReadToken> for Capability {
    type Result = Result<Read, TokenError>;
    fn handle(&mut self, ReadToken(bytes, _permit): ReadToken, _: &mut Context<Self>) -> Self::Result {
        self.read(&bytes)
    }
}

/// Make a token.
pub(super) struct MintToken(pub(super) Mint, pub(super) Fresh, pub(super) tokio::sync::OwnedSemaphorePermit);

impl Message for MintToken {
    type Result = Option<Result<Token, BuildError>>;
}

impl Handler<MintToken> for Capability {
    type Result = Option<Result<Token, BuildError>>;
    fn handle(&mut self, MintToken(mint, fresh, _permit): MintToken, _: &mut Context<Self>) -> Self::Result {
        self.authority.as_ref().map(|authority| mint.sign(authority, fresh, &self.limits))
    }
}

/// Go by these authority keys.
pub(super) struct Go(pub(super) Trust, pub(super) tokio::sync::OwnedSemaphorePermit);

impl Message for Go {
    type Result = ();
}

impl Handler<Go> for Capability {
    type Result = ();
    fn handle(&mut self, Go(trust, _permit): Go, _: &mut Context<Self>) {
        self.cache.retain(|_, (_, meaning)| meaning.is_by(&trust));
        self.order.retain(|id| self.cache.contains_key(id));
        self.counts.kept(self.cache.len());
        self.trust = trust;
    }
}

/// Mint under this key.
pub(super) struct MintUnder(pub(super) Option<SecretKey>, pub(super) tokio::sync::OwnedSemaphorePermit);

impl Message for MintUnder {
    type Result = ();
}

impl Handler<MintUnder> for Capability {
    type Result = ();
    fn handle(&mut self, MintUnder(authority, _permit): MintUnder, _: &mut Context<Self>) {
        self.authority = authority;
    }
}

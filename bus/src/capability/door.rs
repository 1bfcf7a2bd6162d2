//! The typed handle of the capability actor. A permit travels in every message: actix's mailbox is no bound.

use std::sync::Arc;

use actix::{Actor, Addr};
use prometheus_client::registry::Registry;
use testudo_rules::token::{BuildError, Fresh, Meaning, Mint, SealedToken, Token, TokenError, Trust};
use testudo_wire::SecretKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::actor::{Capability, Go, MintToken, MintUnder, ReadToken};
use super::counts::Counts;

/// Messages in the mailbox at once; each costs at most eight signature checks.
const PERMITS: usize = 64;

/// Why the capability actor has no token or meaning to give.
#[derive(Debug, thiserror::Error)]
pub enum CapabilityError {
    /// The token is not acceptable.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// This node has no authority key.
    #[error("this node does not hold the authority key; mint where it is kept")]
    NoAuthority,
    /// The actor is gone: the node is going down.
    #[error("the node is shutting down")]
    Gone,
}

/// Asks the capability actor.
#[derive(Clone)]
pub struct CapabilityDoor {
    actor: Addr<Capability>,
    permits: Arc<Semaphore>,
    counts: Counts,
}

impl std::fmt::Debug for CapabilityDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CapabilityDoor")
    }
}

impl CapabilityDoor {
    /// Starts the actor on the current arbiter. Without the authority's key it only reads.
    #[must_use]
    pub fn start(authority: Option<SecretKey>, trust: Trust) -> Self {
        let counts = Counts::default();
        let actor = Capability::new(authority, trust, counts.clone()).start();
        Self { actor, permits: Arc::new(Semaphore::new(PERMITS)), counts }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, CapabilityError> {
        self.permits.clone().acquire_owned().await.map_err(|_| CapabilityError::Gone)
    }

    /// What a sealed token means.
    ///
    /// # Errors
    /// [`CapabilityError::Token`] or [`CapabilityError::Gone`].
    pub async fn read(&self, bytes: Vec<u8>) -> Result<(SealedToken, Arc<Meaning>), CapabilityError> {
        let permit = self.permit().await?;
        let read = self.actor.send(ReadToken(bytes, permit)).await.map_err(|_| CapabilityError::Gone)?;
        Ok(read?)
    }

    /// Makes a token; what it may hold is the caller's to decide.
    ///
    /// # Errors
    /// [`CapabilityError`].
    pub async fn mint(&self, mint: Mint, fresh: Fresh) -> Result<Token, CapabilityError> {
        let permit = self.permit().await?;
        let minted = self.actor.send(MintToken(mint, fresh, permit)).await;
        Ok(minted.map_err(|_| CapabilityError::Gone)?.ok_or(CapabilityError::NoAuthority)??)
    }

    /// Goes by these authority keys from now on.
    ///
    /// # Errors
    /// [`CapabilityError::Gone`].
    pub async fn trust(&self, trust: Trust) -> Result<(), CapabilityError> {
        let permit = self.permit().await?;
        self.actor.send(Go(trust, permit)).await.map_err(|_| CapabilityError::Gone)
    }

    /// Mints under this key from now on.
    ///
    /// # Errors
    /// [`CapabilityError::Gone`].
    pub async fn mint_under(&self, authority: Option<SecretKey>) -> Result<(), CapabilityError> {
        let permit = self.permit().await?;
        self.actor.send(MintUnder(authority, permit)).await.map_err(|_| CapabilityError::Gone)
    }

    /// Adds how its cache does to a page of metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.counts.register(registry);
    }

    /// Whether the actor lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.actor.connected()
    }
}

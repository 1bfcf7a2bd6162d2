//! One link as the node holds it: who it is, what it may still do, and the ways to it.
//!
//! What belongs to the link (windows, bucket, tokens) dies with it; a guard that panics over it poisons it,
//! and the link is closed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quinn::Connection;
use testudo_registry::{LinkClose, LinkControl};
use testudo_rules::pipeline::{Peer, Tokens};
use testudo_rules::quota::Bucket;
use testudo_rules::replay::LinkWindows;
use testudo_rules::token::{Meaning, SealedToken};
use testudo_wire::frame::{CloseReason, FromNode};
use testudo_wire::{Refusal, Timestamp, TokenId};
use tokio::sync::mpsc;

use super::floods::Floods;
use super::outbox::Outbox;
use super::settle::Settling;

/// Tokens that one link may hold at once.
const TOKENS_MAX: usize = 32;

/// A token that this link presented.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) sealed: Bytes,
    pub(crate) meaning: Arc<Meaning>,
}

/// The tokens of one link.
#[derive(Debug, Default)]
pub(crate) struct HeldTokens(HashMap<TokenId, Held>);

impl HeldTokens {
    /// Keeps a token; those that have run out make room.
    pub(crate) fn keep(
        &mut self,
        token: &SealedToken,
        meaning: Arc<Meaning>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.0.len() >= TOKENS_MAX {
            self.0.retain(|_, held| held.meaning.alive(now).is_ok());
        }
        if self.0.len() >= TOKENS_MAX && !self.0.contains_key(&token.id()) {
            return Err(Refusal::Overloaded);
        }
        self.0.insert(token.id(), Held { sealed: Bytes::copy_from_slice(token.bytes()), meaning });
        Ok(())
    }

    pub(crate) fn get(&self, id: &TokenId) -> Option<&Held> {
        self.0.get(id)
    }
}

impl Tokens for HeldTokens {
    fn meaning(&self, id: &TokenId) -> Option<&Meaning> {
        self.0.get(id).map(|held| held.meaning.as_ref())
    }
}

/// What the guard changes while it judges this link's bundles.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) windows: LinkWindows,
    pub(crate) bucket: Bucket,
    pub(crate) tokens: HeldTokens,
}

/// One open link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) remote: SocketAddr,
    pub(crate) connection: Connection,
    pub(crate) judging: Mutex<Judging>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) settling: Arc<Settling>,
    pub(crate) floods: Floods,
    control: mpsc::Sender<FromNode>,
}

impl Link {
    pub(crate) fn new(
        peer: Peer,
        connection: Connection,
        bucket: Bucket,
        control: mpsc::Sender<FromNode>,
    ) -> Self {
        let judging = Judging { windows: LinkWindows::default(), bucket, tokens: HeldTokens::default() };
        Self {
            peer,
            remote: connection.remote_address(),
            connection,
            judging: Mutex::new(judging),
            outbox: Arc::default(),
            settling: Arc::default(),
            floods: Floods::default(),
            control,
        }
    }

    /// Queues a control frame. A peer that does not read its control stream loses its link.
    pub(crate) fn tell(&self, frame: FromNode) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.control.try_send(frame) {
            self.close(CloseReason::Lagging);
        }
    }

    /// Closes the link at once.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.connection.close(reason.code().into(), reason.as_str().as_bytes());
    }
}

/// What the registry may do to a link before and after it is open.
pub(crate) struct Door(pub(crate) Connection);

impl LinkControl for Door {
    fn close(&self, reason: LinkClose) {
        let reason = match reason {
            LinkClose::Displaced => CloseReason::Displaced,
            LinkClose::DisplacedTooOften => CloseReason::DisplacedTooOften,
            LinkClose::Lagging => CloseReason::Lagging,
            LinkClose::Revoked(cause) => CloseReason::Revoked(cause),
            LinkClose::Shutdown => CloseReason::Shutdown,
        };
        self.0.close(reason.code().into(), reason.as_str().as_bytes());
    }
}

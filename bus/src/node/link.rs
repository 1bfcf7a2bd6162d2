//! One link as the node holds it: who it is, what it may still do, and the ways to it.
//!
//! What belongs to the link (windows, bucket, tokens) dies with it; a guard that panics over it poisons it,
//! and the link is closed.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use testudo_registry::{LinkClose, LinkControl};
use testudo_rules::pipeline::{Peer, Tokens};
use testudo_rules::quota::Bucket;
use testudo_rules::replay::LinkWindows;
use testudo_rules::token::{Meaning, SealedToken, Trust};
use testudo_wire::frame::{CloseReason, Delivered, FromNode, Introduced, RefusedMessage};
use testudo_wire::header::LANES;
use testudo_wire::{Holder, MessageId, PublicKey, Resource, Timestamp, TokenId};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::allowance::Both;
use super::floods::Floods;
use super::line::Line;
use super::news::News;
use super::outboxes::Outboxes;
use super::settle::Settling;
use crate::roots::Rooted;

/// Tokens that one link may hold at once.
const TOKENS_MAX: usize = 32;

/// Agents introduced before they are introduced again; whoever reads it keeps at least twice as many.
const INTRODUCED_MAX: usize = 512;

/// A token that this link presented.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) sealed: Bytes,
    pub(crate) meaning: Arc<Meaning>,
}

/// The tokens of one link.
#[derive(Debug, Default)]
pub(crate) struct HeldTokens {
    held: HashMap<TokenId, Held>,
    /// The first one shown on this link, which is the agent's own.
    own: Option<TokenId>,
    /// The others, longest unshown first.
    order: VecDeque<TokenId>,
}

impl HeldTokens {
    /// Keeps a token. Beyond the bound the longest unshown goes, the first one never: an agent that acts for many
    /// takes tokens from any of them, and none may keep those of the others out.
    pub(crate) fn keep(&mut self, token: &SealedToken, meaning: Arc<Meaning>) {
        let id = token.id();
        self.held.insert(id, Held { sealed: Bytes::copy_from_slice(token.bytes()), meaning });
        self.order.retain(|kept| *kept != id);
        if *self.own.get_or_insert(id) == id {
            return;
        }
        if self.order.len() >= TOKENS_MAX - 1
            && let Some(oldest) = self.order.pop_front()
        {
            self.held.remove(&oldest);
        }
        self.order.push_back(id);
    }

    /// What the link that this one renews was shown; the first one shown here is the agent's own all the same.
    pub(crate) fn inherit(&mut self, older: &Self) {
        self.held.extend(older.held.iter().map(|(id, held)| (*id, held.clone())));
        // Its own goes last: it is the newest of them, and the agent may still have messages under it.
        let others = older.order.iter().chain(&older.own).filter(|id| self.own != Some(**id));
        self.order = others.copied().collect();
        while self.order.len() >= TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.held.remove(&oldest);
        }
    }

    /// Only tokens of these authorities stay; how many went.
    fn retain(&mut self, trust: &Trust) -> usize {
        let before = self.held.len();
        self.held.retain(|_, held| held.meaning.is_by(trust));
        self.order.retain(|id| self.held.contains_key(id));
        before - self.held.len()
    }

    /// Whether something that is still of use was minted under another key than this: the agent's own token, unless a
    /// newer one has taken its place, or one that others handed on to it.
    fn depends_on_other(&self, newest: &PublicKey, now: Timestamp) -> bool {
        let is_other = |held: &Held| held.meaning.authority() != Some(newest);
        self.held.iter().any(|(id, held)| {
            let is_used = self.own == Some(*id) || held.meaning.chain().nth(1).is_some();
            is_used && is_other(held) && held.meaning.alive(now).is_ok()
        })
    }

    pub(crate) fn get(&self, id: &TokenId) -> Option<&Held> {
        self.held.get(id)
    }
}

impl Tokens for HeldTokens {
    fn meaning(&self, id: &TokenId) -> Option<&Meaning> {
        self.held.get(id).map(|held| held.meaning.as_ref())
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
    pub(crate) outboxes: Outboxes,
    /// Bytes of deliveries that its transport has taken, on all lanes.
    pub(crate) taken: AtomicU64,
    /// How far the node is done with what came, by lane.
    pub(crate) settling: [Arc<Settling>; LANES],
    pub(crate) floods: Floods,
    pub(crate) news: News,
    /// Topics that this link has subscribed to.
    topics: Mutex<BTreeSet<Resource>>,
    /// Room, in KiB, for bodies on lanes of their own that are not settled.
    pub(crate) reserve: Arc<Semaphore>,
    introduced: Mutex<HashSet<Holder>>,
    /// Boxed: a channel begins with room for 32 of them, which an idle link would keep.
    control: mpsc::Sender<Box<FromNode>>,
    /// There is news, or a lane has moved.
    pub(crate) stirred: Arc<Notify>,
    /// Where it stands among the links that renewed one another.
    pub(crate) line: Line,
    /// The number of the trust statement that the agent goes by.
    trusts: AtomicU64,
}

impl Link {
    pub(crate) fn new(
        peer: Peer,
        connection: Connection,
        bucket: Bucket,
        control: mpsc::Sender<Box<FromNode>>,
        (window, body_bytes_max): (u32, usize),
        (reserve_kib, allowances): (usize, Both),
        line: Line,
    ) -> Self {
        let judging = Judging { windows: LinkWindows::default(), bucket, tokens: HeldTokens::default() };
        let stirred = Arc::new(Notify::new());
        Self {
            peer,
            remote: connection.remote_address(),
            connection,
            judging: Mutex::new(judging),
            outboxes: Outboxes::new(window, body_bytes_max, allowances),
            taken: AtomicU64::new(0),
            settling: std::array::from_fn(|_| Arc::new(Settling::new(stirred.clone()))),
            floods: Floods::default(),
            news: News::new(stirred.clone()),
            topics: Mutex::default(),
            reserve: Arc::new(Semaphore::new(reserve_kib)),
            introduced: Mutex::default(),
            control,
            stirred,
            line,
            trusts: AtomicU64::new(0),
        }
    }

    /// The number of the trust statement that the agent goes by.
    pub(crate) fn trusts(&self) -> u64 {
        self.trusts.load(Ordering::Acquire)
    }

    /// The agent goes by this trust statement, at least.
    pub(crate) fn heard(&self, number: u64) {
        self.trusts.fetch_max(number, Ordering::AcqRel);
    }

    /// Tokens of authorities that are trusted no more go.
    pub(crate) fn forget_tokens(&self, rooted: &Rooted) {
        // A poisoned link passes nothing any more.
        let Ok(mut judging) = self.judging.lock() else { return };
        let gone = judging.tokens.retain(&rooted.tokens);
        if gone > 0 {
            tracing::warn!(agent = %self.peer.holder.name, gone, "tokens of a retired authority are void");
        }
    }

    /// Whether the agent lives by a token of another authority than this.
    pub(crate) fn depends_on_other_authority(&self, newest: &PublicKey, now: Timestamp) -> bool {
        self.judging.lock().is_ok_and(|judging| judging.tokens.depends_on_other(newest, now))
    }

    /// Whether the two are the same link, or one renewed the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.line.first == other.line.first
    }

    /// The link that this one goes on as: itself, unless it was renewed.
    pub(crate) fn present(&self) -> &Self {
        let mut link = self;
        while let Some(newer) = link.line.newer.get() {
            link = newer;
        }
        link
    }

    /// Topics that it has subscribed to.
    pub(crate) fn topics(&self) -> MutexGuard<'_, BTreeSet<Resource>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a control frame. A peer that does not read its control stream loses its link.
    pub(crate) fn tell(&self, frame: FromNode) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.control.try_send(Box::new(frame)) {
            self.close(CloseReason::Lagging);
        }
    }

    /// Nobody waits any more for what this agent was asked.
    pub(crate) fn cancelled(&self, request: MessageId) {
        let link = self.present();
        if !link.news.cancelled(request) {
            link.close(CloseReason::Lagging);
        }
    }

    /// Messages of this agent, or answers that it waits for, came to nothing.
    pub(crate) fn refused(&self, messages: impl IntoIterator<Item = RefusedMessage>) {
        let link = self.present();
        if !link.news.refused(messages) {
            link.close(CloseReason::Lagging);
        }
    }

    /// A receiver signed for messages of this agent, which hears who that is, once.
    pub(crate) fn signed(&self, receiver: &Self, receipt: Delivered) {
        let link = self.present();
        let mut introduced = link.introduced.lock().unwrap_or_else(PoisonError::into_inner);
        if introduced.len() >= INTRODUCED_MAX {
            introduced.clear();
        }
        let introduction = introduced.insert(receiver.peer.holder).then(|| receiver.introduction());
        // Under the lock: nobody's receipt may overtake the introduction.
        if !link.news.receipts(introduction.into_iter().chain([FromNode::Delivered(receipt)])) {
            link.close(CloseReason::Lagging);
        }
    }

    /// Nobody can know what became of these messages of this agent.
    pub(crate) fn lost(&self, messages: impl IntoIterator<Item = MessageId>) {
        let link = self.present();
        if !link.news.lost(messages) {
            link.close(CloseReason::Lagging);
        }
    }

    /// The certificates of the handshake, leaf first.
    fn chain(&self) -> Vec<serde_bytes::ByteBuf> {
        let chain = self.connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.map_or_else(Vec::new, |chain| {
            chain.iter().map(|certificate| serde_bytes::ByteBuf::from(certificate.to_vec())).collect()
        })
    }

    /// Who is at the other end, with the proof.
    pub(crate) fn introduction(&self) -> FromNode {
        FromNode::Introduced(Introduced { name: self.peer.holder.name, chain: self.chain() })
    }

    /// Closes the link at once.
    pub(crate) fn close(&self, reason: CloseReason) {
        close(&self.connection, reason);
    }
}

/// Closes a connection at once.
pub(crate) fn close(connection: &Connection, reason: CloseReason) {
    connection.close(reason.code().into(), reason.as_str().as_bytes());
}

/// Held by a task of a link: when that panics, the link ends. Its queue would wait for ever for another writer.
pub(crate) struct Bound(pub(crate) Arc<Link>);

impl Drop for Bound {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(agent = %self.0.peer.holder.name, "a task of a link panicked; the link ends");
            self.0.close(CloseReason::Protocol);
        }
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
        close(&self.0, reason);
    }
}

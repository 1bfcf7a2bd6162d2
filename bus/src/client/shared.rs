//! What the tasks of one link and its callers have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quinn::Connection;
use testudo_wire::frame::{CloseReason, FromAgent, Welcome};
use testudo_wire::header::LANES;
use testudo_wire::{Limits, MessageId, PublicKey, SessionId, TokenId};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::answering::Answers;
use super::board::Board;
use super::dice::Dice;
use super::identity::ClientIdentity;
use super::known::{Known, ReadTokens};
use super::outgoing::Pace;
use super::waiting::Waiting;
use crate::env::SharedEnv;

/// Bodies that a node may allow on the lanes; what it says beyond is not believed.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Large bodies that wait for the handler.
const LARGE_HANDLED: usize = 4;

/// One link.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) identity: Arc<ClientIdentity>,
    pub(super) key: PublicKey,
    pub(super) env: SharedEnv,
    pub(super) limits: Limits,
    /// The limits of lanes 1 to 4; `None` when this node has none.
    pub(super) lanes: Option<Limits>,
    pub(super) connection: Connection,
    pub(super) node: PublicKey,
    pub(super) address: SocketAddr,
    pub(super) welcome: Welcome,
    pub(super) token: TokenId,
    pub(super) control: mpsc::Sender<FromAgent>,
    pub(super) board: Board,
    pub(super) dice: Dice,
    pub(super) settled: Notify,
    pub(super) pace: Pace,
    /// Room for large bodies before the handler.
    pub(super) large: Arc<Semaphore>,
    queued: AtomicUsize,
    waiting: Mutex<Waiting>,
    answers: Mutex<Answers>,
    /// By lane, as the node introduces them.
    tokens: [Mutex<ReadTokens>; LANES],
    known: RwLock<Known>,
}

/// What a link begins with.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) identity: Arc<ClientIdentity>,
    pub(super) env: SharedEnv,
    pub(super) connection: Connection,
    pub(super) node: PublicKey,
    pub(super) address: SocketAddr,
    pub(super) welcome: Welcome,
    pub(super) token: TokenId,
    pub(super) control: mpsc::Sender<FromAgent>,
}

impl Shared {
    /// A link on which nothing has happened.
    pub(super) fn new(begun: Begun) -> Self {
        let Begun { identity, env, connection, node, address, welcome, token, control } = begun;
        let limits = Limits::standard();
        let body = (welcome.body as usize).min(BODY_MAX);
        Self {
            key: identity.key.public(),
            identity,
            env,
            limits,
            lanes: (body > limits.body_bytes_max).then(|| Limits::of_lanes(body)),
            connection,
            node,
            address,
            pace: Pace::new(welcome.quota),
            welcome,
            token,
            control,
            board: Board::default(),
            dice: Dice::default(),
            settled: Notify::new(),
            large: Arc::new(Semaphore::new(LARGE_HANDLED)),
            queued: AtomicUsize::new(0),
            waiting: Mutex::default(),
            answers: Mutex::default(),
            tokens: std::array::from_fn(|_| Mutex::default()),
            known: RwLock::default(),
        }
    }

    // A panic while a lock is held leaves whole entries behind, never half ones: going on is safe. Locks are
    // taken in the order tokens, known, waiting, answers.
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tokens(&self, lane: u8) -> MutexGuard<'_, ReadTokens> {
        // A lane that is none reads like the data stream: its messages are refused for what they say.
        let tokens = self.tokens.get(usize::from(lane)).unwrap_or(&self.tokens[0]);
        tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// This link's session.
    pub(super) const fn session(&self) -> SessionId {
        self.welcome.seen.session
    }

    /// The largest body that this node takes.
    pub(super) fn body_max(&self) -> usize {
        self.lanes.map_or(self.limits.body_bytes_max, |limits| limits.body_bytes_max)
    }

    /// The peer broke the protocol.
    pub(super) fn fail(&self, what: &'static str) {
        tracing::warn!(what, "closing the link");
        self.connection.close(CloseReason::Protocol.code().into(), what.as_bytes());
    }

    /// The link has ended: all who wait hear it.
    pub(super) fn end(&self) {
        self.waiting().end();
        self.answers().end();
        self.settled.notify_waiters();
    }

    /// So many bundles of a lane are settled.
    pub(super) fn settled(&self, lane: u8, bundles: u64) {
        let cancels = self.waiting().bundles.settled(lane, bundles);
        cancels.into_iter().for_each(|request| self.board.cancel(request));
        self.settled.notify_waiters();
    }

    /// Waits until a bundle of so many bytes fits the window of lane 0 beyond what is unsettled.
    pub(super) async fn room(&self, bytes: usize) {
        let window = self.welcome.window as usize;
        self.until(|waiting| {
            let unsettled = waiting.bundles.unsettled(0);
            unsettled == 0 || unsettled + bytes <= window
        })
        .await;
    }

    /// Waits until everything on a lane is settled.
    pub(super) async fn all_settled(&self, lane: u8) {
        self.until(|waiting| waiting.bundles.unsettled(lane) == 0).await;
    }

    async fn until(&self, is_met: impl Fn(&Waiting) -> bool) {
        loop {
            let settled = self.settled.notified();
            if is_met(&self.waiting()) {
                return;
            }
            settled.await;
        }
    }

    /// Nobody waits for the answer to this request any more.
    pub(super) fn abandon(&self, request: &MessageId) {
        if self.waiting().abandon(request) {
            self.board.cancel(*request);
        }
    }

    /// One more message is queued.
    pub(super) fn queue(&self) {
        self.queued.fetch_add(1, Ordering::AcqRel);
    }

    /// So many have been entered into a bundle, or dropped.
    pub(super) fn unqueue(&self, messages: usize) {
        self.queued.fetch_sub(messages, Ordering::AcqRel);
    }

    /// Whether nothing is queued and nothing unsettled.
    pub(super) fn is_idle(&self) -> bool {
        self.queued.load(Ordering::Acquire) == 0 && self.waiting().bundles.unsettled_all() == 0
    }
}

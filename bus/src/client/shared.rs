//! What the tasks of one link and its callers have in common.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use quinn::Connection;
use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_wire::frame::{CloseReason, FromAgent, Trusts, Welcome};
use testudo_wire::header::LANES;
use testudo_wire::trust::SignedStatement;
use testudo_wire::{Limits, PublicKey, SessionId, Timestamp, TokenId};
use tokio::sync::{Semaphore, mpsc};

use super::alike;
use super::desk::Desk;
use super::dice::Dice;
use super::identity::ClientIdentity;
use super::incoming::Handed;
use super::known::ReadTokens;
use super::line::{Line, Number};
use super::outgoing::{Pace, Queued};
use super::turn::Turn;
use crate::env::SharedEnv;
use crate::tls::{self, Role};

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
    pub(super) dice: Dice,
    pub(super) pace: Arc<Pace>,
    /// Room for large bodies before the handler.
    pub(super) large: Arc<Semaphore>,
    /// What it has in common with the links that it renewed, and that renew it.
    pub(super) line: Arc<Line>,
    pub(super) number: Number,
    pub(super) turn: Turn,
    pub(super) due: Due,
    /// What the link that renews it is to go on with.
    pub(super) again: Again,
    desk: Mutex<Desk>,
    _link: alike::Link,
    /// By lane, as the node introduces them.
    tokens: [Mutex<ReadTokens>; LANES],
}

/// When a link is to be renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) latest: Timestamp,
    /// Any part of it before that.
    pub(super) spread: Duration,
}

/// Ways that end with the last link of a line, and so are not held here.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) large: Weak<tokio::sync::Mutex<mpsc::Receiver<Queued>>>,
    pub(super) inbox: mpsc::WeakSender<Handed>,
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
    /// The line and its number in it; `None` for a link that renews nothing.
    pub(super) renews: Option<(Number, Arc<Shared>)>,
    pub(super) due: Due,
    pub(super) again: Again,
}

impl Shared {
    /// A link on which nothing has happened.
    pub(super) fn new(begun: Begun) -> Self {
        let Begun { identity, env, connection, node, address, welcome, token, control, renews, .. } = begun;
        let limits = Limits::standard();
        let body = (welcome.body as usize).min(BODY_MAX);
        let quota = welcome.quota;
        let (number, line, pace) = match &renews {
            // The node goes on counting where it was: so must the pace.
            Some((number, older)) => (*number, older.line.clone(), older.pace.clone().under(quota)),
            None => (0, Arc::new(Line::new(welcome.seen.session)), Arc::new(Pace::new(quota))),
        };
        Self {
            key: identity.key.public(),
            identity,
            env,
            limits,
            lanes: (body > limits.body_bytes_max).then(|| Limits::of_lanes(body)),
            connection,
            node,
            address,
            pace,
            welcome,
            token,
            control,
            dice: Dice::default(),
            large: Arc::new(Semaphore::new(LARGE_HANDLED)),
            line,
            number,
            turn: Turn::default(),
            due: begun.due,
            again: begun.again,
            desk: Mutex::default(),
            _link: alike::Link::new(),
            tokens: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(super) fn tokens(&self, lane: u8) -> MutexGuard<'_, ReadTokens> {
        // A lane that is none reads like the data stream: its messages are refused for what they say.
        let tokens = self.tokens.get(usize::from(lane)).unwrap_or(&self.tokens[0]);
        tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a trust statement: tokens that were read under an authority which it names no more are void, and the
    /// node hears that it is known here. One that does not count ends the link.
    pub(super) fn learn(&self, signed: &SignedStatement) {
        match self.identity.learn(signed) {
            Ok(number) => {
                let trust = self.identity.tokens();
                (0_u8..).take(LANES).for_each(|lane| self.tokens(lane).retain(&trust));
                self.line.known_mut().go_by(&trust);
                let (control, word) = (self.control.clone(), FromAgent::Trusts(Trusts { number }));
                if let Err(mpsc::error::TrySendError::Full(word)) = control.try_send(word) {
                    tokio::spawn(async move { control.send(word).await });
                }
            }
            Err(error) => {
                tracing::error!(%error, number = signed.statement.number, "the node shows a trust statement that does not count");
                self.fail("a trust statement that does not count");
            }
        }
    }

    /// Whether the certificate that the node showed on this link is by a CA that counts.
    pub(super) fn is_node_trusted(&self) -> bool {
        let chain = self.connection.peer_identity();
        let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.env.now().as_secs()));
        chain.as_deref().and_then(|chain| chain.split_first()).is_some_and(|(leaf, between)| {
            tls::check(Role::Node, &self.identity.tls(), leaf, between, now).is_ok()
        })
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The link has ended: all who wait for it hear it.
    pub(super) fn end(&self) {
        self.desk().end();
        self.line.link_ended(self.number);
    }

    /// So many bundles of a lane are settled.
    pub(super) fn settled(&self, lane: u8, bundles: u64) {
        let cancels = self.line.waiting().bundles.settled(self.number, lane, bundles);
        cancels.into_iter().for_each(|request| self.line.board.cancel(request));
        self.line.settled.notify_waiters();
    }

    /// Waits until a bundle of so many bytes fits the window of lane 0 beyond what is unsettled.
    pub(super) async fn room(&self, bytes: usize) {
        let window = self.welcome.window as usize;
        self.line
            .until(|waiting| {
                let unsettled = waiting.bundles.unsettled(self.number, 0);
                unsettled == 0 || unsettled + bytes <= window
            })
            .await;
    }

    /// Waits until everything on a lane is settled.
    pub(super) async fn all_settled(&self, lane: u8) {
        self.line.until(|waiting| waiting.bundles.unsettled(self.number, lane) == 0).await;
    }
}

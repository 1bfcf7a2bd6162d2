//! The agent's half of a link: connects, signs, sends, verifies what comes, and tells every caller what
//! became of its message.
//!
//! One [`Client`] is one link. When the link ends, whatever is open ends as [`SendError::Unknown`]; nothing
//! is ever sent again by itself. Knows nothing of actors.

mod control;
mod dial;
mod identity;
mod incoming;
mod known;
mod outgoing;
mod waiting;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use testudo_rules::token::SealedToken;
use testudo_wire::frame::{CloseReason, FromAgent, Present, Seen, Welcome};
use testudo_wire::header::TraceParent;
use testudo_wire::{
    AgentName, Capability, ContentType, CorrelationId, Destination, Limits, MessageId, PublicKey,
    ReceiptWish, Refusal, SessionId, TokenId, Ttl,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

pub use dial::{DIAL_TIME, DialError, OpenLink, deliveries, dial, explain};
pub use identity::{ClientIdentity, Memory};
pub use incoming::Delivery;
pub use waiting::Receipt;

use crate::env::{SharedEnv, random};
use known::{Known, ReadTokens};
use outgoing::{Draft, Queued};
use waiting::{Waiter, Waiting};

/// Messages that wait for the signer.
const QUEUE: usize = 1024;
/// Verified messages that wait for the handler.
const HANDLER_QUEUE: usize = 256;
/// Control frames that wait for their stream.
const CONTROL_QUEUE: usize = 256;
/// Beyond its time to live a request waits this long for the node's word on it.
const GRACE: Duration = Duration::from_secs(2);

/// Why a message did not arrive, or why nobody can say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The node or the receiver refused it, by name.
    #[error("refused: {refusal}{}; {}", listed(.rules), .refusal.advice())]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The content guard's rules, if it was the content.
        rules: Vec<String>,
    },
    /// No answer came within the time to live.
    #[error("no answer within {0} ms; the request may have been handled all the same")]
    NoAnswer(u32),
    /// The link ended first: the message may have arrived or not, and is not sent again.
    #[error("unknown: the link ended before the outcome was known")]
    Unknown,
    /// The body is larger than the wire allows.
    #[error("a body of {0} bytes is larger than {1}; send less, or split it")]
    TooLarge(usize, usize),
}

fn listed(rules: &[String]) -> String {
    if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) }
}

/// What to send. Everything but receiver, capability and body has a sensible default.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Receiver.
    pub to: AgentName,
    /// What is asked of it.
    pub capability: Capability,
    /// Media type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Bytes,
    /// How long it may wait.
    pub ttl: Ttl,
    /// The piece of work it belongs to; a new one when `None`.
    pub correlation: Option<CorrelationId>,
    /// Trace context to carry on.
    pub trace: Option<TraceParent>,
    /// The presented token to send under; the identity's own when `None`.
    pub token: Option<TokenId>,
}

impl Outgoing {
    /// A message with the defaults: JSON, 30 s to live, the identity's own token.
    #[must_use]
    pub fn new(to: AgentName, capability: Capability, body: impl Into<Bytes>) -> Self {
        Self {
            to,
            capability,
            content_type: ContentType::json(),
            body: body.into(),
            ttl: Ttl::default(),
            correlation: None,
            trace: None,
            token: None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    identity: Arc<ClientIdentity>,
    key: PublicKey,
    env: SharedEnv,
    limits: Limits,
    connection: Connection,
    node: PublicKey,
    address: SocketAddr,
    welcome: Welcome,
    token: TokenId,
    control: mpsc::Sender<FromAgent>,
    settled: Notify,
    waiting: Mutex<Waiting>,
    tokens: Mutex<ReadTokens>,
    known: RwLock<Known>,
}

impl Shared {
    // A panic while a lock is held leaves whole entries behind, never half ones: going on is safe.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, ReadTokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer broke the protocol.
    fn fail(&self, what: &'static str) {
        tracing::warn!(what, "closing the link");
        self.connection.close(CloseReason::Protocol.code().into(), what.as_bytes());
    }

    /// Waits until a bundle of so many bytes fits the window beyond what is unsettled.
    async fn room(&self, bytes: usize) {
        let window = self.welcome.window as usize;
        loop {
            let settled = self.settled.notified();
            let unsettled = self.waiting().unsettled();
            if unsettled == 0 || unsettled + bytes <= window {
                return;
            }
            settled.await;
        }
    }
}

/// One agent's link to its node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
}

/// Verified messages for this agent, in the order of arrival.
#[derive(Debug)]
pub struct Deliveries {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Delivery>,
}

impl Deliveries {
    /// The next message; `None` when the link has ended. What a revocation overtook in the queue is
    /// dropped here, before anything of it has begun.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.queue.recv().await?;
            match delivery.token().standing(&*self.shared.known()) {
                Ok(()) => return Some(delivery),
                Err(refusal) => tracing::info!(%refusal, "dropped before it began"),
            }
        }
    }
}

impl Client {
    /// Dials a node, says hello, shows the identity's token.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect(
        endpoint: &Endpoint,
        node: SocketAddr,
        identity: Arc<ClientIdentity>,
        seen: Option<Seen>,
        env: SharedEnv,
    ) -> Result<(Self, Deliveries), DialError> {
        let link = dial(endpoint, node, &identity, seen, env.clone()).await?;
        let token =
            identity.token.seal().map_err(|_| DialError::Protocol("the identity's token is unusable"))?;
        let (client, deliveries) = Self::start(link, node, identity, &token, env).await?;
        let shown = timeout(DIAL_TIME, client.present(&token)).await;
        match shown.map_err(|_| DialError::Protocol("no word on the token"))? {
            Ok(_) => Ok((client, deliveries)),
            Err(SendError::Refused { refusal: Refusal::Revoked, .. }) => Err(DialError::Revoked),
            Err(SendError::Refused { .. }) => Err(DialError::Protocol("the identity's token is refused")),
            Err(_) => Err(explain(&client.shared.connection.closed().await, node)),
        }
    }

    /// Starts the tasks of an open link.
    async fn start(
        link: OpenLink,
        address: SocketAddr,
        identity: Arc<ClientIdentity>,
        token: &SealedToken,
        env: SharedEnv,
    ) -> Result<(Self, Deliveries), DialError> {
        let OpenLink { connection, node, welcome, control, answers, data } = link;
        let (frames, frames_out) = mpsc::channel(CONTROL_QUEUE);
        let (queue, queued) = mpsc::channel(QUEUE);
        let (handler, handled) = mpsc::channel(HANDLER_QUEUE);
        // The windows begin before anything can arrive.
        identity.memory.with(env.now(), |_| ());
        let shared = Arc::new(Shared {
            key: identity.key.public(),
            identity,
            env,
            limits: Limits::standard(),
            connection: connection.clone(),
            node,
            address,
            welcome,
            token: token.id(),
            control: frames,
            settled: Notify::new(),
            waiting: Mutex::default(),
            tokens: Mutex::default(),
            known: RwLock::default(),
        });
        let stream = timeout(DIAL_TIME, deliveries(&connection, address))
            .await
            .map_err(|_| DialError::Protocol("no delivery stream"))??;
        tokio::spawn(control::write(shared.clone(), frames_out, control));
        tokio::spawn(control::read(shared.clone(), answers));
        tokio::spawn(outgoing::run(shared.clone(), queued, data));
        tokio::spawn(incoming::run(shared.clone(), stream, handler));
        let ending = shared.clone();
        tokio::spawn(async move {
            ending.connection.closed().await;
            ending.waiting().end();
            ending.settled.notify_waiters();
        });
        Ok((Self { shared: shared.clone(), queue }, Deliveries { shared, queue: handled }))
    }

    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> &ClientIdentity {
        &self.shared.identity
    }

    /// The session of this link.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.shared.welcome.seen.session
    }

    /// The node's statement to show at the next hello.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.welcome.seen
    }

    /// Shows the node a token, so that messages can be sent under it.
    ///
    /// # Errors
    /// [`SendError`] with the node's refusal.
    pub async fn present(&self, token: &SealedToken) -> Result<TokenId, SendError> {
        let (answer, word) = oneshot::channel();
        self.shared.waiting().present(token.id(), answer);
        let frame = FromAgent::Present(Present { token: token.bytes().to_vec() });
        self.shared.control.send(frame).await.map_err(|_| SendError::Unknown)?;
        word.await.map_err(|_| SendError::Unknown)?.map(|()| token.id())
    }

    /// Sends a message and waits until its verdict is durable on the node's audit log.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn tell(&self, message: Outgoing) -> Result<Receipt, SendError> {
        let (answer, word) = oneshot::channel();
        self.enqueue(message, ReceiptWish::Accepted, |_| Waiter::Receipt(answer)).await?;
        word.await.map_err(|_| SendError::Unknown)?
    }

    /// Sends a message and waits for nothing but room in the queue. Refusals are counted, see
    /// [`Client::refused`].
    ///
    /// # Errors
    /// [`SendError`] when it cannot even be queued.
    pub async fn post(&self, message: Outgoing) -> Result<MessageId, SendError> {
        self.enqueue(message, ReceiptWish::None, |_| Waiter::Nothing).await
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn request(&self, message: Outgoing) -> Result<Delivery, SendError> {
        let (answer, word) = oneshot::channel();
        let (to, ttl) = (message.to, message.ttl);
        let request = self.enqueue(message, ReceiptWish::Reply, |_| Waiter::Reply(to, answer)).await?;
        match timeout(ttl.duration() + GRACE, word).await {
            Ok(word) => word.map_err(|_| SendError::Unknown)?,
            Err(_) => {
                self.shared.waiting().abandon(&request);
                Err(SendError::NoAnswer(ttl.as_millis()))
            }
        }
    }

    /// Answers a request; waits for nothing but room in the queue. A refusal of the answer is counted.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reply(
        &self,
        to: &Delivery,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let body = self.checked(body.into())?;
        let draft = Draft {
            destination: Destination::Reply(to.sender().name),
            capability: None,
            message: MessageId::new(random(&*self.shared.env)),
            correlation: to.correlation(),
            in_reply_to: Some(to.message()),
            part: None,
            receipt: ReceiptWish::None,
            trace: to.header().trace,
            token: self.shared.token,
            ttl: to.header().ttl,
            content_type,
            body,
        };
        self.push(Queued { draft, waiter: Waiter::Nothing }).await
    }

    /// Messages refused so far, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<Refusal, u64> {
        self.shared.waiting().refused().clone()
    }

    /// Bytes sent that the node is not done with.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.shared.waiting().unsettled()
    }

    /// Waits until the node is done with everything that was sent.
    pub async fn flush(&self) {
        while self.queue.capacity() < self.queue.max_capacity() || self.unsettled() > 0 {
            if self.shared.connection.close_reason().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the link's end and says why it ended.
    pub async fn closed(&self) -> DialError {
        explain(&self.shared.connection.closed().await, self.shared.address)
    }

    /// Leaves in good order: the node hears goodbye and closes the link, within two seconds.
    pub async fn goodbye(&self) {
        if self.shared.control.send(FromAgent::Goodbye).await.is_ok() {
            let _ = timeout(GRACE, self.shared.connection.closed()).await;
        }
        self.shared.connection.close(0_u32.into(), b"goodbye");
    }

    fn checked(&self, body: Bytes) -> Result<Bytes, SendError> {
        let max = self.shared.limits.body_bytes_max;
        if body.len() > max { Err(SendError::TooLarge(body.len(), max)) } else { Ok(body) }
    }

    async fn enqueue(
        &self,
        message: Outgoing,
        receipt: ReceiptWish,
        waiter: impl FnOnce(MessageId) -> Waiter,
    ) -> Result<MessageId, SendError> {
        let body = self.checked(message.body)?;
        // One draw for both: each is a call to the system.
        let mut drawn = [[0; 16]; 2];
        self.shared.env.fill(drawn.as_flattened_mut());
        let [id, correlation] = drawn;
        let id = MessageId::new(id);
        let draft = Draft {
            destination: Destination::Agent(message.to),
            capability: Some(message.capability),
            message: id,
            correlation: message.correlation.unwrap_or_else(|| CorrelationId::new(correlation)),
            in_reply_to: None,
            part: None,
            receipt,
            trace: message.trace,
            token: message.token.unwrap_or(self.shared.token),
            ttl: message.ttl,
            content_type: message.content_type,
            body,
        };
        self.push(Queued { draft, waiter: waiter(id) }).await.map(|()| id)
    }

    async fn push(&self, queued: Queued) -> Result<(), SendError> {
        self.queue.send(queued).await.map_err(|_| SendError::Unknown)
    }
}

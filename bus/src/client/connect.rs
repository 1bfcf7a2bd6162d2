//! From an open link to a running client: its tasks, and the identity's token shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quinn::{Connection, Endpoint, SendStream};
use testudo_wire::frame::{CloseReason, FromAgent, Present, Seen};
use testudo_wire::{Refusal, Timestamp, TokenId};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::asking::ask;
use super::incoming::Inbox;
use super::lanes::Queue;
use super::outgoing::Baton;
use super::shared::{Again, Begun, Due, Shared};
use super::{
    Client, ClientIdentity, DIAL_TIME, Deliveries, DialError, OpenLink, SendError, control, deliveries, dial,
    explain, gossip, incoming, lanes, outgoing,
};
use crate::env::{SharedEnv, until};

/// Messages that wait for the signer.
const QUEUE: usize = 1024;
/// Large messages that wait for a lane.
const LARGE_QUEUE: usize = 4;
/// Verified messages that wait for the handler.
const HANDLER_QUEUE: usize = 256;
/// Control frames that wait for their stream.
const CONTROL_QUEUE: usize = 256;

/// Where both certificates of a link end at once, the agent hears from the node that its own did.
const COURTESY: Duration = Duration::from_millis(500);

/// Closes a link whose opening failed or was given up: its tasks would keep it.
struct Unfinished(Option<Connection>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(0_u32.into(), b"not opened");
        }
    }
}

/// What feeds a link and is fed by it, whichever link of its line that is.
pub(super) struct Ways {
    pub(super) baton: oneshot::Receiver<Baton>,
    pub(super) large: Queue,
    pub(super) inbox: Inbox,
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
        let (queue, queued) = mpsc::channel(QUEUE);
        let (large, large_queued) = mpsc::channel(LARGE_QUEUE);
        let (handler, handled) = mpsc::channel(HANDLER_QUEUE);
        let (give, baton) = oneshot::channel();
        let _ = give.send(Baton { queue: queued, waiting: Vec::new() });
        let ways = Ways { baton, large: Arc::new(Mutex::new(large_queued)), inbox: Inbox(handler) };
        let shared = open(link, node, identity, env, ways, None).await?;
        let line = shared.line.clone();
        let present = Arc::new(ArcSwap::new(shared));
        Ok((Self { present, queue, large }, Deliveries { line, queue: handled }))
    }
}

/// Starts a link and shows the identity's token on it.
pub(super) async fn open(
    link: OpenLink,
    address: SocketAddr,
    identity: Arc<ClientIdentity>,
    env: SharedEnv,
    ways: Ways,
    renews: Option<Arc<Shared>>,
) -> Result<Arc<Shared>, DialError> {
    let unfinished = Unfinished(Some(link.connection.clone()));
    let token = identity.token.seal().map_err(|_| DialError::Protocol("the identity's token is unusable"))?;
    let is_renewal = renews.is_some();
    let shared = start(link, address, identity, token.id(), env, ways, renews).await?;
    let word = shared.desk().present(token.id());
    let frame = FromAgent::Present(Present { token: token.bytes().to_vec() });
    let shown = timeout(DIAL_TIME, ask(&shared, frame, word)).await;
    match shown.map_err(|_| DialError::Unreachable(address))? {
        Ok(()) => {
            unfinished.finish();
            Ok(shared)
        }
        // Its grant changed since the token was given. Everything else of the link that it renews goes on, and it asks
        // for another token on this one.
        Err(SendError::Refused { refusal: Refusal::Revoked, .. }) if is_renewal => {
            unfinished.finish();
            Ok(shared)
        }
        Err(SendError::Refused { refusal: Refusal::Revoked, .. }) => Err(DialError::Revoked),
        Err(SendError::Refused { refusal, .. }) => Err(DialError::Token(refusal)),
        Err(_) => {
            let ended = shared.connection.closed().await;
            let alarm = shared.identity.memory.log().alarm();
            Err(alarm.map_or_else(|| explain(&ended, address), |alarm| DialError::SplitView(Arc::new(alarm))))
        }
    }
}

/// Starts the tasks of an open link.
async fn start(
    link: OpenLink,
    address: SocketAddr,
    identity: Arc<ClientIdentity>,
    token: TokenId,
    env: SharedEnv,
    ways: Ways,
    renews: Option<Arc<Shared>>,
) -> Result<Arc<Shared>, DialError> {
    let OpenLink { connection, node, node_until, node_due, welcome, control, answers, data } = link;
    let Ways { baton, large, inbox } = ways;
    let (frames, frames_out) = mpsc::channel(CONTROL_QUEUE);
    // The windows begin before anything can arrive.
    identity.memory.with(env.now(), |_| ());
    let renews = match renews {
        Some(older) => {
            let number = older.line.waiting().succeed();
            let ended = || DialError::Link("the link that this one renews has ended".into());
            Some((number.ok_or_else(ended)?, older))
        }
        None => None,
    };
    let older = renews.as_ref().map(|(_, older)| older.clone());
    let leaf = identity.leaf(env.now()).map_err(|error| DialError::Link(error.to_string()))?;
    // An hour of a day: a swarm that was started as one does not renew as one.
    let due = Due { latest: leaf.due().min(node_due), spread: leaf.third() / 8 };
    let begun = Begun {
        identity,
        env,
        connection: connection.clone(),
        node,
        address,
        welcome,
        token,
        control: frames,
        renews,
        due,
        again: Again { large: Arc::downgrade(&large), inbox: inbox.0.downgrade() },
    };
    let shared = Arc::new(Shared::new(begun));
    tokio::spawn(end(shared.clone(), node_until));
    let stream = timeout(DIAL_TIME, deliveries(&connection, address))
        .await
        .map_err(|_| DialError::Unreachable(address))??;
    tokio::spawn(control::write(shared.clone(), frames_out, control));
    tokio::spawn(control::read(shared.clone(), answers));
    tokio::spawn(gossip::run(shared.clone()));
    tokio::spawn(send(shared.clone(), baton, data));
    tokio::spawn(incoming::run(shared.clone(), stream, inbox.clone(), older));
    if let Some(limits) = shared.lanes {
        for lane in lanes::numbers() {
            tokio::spawn(lanes::send(shared.clone(), limits, large.clone(), lane));
        }
        tokio::spawn(lanes::accept(shared.clone(), limits, inbox));
    }
    Ok(shared)
}

/// Sends on lane 0 from when the link before has handed over, until this one does.
async fn send(shared: Arc<Shared>, baton: oneshot::Receiver<Baton>, data: SendStream) {
    let (busy, (give, next)) = (shared.turn.busy(), oneshot::channel());
    shared.turn.baton(next);
    if let Ok(baton) = baton.await {
        let baton = outgoing::run(shared, baton, data).await;
        // Nobody takes it when the link has ended: whoever waits for something in it hears that.
        let _ = give.send(baton);
    }
    drop(busy);
}

/// Ends a link: with its connection, or with the certificate of its node, whichever is first (threat A12).
async fn end(shared: Arc<Shared>, node_until: Timestamp) {
    tokio::select! {
        _ = shared.connection.closed() => {}
        () = until(&*shared.env, node_until.after(COURTESY)) => {
            tracing::warn!("the node's certificate has run out on this link");
            let reason = CloseReason::CertificateExpired;
            shared.connection.close(reason.code().into(), reason.as_str().as_bytes());
        }
    }
    drop(shared.turn.take_baton());
    shared.end();
}

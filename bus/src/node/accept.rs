//! One link's life at the node: greeted, welcomed, open, gone. Whatever ends it, a fault of the node's own
//! included, it leaves no route behind, and everything of it is accounted for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use quinn::{Incoming, SendStream};
use testudo_registry::Login;
use testudo_rules::audit::{Cause, LinkChange, Note};
use testudo_rules::pipeline::Peer;
use testudo_wire::frame::{CloseReason, FromNode, Seen, Welcome};
use testudo_wire::{RegistrySequence, SessionId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout};

use super::control::{self, LAST_WORDS, Left};
use super::greet::{Greeted, HELLO_TIME, Refused, broken, greet, login};
use super::line::{self, Line};
use super::link::Link;
use super::shared::Shared;
use super::{Listener, gossip, intake, lanes, notices, subscriptions, telling, trust};
use crate::ending;
use crate::env::{random, until};
use crate::stream::{FrameReader, write_frame};

/// Control frames queued for one agent.
const CONTROL_QUEUE: usize = 1024;
/// What is said of a link on which a part of the node panicked.
const FAULT: &str = "the node failed on this link";

/// Serves one incoming connection to its end.
pub(super) async fn serve(listener: Arc<Listener>, incoming: Incoming, place: OwnedSemaphorePermit) {
    let remote = incoming.remote_address();
    let Some(handshake) = listener.doors.enter(remote.ip()).await else { return incoming.refuse() };
    drop(place);
    let welcomed = welcome(&listener, incoming).await;
    drop(handshake);
    match welcomed {
        // A task of its own, which has no room for what opening takes.
        Ok(open) => drop(tokio::spawn(run(listener, open))),
        Err(refused) => {
            let shared = &listener.shared;
            let reason = match refused {
                Refused::Handshake(reason) | Refused::Registry(reason) => reason,
                Refused::Hello(reason) => reason.to_owned(),
                Refused::Stale(seen) => {
                    listener.is_stale.send_replace(Some(seen));
                    // What this registry forgot may be a revocation: nobody is served any more.
                    shared.close_all(CloseReason::StaleRegistry);
                    format!("the agent has seen registry sequence {seen}, which is ahead of ours")
                }
            };
            shared.note_turned_away(remote, &reason);
        }
    }
}

/// A link that has been welcomed.
struct Open {
    link: Arc<Link>,
    frames: mpsc::Receiver<Box<FromNode>>,
    control: SendStream,
    requests: FrameReader,
    not_after: Timestamp,
}

async fn welcome(listener: &Listener, incoming: Incoming) -> Result<Open, Refused> {
    let shared = &listener.shared;
    let greeted = greet(listener, incoming).await?;
    let session = SessionId::new(random(&*shared.env));
    let renews = greeted.renews.as_ref().map(|older| older.peer.session);
    let login_of =
        Login { holder: greeted.holder, session, remote: greeted.connection.remote_address(), renews };
    let registry = login(shared, &greeted.connection, login_of).await?;
    let (connection, holder) = (greeted.connection.clone(), greeted.holder);
    let renewed = greeted.renews.clone();
    let opened = AssertUnwindSafe(open(shared, greeted, session, registry)).catch_unwind().await;
    opened.unwrap_or(Err(FAULT)).map_err(|what| {
        shared.registry.link_lost(holder.name, session);
        // The registry counts the newer one by now: heartbeats of the older one would no longer be heard, and its
        // agent revoked as silent. It comes back by itself.
        if let Some(older) = renewed {
            older.close(CloseReason::Lagging);
        }
        broken(&connection, what)
    })
}

/// Welcomes an agent that is logged in. What goes wrong is said in the error; the registry still counts the link.
async fn open(
    shared: &Arc<Shared>,
    greeted: Greeted,
    session: SessionId,
    registry: RegistrySequence,
) -> Result<Open, &'static str> {
    let Greeted { connection, holder, not_after, mut control, requests, renews, trust: heard } = greeted;
    let standing = shared.directory().load().agent(&holder.name).map(|standing| standing.grant.quota);
    let quota = standing.unwrap_or_default();
    let seen = Seen::sign(&shared.key, &shared.swarm, &holder.key, session, registry, shared.env.now());
    let heartbeat_ms = u32::try_from(shared.heartbeat.as_millis()).unwrap_or(u32::MAX);
    let body = u32::try_from(shared.large_limits.body_bytes_max).unwrap_or(u32::MAX);
    let rooted = shared.roots.load().clone();
    let (window, trust) = (shared.window, rooted.trust.number());
    let welcome = FromNode::Welcome(Welcome { seen, heartbeat_ms, window, quota, body, trust });
    let missing = rooted.after(heard).iter().map(|signed| FromNode::Trust(Box::new(signed.clone())));
    let words: Result<Vec<_>, _> =
        std::iter::once(welcome).chain(missing).map(|word| word.encode()).collect();
    let words = words.map_err(|_| "no welcome")?;
    let written = timeout(HELLO_TIME, async {
        for word in words {
            write_frame(&mut control, word).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err("the control stream broke"),
        Err(_) => return Err("it does not read its welcome"),
    }
    let (tell, frames) = mpsc::channel(CONTROL_QUEUE);
    let peer = Peer { swarm: shared.swarm, holder, session };
    let bucket = shared.bucket(&holder.name, quota);
    let line = renews.as_ref().map_or_else(|| Line::new(session), |older| Line::renewing(older));
    let link = Arc::new(Link::new(
        peer,
        connection.clone(),
        bucket,
        tell,
        (window, shared.large_limits.body_bytes_max),
        (shared.reserve_kib, shared.allowances.of(holder.name, Instant::now())),
        line,
    ));
    // Whoever is not welcomed under it before it opens its data stream has closed the link.
    link.heard(trust);
    // The agent has been told so: if it cannot be, there is no link.
    if renews.is_some_and(|older| !line::succeed(shared, &older, &link, quota)) {
        return Err("the link that it renews has ended");
    }
    Ok(Open { link, frames, control, requests, not_after })
}

/// An open link, until it ends; then everything of it is accounted for.
async fn run(listener: Arc<Listener>, open: Open) {
    let Open { link, frames, control, requests, not_after } = open;
    let shared = &listener.shared;
    shared.metrics.link_opened();
    shared.note_link(&link, LinkChange::Opened);
    shared.opened(&link);
    if listener.is_stale.borrow().is_some() {
        // It was let in while that was found out.
        link.close(CloseReason::StaleRegistry);
    }
    let writing = tokio::spawn(telling::write(link.clone(), frames, control));
    for notice in notices::all(shared) {
        link.tell(notice);
    }
    if !link.line.is_renewal() && link.trusts() < shared.roots.number() {
        // What was issued meanwhile it could not check: it comes back, and hears of it first.
        link.close(CloseReason::Lagging);
    }
    install(shared, &link);
    let small = link.outboxes.small().clone();
    tokio::spawn(gossip::serve(shared.clone(), link.clone()));
    let delivering = tokio::spawn(lanes::deliver(shared.clone(), link.clone(), 0, small));
    // A fault of ours must not leave a link that nobody reads.
    let left = AssertUnwindSafe(left(&listener, &link, requests, not_after)).catch_unwind().await;
    let left = left.unwrap_or(Left::Broken(FAULT));
    if matches!(left, Left::Goodbye) {
        let goodbye = shared.registry.goodbye(link.peer.holder.name, link.peer.session);
        let _ = timeout(LAST_WORDS, goodbye).await;
    }
    if matches!(left, Left::Failed)
        && let Err(error) = shared.registry.fail(link.peer.holder.name, link.present().peer.session).await
    {
        tracing::error!(%error, "an agent that failed was not revoked");
    }
    // Before a close of ours takes the place of what the agent said.
    let said = link.connection.close_reason();
    left.close(&link);
    let reason = match said {
        Some(said) => said,
        None => link.connection.closed().await,
    };
    gossip::left(&link, &reason);
    retire(shared, &link, &left, &ending::reason(&reason));
    let _ = delivering.await;
    shared.bury(&link.outboxes.close(), Cause::LinkLost);
    shared.ended(&link);
    let _ = writing.await;
}

/// How a link ends.
async fn left(
    listener: &Arc<Listener>,
    link: &Arc<Link>,
    requests: FrameReader,
    not_after: Timestamp,
) -> Left {
    let shared = &listener.shared;
    tokio::select! {
        left = control::read(shared.clone(), link.clone(), requests) => left,
        left = intake::run(listener, link) => left,
        // Not a moment longer than its certificate says (threat A12).
        () = until(&*shared.env, not_after) => {
            link.close(CloseReason::CertificateExpired);
            Left::Lost
        }
        () = trust::follow(shared, link) => {
            link.close(CloseReason::CaRetired);
            Left::Lost
        }
        () = line::drained(link, shared.large_limits.body_bytes_max) => Left::Renewed,
    }
}

/// Puts the link on the table of routes, unless it is closed already: a newer link of the same agent may have
/// taken its place there.
fn install(shared: &Shared, link: &Arc<Link>) {
    let mut routes = shared.routes_mut();
    if link.connection.close_reason().is_none() {
        routes.insert(link.peer.holder.name, link.clone());
    }
}

/// Takes the link off the tables.
fn retire(shared: &Shared, link: &Arc<Link>, left: &Left, reason: &str) {
    let name = link.peer.holder.name;
    let mut routes = shared.routes_mut();
    if routes.get(&name).is_some_and(|current| Arc::ptr_eq(current, link)) {
        routes.remove(&name);
    }
    drop(routes);
    link.line.has_read();
    subscriptions::end(shared, link);
    // First what became of the messages: a request that was never handed over is not unknown.
    shared.bury(&link.outboxes.close(), Cause::LinkLost);
    if !link.line.is_over() {
        shared.requests.link_ended(link);
        shared.keep_bucket(link);
    } else if link.present().connection.close_reason().is_some() {
        shared.requests.forget_given_up(link);
    }
    shared.allowances.link_ended(&name, Instant::now());
    shared.registry.link_lost(name, link.peer.session);
    shared.metrics.link_closed();
    let reason = match left {
        Left::Goodbye | Left::Broken(_) | Left::Failed | Left::Renewed => left.reason(),
        Left::Lost => reason,
    };
    shared.note_rest(link);
    shared.note_link(link, LinkChange::Closed { reason: Note::new(reason) });
}

//! One link's life at the node: handshake, hello, welcome, open, gone.
//!
//! Nothing of ours is parsed before mutual TLS is done and the registry has said yes (threat A08); before the
//! hello is verified any other frame closes the link.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use quinn::{Connection, Incoming, RecvStream, SendStream};
use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_registry::{LinkRequest, Login, LoginError, VerbError};
use testudo_rules::audit::{Cause, LinkChange, Note};
use testudo_rules::pipeline::Peer;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Hello, Seen, Welcome};
use testudo_wire::header::LANES;
use testudo_wire::{Holder, Refusal, RegistrySequence, SessionId, SpiffeId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::control::{self, LAST_WORDS, Left};
use super::line::{self, Line};
use super::link::{Door, Link};
use super::shared::Shared;
use super::{Listener, lanes, notices, subscriptions, trust};
use crate::ending;
use crate::env::{random, until};
use crate::stream::{FrameError, FrameReader, write_frame};
use crate::tls::{self, Role};

/// From the first datagram to the hello.
const HELLO_TIME: Duration = Duration::from_secs(3);
/// Control frames queued for one agent.
const CONTROL_QUEUE: usize = 1024;

/// Why a connection became no link.
enum Refused {
    /// The handshake failed: TLS has told the peer.
    Handshake(String),
    /// Welcome was not reached.
    Hello(&'static str),
    /// The registry said no.
    Registry(String),
    /// The agent has seen a registry that is ahead of ours.
    Stale(RegistrySequence),
}

/// What a hello says.
struct Said {
    control: SendStream,
    requests: FrameReader,
    seen: Option<Seen>,
    renews: Option<SessionId>,
    trust: u64,
}

/// Serves one incoming connection to its end.
pub(super) async fn serve(listener: Arc<Listener>, incoming: Incoming, place: OwnedSemaphorePermit) {
    let remote = incoming.remote_address();
    let Some(handshake) = listener.doors.enter(remote.ip()).await else { return incoming.refuse() };
    drop(place);
    let welcomed = welcome(&listener, incoming).await;
    drop(handshake);
    match welcomed {
        Ok(open) => run(&listener, open).await,
        Err(refused) => {
            let shared = &listener.shared;
            let reason = match refused {
                Refused::Handshake(reason) | Refused::Registry(reason) => reason,
                Refused::Hello(reason) => reason.to_owned(),
                Refused::Stale(seen) => {
                    listener.is_stale.send_replace(Some(seen));
                    // What this registry forgot may be a revocation: nobody is served any more.
                    for link in shared.routes().values() {
                        link.close(CloseReason::StaleRegistry);
                    }
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
    frames: mpsc::Receiver<FromNode>,
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
    open(shared, greeted, session, registry).await
}

/// A peer that is who it says and has said hello.
struct Greeted {
    connection: Connection,
    holder: Holder,
    not_after: Timestamp,
    control: SendStream,
    requests: FrameReader,
    /// The link that this one renews.
    renews: Option<Arc<Link>>,
    /// The trust statement that the agent goes by.
    trust: u64,
}

/// Handshake and hello, both within one time.
async fn greet(listener: &Listener, incoming: Incoming) -> Result<Greeted, Refused> {
    let deadline = Instant::now() + HELLO_TIME;
    let connecting = incoming.accept().map_err(|error| Refused::Handshake(ending::reason(&error)))?;
    let connection = timeout_at(deadline, connecting)
        .await
        .map_err(|_| Refused::Handshake("too slow".into()))?
        .map_err(|error| Refused::Handshake(ending::reason(&error)))?;
    let (holder, certificate, not_after) = identity(listener, &connection)?;
    let hello = timeout_at(deadline, hello(&listener.shared, &connection)).await;
    let hello = hello.unwrap_or(Err("no hello in time"));
    let Said { control, requests, seen, renews, trust } = hello.map_err(|what| broken(&connection, what))?;
    check_seen(&listener.shared, &connection, &holder, seen)?;
    let renews =
        match renews.map(|session| line::renewed_by(&listener.shared, &holder, &certificate, session)) {
            Some(None) => return Err(broken(&connection, "it renews no link that is open")),
            Some(older) => older,
            None => None,
        };
    Ok(Greeted { connection, holder, not_after, control, requests, renews, trust })
}

fn broken(connection: &Connection, what: &'static str) -> Refused {
    connection.close(CloseReason::Protocol.code().into(), what.as_bytes());
    Refused::Hello(what)
}

/// Name and key of the certificate that the handshake verified.
fn identity(
    listener: &Listener,
    connection: &Connection,
) -> Result<(Holder, CertificateDer<'static>, Timestamp), Refused> {
    let none = || Refused::Handshake("no certificate".into());
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or_else(none)?;
    let (certificate, intermediates) = chain.split_first().ok_or_else(none)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(listener.shared.env.now().as_secs()));
    let leaf = tls::check(Role::Agent, &listener.shared.roots.load().tls, certificate, intermediates, now)
        .map_err(|error| Refused::Handshake(error.to_string()))?;
    match leaf.id {
        SpiffeId::Agent(_, name) => Ok((Holder { name, key: leaf.key }, certificate.clone(), leaf.not_after)),
        SpiffeId::Node(..) => Err(none()),
    }
}

async fn hello(shared: &Shared, connection: &Connection) -> Result<Said, &'static str> {
    let (control, requests): (SendStream, RecvStream) =
        connection.accept_bi().await.map_err(|_| "no control stream")?;
    let _ = control.set_priority(1);
    let mut requests = FrameReader::new(requests, shared.limits.control_bytes_max);
    let Ok(Some(frame)) = requests.next().await else { return Err("no hello") };
    match FromAgent::decode(&frame, &shared.limits) {
        Ok(FromAgent::Hello(Hello { version: 1, seen, renews, trust })) => {
            Ok(Said { control, requests, seen, renews, trust })
        }
        Ok(FromAgent::Hello(_)) => Err("another protocol version"),
        Ok(_) | Err(_) => Err("something else than a hello"),
    }
}

/// An agent that was once welcomed under a later registry proves that ours is an old copy (threat A75).
fn check_seen(
    shared: &Shared,
    connection: &Connection,
    holder: &Holder,
    seen: Option<Seen>,
) -> Result<(), Refused> {
    let ours = shared.directory().sequence();
    match seen {
        Some(seen)
            if seen.registry > ours
                && seen.is_signed_by(&shared.key.public(), &shared.swarm, &holder.key) =>
        {
            let reason = CloseReason::StaleRegistry;
            connection.close(reason.code().into(), reason.as_str().as_bytes());
            Err(Refused::Stale(seen.registry))
        }
        Some(_) | None => Ok(()),
    }
}

async fn login(shared: &Shared, connection: &Connection, login: Login) -> Result<RegistrySequence, Refused> {
    let request = LinkRequest { login, control: Arc::new(Door(connection.clone())) };
    shared.registry.login(request).await.map_err(|error| {
        let reason = turned_away(&error);
        connection.close(reason.code().into(), reason.as_str().as_bytes());
        Refused::Registry(error.to_string())
    })
}

/// What the agent of a refused login hears.
const fn turned_away(error: &VerbError<LoginError>) -> CloseReason {
    match error {
        VerbError::Refused(LoginError::DisplacedTooOften { .. }) => CloseReason::DisplacedTooOften,
        VerbError::Refused(LoginError::Revoked(cause)) => CloseReason::Revoked(*cause),
        VerbError::Refused(LoginError::Unknown | LoginError::WrongKey) => CloseReason::Protocol,
        VerbError::Closed | VerbError::NotYetDurable { .. } | VerbError::Unavailable => CloseReason::Shutdown,
    }
}

async fn open(
    shared: &Arc<Shared>,
    greeted: Greeted,
    session: SessionId,
    registry: RegistrySequence,
) -> Result<Open, Refused> {
    let Greeted { connection, holder, not_after, mut control, requests, renews, trust: heard } = greeted;
    let standing = shared.directory().load().agent(&holder.name).map(|standing| standing.grant.quota);
    let quota = standing.unwrap_or_default();
    let seen = Seen::sign(&shared.key, &shared.swarm, &holder.key, session, registry, shared.env.now());
    let heartbeat_ms = u32::try_from(shared.heartbeat.as_millis()).unwrap_or(u32::MAX);
    let body = u32::try_from(shared.large_limits.body_bytes_max).unwrap_or(u32::MAX);
    let rooted = shared.roots.load().clone();
    let (window, trust) = (shared.window, rooted.trust.number());
    let welcome = FromNode::Welcome(Welcome { seen, heartbeat_ms, window, quota, body, trust });
    let renewed = renews.clone();
    let lost = |what| {
        shared.registry.link_lost(holder.name, session);
        // The registry counts the newer one by now: heartbeats of the older one would no longer be heard, and its
        // agent revoked as silent. It comes back by itself.
        if let Some(older) = &renewed {
            older.close(CloseReason::Lagging);
        }
        broken(&connection, what)
    };
    let missing = rooted.after(heard).iter().map(|signed| FromNode::Trust(Box::new(signed.clone())));
    let words: Result<Vec<_>, _> =
        std::iter::once(welcome).chain(missing).map(|word| word.encode()).collect();
    let words = words.map_err(|_| lost("no welcome"))?;
    let written = timeout(HELLO_TIME, async {
        for word in words {
            write_frame(&mut control, word).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(lost("the control stream broke")),
        Err(_) => return Err(lost("it does not read its welcome")),
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
        shared.large_limits.body_bytes_max,
        shared.reserve_kib,
        line,
    ));
    // Whoever is not welcomed under it before it opens its data stream has closed the link.
    link.heard(trust);
    // The agent has been told so: if it cannot be, there is no link.
    if renews.is_some_and(|older| !line::succeed(shared, &older, &link, quota)) {
        return Err(lost("the link that it renews has ended"));
    }
    Ok(Open { link, frames, control, requests, not_after })
}

/// An open link, until it ends; then everything of it is accounted for.
async fn run(listener: &Arc<Listener>, open: Open) {
    let Open { link, frames, control, requests, not_after } = open;
    let shared = &listener.shared;
    shared.metrics.link_opened();
    shared.note_link(&link, LinkChange::Opened);
    let writing = tokio::spawn(control::write(link.clone(), frames, control));
    for notice in notices::all(shared) {
        link.tell(notice);
    }
    if !link.line.is_renewal() && link.trusts() < shared.roots.number() {
        // What was issued meanwhile it could not check: it comes back, and hears of it first.
        link.close(CloseReason::Lagging);
    }
    install(shared, &link);
    let small = link.outboxes.small().clone();
    let delivering = tokio::spawn(lanes::deliver(shared.clone(), link.clone(), 0, small));
    let left = tokio::select! {
        left = control::read(shared.clone(), link.clone(), requests) => left,
        left = take_lanes(listener, &link) => left,
        // Not a moment longer than its certificate says (threat A12).
        () = until(&*shared.env, not_after) => {
            link.close(CloseReason::CertificateExpired);
            Left::Lost
        }
        () = trust::follow(shared, &link) => {
            link.close(CloseReason::CaRetired);
            Left::Lost
        }
        () = line::drained(&link, shared.large_limits.body_bytes_max) => Left::Renewed,
    };
    if matches!(left, Left::Goodbye) {
        let goodbye = shared.registry.goodbye(link.peer.holder.name, link.peer.session);
        let _ = timeout(LAST_WORDS, goodbye).await;
    }
    if matches!(left, Left::Failed)
        && let Err(error) = shared.registry.fail(link.peer.holder.name, link.present().peer.session).await
    {
        tracing::error!(%error, "an agent that failed was not revoked");
    }
    left.close(&link);
    let reason = link.connection.closed().await;
    retire(shared, &link, &left, &ending::reason(&reason));
    let _ = delivering.await;
    shared.bury(&link.outboxes.close(), Cause::LinkLost);
    let _ = writing.await;
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
    }
    shared.registry.link_lost(name, link.peer.session);
    shared.metrics.link_closed();
    let reason = match left {
        Left::Goodbye | Left::Broken(_) | Left::Failed | Left::Renewed => left.reason(),
        Left::Lost => reason,
    };
    shared.note_rest(link);
    shared.note_link(link, LinkChange::Closed { reason: Note::new(reason) });
}

/// Everything that the agent sends: the data stream, and lanes of their own for large bodies as it opens them.
async fn take_lanes(listener: &Arc<Listener>, link: &Arc<Link>) -> Left {
    let shared = &listener.shared;
    let mut opened = [false; LANES];
    let (mut opening, mut taking) = (FuturesUnordered::new(), FuturesUnordered::new());
    let draining = shared.drains();
    tokio::pin!(draining);
    loop {
        // A stream whose lane is still on its way holds up no other: QUIC opens it with any later one.
        let named = tokio::select! {
            // What is not taken in is not lost: its sender hears that the node is gone.
            () = &mut draining => std::future::pending().await,
            Some(left) = taking.next() => return left,
            Some(named) = opening.next() => named,
            stream = link.connection.accept_uni() => match stream {
                Ok(stream) => {
                    opening.push(lane(stream));
                    continue;
                }
                Err(_) => return Left::Lost,
            },
        };
        let (lane, stream) = match named {
            Ok(named) => named,
            Err(left) => return left,
        };
        match opened.get_mut(usize::from(lane)) {
            Some(opened) if !*opened => *opened = true,
            Some(_) => return Left::Broken("a lane that is open already"),
            None => return Left::Broken("an unknown lane"),
        }
        taking.push(if lane == 0 {
            take_bundles(listener.clone(), link.clone(), stream).boxed()
        } else {
            lanes::take(listener.clone(), link.clone(), lane, stream).boxed()
        });
    }
}

/// The first byte of a stream.
async fn lane(mut stream: RecvStream) -> Result<(u8, RecvStream), Left> {
    let mut lane = [0xff];
    match timeout(HELLO_TIME, stream.read_exact(&mut lane)).await {
        Ok(Ok(())) => Ok((lane[0], stream)),
        Ok(Err(_)) => Err(Left::Lost),
        Err(_) => Err(Left::Broken("no lane")),
    }
}

/// The agent's data stream: whole bundles, one after the other, each to the guard.
async fn take_bundles(listener: Arc<Listener>, link: Arc<Link>, stream: RecvStream) -> Left {
    let shared = &listener.shared;
    let mut frames = FrameReader::new(stream, shared.limits.bundle_bytes_max);
    let mut bundle = 0;
    link.line.older_is_read().await;
    loop {
        match frames.next().await {
            Ok(Some(bytes)) => {
                let arrived = shared.tracing.now();
                link.settling[0].room(bytes.len(), shared.window as usize).await;
                if !listener.guard.judge(&link, bundle, bytes, arrived).await {
                    return Left::Broken("the guard is gone");
                }
                bundle += 1;
            }
            // The agent has nothing more to send; it may still receive.
            Ok(None) => {
                link.line.has_read();
                std::future::pending().await
            }
            Err(FrameError::TooLong(bytes)) => return oversized(shared, &link, (0, bundle), bytes).await,
            Err(FrameError::Slow) => return Left::Broken("a bundle that does not end"),
            Err(FrameError::Cut | FrameError::Stream(_)) => return Left::Lost,
        }
    }
}

/// A frame beyond the limit is never read: the sender hears why, and then the link ends, for nobody knows
/// where the next frame would begin.
pub(super) async fn oversized(
    shared: &Shared,
    link: &Arc<Link>,
    (lane, bundle): (u8, u64),
    bytes: usize,
) -> Left {
    let refused = testudo_wire::frame::RefusedBundle { lane, bundle, refusal: Refusal::Oversized };
    shared.metrics.bundle_refused(Refusal::Oversized, 0);
    shared.note_refused_bundle(link, Refusal::Oversized, bytes);
    link.tell(FromNode::RefusedBundle(refused));
    // Long enough for the refusal to go out on the control stream.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Left::Broken("a frame beyond the limit")
}

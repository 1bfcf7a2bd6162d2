//! From the first datagram to a login: who dials, and whether the registry lets it in.
//!
//! Nothing of ours is parsed before mutual TLS is done and the registry has said yes (threat A08); before the
//! hello is verified any other frame closes the link.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Incoming, RecvStream, SendStream};
use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_registry::{LinkRequest, Login, LoginError, VerbError};
use testudo_wire::frame::{CloseReason, FromAgent, Hello, Seen};
use testudo_wire::{Holder, RegistrySequence, SessionId, SpiffeId, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::link::{Door, Link, close};
use super::shared::Shared;
use super::{Listener, line};
use crate::ending;
use crate::stream::FrameReader;
use crate::tls::{self, Role};

/// From the first datagram to the hello.
pub(super) const HELLO_TIME: Duration = Duration::from_secs(3);

/// Why a connection became no link.
pub(super) enum Refused {
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

/// A peer that is who it says and has said hello.
pub(super) struct Greeted {
    pub(super) connection: Connection,
    pub(super) holder: Holder,
    pub(super) not_after: Timestamp,
    pub(super) control: SendStream,
    pub(super) requests: FrameReader,
    /// The link that this one renews.
    pub(super) renews: Option<Arc<Link>>,
    /// The trust statement that the agent goes by.
    pub(super) trust: u64,
}

/// Handshake and hello, both within one time.
pub(super) async fn greet(listener: &Listener, incoming: Incoming) -> Result<Greeted, Refused> {
    let deadline = Instant::now() + HELLO_TIME;
    let connecting = listener.acceptor.accept(incoming);
    let connecting = connecting.map_err(|error| Refused::Handshake(ending::reason(&error)))?;
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

pub(super) fn broken(connection: &Connection, what: &'static str) -> Refused {
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
            close(connection, CloseReason::StaleRegistry);
            Err(Refused::Stale(seen.registry))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn login(
    shared: &Shared,
    connection: &Connection,
    login: Login,
) -> Result<RegistrySequence, Refused> {
    let request = LinkRequest { login, control: Arc::new(Door(connection.clone())) };
    shared.registry.login(request).await.map_err(|error| {
        close(connection, turned_away(&error));
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

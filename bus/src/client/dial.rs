//! Opening a link from the agent's side: TLS, hello, welcome. Ends with the streams in hand.
//!
//! States in order: dialled, hello sent, welcomed, open. Anything else that comes closes the link.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    ConnectError, Connection, ConnectionError, Endpoint, ReadError, ReadExactError, RecvStream, SendStream,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_rules::gossip::Alarm;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Hello, Seen, Welcome};
use testudo_wire::{Limits, PublicKey, Refusal, SessionId, SpiffeId, Timestamp};
use tokio::time::timeout;

use super::{ClientIdentity, LearnError};
use crate::env::SharedEnv;
use crate::stream::{FrameError, FrameReader, write_frame};
use crate::tls::{self, Leaf, Role, TlsError, client_config};
use crate::transport;

/// A dial that is not welcomed within this is given up (measured fact M14).
pub const DIAL_TIME: Duration = Duration::from_secs(3);

/// Why there is no link.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers.
    #[error("no node answers at {0}; check the address and that `testudo node` runs there")]
    Unreachable(SocketAddr),
    /// The node lets nobody more in just now.
    #[error(
        "the node at {0} lets nobody more in just now; try again in a moment, and see its log if that lasts"
    )]
    Busy(SocketAddr),
    /// The node does not list this agent.
    #[error("the node does not know this agent; enrol it with `testudo agent add`")]
    Unlisted,
    /// The registry revoked this agent.
    #[error("this agent is revoked; ask the operator why")]
    Revoked,
    /// The certificate has run out.
    #[error("this agent's certificate has expired; get a new identity with `testudo agent renew`")]
    Expired,
    /// The node refuses the certificate for another reason.
    #[error("the node refuses this agent's certificate ({})", alert(*.0))]
    Certificate(u8),
    /// The other end is no node of this swarm.
    #[error(
        "the other end is not a node of this swarm: {0}; check the address, or, if the swarm's CA was retired meanwhile, get a new identity with `testudo agent renew`"
    )]
    NotOurNode(String),
    /// The node goes by an older trust statement.
    #[error(
        "the node goes by trust statement {node}, this agent by {known}: the node's keys are an old copy; restore its newest backup"
    )]
    OldTrust {
        /// The node's.
        node: u64,
        /// This agent's.
        known: u64,
    },
    /// A statement that does not count.
    #[error("the node is not believed: {0}")]
    Trust(LearnError),
    /// The node closed the link with a reason.
    #[error("the node closed the link: {}", closed(*.0))]
    Closed(CloseReason),
    /// The node refuses the identity's own token.
    #[error("the node refuses this agent's token ({0}); get a new one with `testudo agent renew`")]
    Token(Refusal),
    /// The node does not speak this protocol.
    #[error("the node does not speak testudo/1 as expected: {0}")]
    Protocol(&'static str),
    /// The node's audit log is not the one that this agent was shown before, or not the one that others are shown.
    #[error(
        "the node's audit log is not believed any more: {0}; nothing is sent to it or taken from it until somebody has looked: see `testudo audit seen`"
    )]
    SplitView(Arc<Alarm>),
    /// The configuration is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Anything else that ended the connection.
    #[error("the link failed: {0}")]
    Link(String),
}

/// What the end of a link means to a person.
fn closed(reason: CloseReason) -> String {
    let advice = match reason {
        CloseReason::CaRetired | CloseReason::CertificateExpired => {
            "; get a new identity with `testudo agent renew`"
        }
        CloseReason::Displaced
        | CloseReason::DisplacedTooOften
        | CloseReason::Lagging
        | CloseReason::Protocol
        | CloseReason::Renewed
        | CloseReason::Revoked(_)
        | CloseReason::Shutdown
        | CloseReason::SplitView
        | CloseReason::StaleRegistry => "",
    };
    format!("{}{advice}", reason.as_str())
}

/// RFC 8446, section 6.
pub(super) const UNKNOWN_CA: u8 = 48;

/// What an alert means to a person.
fn alert(code: u8) -> String {
    if code == UNKNOWN_CA {
        return "it does not trust its CA: that was retired, or is another swarm's; get a new identity with `testudo agent renew`"
            .into();
    }
    format!("TLS alert {code}: is it of the same swarm?")
}

/// An open link, before anything runs on it. The client builds on it; a test's hostile peer does too.
#[derive(Debug)]
pub struct OpenLink {
    /// The QUIC connection.
    pub connection: Connection,
    /// The key of the node's certificate.
    pub node: PublicKey,
    /// Until when that certificate is good: the link must not outlive it.
    pub node_until: Timestamp,
    /// When that certificate will have been replaced for sure, if the node is well.
    pub node_due: Timestamp,
    /// The node's welcome.
    pub welcome: Welcome,
    /// Control frames to the node.
    pub control: SendStream,
    /// Control frames from the node.
    pub answers: FrameReader,
    /// Bundles to the node; the lane byte is written.
    pub data: SendStream,
}

/// What the end of a connection means to a person.
#[must_use]
pub fn explain(error: &ConnectionError, node: SocketAddr) -> DialError {
    match error {
        ConnectionError::TimedOut | ConnectionError::Reset => DialError::Unreachable(node),
        ConnectionError::ApplicationClosed(close) => CloseReason::from_code(close.error_code.into_inner())
            .map_or_else(|| DialError::Link(error.to_string()), DialError::Closed),
        ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
            // CONNECTION_REFUSED (RFC 9000, section 20.1).
            0x2 => DialError::Busy(node),
            0x12c => DialError::Revoked,
            0x12d => DialError::Expired,
            0x131 => DialError::Unlisted,
            code @ 0x100..=0x1ff => DialError::Certificate(u8::try_from(code & 0xff).unwrap_or_default()),
            _ => DialError::Link(error.to_string()),
        },
        ConnectionError::TransportError(inner) if (0x100..0x200).contains(&u64::from(inner.code)) => {
            DialError::NotOurNode(inner.reason.clone())
        }
        ConnectionError::TransportError(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::VersionMismatch
        | ConnectionError::CidsExhausted => DialError::Link(error.to_string()),
    }
}

/// Dials a node and says hello.
///
/// # Errors
/// [`DialError`].
pub async fn dial(
    endpoint: &Endpoint,
    node: SocketAddr,
    identity: &ClientIdentity,
    seen: Option<Seen>,
    env: SharedEnv,
) -> Result<OpenLink, DialError> {
    dial_renewing(endpoint, node, identity, seen, None, env).await
}

/// Dials a node and says hello; the link is to renew the one of this session.
///
/// # Errors
/// [`DialError`].
pub async fn dial_renewing(
    endpoint: &Endpoint,
    node: SocketAddr,
    identity: &ClientIdentity,
    seen: Option<Seen>,
    renews: Option<SessionId>,
    env: SharedEnv,
) -> Result<OpenLink, DialError> {
    if let Some(alarm) = identity.memory.log().alarm() {
        return Err(DialError::SplitView(Arc::new(alarm)));
    }
    let now = UnixTime::since_unix_epoch(Duration::from_secs(env.now().as_secs()));
    let tls = client_config(identity.tls(), identity.chain.clone(), &identity.key, env)?;
    let connecting =
        endpoint.connect_with(transport::client(tls, node), node, "testudo").map_err(connect_error)?;
    let opening = async {
        let connection = connecting.await.map_err(|error| explain(&error, node))?;
        let leaf = node_leaf(&connection, &identity.tls(), now)?;
        open(connection, &leaf, identity, (seen, renews), node).await
    };
    timeout(DIAL_TIME, opening).await.map_err(|_| DialError::Unreachable(node))?
}

fn connect_error(error: ConnectError) -> DialError {
    DialError::Link(error.to_string())
}

/// The certificate that the handshake verified.
fn node_leaf(connection: &Connection, trust: &tls::Trust, now: UnixTime) -> Result<Leaf, DialError> {
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(DialError::Protocol("no certificate"))?;
    let (leaf, intermediates) = chain.split_first().ok_or(DialError::Protocol("no certificate"))?;
    let leaf = tls::check(Role::Node, trust, leaf, intermediates, now)
        .map_err(|error| DialError::NotOurNode(error.to_string()))?;
    match leaf.id {
        SpiffeId::Node(..) => Ok(leaf),
        SpiffeId::Agent(..) => Err(DialError::NotOurNode("an agent's certificate".into())),
    }
}

async fn open(
    connection: Connection,
    node: &Leaf,
    identity: &ClientIdentity,
    (seen, renews): (Option<Seen>, Option<SessionId>),
    address: SocketAddr,
) -> Result<OpenLink, DialError> {
    let limits = Limits::standard();
    let lost = |error: &ConnectionError| explain(error, address);
    let (mut control, answers) = connection.open_bi().await.map_err(|e| lost(&e))?;
    // Bulk must never starve control (design section 4).
    let _ = control.set_priority(1);
    let known = identity.learnt.number();
    let hello = FromAgent::Hello(Hello { version: 1, seen, renews, trust: known }).encode();
    let hello = hello.map_err(|_| DialError::Protocol("cannot encode a hello"))?;
    if write_frame(&mut control, hello).await.is_err() {
        return Err(ended(&connection, address).await);
    }
    let mut answers = FrameReader::new(answers, limits.control_bytes_max);
    let frame = match answers.next().await {
        Ok(Some(frame)) => frame,
        Ok(None) | Err(FrameError::Stream(_)) => return Err(ended(&connection, address).await),
        Err(_) => return Err(DialError::Protocol("a broken welcome")),
    };
    let Ok(FromNode::Welcome(welcome)) = FromNode::decode(&frame, &limits) else {
        return Err(DialError::Protocol("no welcome"));
    };
    if !welcome.seen.is_signed_by(&node.key, &identity.swarm(), &identity.key.public()) {
        return Err(DialError::Protocol("a welcome that the node did not sign"));
    }
    if welcome.trust < known {
        return Err(DialError::OldTrust { node: welcome.trust, known });
    }
    for _ in known..welcome.trust {
        catch_up(&mut answers, identity, &limits).await?;
    }
    let mut data = connection.open_uni().await.map_err(|e| lost(&e))?;
    if data.write_all(&[0]).await.is_err() {
        return Err(ended(&connection, address).await);
    }
    let (key, node_until) = (node.key, node.not_after);
    // Half of what is left of it when the node replaces it.
    let node_due = node_until.before(node.third() / 2);
    Ok(OpenLink { connection, node: key, node_until, node_due, welcome, control, answers, data })
}

/// The next trust statement of those that were made while the agent was away.
async fn catch_up(
    answers: &mut FrameReader,
    identity: &ClientIdentity,
    limits: &Limits,
) -> Result<(), DialError> {
    let Ok(Some(frame)) = answers.next().await else {
        return Err(DialError::Protocol("trust statements that do not come"));
    };
    let Ok(FromNode::Trust(signed)) = FromNode::decode(&frame, limits) else {
        return Err(DialError::Protocol("something else than the trust statements that it spoke of"));
    };
    identity.learn(&signed).map(drop).map_err(|error| {
        tracing::error!(%error, number = signed.statement.number, "the node shows a trust statement that does not count");
        DialError::Trust(error)
    })
}

/// The reason of a connection that has just failed on us.
async fn ended(connection: &Connection, address: SocketAddr) -> DialError {
    explain(&connection.closed().await, address)
}

/// The node's data stream, once it is open, without its lane byte.
///
/// # Errors
/// [`DialError`].
pub async fn deliveries(connection: &Connection, node: SocketAddr) -> Result<RecvStream, DialError> {
    let mut stream = connection.accept_uni().await.map_err(|error| explain(&error, node))?;
    let mut lane = [0xff];
    if let Err(error) = stream.read_exact(&mut lane).await {
        return Err(match error {
            ReadExactError::ReadError(ReadError::ConnectionLost(error)) => explain(&error, node),
            ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_) => DialError::Protocol("no lane"),
        });
    }
    if lane == [0] { Ok(stream) } else { Err(DialError::Protocol("an unknown lane")) }
}

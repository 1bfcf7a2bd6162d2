//! The newcomer's end: finds the node that the invitation means, proves the invitation, takes the answer.
//!
//! Says nothing before the node's chain fits the invitation's fingerprints, and believes no answer that does not.

use std::net::SocketAddr;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use testudo_wire::join::{
    ANSWER_BYTES_MAX, EXPORTER_LABEL, JoinAnswer, JoinRefusal, JoinRequest, JoinToken, Joined,
};
use testudo_wire::{CaFingerprint, SecretKey, SwarmId};
use tokio::time::timeout;

use super::quic;
use crate::env::SharedEnv;
use crate::stream::{FrameReader, write_frame};
use crate::tls::{
    IssuerError, LeafError, Stranger, TlsError, certificate_request, join_client_config, self_signed,
};

/// For the handshake, address validation included.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// For the answer: the node's own times together, and a little.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Why a newcomer has no answer that it can use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers there.
    #[error(
        "nobody answers at {0}; is the node up, and the invitation still outstanding? the port is open only then"
    )]
    Unreachable(SocketAddr),
    /// The other end is not the invitation's node.
    #[error("the node at {0} is of another swarm ({1}); nothing was said to it, ask for a new invitation")]
    WrongSwarm(SocketAddr, Stranger),
    /// The clocks disagree: the certificate is right but for its time.
    #[error(
        "the node at {0} shows a certificate that is not valid now; set the clock of this machine, or of the node"
    )]
    Clock(SocketAddr),
    /// The node says no.
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    /// The connection ended after the question: perhaps the node has enrolled the key.
    #[error("the answer was lost ({0}); ask again with the same key")]
    Lost(String),
    /// The node does not speak the protocol.
    #[error("the node does not speak testudo-join/1 as expected: {0}")]
    Protocol(&'static str),
    /// The local end failed.
    #[error("{0}")]
    Local(String),
}

impl From<TlsError> for AskError {
    fn from(error: TlsError) -> Self {
        Self::Local(error.to_string())
    }
}

impl From<IssuerError> for AskError {
    fn from(error: IssuerError) -> Self {
        Self::Local(error.to_string())
    }
}

impl AskError {
    /// Whether the same question, with the same key, may be answered otherwise a little later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Unreachable(_) => true,
            Self::Refused(refusal) => refusal.may_pass(),
            Self::Clock(_) | Self::WrongSwarm(..) | Self::Protocol(_) | Self::Local(_) => false,
        }
    }
}

/// Asks once to join by `token` with `key`, which nobody may have used before. The same key may ask again.
///
/// # Errors
/// [`AskError`].
pub async fn ask(
    endpoint: &Endpoint,
    token: &JoinToken,
    key: &SecretKey,
    env: SharedEnv,
) -> Result<Joined, AskError> {
    let connection = dial(endpoint, token, key, env).await?;
    let answer = timeout(ANSWER_TIME, converse(&connection, token, key)).await;
    connection.close(VarInt::from_u32(0), b"");
    match answer.map_err(|_| AskError::Lost("no answer in time".into()))?? {
        JoinAnswer::Refused(refusal) => Err(refusal.into()),
        JoinAnswer::Joined(joined) => {
            let of_swarm = SwarmId::of(&joined.authority) == token.swarm;
            if of_swarm && CaFingerprint::of(&joined.ca) == token.ca {
                Ok(*joined)
            } else {
                Err(AskError::Protocol("an answer of another swarm"))
            }
        }
    }
}

async fn dial(
    endpoint: &Endpoint,
    token: &JoinToken,
    key: &SecretKey,
    env: SharedEnv,
) -> Result<Connection, AskError> {
    let own = self_signed(key)?;
    let (tls, stranger) = join_client_config(token.swarm, token.ca, own, key, env)?;
    let connecting = endpoint
        .connect_with(quic::client(tls), token.address, "testudo")
        .map_err(|error| AskError::Local(format!("cannot dial {}: {error}", token.address)))?;
    let dialled = timeout(DIAL_TIME, connecting).await.map_err(|_| AskError::Unreachable(token.address))?;
    dialled.map_err(|error| match (stranger.get(), error) {
        (Some(Stranger::Leaf(LeafError::Time)), _) => AskError::Clock(token.address),
        (Some(stranger), _) => AskError::WrongSwarm(token.address, *stranger),
        (None, ConnectionError::TimedOut | ConnectionError::Reset) => AskError::Unreachable(token.address),
        (None, error) => explain(&error, token.address),
    })
}

/// What the end of a handshake means: no port of another kind lets a newcomer in.
fn explain(error: &ConnectionError, at: SocketAddr) -> AskError {
    match error {
        // CONNECTION_REFUSED: the port is closing, or a node there does not serve.
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == 0x2 => {
            AskError::Unreachable(at)
        }
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == 0x178 => {
            AskError::Protocol("it is no join port")
        }
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::TransportError(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::TimedOut
        | ConnectionError::Reset
        | ConnectionError::VersionMismatch
        | ConnectionError::CidsExhausted => AskError::Lost(error.to_string()),
    }
}

async fn converse(
    connection: &Connection,
    token: &JoinToken,
    key: &SecretKey,
) -> Result<JoinAnswer, AskError> {
    let lost = |error: &dyn std::fmt::Display| AskError::Lost(error.to_string());
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
        .map_err(|_| AskError::Protocol("no keying material"))?;
    let signature = token.prove(&exporter, &key.public());
    let request = JoinRequest { id: token.id, signature, csr: certificate_request(key)? };
    let frame = request.encode().map_err(|_| AskError::Protocol("a request that is too long"))?;
    let (mut questions, answers) = connection.open_bi().await.map_err(|error| lost(&error))?;
    write_frame(&mut questions, frame).await.map_err(|error| lost(&error))?;
    let _ = questions.finish();
    let mut answers = FrameReader::new(answers, ANSWER_BYTES_MAX);
    let frame = answers.next().await.map_err(|error| lost(&error))?;
    let frame = frame.ok_or_else(|| lost(&"no answer"))?;
    JoinAnswer::decode(&frame).map_err(|error| AskError::Local(format!("the node's answer: {error}")))
}

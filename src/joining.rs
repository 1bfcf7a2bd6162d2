//! Joining a swarm by invitation: the newcomer's side as programs use it.
//!
//! The key is made here and never leaves; what the node answers is believed only where it fits the invitation.

use std::time::Duration;

use testudo_bus::env::Env as _;
use testudo_bus::join::{AskError, ask};
use testudo_bus::transport::{self, Socket};
use testudo_rules::token::Token;
use testudo_rules::trust::Trust;
use testudo_wire::join::{JoinRefusal, JoinToken, JoinTokenError, Joined};
use testudo_wire::trust::SignedStatement;
use testudo_wire::{Limits, SecretKey};

use crate::env::System;
use crate::identity::{Identity, Issued};
use crate::swarm::{new_key, pem};

/// How often a question is asked whose answer was lost, and how long is waited in between.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(500);
/// For the last datagram to leave.
const HANG_UP: Duration = Duration::from_millis(20);

/// Why nobody joined. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The invitation's text.
    #[error(transparent)]
    Token(#[from] JoinTokenError),
    /// The node did not let us in.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What it gave does not fit together.
    #[error("the node's answer is no identity: {0}; ask the operator")]
    Answer(String),
}

impl JoinError {
    /// Whether no question was asked: the key is nobody's, as far as this call goes.
    #[must_use]
    pub const fn is_unheard(&self) -> bool {
        match self {
            Self::Token(_) => true,
            Self::Ask(error) => {
                matches!(error, AskError::Unreachable(_) | AskError::WrongSwarm(..) | AskError::Clock(_))
            }
            Self::Answer(_) => false,
        }
    }

    /// Whether the invitation's own node has said for good that this key does not get in. Anything else may come
    /// from somebody in between, or pass.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Ask(AskError::Refused(refusal)) => !refusal.may_pass(),
            Self::Ask(_) | Self::Token(_) | Self::Answer(_) => false,
        }
    }
}

/// Joins a swarm by the line that `testudo agent invite` printed, with a new key: the result is all that the agent
/// needs, to be saved ([`Identity::save`]) and used ([`crate::connect`]). An answer that is lost on its way is asked
/// for again.
///
/// # Errors
/// [`JoinError`].
pub async fn accept_invitation(text: &str) -> Result<Identity, JoinError> {
    accept_with(&JoinToken::parse(text)?, &new_key(&System)).await
}

/// The same with a key of the caller's, who keeps it until this has succeeded: after a lost answer the invitation is
/// good for that key alone. The key must be new, and nobody else's.
///
/// # Errors
/// [`JoinError`].
pub async fn accept_with(token: &JoinToken, key: &SecretKey) -> Result<Identity, JoinError> {
    let mut lost = None;
    for tried in 1..=TRIES {
        let error = match once(token, key).await {
            Ok(joined) => return identity(token, key, &joined),
            // It may have let us in before it went.
            Err(error @ AskError::Unreachable(_)) => return Err(gone(token, lost.unwrap_or(error))),
            Err(error) if error.may_pass() => error,
            Err(error) => return Err(error.into()),
        };
        lost = Some(error);
        if tried < TRIES {
            tokio::time::sleep(BETWEEN * tried).await;
        }
    }
    Err(lost.unwrap_or(AskError::Unreachable(token.address)).into())
}

/// Nobody answers any more, or nobody ever did: after the invitation's end that is what ended it.
fn gone(token: &JoinToken, error: AskError) -> JoinError {
    let over = matches!(error, AskError::Unreachable(_)) && System.now() >= token.until;
    if over { AskError::from(JoinRefusal::Expired).into() } else { error.into() }
}

async fn once(token: &JoinToken, key: &SecretKey) -> Result<Joined, AskError> {
    let from = transport::dial_from(token.address);
    let socket = crate::server::udp(from).map_err(|error| AskError::Local(format!("no socket: {error}")))?;
    let endpoint = transport::dialler(Socket::Udp(socket));
    let endpoint = endpoint.map_err(|error| AskError::Local(format!("no socket: {error}")))?;
    let joined = ask(&endpoint, token, key, System::shared()).await;
    // The node hears that it is over: it holds a place for whoever is silent.
    let _ = tokio::time::timeout(HANG_UP, endpoint.wait_idle()).await;
    joined
}

fn identity(token: &JoinToken, key: &SecretKey, joined: &Joined) -> Result<Identity, JoinError> {
    let mut node = joined.node;
    if node.ip().is_unspecified() {
        node.set_ip(token.address.ip());
    }
    let unsealed = Token::from_bytes(&joined.token, &Limits::standard());
    let unsealed = unsealed.map_err(|error| JoinError::Answer(error.to_string()))?;
    let der = |bytes: &[u8]| pem(&rustls_pki_types::CertificateDer::from(bytes));
    // From the key that the invitation names to the statement in force, each checked by the one before.
    let chain: Result<Vec<_>, _> = joined.trust.iter().map(|one| SignedStatement::decode(one)).collect();
    let chain = chain.map_err(|error| JoinError::Answer(format!("its trust statements: {error}")))?;
    let folded = Trust::genesis(joined.authority, Vec::new()).fold(&chain);
    folded.map_err(|error| JoinError::Answer(error.to_string()))?;
    Identity::of(Issued {
        statement: chain.into_iter().last(),
        node,
        name: joined.name,
        key: key.clone(),
        authority: joined.authority,
        ca: der(&joined.ca),
        // Only nodes that certify their agents themselves invite.
        agents_ca: None,
        certificate: joined.chain.iter().map(|one| der(one)).collect(),
        token: unsealed.to_text().to_string(),
    })
    .map_err(JoinError::Answer)
}

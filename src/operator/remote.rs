//! An operator that is an agent: asks the node's own agent, [`OFFICE`], by a message under its token. On the wire: a request
//! in JSON under the right of its verb as the capability; the answer in JSON, in parts.

use std::time::Duration;

use bytes::BytesMut;
use testudo_bus::client::{DialError, Ended, Member, Outgoing, SendError};
use testudo_rules::token::Token;
use testudo_wire::frame::CloseReason;
use testudo_wire::{AgentName, Capability, Refusal, TokenId};
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWER_BYTES_MAX, Answer, OFFICE, Request};
use crate::connection::join;
use crate::identity::Identity;

/// A node that has just heard of its first operator takes a moment to answer.
const OPENING: Duration = Duration::from_secs(5);
/// Before the second try to reach it; before each further one twice as long, for each is on the log.
const AGAIN: Duration = Duration::from_millis(100);
/// The word on the end of a link comes within this, or it is another end.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Why an operator has no answer. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The answer is none.
    #[error("the node gave an answer that cannot be read ({0}); are both of one version?")]
    Broken(String),
    /// There is no link.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The node has no place for operators.
    #[error(
        "the node has no {OFFICE} for operators; it is of an earlier version, cannot certify one, or an agent has that name: see its messages"
    )]
    NoOffice,
    /// The token does not let this agent ask.
    #[error("not allowed; it needs the right {0}, in a token that reaches the agent {OFFICE}")]
    NotAllowed(&'static str),
    /// This agent put itself out, as it asked.
    #[error("this operator is revoked, as it asked")]
    RevokedItself,
    /// It did not arrive.
    #[error(transparent)]
    Send(SendError),
    /// The token cannot be shown.
    #[error("the token cannot be shown: {0}")]
    Token(String),
    /// The link ended before the answer.
    #[error(
        "unknown: {0} before the answer came; it may have been done: look at `testudo agent list`, then ask again"
    )]
    Unknown(String),
}

/// An operator's place in the swarm. It must be left in good order: an agent that is gone without goodbye is revoked
/// as silent.
#[derive(Debug)]
pub struct Remote {
    member: Member,
    token: Option<TokenId>,
}

impl Remote {
    /// Takes the place of an identity, perhaps to act under a token that somebody handed it.
    ///
    /// # Errors
    /// [`RemoteError`]; then there is no place to leave.
    pub async fn open(identity: &Identity, token: Option<&Token>) -> Result<Self, RemoteError> {
        let unusable = |error: &dyn std::fmt::Display| RemoteError::Token(error.to_string());
        let sealed = token.map(Token::seal).transpose().map_err(|error| unusable(&error))?;
        // What else comes for this agent nobody takes.
        let (member, _) = join(identity).await?;
        let mut remote = Self { member, token: None };
        if let Some(sealed) = sealed {
            match remote.member.present(&sealed).await {
                Ok(id) => remote.token = Some(id),
                Err(error) => {
                    remote.leave().await;
                    return Err(unusable(&error));
                }
            }
        }
        Ok(remote)
    }

    /// Who asks.
    #[must_use]
    pub fn name(&self) -> AgentName {
        self.member.identity().name
    }

    /// Asks, and collects the whole answer. What has no answer is not asked again.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, RemoteError> {
        let right = request.verb().right();
        let broken = |error: &dyn std::fmt::Display| RemoteError::Broken(error.to_string());
        let office = AgentName::parse(OFFICE).map_err(|error| broken(&error))?;
        let capability = Capability::parse(right).map_err(|error| broken(&error))?;
        let body = serde_json::to_vec(request).map_err(|error| broken(&error))?;
        let message = Outgoing { token: self.token, ..Outgoing::new(office, capability, body) };
        let (until, mut pause) = (Instant::now() + OPENING, AGAIN);
        loop {
            match self.whole(message.clone()).await {
                Ok(body) => return serde_json::from_slice(&body).map_err(|error| broken(&error)),
                // Refused before anybody had it: to ask again is to ask once.
                Err(SendError::Refused { refusal: Refusal::Unroutable, .. }) if Instant::now() < until => {
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(self.explain(error, request).await),
            }
        }
    }

    async fn whole(&self, message: Outgoing) -> Result<BytesMut, SendError> {
        let mut parts = self.member.stream(message).await?;
        let mut whole = BytesMut::new();
        while let Some(part) = parts.next().await {
            let body = part?.body();
            let len = whole.len() + body.len();
            if len > ANSWER_BYTES_MAX {
                return Err(SendError::TooLarge(len, ANSWER_BYTES_MAX));
            }
            whole.extend_from_slice(&body);
        }
        Ok(whole)
    }

    async fn explain(&self, error: SendError, request: &Request) -> RemoteError {
        match error {
            SendError::Refused { refusal: Refusal::Unauthorised, .. } => {
                RemoteError::NotAllowed(request.verb().right())
            }
            SendError::Refused { refusal: Refusal::Unroutable, .. } => RemoteError::NoOffice,
            SendError::NoAnswer(_) => RemoteError::Unknown("the time was over".into()),
            SendError::Unknown => {
                let itself = matches!(request, Request::AgentRevoke { name, .. } if *name == self.name());
                match timeout(LAST_WORD, self.member.ended()).await {
                    Ok(Ended::Refused(why)) if itself && is_revocation(&why) => RemoteError::RevokedItself,
                    Ok(why) => RemoteError::Unknown(why.to_string()),
                    Err(_) => RemoteError::Unknown("the link ended".into()),
                }
            }
            other @ (SendError::Cancelled
            | SendError::NoLink(_)
            | SendError::Refused { .. }
            | SendError::TooLarge(..)) => RemoteError::Send(other),
        }
    }

    /// Leaves, which ends the lease.
    pub async fn leave(self) {
        self.member.goodbye().await;
    }
}

fn is_revocation(why: &DialError) -> bool {
    matches!(why, DialError::Revoked | DialError::Closed(CloseReason::Revoked(_)))
}

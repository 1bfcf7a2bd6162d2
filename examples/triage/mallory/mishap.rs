//! What can go wrong for the attacker besides being refused, and the words for how a link ended.

use testudo::SendError;
use testudo::bus::client::DialError;
use testudo::bus::stream::FrameError;
use testudo::bus::tls::TlsError;
use testudo::rules::token::{BuildError, TokenError};
use testudo::wire::canonical::CanonicalError;
use testudo::wire::frame::CloseReason;
use testudo::wire::{BundleError, NameError};

/// Why an attack has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Mishap {
    /// Nothing came.
    #[error("no answer within three seconds")]
    Silence,
    /// The link ended, or never was.
    #[error("the link ended: {0}")]
    Link(#[from] DialError),
    /// A stream of it failed.
    #[error("the stream failed: {0}")]
    Write(#[from] quinn::WriteError),
    /// What the node sent is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What the node sent cannot be read, or what is sent cannot be written.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A bundle cannot even be forged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A token cannot even be forged.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A forged token is no token of ours.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token library.
    #[error("the token library failed: {0}")]
    Library(#[from] biscuit_auth::error::Token),
    /// An honest message of the accomplice did not pass.
    #[error("the accomplice's honest message: {0}")]
    Send(#[from] SendError),
    /// A socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The posing node's TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operator would not.
    #[error("the operator refused a favour: {0}")]
    Desk(String),
    /// The bytes to be changed are not where they should be.
    #[error("the forgery failed: {0}")]
    Forgery(&'static str),
    /// More or less arrived than was sent in honesty.
    #[error("{arrived} messages arrived where {honest} honest ones were sent")]
    Tally {
        /// At the accomplice.
        arrived: usize,
        /// Sent on purpose.
        honest: usize,
    },
}

/// How a link's end counts as an answer.
pub(super) fn word(end: &DialError) -> String {
    match end {
        DialError::Revoked | DialError::Closed(CloseReason::Revoked(_)) => "revoked".to_owned(),
        DialError::Closed(reason) => reason.as_str().to_owned(),
        DialError::NotOurNode(_) => "not a node".to_owned(),
        DialError::Unreachable(_)
        | DialError::Unlisted
        | DialError::Expired
        | DialError::Certificate(_)
        | DialError::OldTrust { .. }
        | DialError::Token(_)
        | DialError::Protocol(_)
        | DialError::SplitView(_)
        | DialError::Trust(_)
        | DialError::Tls(_)
        | DialError::Busy(_)
        | DialError::Link(_) => end.to_string(),
    }
}

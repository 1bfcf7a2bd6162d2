//! Why a PKI service did not issue: each cause by its own name, with what to do.

use std::path::PathBuf;

use testudo_bus::tls::IssuerError;

use crate::files::FileError;

/// Why a PKI service did not issue.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Too many wait for it.
    #[error("the PKI service has more requests than it answers; try again later")]
    Busy,
    /// The HTTP client or the thread cannot be made.
    #[error("the PKI client cannot be started: {0}; raise the limits of this process")]
    Client(String),
    /// The login's time is over, and it cannot be renewed or replaced.
    #[error("the PKI service does not know the token in {0} any more; write a fresh one into it")]
    Expired(PathBuf),
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// 403, although the login is good.
    #[error("the PKI service forbids {path}{said}; give the login's policy `update` on that path")]
    Forbidden {
        /// Of the API.
        path: String,
        /// In its words.
        said: String,
    },
    /// Not what its API documents.
    #[error(
        "the PKI service's answer is not that of its API ({0}); does issuer.address name Vault or OpenBao?"
    )]
    Garbage(&'static str),
    /// It redirects, and a token is not carried elsewhere.
    #[error("the PKI service redirects elsewhere; write the active node's address into issuer.address")]
    Redirected,
    /// 5xx.
    #[error("the PKI service failed with status {status}{said}; see its own log")]
    Internal {
        /// Of HTTP.
        status: u16,
        /// In its words.
        said: String,
    },
    /// The login is refused.
    #[error("the PKI service refuses the AppRole login{0}; check role_id_file and secret_id_file")]
    Login(String),
    /// 404.
    #[error("the PKI service has no {0}; check issuer.mount and issuer.role")]
    NotFound(String),
    /// A file that is no certificate.
    #[error("{0} holds no CA certificate in PEM; write the right CA into it")]
    NotPem(PathBuf),
    /// A file that is no token or id.
    #[error("{0} does not hold one line of at most 1024 printable characters; write the secret into it")]
    NotSecret(PathBuf),
    /// 400: the role's rules.
    #[error("the PKI role refuses the request{0}; compare the role with docs/operations.md")]
    Role(String),
    /// 503.
    #[error("the PKI service is sealed or in maintenance; unseal it, or try again later")]
    Sealed,
    /// The configuration.
    #[error("{0}")]
    Settings(String),
    /// Another status.
    #[error("the PKI service answered with status {status}{said}; see its own log")]
    Status {
        /// Of HTTP.
        status: u16,
        /// In its words.
        said: String,
    },
    /// 429.
    #[error("the PKI service asks for fewer requests; try again later")]
    TooMany,
    /// It takes too long.
    #[error(
        "the PKI service did not answer within {0} ms; check that it is well, or raise issuer.timeout_ms"
    )]
    Timeout(u32),
    /// Its TLS certificate.
    #[error("the TLS certificate of {0} is not trusted; check issuer.ca_file and the name in issuer.address")]
    Tls(String),
    /// Nobody there.
    #[error("no PKI service answers at {0}; check issuer.address and that it runs")]
    Unreachable(String),
    /// No request of the key's holder.
    #[error(
        "the PKI service signs only what a key's holder asks for; send a certificate request with the key"
    )]
    Unasked,
}

impl VaultError {
    /// What it is, without what the service says of it.
    pub(super) fn own_words(&self) -> String {
        let said = String::new();
        match self {
            Self::Forbidden { path, .. } => Self::Forbidden { path: path.clone(), said }.to_string(),
            Self::Internal { status, .. } => Self::Internal { status: *status, said }.to_string(),
            Self::Status { status, .. } => Self::Status { status: *status, said }.to_string(),
            Self::Login(_) => Self::Login(said).to_string(),
            Self::Role(_) => Self::Role(said).to_string(),
            Self::Busy
            | Self::Client(_)
            | Self::Expired(_)
            | Self::File(_)
            | Self::Garbage(_)
            | Self::Redirected
            | Self::NotFound(_)
            | Self::NotPem(_)
            | Self::NotSecret(_)
            | Self::Sealed
            | Self::Settings(_)
            | Self::TooMany
            | Self::Timeout(_)
            | Self::Tls(_)
            | Self::Unreachable(_)
            | Self::Unasked => self.to_string(),
        }
    }
}

impl From<VaultError> for IssuerError {
    fn from(error: VaultError) -> Self {
        if matches!(error, VaultError::Unasked) { Self::Unasked } else { Self::Service(Box::new(error)) }
    }
}

//! Mutual TLS 1.3 as design section 3 wants it: who may be at the other end, and which doors stay shut.
//!
//! No resumption (measured fact M1), no 0-RTT, no other version, one ALPN, Ed25519 certificates only, and
//! the verifier asks the registry at every handshake. There is no switch that turns any of it off.

mod config;
mod issuer;
mod joining;
mod leaf;
mod newcomer;
mod pem;
mod request;
mod verifier;

pub use config::{TlsError, client_config, server_config};
pub use issuer::{
    AnswerError, Ask, Embedded, EmbeddedCa, Issuer, IssuerError, IssuerHealth, Issuing, LIFETIME,
    check_issued,
};
pub use joining::{ChainToCa, Stranger, join_client_config, join_server_config, newcomer_key};
pub use leaf::{Leaf, LeafError, Role, Trust, check, not_after};
pub use newcomer::{certificate_request, requested_key, self_signed};
pub use pem::pem;
pub use request::{CSR_BYTES_MAX, Csr, CsrError};
pub use verifier::{Listed, Listing, NodeCertificate, Trusting};

//! The rustls and quinn-crypto configurations of both ends, with the settings that threats.md 3d pins.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, ServerConfig};
use testudo_wire::SecretKey;
use testudo_wire::frame::ALPN;

use super::leaf::Trust;
use super::verifier::{AgentVerifier, Listing, NodeCertificate, NodeVerifier, Trusting};
use crate::env::SharedEnv;

/// Why a TLS configuration cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls would not take the key, the chain or a setting.
    #[error("TLS configuration: {0}")]
    Rustls(#[from] rustls::Error),
    /// The provider lacks the suite that QUIC needs.
    #[error("TLS configuration: no initial cipher suite for QUIC")]
    NoInitialSuite,
    /// The key cannot be encoded.
    #[error("TLS configuration: {0}")]
    Key(#[from] testudo_wire::KeyError),
}

/// aws-lc-rs, narrowed to TLS 1.3 suites with the hybrid post-quantum exchange preferred.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS13_AES_256_GCM_SHA384
                | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        )
    });
    // AES-128 first: the cheapest that is strong enough, and the one QUIC needs anyway.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
    provider.signature_verification_algorithms = super::verifier::ALGORITHMS;
    Arc::new(provider)
}

/// The environment's wall clock for certificate lifetimes, so that tests can move it.
pub(super) struct Clock(pub(super) SharedEnv);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0.now().as_secs())))
    }
}

pub(super) fn private_key(key: &SecretKey) -> Result<PrivateKeyDer<'static>, TlsError> {
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8()?.to_vec())))
}

impl NodeCertificate {
    /// A certificate with its key, ready to be served.
    ///
    /// # Errors
    /// [`TlsError`] when key and certificate do not match.
    pub fn certified(chain: Vec<CertificateDer<'static>>, key: &SecretKey) -> Result<CertifiedKey, TlsError> {
        Ok(CertifiedKey::from_der(chain, private_key(key)?, &provider())?)
    }
}

/// The node's end.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(
    trust: impl Trusting + 'static,
    listing: Arc<dyn Listing>,
    certificate: Arc<NodeCertificate>,
    env: SharedEnv,
) -> Result<QuicServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock(env)))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AgentVerifier { trust: Arc::new(trust), listing }))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|_| TlsError::NoInitialSuite)
}

/// The agent's end.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(
    trust: Trust,
    chain: Vec<CertificateDer<'static>>,
    key: &SecretKey,
    env: SharedEnv,
) -> Result<QuicClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(env)))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NodeVerifier { trust }))
        .with_client_auth_cert(chain, private_key(key)?)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|_| TlsError::NoInitialSuite)
}

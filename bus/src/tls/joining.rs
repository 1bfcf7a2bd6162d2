//! TLS of the join port: the node shows its chain up to the CA, the newcomer a certificate that it made itself. No
//! registry is asked; the handshake proves that the newcomer has its key, and nothing else.
//!
//! Everything else is as on a link: TLS 1.3 only, Ed25519 only, no resumption, no 0-RTT, an ALPN of its own.

use std::fmt;
use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use testudo_wire::join::JOIN_ALPN;
use testudo_wire::{CaFingerprint, PublicKey, SecretKey, SwarmId};

use super::config::{Clock, TlsError, private_key, provider};
use super::leaf::{CERTIFICATE_BYTES_MAX, LeafError, Role, Trust, certified_key, check};
use super::verifier::{NodeCertificate, ed25519_handshakes};
use crate::env::SharedEnv;
use crate::roots::Roots;

/// Longest certificate of a newcomer: it says nothing but its key.
const NEWCOMER_BYTES_MAX: usize = 1024;
/// The leaf, what is between, the CA.
const CHAIN_MAX: usize = 4;

/// The key of a newcomer's certificate, which the handshake has proved to be its own.
///
/// # Errors
/// [`LeafError`]. Nothing but the key is believed: anybody can write such a certificate.
pub fn newcomer_key(chain: &[CertificateDer<'_>]) -> Result<PublicKey, LeafError> {
    match chain {
        [only] if only.len() <= NEWCOMER_BYTES_MAX => certified_key(only),
        [_] => Err(LeafError::Unparsable),
        _ => Err(LeafError::Depth),
    }
}

/// Why the other end is not the node of an invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stranger {
    /// It is another swarm's, or nobody's.
    #[error("it shows no CA of the invitation's swarm")]
    Ca,
    /// The CA is right, the certificate is no node's.
    #[error("its certificate is {0}")]
    Leaf(LeafError),
}

struct NewcomerVerifier;

impl fmt::Debug for NewcomerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewcomerVerifier")
    }
}

impl ClientCertVerifier for NewcomerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !intermediates.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        newcomer_key(std::slice::from_ref(end_entity))
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        Ok(ClientCertVerified::assertion())
    }

    ed25519_handshakes!();
}

/// Knows a swarm by two fingerprints, and keeps what was wrong with the other end.
#[derive(Debug)]
struct HostVerifier {
    swarm: SwarmId,
    ca: CaFingerprint,
    stranger: Arc<OnceLock<Stranger>>,
}

impl HostVerifier {
    /// The CA comes last in the chain and is the one of the fingerprint; below it stands a node of the swarm.
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Stranger> {
        let (ca, between) = above.split_last().ok_or(Stranger::Ca)?;
        if above.len() >= CHAIN_MAX || ca.len() > CERTIFICATE_BYTES_MAX || CaFingerprint::of(ca) != self.ca {
            return Err(Stranger::Ca);
        }
        let trust = Trust::new(self.swarm, std::slice::from_ref(ca)).map_err(|_| Stranger::Ca)?;
        check(Role::Node, &trust, leaf, between, now).map(|_| ()).map_err(Stranger::Leaf)
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(end_entity, intermediates, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(stranger) => {
                let _ = self.stranger.set(stranger);
                Err(CertificateError::UnknownIssuer.into())
            }
        }
    }

    ed25519_handshakes!();
}

/// The node's certificate, as it is at each handshake, and the CA above it: a newcomer knows the CA's fingerprint alone.
#[derive(Debug)]
pub struct ChainToCa {
    node: Arc<NodeCertificate>,
    roots: Arc<Roots>,
}

impl ChainToCa {
    /// The chain of these two.
    #[must_use]
    pub const fn new(node: Arc<NodeCertificate>, roots: Arc<Roots>) -> Self {
        Self { node, roots }
    }
}

impl ResolvesServerCert for ChainToCa {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.node.resolve(hello)?;
        let mut chain = own.cert.clone();
        chain.push(self.roots.load().own().certificate().clone());
        Some(Arc::new(CertifiedKey::new(chain, own.key.clone())))
    }
}

/// The node's end of the join port.
///
/// # Errors
/// [`TlsError`].
pub fn join_server_config(certificate: Arc<ChainToCa>, env: SharedEnv) -> Result<QuicServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock(env)))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(NewcomerVerifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|_| TlsError::NoInitialSuite)
}

/// The newcomer's end: `certificate` is its own, for `key`. After a failed handshake the cell holds what was wrong with
/// the other end, if anything was.
///
/// # Errors
/// [`TlsError`].
pub fn join_client_config(
    swarm: SwarmId,
    ca: CaFingerprint,
    certificate: CertificateDer<'static>,
    key: &SecretKey,
    env: SharedEnv,
) -> Result<(QuicClientConfig, Arc<OnceLock<Stranger>>), TlsError> {
    let stranger = Arc::new(OnceLock::new());
    let verifier = HostVerifier { swarm, ca, stranger: stranger.clone() };
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(env)))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![certificate], private_key(key)?)?;
    config.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok((QuicClientConfig::try_from(config).map_err(|_| TlsError::NoInitialSuite)?, stranger))
}

//! The two rustls verifiers: a node lets in listed agents of its swarm, an agent talks to nodes of its swarm.
//!
//! They run at every handshake; nothing is remembered between two.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use testudo_wire::{Holder, SpiffeId};

use super::leaf::{LeafError, Role, Trust, check};

/// What the list says of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listed {
    /// It may become a link.
    Good,
    /// It is known and out.
    Revoked,
    /// Nobody of this name with this key.
    Unknown,
}

/// Who is on the list right now. Asked at every handshake.
pub trait Listing: Send + Sync {
    /// What the list says of this peer.
    fn look_up(&self, holder: &Holder) -> Listed;
}

/// Ed25519 only, for certificates and handshakes.
pub(super) const ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::aws_lc_rs::ED25519])],
};

fn refusal(error: LeafError) -> Error {
    Error::InvalidCertificate(match error {
        LeafError::Time => CertificateError::Expired,
        LeafError::Path | LeafError::Depth => CertificateError::UnknownIssuer,
        LeafError::Usage => CertificateError::InvalidPurpose,
        LeafError::Identity | LeafError::Names => CertificateError::NotValidForName,
        LeafError::Unparsable | LeafError::Key | LeafError::Ca => CertificateError::BadEncoding,
    })
}

pub(super) const NO_TLS12: Error = Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic);

/// What every verifier of ours says of the other end's signature: TLS 1.3 alone, Ed25519 alone.
macro_rules! ed25519_handshakes {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err($crate::tls::verifier::NO_TLS12)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls13_signature(message, cert, dss, &$crate::tls::verifier::ALGORITHMS)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            $crate::tls::verifier::ALGORITHMS.supported_schemes()
        }
    };
}
pub(super) use ed25519_handshakes;

/// Where a node's verifier finds what is trusted at each handshake.
pub trait Trusting: Send + Sync {
    /// What is trusted now.
    fn trust(&self) -> Trust;
}

impl Trusting for Trust {
    fn trust(&self) -> Trust {
        self.clone()
    }
}

impl Trusting for Arc<crate::roots::Roots> {
    fn trust(&self) -> Trust {
        self.load().tls.clone()
    }
}

/// Lets in agents of the swarm that the registry lists.
pub(super) struct AgentVerifier {
    pub(super) trust: Arc<dyn Trusting>,
    pub(super) listing: Arc<dyn Listing>,
}

impl fmt::Debug for AgentVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentVerifier").field("trust", &self.trust.trust()).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf =
            check(Role::Agent, &self.trust.trust(), end_entity, intermediates, now).map_err(refusal)?;
        let SpiffeId::Agent(_, name) = leaf.id else { return Err(refusal(LeafError::Identity)) };
        match self.listing.look_up(&Holder { name, key: leaf.key }) {
            Listed::Good => Ok(ClientCertVerified::assertion()),
            Listed::Revoked => Err(Error::InvalidCertificate(CertificateError::Revoked)),
            Listed::Unknown => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    ed25519_handshakes!();
}

/// Talks to nodes of the swarm. The address dialled proves nothing; the certificate must say `/node/`.
#[derive(Debug)]
pub(super) struct NodeVerifier {
    pub(super) trust: Trust,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check(Role::Node, &self.trust, end_entity, intermediates, now)
            .map(|_| ServerCertVerified::assertion())
            .map_err(refusal)
    }

    ed25519_handshakes!();
}

/// The node's own certificate, replaced while it runs.
pub struct NodeCertificate(ArcSwap<CertifiedKey>);

impl NodeCertificate {
    /// Serves this one first.
    #[must_use]
    pub fn new(first: CertifiedKey) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// Serves this one from now on.
    pub fn replace(&self, next: CertifiedKey) {
        self.0.store(Arc::new(next));
    }
}

impl fmt::Debug for NodeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeCertificate")
    }
}

impl ResolvesServerCert for NodeCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

//! The certificate profile: what a leaf must be to speak for an agent or a node.
//!
//! Exactly one URI SAN that is the exact SPIFFE ID, extended key usage present and exactly the role's, an
//! Ed25519 key, version 3, no CA, a short chain to a CA of the swarm (threats A09, A14). The common name
//! means nothing. Knows nothing of the registry.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use testudo_wire::{PublicKey, SpiffeId, SwarmId, Timestamp};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Longest certificate that is parsed.
pub(super) const CERTIFICATE_BYTES_MAX: usize = 4096;
/// Certificates between a leaf and its CA.
const INTERMEDIATES_MAX: usize = 2;
/// RFC 8410: id-Ed25519.
const ED25519_OID: &str = "1.3.101.112";

/// Which end a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// `.../agent/<name>`, clientAuth.
    Agent,
    /// `.../node/<name>`, serverAuth.
    Node,
}

/// What a swarm member trusts: the CAs of its own swarm, for nodes and for agents.
#[derive(Clone, Debug)]
pub struct Trust {
    swarm: SwarmId,
    nodes: Arc<[TrustAnchor<'static>]>,
    agents: Arc<[TrustAnchor<'static>]>,
}

fn anchors(cas: &[CertificateDer<'_>]) -> Result<Arc<[TrustAnchor<'static>]>, LeafError> {
    let anchors: Result<Vec<_>, _> =
        cas.iter().map(|ca| webpki::anchor_from_trusted_cert(ca).map(|anchor| anchor.to_owned())).collect();
    let anchors: Arc<[_]> = anchors.map_err(|_| LeafError::Unparsable)?.into();
    if anchors.is_empty() { Err(LeafError::Unparsable) } else { Ok(anchors) }
}

impl Trust {
    /// Trusts these CA certificates (DER) for this swarm.
    ///
    /// # Errors
    /// [`LeafError::Unparsable`] for bytes that are no certificate, or none at all.
    pub fn new(swarm: SwarmId, cas: &[CertificateDer<'_>]) -> Result<Self, LeafError> {
        let both = anchors(cas)?;
        Ok(Self { swarm, nodes: both.clone(), agents: both })
    }

    /// Trusts these CAs to certify agents, and nodes by those that they were trusted by before.
    ///
    /// # Errors
    /// [`LeafError::Unparsable`].
    pub fn with_agents_by(self, cas: &[CertificateDer<'_>]) -> Result<Self, LeafError> {
        Ok(Self { agents: anchors(cas)?, ..self })
    }

    /// Trusts these CAs from now on; agents by those that it did, where they are others than the nodes'.
    ///
    /// # Errors
    /// [`LeafError::Unparsable`].
    pub fn rolled(&self, cas: &[CertificateDer<'_>]) -> Result<Self, LeafError> {
        let nodes = anchors(cas)?;
        let agents = if self.is_one() { nodes.clone() } else { self.agents.clone() };
        Ok(Self { swarm: self.swarm, nodes, agents })
    }

    /// Whether nodes and agents are certified by the same CAs.
    #[must_use]
    pub fn is_one(&self) -> bool {
        Arc::ptr_eq(&self.nodes, &self.agents)
    }

    /// The swarm.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.swarm
    }
}

/// A certificate that passed [`check`].
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Who it is for.
    pub id: SpiffeId,
    /// The certified key.
    pub key: PublicKey,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl Leaf {
    /// A third of its life: what is left of it when it is to be renewed.
    #[must_use]
    pub const fn third(&self) -> Duration {
        Duration::from_millis(self.not_after.as_millis().saturating_sub(self.not_before.as_millis()) / 3)
    }

    /// When two thirds of its life are over.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.not_after.before(self.third())
    }
}

fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(u64::try_from(time.timestamp()).unwrap_or_default().saturating_mul(1000))
}

/// Why a certificate does not do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeafError {
    /// Not DER, too long, or not version 3.
    #[error("not an X.509 version 3 certificate")]
    Unparsable,
    /// None or several subject alternative names, or one that is no URI.
    #[error("not exactly one URI in the subject alternative name")]
    Names,
    /// The URI is not a SPIFFE ID of the role in this swarm.
    #[error("not a SPIFFE ID of this role in this swarm")]
    Identity,
    /// Extended key usage is missing or not exactly the role's.
    #[error("extended key usage is not exactly the role's")]
    Usage,
    /// The key is not Ed25519, or weak.
    #[error("not a usable Ed25519 key")]
    Key,
    /// A CA certificate is no leaf.
    #[error("a CA certificate")]
    Ca,
    /// Too many intermediates.
    #[error("chain too long")]
    Depth,
    /// Outside its time of validity.
    #[error("expired or not yet valid")]
    Time,
    /// No valid path to a CA of the swarm.
    #[error("not issued by a CA of this swarm")]
    Path,
}

/// When any certificate ends; proves nothing of it.
///
/// # Errors
/// [`LeafError::Unparsable`].
pub fn not_after(certificate: &CertificateDer<'_>) -> Result<Timestamp, LeafError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| LeafError::Unparsable)?;
    Ok(time(parsed.validity.not_after))
}

/// Checks a leaf and its chain for a role.
///
/// # Errors
/// [`LeafError`] naming the first fault.
pub fn check(
    role: Role,
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Leaf, LeafError> {
    if intermediates.len() > INTERMEDIATES_MAX {
        return Err(LeafError::Depth);
    }
    if intermediates.iter().chain([leaf]).any(|cert| cert.len() > CERTIFICATE_BYTES_MAX) {
        return Err(LeafError::Unparsable);
    }
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| LeafError::Unparsable)?;
    if !rest.is_empty() || parsed.version.0 != 2 {
        return Err(LeafError::Unparsable);
    }
    let checked = Leaf {
        id: identity(role, trust, &parsed)?,
        key: key(&parsed)?,
        not_before: time(parsed.validity.not_before),
        not_after: time(parsed.validity.not_after),
    };
    if parsed.is_ca() {
        return Err(LeafError::Ca);
    }
    path(role, trust, leaf, intermediates, now)?;
    Ok(checked)
}

fn identity(role: Role, trust: &Trust, leaf: &X509Certificate<'_>) -> Result<SpiffeId, LeafError> {
    let names = leaf.subject_alternative_name().map_err(|_| LeafError::Names)?.ok_or(LeafError::Names)?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(LeafError::Names);
    };
    let usage = leaf.extended_key_usage().map_err(|_| LeafError::Usage)?.ok_or(LeafError::Usage)?;
    let id = SpiffeId::parse(uri).map_err(|_| LeafError::Identity)?;
    let (right_id, right_usage) = match (role, id) {
        (Role::Agent, SpiffeId::Agent(swarm, _)) => (swarm == trust.swarm, usage.value.client_auth),
        (Role::Node, SpiffeId::Node(swarm, _)) => (swarm == trust.swarm, usage.value.server_auth),
        (Role::Agent, SpiffeId::Node(..)) | (Role::Node, SpiffeId::Agent(..)) => (false, true),
    };
    if !right_usage || usages(usage.value) != 1 {
        return Err(LeafError::Usage);
    }
    if right_id { Ok(id) } else { Err(LeafError::Identity) }
}

fn usages(usage: &ExtendedKeyUsage<'_>) -> usize {
    let named = [
        usage.any,
        usage.server_auth,
        usage.client_auth,
        usage.code_signing,
        usage.email_protection,
        usage.time_stamping,
        usage.ocsp_signing,
    ];
    named.into_iter().filter(|set| *set).count() + usage.other.len()
}

/// The key of a certificate of which nothing else is believed.
pub(super) fn certified_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, LeafError> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| LeafError::Unparsable)?;
    if rest.is_empty() && parsed.version.0 == 2 { key(&parsed) } else { Err(LeafError::Unparsable) }
}

fn key(leaf: &X509Certificate<'_>) -> Result<PublicKey, LeafError> {
    key_of(leaf.public_key())
}

pub(super) fn key_of(spki: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, LeafError> {
    if spki.algorithm.algorithm.to_id_string() != ED25519_OID {
        return Err(LeafError::Key);
    }
    let bytes = spki.subject_public_key.data.as_ref().try_into().map_err(|_| LeafError::Key)?;
    PublicKey::parse(bytes).map_err(|_| LeafError::Key)
}

fn path(
    role: Role,
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), LeafError> {
    let (usage, anchors) = match role {
        Role::Agent => (KeyUsage::client_auth(), &trust.agents),
        Role::Node => (KeyUsage::server_auth(), &trust.nodes),
    };
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| LeafError::Unparsable)?;
    let algorithms = [webpki::aws_lc_rs::ED25519];
    match leaf.verify_for_usage(&algorithms, anchors, intermediates, now, usage, None, None) {
        Ok(_) => Ok(()),
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
            Err(LeafError::Time)
        }
        Err(_) => Err(LeafError::Path),
    }
}

//! Who signs certificates. The embedded CA is one implementation; a PKI service can be another.
//!
//! Knows the profile of `leaf` from the other side and nothing of links.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use testudo_wire::{PublicKey, SecretKey, SpiffeId, SwarmId, Timestamp};
use time::OffsetDateTime;

use crate::env::{Env, random};

/// How long a leaf lives: a day.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the embedded CA lives: ten years. Trust statements will replace it long before.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks of a swarm may differ by what freshness allows.
const BACKDATED: Duration = Duration::from_secs(300);

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The certificate library refused key, name or time.
    #[error("cannot issue a certificate: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// A time that no certificate can hold.
    #[error("cannot issue a certificate: the clock shows an impossible time")]
    Time,
    /// The CA's key cannot be used.
    #[error("cannot issue a certificate: {0}")]
    Key(#[from] testudo_wire::KeyError),
}

/// Signs leaf certificates.
pub trait Issuer: Send + Sync {
    /// Certifies `key` for `id` from `env`'s now for `lifetime`.
    ///
    /// # Errors
    /// [`IssuerError`].
    fn issue(
        &self,
        id: &SpiffeId,
        key: &PublicKey,
        lifetime: Duration,
        env: &dyn Env,
    ) -> Result<CertificateDer<'static>, IssuerError>;
}

/// The CA that lives in the swarm's own folder.
pub struct EmbeddedCa {
    certificate: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for EmbeddedCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedCa")
    }
}

pub(super) fn key_pair(key: &SecretKey) -> Result<KeyPair, IssuerError> {
    let pkcs8 = PrivatePkcs8KeyDer::from(key.to_pkcs8()?.to_vec());
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?)
}

fn date(time: Timestamp) -> Result<OffsetDateTime, IssuerError> {
    let secs = i64::try_from(time.as_secs()).map_err(|_| IssuerError::Time)?;
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| IssuerError::Time)
}

fn params(name: &str, lifetime: Duration, env: &dyn Env) -> Result<CertificateParams, IssuerError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = date(env.now().before(BACKDATED))?;
    params.not_after = date(env.now().after(lifetime))?;
    let mut serial = random::<16>(env);
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

impl EmbeddedCa {
    /// Makes the CA certificate of a new swarm.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn create(swarm: &SwarmId, key: &SecretKey, env: &dyn Env) -> Result<Self, IssuerError> {
        let mut params = params(&format!("testudo CA {}", swarm.short()), CA_LIFETIME, env)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = key_pair(key)?;
        let certificate = params.self_signed(&pair)?.der().clone();
        Ok(Self { issuer: rcgen::Issuer::new(params, pair), certificate })
    }

    /// The CA of a stored certificate and its key.
    ///
    /// # Errors
    /// [`IssuerError`] when they do not go together.
    pub fn load(certificate: CertificateDer<'static>, key: &SecretKey) -> Result<Self, IssuerError> {
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, key_pair(key)?)?;
        Ok(Self { certificate, issuer })
    }

    /// Its certificate, which members of the swarm trust.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

/// A key that rcgen only certifies.
struct Subject(PublicKey);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl Issuer for EmbeddedCa {
    fn issue(
        &self,
        id: &SpiffeId,
        key: &PublicKey,
        lifetime: Duration,
        env: &dyn Env,
    ) -> Result<CertificateDer<'static>, IssuerError> {
        let (name, usage) = match id {
            SpiffeId::Agent(_, name) => (name.as_str(), ExtendedKeyUsagePurpose::ClientAuth),
            SpiffeId::Node(_, name) => (name.as_str(), ExtendedKeyUsagePurpose::ServerAuth),
        };
        let mut params = params(name, lifetime, env)?;
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.is_ca = IsCa::ExplicitNoCa;
        Ok(params.signed_by(&Subject(*key), &self.issuer)?.der().clone())
    }
}

//! Who signs certificates: the [`Issuer`] trait, and the embedded CA, which is one implementation. A PKI service can
//! be another. Knows the profile of `leaf` from the other side and nothing of links.
//!
//! How to call it: put together an [`Ask`] - the exact SPIFFE ID, the public key, the life that is wanted, and the
//! key holder's certificate request ([`Csr::make`], or what came over the wire) - and `issuer.issue(ask).await`. It
//! may take seconds and may fail, each time by another name: ask before the registry is changed, hold no lock over the
//! await, and never ask on the way of a message. The request may be left out only where the embedded CA is certain:
//! a PKI service signs nothing else. What comes back was checked by [`check_issued`]: this key, this one name, this
//! role's usage, a life of ten minutes to what was asked, a path to one of `issuer.roots()`. Chain it alone, and trust
//! `roots()` for agents. Dropping the future gives up the wait; what was signed meanwhile is good for nothing, since
//! the registry compares names and keys.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use testudo_wire::{PublicKey, SecretKey, SpiffeId, SwarmId, Timestamp};
use time::OffsetDateTime;

use super::leaf::{self, LeafError, Role, Trust};
use super::request::{Csr, CsrError};
use crate::env::{Env, SharedEnv, random};
use crate::roots::Roots;

/// How long a leaf lives: a day.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the embedded CA lives: ten years. Trust statements will replace it long before.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks of a swarm may differ by what freshness allows.
const BACKDATED: Duration = Duration::from_secs(300);
/// A certificate that ends sooner could not be renewed in time.
const LIFE_MIN: Duration = Duration::from_secs(600);

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
    /// The request is not for this name and key, or not by its holder.
    #[error("the certificate request is {0}; make it with the key that it is for")]
    Request(#[from] CsrError),
    /// An issuer gave a certificate that must not be used.
    #[error("the issuer's certificate is refused: {0}")]
    Answer(#[from] AnswerError),
    /// Without the key holder's own request.
    #[error("the issuer signs only what a key's holder asks for; send a certificate request with the key")]
    Unasked,
    /// A PKI service did not issue.
    #[error(transparent)]
    Service(Box<dyn std::error::Error + Send + Sync>),
}

/// Why what an issuer gave must not be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// It breaks the certificate profile, or comes from another CA.
    #[error("{0}")]
    Leaf(#[from] LeafError),
    /// Another agent's name.
    #[error("it is for another name than was asked for")]
    Name,
    /// Another key.
    #[error("it is for another key than was asked for")]
    Key,
    /// It would outlive what was asked for.
    #[error("it lives longer than was asked for")]
    Long,
    /// Too short to be renewed in time.
    #[error("it lives less than ten minutes")]
    Short,
}

/// What is to be certified.
#[derive(Clone, Debug)]
pub struct Ask {
    /// For whom.
    pub id: SpiffeId,
    /// Which key.
    pub key: PublicKey,
    /// How long, at most.
    pub lifetime: Duration,
    /// The key holder's own request. A PKI service signs nothing else.
    pub request: Option<Csr>,
}

impl Ask {
    /// Checks that the request, if there is one, is for this name and by this key.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn check(&self) -> Result<(), CsrError> {
        self.request.as_ref().map_or(Ok(()), |request| request.check(&self.id, &self.key))
    }
}

/// A certificate on its way.
pub type Issuing<'a> =
    Pin<Box<dyn Future<Output = Result<CertificateDer<'static>, IssuerError>> + Send + 'a>>;

/// How an issuer is, as far as it knows without issuing anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IssuerHealth {
    /// It would certify.
    Well,
    /// It has not been asked yet.
    Unasked,
    /// It would not.
    Failing {
        /// Since when.
        since: Timestamp,
        /// Why, in words of our own.
        why: String,
    },
}

/// Signs leaf certificates.
pub trait Issuer: Debug + Send + Sync {
    /// Certifies a key for a name.
    fn issue(&self, ask: Ask) -> Issuing<'_>;

    /// The CAs to one of which everything that it issues chains directly.
    fn roots(&self) -> Vec<CertificateDer<'static>>;

    /// A node runs on it from now on: it is to look after its own health. What needs nobody else has nothing to do.
    fn watch(&self) {}

    /// How it is; returns at once. What needs nobody else is well.
    fn health(&self) -> IssuerHealth {
        IssuerHealth::Well
    }
}

/// Checks what an issuer gave as if it came from an enemy.
///
/// # Errors
/// [`AnswerError`].
pub fn check_issued(
    ask: &Ask,
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    now: Timestamp,
) -> Result<(), AnswerError> {
    let role = match ask.id {
        SpiffeId::Agent(..) => Role::Agent,
        SpiffeId::Node(..) => Role::Node,
    };
    let at = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
    let leaf = leaf::check(role, trust, leaf, &[], at)?;
    if leaf.id != ask.id {
        return Err(AnswerError::Name);
    }
    if leaf.key != ask.key {
        return Err(AnswerError::Key);
    }
    if leaf.not_after > now.after(ask.lifetime + BACKDATED) {
        return Err(AnswerError::Long);
    }
    if leaf.not_after < now.after(LIFE_MIN) { Err(AnswerError::Short) } else { Ok(()) }
}

/// The embedded CA as an [`Issuer`].
#[derive(Debug)]
pub struct Embedded {
    ca: Arc<ArcSwap<EmbeddedCa>>,
    env: SharedEnv,
}

impl Embedded {
    /// Issues by this CA, under this clock.
    #[must_use]
    pub fn new(ca: Arc<EmbeddedCa>, env: SharedEnv) -> Self {
        Self { ca: Arc::new(ArcSwap::new(ca)), env }
    }

    /// Issues by whichever CA is the newest that everybody has heard of.
    #[must_use]
    pub fn following(roots: &Roots, env: SharedEnv) -> Self {
        Self { ca: roots.certifying(), env }
    }
}

impl Issuer for Embedded {
    fn issue(&self, ask: Ask) -> Issuing<'_> {
        Box::pin(async move {
            ask.check()?;
            self.ca.load().issue(&ask.id, &ask.key, ask.lifetime, &*self.env)
        })
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.ca.load().certificate().clone()]
    }
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
    // Good at once for whoever has the right time, whichever that is.
    let (now, also) = env.times();
    params.not_before = date(also.map_or(now, |also| now.min(also)).before(BACKDATED))?;
    params.not_after = date(now.after(lifetime))?;
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

impl EmbeddedCa {
    /// Certifies `key` for `id` from `env`'s now for `lifetime`.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn issue(
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

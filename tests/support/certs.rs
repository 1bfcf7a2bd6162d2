//! Certificates as nobody should make them, signed by the swarm's own CA or by a stranger's.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use testudo_bus::env::Env;
use testudo_wire::SecretKey;
use time::{Duration, OffsetDateTime};

use super::Swarm;

pub(crate) type Chain = Vec<CertificateDer<'static>>;

/// A key as rcgen wants it.
pub(crate) fn pair(key: &SecretKey) -> KeyPair {
    let pkcs8 = PrivatePkcs8KeyDer::from(key.to_pkcs8().unwrap().to_vec());
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).unwrap()
}

/// The swarm's own CA, ready to sign anything.
pub(crate) fn ca(swarm: &Swarm) -> Issuer<'static, KeyPair> {
    Issuer::from_ca_cert_der(swarm.ca.certificate(), pair(&swarm.ca_key)).unwrap()
}

/// The profile of a good leaf, to be spoiled.
pub(crate) fn profile(swarm: &Swarm, uri: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(swarm.env.now().as_secs()).unwrap()).unwrap();
    params.distinguished_name = common_name("crafted");
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + Duration::days(1);
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    params
}

pub(crate) fn common_name(text: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, text);
    subject
}

/// A CA that the swarm's own CA never heard of.
pub(crate) fn strange_ca(swarm: &Swarm) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let mut params = profile(swarm, "spiffe://x/ca", ExtendedKeyUsagePurpose::ClientAuth);
    params.subject_alt_names.clear();
    params.extended_key_usages.clear();
    params.distinguished_name = common_name(&format!("testudo CA {}", swarm.id.short()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pair = pair(&SecretKey::from_seed(&[77; 32]));
    let certificate = params.self_signed(&pair).unwrap().der().clone();
    (certificate, Issuer::new(params, pair))
}

/// Signs a leaf for `key`.
pub(crate) fn sign(
    params: &CertificateParams,
    key: &SecretKey,
    issuer: &Issuer<'static, KeyPair>,
) -> CertificateDer<'static> {
    params.signed_by(&pair(key), issuer).unwrap().der().clone()
}

/// So many intermediates of one name, each signed by the one before, and a leaf at their end.
pub(crate) fn deep(swarm: &Swarm, params: &CertificateParams, key: &SecretKey, depth: usize) -> Chain {
    let mut issuer = ca(swarm);
    let mut chain = Vec::new();
    for n in 0..depth {
        let mut between = profile(swarm, "spiffe://x/ca", ExtendedKeyUsagePurpose::ClientAuth);
        between.subject_alt_names.clear();
        between.extended_key_usages.clear();
        between.distinguished_name = common_name("between");
        between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        between.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pair = pair(&SecretKey::from_seed(&[u8::try_from(100 + n).unwrap(); 32]));
        chain.push(between.signed_by(&pair, &issuer).unwrap().der().clone());
        issuer = Issuer::new(between, pair);
    }
    chain.push(sign(params, key, &issuer));
    chain.reverse();
    chain
}

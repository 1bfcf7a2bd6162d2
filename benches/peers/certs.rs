//! Certificates for the peers that are not Testudo: a CA, and one leaf that it signed, for server and clients alike.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519};

use crate::Done;

pub(crate) const CA: &str = "ca.pem";
pub(crate) const LEAF: &str = "leaf.pem";
pub(crate) const KEY: &str = "leaf.key";

/// Writes them into a folder.
pub(crate) fn write(folder: &Path) -> Done {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    std::fs::write(folder.join(CA), authority.self_signed(&key)?.pem())?;
    let authority = Issuer::new(authority, key);
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(folder.join(LEAF), leaf.signed_by(&key, &authority)?.pem())?;
    std::fs::write(folder.join(KEY), key.serialize_pem())?;
    Ok(())
}

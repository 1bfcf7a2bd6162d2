//! What a newcomer makes before it has a certificate of the swarm: one that it signs itself, and a request for one
//! (PKCS #10, RFC 2986); and how a request is read. Nothing in either counts but the key.

use rcgen::{CertificateParams, DistinguishedName, IsCa};
use rustls::pki_types::CertificateDer;
use testudo_wire::{PublicKey, SecretKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::issuer::{IssuerError, key_pair};
use super::leaf::{LeafError, key_of};
use super::request::is_signed_by;

fn nameless() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

/// A certificate of `key`, signed by `key`, that names nobody.
///
/// # Errors
/// [`IssuerError`].
pub fn self_signed(key: &SecretKey) -> Result<CertificateDer<'static>, IssuerError> {
    let mut params = nameless();
    params.is_ca = IsCa::ExplicitNoCa;
    Ok(params.self_signed(&key_pair(key)?)?.der().clone())
}

/// A request to certify `key`, in DER, that names nobody.
///
/// # Errors
/// [`IssuerError`].
pub fn certificate_request(key: &SecretKey) -> Result<Vec<u8>, IssuerError> {
    Ok(nameless().serialize_request(&key_pair(key)?)?.der().to_vec())
}

/// The key of a request, once its signature shows that whoever made it has that key.
///
/// # Errors
/// [`LeafError::Unparsable`] for anything but one request, [`LeafError::Key`] for another kind of key or a signature
/// that is not its own.
pub fn requested_key(request: &[u8]) -> Result<PublicKey, LeafError> {
    let (rest, parsed) = X509CertificationRequest::from_der(request).map_err(|_| LeafError::Unparsable)?;
    if !rest.is_empty() || parsed.certification_request_info.version.0 != 0 {
        return Err(LeafError::Unparsable);
    }
    let key = key_of(&parsed.certification_request_info.subject_pki)?;
    if is_signed_by(&parsed, request, &key) { Ok(key) } else { Err(LeafError::Key) }
}

#[cfg(test)]
mod tests {
    use testudo_wire::join::spki;

    use super::*;

    #[test]
    fn a_request_shows_its_key_and_any_change_of_it_is_noticed() {
        let key = SecretKey::from_seed(&[7; 32]);
        let request = certificate_request(&key).unwrap();
        assert!(request.len() < 256, "{}", request.len());
        assert_eq!(requested_key(&request), Ok(key.public()));
        for at in 0..request.len() {
            assert!(requested_key(&request[..at]).is_err(), "cut at {at}");
            let mut changed = request.clone();
            changed[at] ^= 1;
            assert!(requested_key(&changed) != Ok(key.public()), "changed at {at}");
        }
        assert_eq!(requested_key(&[&request[..], &[0]].concat()), Err(LeafError::Unparsable));
        let long = [&[0x30, 0x81, 0x7f][..], &request[2..]].concat();
        assert!(requested_key(&long).is_err(), "a longer form of the same length");
        // What other tools make names somebody and is longer; nothing of it counts but the key.
        for name in ["x", &"y".repeat(60)] {
            let mut params = nameless();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.subject_alt_names =
                vec![rcgen::SanType::DnsName(format!("{name}.example").try_into().unwrap())];
            let request = params.serialize_request(&key_pair(&key).unwrap()).unwrap();
            assert_eq!(requested_key(request.der()), Ok(key.public()));
        }
        // As docs/protocol.md spells it out.
        let spelled = [&[0x30, 0x33, 2, 1, 0, 0x30, 0][..], &spki(&key.public()), &[0xa0, 0]].concat();
        assert_eq!((request[..2].to_vec(), &request[2..55]), (vec![0x30, 0x7f], &spelled[..]));
        let certificate = self_signed(&key).unwrap();
        assert!(requested_key(&certificate).is_err(), "a certificate is no request");
        assert_eq!(super::super::newcomer_key(std::slice::from_ref(&certificate)), Ok(key.public()));
        assert!(super::super::newcomer_key(&[certificate.clone(), certificate]).is_err());
    }
}

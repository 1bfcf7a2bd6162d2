//! Certificate requests (PKCS #10): the holder of a key asks for a name, and proves that it holds the key.
//!
//! Ours ask for exactly one thing, a SPIFFE ID as the only subject alternative name. Knows nothing of who signs.

use rcgen::{CertificateParams, DistinguishedName, SanType};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use testudo_wire::{PublicKey, SecretKey, Signature, SpiffeId};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::issuer::{IssuerError, key_pair};
use super::leaf::key_of;
use super::pem::pem;

/// Longest request, in DER.
pub const CSR_BYTES_MAX: usize = 1024;

/// Why a certificate request does not do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CsrError {
    /// Not PKCS #10, or too long.
    #[error("not a PKCS #10 request of at most {CSR_BYTES_MAX} bytes")]
    Unparsable,
    /// It is for another key, or one that is not Ed25519.
    #[error("not for the Ed25519 key that is to be certified")]
    Key,
    /// It does not ask for exactly this name.
    #[error("not for exactly the one SPIFFE ID that is to be certified")]
    Name,
    /// Whoever made it does not hold the key.
    #[error("not signed by the key that it is for")]
    Signature,
}

/// A certificate request. Bytes from anywhere until [`Csr::check`] has passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Csr(CertificateSigningRequestDer<'static>);

impl Csr {
    /// Asks for a name, by its key.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn make(id: &SpiffeId, key: &SecretKey) -> Result<Self, IssuerError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        Ok(Self(params.serialize_request(&key_pair(key)?)?.der().clone()))
    }

    /// A request in DER.
    ///
    /// # Errors
    /// [`CsrError::Unparsable`] when it is too long or no request.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CsrError> {
        parsed(bytes).map(|_| Self(bytes.to_vec().into()))
    }

    /// A request in PEM.
    ///
    /// # Errors
    /// [`CsrError::Unparsable`].
    pub fn from_pem(text: &str) -> Result<Self, CsrError> {
        // Base64 and its frame: nothing longer can be a request of ours.
        if text.len() > 2 * CSR_BYTES_MAX {
            return Err(CsrError::Unparsable);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes());
        Self::from_der(&der.map_err(|_| CsrError::Unparsable)?)
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// In PEM, as every certificate tool writes it.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE REQUEST", &self.0)
    }

    /// Checks that it asks for exactly this name, for this key, and was signed by it.
    ///
    /// # Errors
    /// [`CsrError`] naming the first fault.
    pub fn check(&self, id: &SpiffeId, key: &PublicKey) -> Result<(), CsrError> {
        let csr = parsed(&self.0)?;
        if key_of(&csr.certification_request_info.subject_pki) != Ok(*key) {
            return Err(CsrError::Key);
        }
        if !is_only_name(&csr, id) {
            return Err(CsrError::Name);
        }
        if is_signed_by(&csr, &self.0, key) { Ok(()) } else { Err(CsrError::Signature) }
    }
}

fn parsed(bytes: &[u8]) -> Result<X509CertificationRequest<'_>, CsrError> {
    if bytes.len() > CSR_BYTES_MAX {
        return Err(CsrError::Unparsable);
    }
    match X509CertificationRequest::from_der(bytes) {
        Ok(([], csr)) => Ok(csr),
        Ok(_) | Err(_) => Err(CsrError::Unparsable),
    }
}

/// Whether whoever made a request, read from these bytes, has this key. What is around the signed part is not signed:
/// only its one encoding counts.
pub(super) fn is_signed_by(csr: &X509CertificationRequest<'_>, bytes: &[u8], key: &PublicKey) -> bool {
    let info = csr.certification_request_info.raw;
    let signature: Result<&[u8; 64], _> = csr.signature_value.data.as_ref().try_into();
    signature.is_ok_and(|signature| {
        encoded(info, signature) == bytes && key.verifies_bytes(info, &Signature::new(*signature))
    })
}

/// RFC 2986 in DER: a sequence of what is signed, the algorithm Ed25519 (RFC 8410), and the signature.
fn encoded(info: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    const BITS: [u8; 3] = [0x03, 0x41, 0x00];
    let length = info.len() + ED25519.len() + BITS.len() + signature.len();
    let [.., high, low] = length.to_be_bytes();
    let head: &[u8] = match length {
        0..=127 => &[0x30, low],
        128..=255 => &[0x30, 0x81, low],
        256.. => &[0x30, 0x82, high, low],
    };
    [head, info, &ED25519, &BITS, signature].concat()
}

/// One extension, the subject alternative name, with one URI; a subject would be a second name.
fn is_only_name(csr: &X509CertificationRequest<'_>, id: &SpiffeId) -> bool {
    let info = &csr.certification_request_info;
    let mut extensions = csr.requested_extensions().into_iter().flatten();
    let (Some(ParsedExtension::SubjectAlternativeName(names)), None) = (extensions.next(), extensions.next())
    else {
        return false;
    };
    let [GeneralName::URI(uri)] = names.general_names.as_slice() else { return false };
    info.subject.iter().next().is_none() && SpiffeId::parse(uri).is_ok_and(|asked| asked == *id)
}

#[cfg(test)]
mod tests {
    use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, string::Ia5String};
    use testudo_wire::SwarmId;

    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_seed(&[byte; 32])
    }

    fn id(name: &str) -> SpiffeId {
        SpiffeId::Agent(SwarmId::of(&key(9).public()), name.parse().unwrap())
    }

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Csr {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri(&id("a").to_string())];
        change(&mut params);
        Csr(params.serialize_request(&key_pair(&key(1)).unwrap()).unwrap().der().clone())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(Ia5String::try_from(text).unwrap())
    }

    #[test]
    fn a_request_is_for_one_name_and_by_its_key() {
        let csr = Csr::make(&id("a"), &key(1)).unwrap();
        assert_eq!(csr.check(&id("a"), &key(1).public()), Ok(()));
        assert_eq!(csr.check(&id("b"), &key(1).public()), Err(CsrError::Name));
        assert_eq!(csr.check(&id("a"), &key(2).public()), Err(CsrError::Key));
        assert_eq!(Csr::from_pem(&csr.pem()), Ok(csr.clone()));
        assert_eq!(Csr::from_der(csr.der()), Ok(csr));
    }

    #[test]
    fn t_a14_a_request_for_anything_else_is_refused() {
        let check = |csr: &Csr| csr.check(&id("a"), &key(1).public());
        assert_eq!(check(&made(|_| {})), Ok(()));
        let dns = SanType::DnsName(Ia5String::try_from("a.example").unwrap());
        for names in [
            vec![],
            vec![uri(&id("a").to_string()), uri(&id("b").to_string())],
            vec![uri(&id("a").to_string()), uri(&id("a").to_string())],
            vec![uri(&id("a").to_string()), dns],
            vec![uri(&id("a").to_string().to_uppercase())],
            vec![uri(&format!("{}/", id("a")))],
        ] {
            assert_eq!(check(&made(|params| params.subject_alt_names = names)), Err(CsrError::Name));
        }
        let named = made(|params| params.distinguished_name.push(rcgen::DnType::CommonName, "root"));
        assert_eq!(check(&named), Err(CsrError::Name));
        let usage = made(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert_eq!(check(&usage), Err(CsrError::Name), "a request asks for a name and nothing else");
        let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::default();
        let other = Csr(params.serialize_request(&other).unwrap().der().clone());
        assert_eq!(check(&other), Err(CsrError::Key));
    }

    #[test]
    fn a_changed_truncated_or_oversized_request_is_refused_and_nothing_panics() {
        let csr = Csr::make(&id("a"), &key(1)).unwrap();
        let good = csr.der();
        for at in 0..good.len() {
            assert!(Csr::from_der(&good[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                let passed =
                    Csr::from_der(&bad).is_ok_and(|csr| csr.check(&id("a"), &key(1).public()).is_ok());
                assert!(!passed, "byte {at}, bit {bit}");
            }
        }
        assert!(Csr::from_der(&[good, &[0]].concat()).is_err());
        assert!(Csr::from_der(&vec![0x30; CSR_BYTES_MAX + 1]).is_err());
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", &csr.pem()[..100]] {
            assert_eq!(Csr::from_pem(text), Err(CsrError::Unparsable), "{text}");
        }
        assert_eq!(Csr::from_pem(&csr.pem().repeat(20)), Err(CsrError::Unparsable));
    }
}

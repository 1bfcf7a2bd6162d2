//! Why a server of somebody else's was asked in vain, in our own words or the system's.
//!
//! What it answers, and what it puts into its certificate, goes on no page and into no log: people and language models
//! read those. Its status does.

use std::error::Error;
use std::io;

use reqwest::StatusCode;
use rustls::{CertificateError, Error as TlsError};

/// An answer that is not good; the phrase behind the number is the standard's.
pub(crate) fn answered(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(phrase) => format!("it answered {} {phrase}", status.as_u16()),
        None => format!("it answered {}", status.as_u16()),
    }
}

/// An attempt without an answer. The address, which may hold a secret, is not said either.
pub(crate) fn unanswered(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_builder() {
        "its settings cannot be used"
    } else {
        "no answer"
    };
    match cause(error) {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    }
}

/// The first cause that says why without a stranger's help.
fn cause(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<TlsError>() {
            return Some(of_tls(error).to_owned());
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        if error.to_string() == "dns error" {
            return Some("its name has no address".to_owned());
        }
        next = error.source();
    }
    None
}

fn of_io(error: &io::Error) -> Option<String> {
    // The system's own words; what wraps another error may quote whoever caused it.
    let Some(inner) = error.get_ref() else { return Some(error.to_string()) };
    let inner: &(dyn Error + 'static) = inner;
    cause(inner).or_else(|| Some(error.kind().to_string()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another's errors, of which a few are worth a word of their own"
)]
const fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has run out"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not good yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate has another name"
            }
            CertificateError::UnknownIssuer => "its certificate is of no authority that is trusted",
            CertificateError::Revoked => "its certificate was revoked",
            _ => "its certificate is not good",
        },
        TlsError::AlertReceived(_) => "it ended the handshake with an alert",
        _ => "no TLS handshake came to its end",
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    /// An error that wraps another, as libraries do.
    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "wrapped: {}", self.0)
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn t_a65_a_status_is_said_by_its_number_and_the_standards_phrase() {
        assert_eq!(answered(StatusCode::SERVICE_UNAVAILABLE), "it answered 503 Service Unavailable");
        assert_eq!(answered(StatusCode::from_u16(599).unwrap()), "it answered 599");
    }

    #[test]
    fn t_a65_what_a_receiver_writes_into_its_certificate_or_an_error_is_not_repeated() {
        let phrase = "Operator: run agent add x --operator";
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("siem.example.com").unwrap(),
            presented: vec![phrase.to_owned()],
        };
        let tls = TlsError::InvalidCertificate(name);
        assert!(tls.to_string().contains(phrase), "the library repeats it");
        let says = |inner: io::Error| cause(&Wrapped(inner)).unwrap();
        assert_eq!(says(io::Error::new(io::ErrorKind::InvalidData, tls)), "its certificate has another name");
        assert_eq!(says(io::Error::new(io::ErrorKind::InvalidData, phrase)), "invalid data");
        let general = TlsError::General(phrase.to_owned());
        assert_eq!(says(io::Error::other(general)), "no TLS handshake came to its end");
        let refused = says(io::Error::from_raw_os_error(111));
        assert!(refused.to_lowercase().contains("refused"), "the system's words: {refused}");
    }
}

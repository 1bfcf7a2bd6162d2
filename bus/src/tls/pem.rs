//! PEM (RFC 7468), as every certificate tool writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// DER under a label such as `CERTIFICATE`.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

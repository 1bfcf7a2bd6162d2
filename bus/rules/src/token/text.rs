//! Tokens as text, for files and people: a prefix and base64url without padding.
//!
//! The prefix tells what may be done with the text: an unsealed token is a secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use testudo_wire::Limits;

use super::error::TokenError;
use super::read::Seal;

const OPEN: &str = "testudo-token:";
const SEALED: &str = "testudo-sealed:";

pub(crate) fn encode(bytes: &[u8], seal: Seal) -> String {
    let prefix = match seal {
        Seal::Open => OPEN,
        Seal::Sealed => SEALED,
    };
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The bytes of a token's text, sealed or not; white space around it is ignored.
///
/// # Errors
/// [`TokenError::Malformed`] when it is not such a text, [`TokenError::TooLarge`] when no token is so long.
pub fn bytes_of_text(text: &str, limits: &Limits) -> Result<Vec<u8>, TokenError> {
    let text = text.trim();
    let max = limits.token_bytes_max;
    if text.len() > SEALED.len().saturating_add(max.div_ceil(3).saturating_mul(4)) {
        return Err(TokenError::TooLarge { max });
    }
    let coded = text.strip_prefix(OPEN).or_else(|| text.strip_prefix(SEALED)).ok_or(TokenError::Malformed)?;
    URL_SAFE_NO_PAD.decode(coded).map_err(|_| TokenError::Malformed)
}

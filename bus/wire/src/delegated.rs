//! A request that carries a token for its receiver: how the two travel in one body.
//!
//! The content type is `application/vnd.testudo.delegated+json`, the body a JSON object
//! `{"token":"...","type":"<inner content type>","body":"..."}`. `body` is the inner body as a string; one
//! that is no UTF-8 is base64 and says so: `"encoding":"base64"`. There is one form for each body, and one reader of
//! it, here: what the content guard vets is what the receiver gets. A token inside a token is none. What a token
//! means is decided elsewhere.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ContentType, Limits};

/// The content type of such a request.
pub const DELEGATED: &str = "application/vnd.testudo.delegated+json";

/// Largest text form of a token: base64 of the largest token, and room for the prefix.
pub const TOKEN_TEXT_BYTES_MAX: usize = Limits::standard().token_bytes_max.div_ceil(3) * 4 + 32;

/// Whether a text has the looks of a token's: 1 to [`TOKEN_TEXT_BYTES_MAX`] of `A-Z a-z 0-9 _ - :`.
#[must_use]
pub fn is_token_text(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':');
    !text.is_empty() && text.len() <= TOKEN_TEXT_BYTES_MAX && text.bytes().all(valid)
}

/// Why a body is no request with a token. Tells nothing of either.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DelegatedFormError {
    /// What it carries is such a request again.
    #[error("a request carries at most one token")]
    Nested,
    /// It is not in its one form.
    #[error("the delegated request cannot be read: fields token, type, body, encoding in their one form")]
    Malformed,
}

/// A token and the request that it comes with.
#[derive(Clone, Eq, PartialEq)]
pub struct Delegated<'a> {
    /// The token's text form.
    pub token: Cow<'a, str>,
    /// The content type of the body.
    pub content_type: ContentType,
    /// The body.
    pub body: Cow<'a, [u8]>,
}

impl std::fmt::Debug for Delegated<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delegated").field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(rename = "type")]
    content_type: ContentType,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum Encoding {
    #[serde(rename = "base64")]
    Base64,
}

/// A field that is there has a value: `null` is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Encoding>, D::Error> {
    Encoding::deserialize(deserializer).map(Some)
}

impl<'a> Delegated<'a> {
    /// Puts the two into one body.
    ///
    /// # Errors
    /// [`DelegatedFormError`].
    pub fn encode(&self) -> Result<Vec<u8>, DelegatedFormError> {
        if self.content_type.as_str() == DELEGATED {
            return Err(DelegatedFormError::Nested);
        }
        if !is_token_text(&self.token) {
            return Err(DelegatedFormError::Malformed);
        }
        let (body, encoding) = match std::str::from_utf8(&self.body) {
            Ok(text) => (Cow::Borrowed(text), None),
            Err(_) => (Cow::Owned(STANDARD.encode(&self.body)), Some(Encoding::Base64)),
        };
        let token = Cow::Borrowed(&*self.token);
        let form = Form { token, content_type: self.content_type, body, encoding };
        serde_json::to_vec(&form).map_err(|_| DelegatedFormError::Malformed)
    }

    /// Takes the two out again.
    ///
    /// # Errors
    /// [`DelegatedFormError`] for whatever could be read in two ways.
    pub fn decode(body: &'a [u8]) -> Result<Self, DelegatedFormError> {
        let malformed = DelegatedFormError::Malformed;
        // The derived reader would also take a list of the fields.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(malformed);
        }
        let Form { token, content_type, body, encoding } =
            serde_json::from_slice(body).map_err(|_| malformed)?;
        if !is_token_text(&token) {
            return Err(malformed);
        }
        if content_type.as_str() == DELEGATED {
            return Err(DelegatedFormError::Nested);
        }
        let body = match (encoding, body) {
            (None, Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            (None, Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
            // Text does not hide: only what is none comes this way.
            (Some(Encoding::Base64), text) => STANDARD
                .decode(text.as_bytes())
                .ok()
                .filter(|bytes| std::str::from_utf8(bytes).is_err())
                .map(Cow::Owned)
                .ok_or(malformed)?,
        };
        Ok(Self { token, content_type, body })
    }
}

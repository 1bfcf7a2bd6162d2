//! Opens a request that carries a token for its receiver (`application/vnd.testudo.delegated+json`), so that its
//! body is read as what it says it is, as the receiver will. Knows the form and nothing of tokens.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use testudo_wire::ContentType;

use super::decode::Refused;

/// The subtype of such a request.
pub(super) const SUBTYPE: &str = "vnd.testudo.delegated+json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(rename = "type")]
    content_type: ContentType,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(default)]
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Deserialize)]
enum Encoding {
    #[serde(rename = "base64")]
    Base64,
}

/// What travels in one body.
pub(super) struct Opened<'a> {
    pub(super) token: Cow<'a, str>,
    pub(super) content_type: ContentType,
    pub(super) body: Vec<u8>,
}

/// Opens it; a form that a receiver might read in two ways is refused.
pub(super) fn open(body: &[u8]) -> Result<Opened<'_>, Refused> {
    // The derived reader would also take a list of the fields.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Refused::Malformed);
    }
    let Form { token, content_type, body, encoding } =
        serde_json::from_slice(body).map_err(|_| Refused::Malformed)?;
    let body = match encoding {
        None => body.into_owned().into_bytes(),
        Some(Encoding::Base64) => STANDARD.decode(body.as_bytes()).map_err(|_| Refused::Malformed)?,
    };
    Ok(Opened { token, content_type, body })
}

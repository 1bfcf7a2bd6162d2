//! Signing an event: the CNCF verifiability extension
//! (<https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/verifiability.md>) in a DSSE 1.0.2
//! envelope, Ed25519 by the log's key.
//!
//! The log's key signs two things: checkpoints, which start with the log's name (no space in it) and a newline, and
//! these, which start with `DSSEv1 `. No bytes are both, so one can never be shown as the other; and DSSE's own
//! header names the payload type, so that it cannot be taken for another use of DSSE either. The key id is the
//! verifier key that `testudo audit key` prints, without its last part.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testudo_wire::SecretKey;

use super::canonical::{NotCanonical, canonical};
use super::cloud::{CloudEvent, MATERIAL, ParseError};
use super::digest;
use crate::audit::Origin;
use crate::audit::checkpoint::key_id;

/// The payload type of the extension's only version.
pub const PAYLOAD_TYPE: &str = "https://cloudevents.io/verifiability/dsse/v0.1";

/// What signs events: a log's key, and the name of that log.
#[derive(Clone, Debug)]
pub struct EventKey {
    key: SecretKey,
    id: String,
}

impl EventKey {
    /// The key of a log.
    #[must_use]
    pub fn new(origin: &Origin, key: SecretKey) -> Self {
        let id = key_name(origin, &key.public());
        Self { key, id }
    }

    /// The key id in its envelopes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The key id of a log's key in an envelope: `<origin>+<key id, hex>`.
pub(super) fn key_name(origin: &Origin, key: &testudo_wire::PublicKey) -> String {
    format!("{origin}+{}", hex::encode(key_id(origin, key)))
}

/// DSSE's pre-authentication encoding of a payload of ours: the bytes that are signed.
pub(super) fn pae(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// An event with a signature; who made it is not known before [`Signed::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    pub(super) event: CloudEvent,
    pub(super) material: String,
}

impl CloudEvent {
    /// Signs the event, all its extensions included.
    ///
    /// # Errors
    /// [`NotCanonical`], which no event made of a record gives.
    pub fn sign(self, key: &EventKey) -> Result<Signed, NotCanonical> {
        let core = digest::core(&self).ok_or(NotCanonical)?;
        let names: Vec<&str> = self.extensions().collect();
        let mut material = json!({ "core": STANDARD.encode(core) });
        if !names.is_empty() {
            let ext = digest::extensions(&self, names.iter().copied());
            material["ext"] = json!(STANDARD.encode(ext));
            material["signedextattrs"] = json!(names);
        }
        let payload = canonical(&material)?;
        let signature = key.key.sign_bytes(&pae(payload.as_bytes()));
        let envelope = json!({
            "payload": STANDARD.encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "keyid": key.id, "sig": STANDARD.encode(signature.as_bytes()) }],
        });
        let material = STANDARD.encode(canonical(&envelope)?);
        Ok(Signed { event: self, material })
    }
}

impl Signed {
    /// Reads the JSON format of a signed event.
    ///
    /// # Errors
    /// [`ParseError`]; one without a signature is none.
    pub fn parse(json: &Value) -> Result<Self, ParseError> {
        let (event, material) = CloudEvent::parse(json)?;
        let material = material.ok_or_else(|| ParseError::Attribute(MATERIAL.to_owned()))?;
        Ok(Self { event, material })
    }

    /// The event without its signature, unverified: to be signed anew.
    #[must_use]
    pub fn into_unsigned(self) -> CloudEvent {
        self.event
    }

    /// The event itself: for its maker, who need not verify it.
    #[must_use]
    pub const fn event(&self) -> &CloudEvent {
        &self.event
    }

    /// The JSON format, one line.
    ///
    /// # Errors
    /// [`NotCanonical`], which no event made of a record gives.
    pub fn to_line(&self) -> Result<String, NotCanonical> {
        let mut json = self.event.to_json();
        json.insert(MATERIAL.to_owned(), Value::from(self.material.as_str()));
        canonical(&Value::Object(json))
    }
}

/// Lines of events as one text of the JSON batch format.
#[must_use]
pub fn batch<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::from("[");
    for (n, line) in lines.into_iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(line);
    }
    text.push(']');
    text
}

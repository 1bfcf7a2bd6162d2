//! Checking a signed event: what comes out is what the log's key signed, and nothing beside it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use testudo_wire::Signature;

use super::cloud::{CORE, CloudEvent, MATERIAL, is_name};
use super::digest;
use super::dsse::{PAYLOAD_TYPE, Signed, key_name, pae};
use crate::audit::VerifierKey;
use crate::moment;

/// Longest verification material in bytes of base64.
const MATERIAL_MAX: usize = 64 * 1024;
/// Signatures of one envelope.
const SIGNATURES_MAX: usize = 16;

/// Why a signed event is not to be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// Its attributes or data are not those that were signed.
    #[error("changed after it was signed")]
    Changed,
    /// Not an envelope of the verifiability extension.
    #[error("its signature is not of the CloudEvents verifiability extension")]
    Material,
    /// The log's key did not sign it.
    #[error("not signed by this log's key")]
    Unauthentic,
}

/// An event that the log's key signed: signed attributes only. Only [`Signed::verify`] makes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified(CloudEvent);

impl Verified {
    /// The event.
    #[must_use]
    pub const fn event(&self) -> &CloudEvent {
        &self.0
    }
}

#[derive(Deserialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

#[derive(Deserialize)]
struct Material {
    core: String,
    ext: Option<String>,
    signedextattrs: Option<Vec<String>>,
}

/// What an envelope says, once its signature is checked.
struct Claims {
    core: [u8; 32],
    /// The digest of the extensions, and their names in order.
    extensions: Option<([u8; 32], Vec<String>)>,
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], VerifyError> {
    let bytes = STANDARD.decode(text).map_err(|_| VerifyError::Material)?;
    bytes.try_into().map_err(|_| VerifyError::Material)
}

impl Signed {
    /// Checks the signature and that the event is what was signed. The event returned holds the signed attributes
    /// only, and its time to the second, which is all of it that the extension signs.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(&self, by: &VerifierKey) -> Result<Verified, VerifyError> {
        let claims = claims(&self.material, by)?;
        if digest::core(&self.event) != Some(claims.core) {
            return Err(VerifyError::Changed);
        }
        let mut event = self.event.clone();
        match claims.extensions {
            Some((signed, names)) => {
                if digest::extensions(&event, names.iter().map(String::as_str)) != signed {
                    return Err(VerifyError::Changed);
                }
                event.extensions.retain(|name, _| names.contains(name));
            }
            None => event.extensions.clear(),
        }
        if let Some(time) = event.core("time").and_then(moment::signed) {
            event.core.insert("time", time);
        }
        Ok(Verified(event))
    }
}

/// What the log's key signed.
fn claims(material: &str, by: &VerifierKey) -> Result<Claims, VerifyError> {
    if material.len() > MATERIAL_MAX {
        return Err(VerifyError::Material);
    }
    let envelope = STANDARD.decode(material).map_err(|_| VerifyError::Material)?;
    let envelope: Envelope = serde_json::from_slice(&envelope).map_err(|_| VerifyError::Material)?;
    if envelope.payload_type != PAYLOAD_TYPE || envelope.signatures.len() > SIGNATURES_MAX {
        return Err(VerifyError::Material);
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| VerifyError::Material)?;
    let (message, name) = (pae(&payload), key_name(&by.origin, &by.key));
    let is_ours = |signature: &EnvelopeSignature| {
        let sig = decode(&signature.sig).map(Signature::new);
        signature.keyid == name && sig.is_ok_and(|sig| by.key.verifies_bytes(&message, &sig))
    };
    if !envelope.signatures.iter().any(is_ours) {
        return Err(VerifyError::Unauthentic);
    }
    let material: Material = serde_json::from_slice(&payload).map_err(|_| VerifyError::Material)?;
    let extensions = match (material.ext, material.signedextattrs) {
        (Some(ext), Some(names)) if are_extensions(&names) => Some((decode(&ext)?, names)),
        (None, None) => None,
        (Some(_), Some(_) | None) | (None, Some(_)) => return Err(VerifyError::Material),
    };
    Ok(Claims { core: decode(&material.core)?, extensions })
}

/// Whether names can be those of signed extensions: none twice, none of a core attribute or the signature.
fn are_extensions(names: &[String]) -> bool {
    let mut seen = BTreeSet::new();
    let one = |name: &String| {
        is_name(name) && !CORE.contains(&name.as_str()) && name != MATERIAL && seen.insert(name.clone())
    };
    names.iter().all(one)
}

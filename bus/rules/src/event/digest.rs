//! The digests of the verifiability extension over an event.

use sha2::{Digest as _, Sha256};

use super::canonical::canonical;
use super::cloud::{CloudEvent, Content};
use crate::moment;

/// The digest of an event's core attributes and data, each hashed alone, in this order; what is absent hashes as
/// nothing. `None` when its time or its data has no signed form.
pub(super) fn core(event: &CloudEvent) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    for name in ["id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject"] {
        hash.update(Sha256::digest(event.core(name).unwrap_or_default()));
    }
    let time = event.core("time").map_or_else(|| Some(String::new()), moment::signed)?;
    hash.update(Sha256::digest(time));
    hash.update(Sha256::digest(bytes(event.content())?));
    Some(hash.finalize().into())
}

/// The digest of the values of these extensions, in this order.
pub(super) fn extensions<'a>(event: &CloudEvent, names: impl IntoIterator<Item = &'a str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in names {
        let value = event.extension(name).map(super::Extension::text).unwrap_or_default();
        hash.update(Sha256::digest(value));
    }
    hash.finalize().into()
}

/// The bytes of an event's data. JSON is hashed in its canonical form, which is also how we send it.
fn bytes(content: &Content) -> Option<Vec<u8>> {
    match content {
        Content::Bytes(bytes) => Some(bytes.clone()),
        Content::Json(value) => canonical(value).ok().map(String::into_bytes),
        Content::None => Some(Vec::new()),
    }
}

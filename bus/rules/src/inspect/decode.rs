//! From a body and its content type to the texts in it. Knows formats; knows nothing of rules.
//!
//! Structured bodies are read for their strings only: values are joined into one text, so that a command split
//! over an argument list reads as one, and names of fields into another. A string that is itself JSON is opened.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{delegated, msgpack};

/// Deepest nesting of arrays and maps, as the envelope has it.
pub(super) const DEPTH_MAX: usize = 16;
/// Most elements in one body, all levels counted together.
pub(super) const ELEMENTS_MAX: usize = 10_000;
/// How often a string that is JSON is opened within another.
const NESTED_MAX: usize = 3;

/// Why a body could not be turned into texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It declares an encoding other than UTF-8, so the receiver may read other text than the guard.
    Charset,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// Not a document of its content type.
    Malformed,
    /// Deeper or more numerous than the limits.
    OverLimit,
}

/// The texts of one body.
#[derive(Debug)]
pub(super) struct Texts<'a> {
    values: Cow<'a, str>,
    keys: String,
}

impl Texts<'_> {
    /// All string values, joined.
    pub(super) fn values(&self) -> &str {
        &self.values
    }

    /// All names of fields, one a line.
    pub(super) fn keys(&self) -> &str {
        &self.keys
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A token and a body that has a content type of its own.
    Delegated,
    Json,
    MessagePack,
    Text,
}

/// Reads the texts of `body`.
pub(super) fn texts<'a>(content_type: &str, body: &'a [u8]) -> Result<Texts<'a>, Refused> {
    match format_of(content_type)? {
        Format::Delegated => delegated(body),
        Format::Json => json(body),
        Format::MessagePack => {
            let mut leaves = Leaves::default();
            msgpack::walk(body, &mut leaves)?;
            Ok(leaves.into_texts())
        }
        Format::Text => plain(body),
    }
}

fn format_of(content_type: &str) -> Result<Format, Refused> {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        let known = ["utf-8", "utf8", "us-ascii", "ascii"];
        if name.trim().eq_ignore_ascii_case("charset") && !known.iter().any(|k| value.eq_ignore_ascii_case(k))
        {
            return Err(Refused::Charset);
        }
    }
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    if subtype == delegated::SUBTYPE {
        return Ok(Format::Delegated);
    }
    if subtype == "json" || subtype.ends_with("+json") {
        return Ok(Format::Json);
    }
    if ["msgpack", "x-msgpack", "vnd.msgpack"].contains(&subtype) || subtype.ends_with("+msgpack") {
        return Ok(Format::MessagePack);
    }
    Ok(Format::Text)
}

fn plain(body: &[u8]) -> Result<Texts<'_>, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| Refused::InvalidUtf8)?;
    if looks_like_json(text) {
        let mut leaves = Leaves::default();
        match leaves.open(text) {
            Ok(()) => return Ok(leaves.into_texts()),
            Err(_) if leaves.over_limit => return Err(Refused::OverLimit),
            // Only looks like JSON: it is text, and read as such.
            Err(_) => {}
        }
    }
    Ok(Texts { values: Cow::Borrowed(text), keys: String::new() })
}

fn json(body: &[u8]) -> Result<Texts<'_>, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| Refused::InvalidUtf8)?;
    let mut leaves = Leaves::default();
    match leaves.open(text) {
        Ok(()) => Ok(leaves.into_texts()),
        Err(_) if leaves.over_limit => Err(Refused::OverLimit),
        Err(_) => Err(Refused::Malformed),
    }
}

/// The texts of the body within, read under its own content type, and the token's, which no agent reads.
fn delegated(body: &[u8]) -> Result<Texts<'static>, Refused> {
    let delegated::Opened { token, content_type, body } = delegated::open(body)?;
    let kind = content_type.as_str();
    if format_of(kind)? == Format::Delegated {
        return Err(Refused::Malformed);
    }
    let Texts { values, keys } = texts(kind, &body)?;
    Ok(Texts { values: Cow::Owned(format!("{values}\n{token}")), keys })
}

fn looks_like_json(text: &str) -> bool {
    let trimmed = text.trim_ascii();
    (trimmed.starts_with('{') && trimmed.ends_with('}'))
        || (trimmed.starts_with('[') && trimmed.ends_with(']'))
}

/// Where a string stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a list: it continues what came before, as the words of a command do.
    Item,
    /// The value of a field.
    Field,
}

/// Collects the strings of one document.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    values: String,
    keys: String,
    last_is_phrase: bool,
    elements: usize,
    depth: usize,
    nested: usize,
    over_limit: bool,
}

impl Leaves {
    /// Counts one element; an error once there are too many.
    pub(super) const fn count(&mut self) -> Result<(), Refused> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            self.over_limit = true;
            return Err(Refused::OverLimit);
        }
        Ok(())
    }

    /// Takes the name of a field.
    pub(super) fn key(&mut self, key: &str) {
        self.keys.push_str(key);
        self.keys.push('\n');
    }

    /// Takes a string value, opening it if it is JSON.
    pub(super) fn value(&mut self, text: &str, place: Place) -> Result<(), Refused> {
        if self.nested < NESTED_MAX && looks_like_json(text) {
            let (values, keys, elements) = (self.values.len(), self.keys.len(), self.elements);
            if self.open(text).is_ok() {
                return Ok(());
            }
            if self.over_limit {
                return Err(Refused::OverLimit);
            }
            self.values.truncate(values);
            self.keys.truncate(keys);
            self.elements = elements;
        }
        self.append(text, place);
        Ok(())
    }

    /// Joins by a space what may be one command, and by a line end what stands for itself: a field that holds a
    /// whole phrase is not continued by the next field.
    fn append(&mut self, text: &str, place: Place) {
        if !self.values.is_empty() {
            let apart = place == Place::Field && self.last_is_phrase;
            self.values.push(if apart { '\n' } else { ' ' });
        }
        self.values.push_str(text);
        let text = text.trim_ascii();
        let last = text.rsplit(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        self.last_is_phrase = last.len() < text.len() && !last.starts_with('-') && !last.ends_with('|');
    }

    fn open(&mut self, text: &str) -> Result<(), serde_json::Error> {
        self.nested += 1;
        let depth = std::mem::take(&mut self.depth);
        let mut reader = serde_json::Deserializer::from_str(text);
        let outcome =
            Node { leaves: self, place: Place::Field }.deserialize(&mut reader).and_then(|()| reader.end());
        self.depth = depth;
        self.nested -= 1;
        outcome
    }

    fn into_texts<'a>(self) -> Texts<'a> {
        Texts { values: Cow::Owned(self.values), keys: self.keys }
    }
}

/// One JSON value, visited for its strings.
struct Node<'l> {
    leaves: &'l mut Leaves,
    place: Place,
}

impl Node<'_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.leaves.depth += 1;
        if self.leaves.depth > DEPTH_MAX {
            self.leaves.over_limit = true;
            return Err(E::custom("too deep"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.leaves.count().map_err(|_| D::Error::custom("too many elements"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.leaves.value(text, self.place).map_err(|_| E::custom("over the limits"))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.enter()?;
        while items.next_element_seed(Node { leaves: self.leaves, place: Place::Item })?.is_some() {}
        self.leaves.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.enter()?;
        while let Some(key) = fields.next_key::<Cow<'_, str>>()? {
            self.leaves.count().map_err(|_| A::Error::custom("too many elements"))?;
            self.leaves.key(&key);
            fields.next_value_seed(Node { leaves: self.leaves, place: Place::Field })?;
        }
        self.leaves.depth -= 1;
        Ok(())
    }
}

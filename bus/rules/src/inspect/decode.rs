//! From a body and its content type to the texts in it. Knows formats; knows nothing of rules.
//!
//! Structured bodies are read for their strings only: values are joined into one text, so that a command split
//! over an argument list reads as one, and names of fields into another. A string that is itself JSON is opened.

use testudo_wire::Delegated;

use super::{SCRATCH_MAX, json, msgpack};

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
    /// A body within another that is not read as text: no right could be asked for it.
    OpaqueWithin,
    /// Deeper or more numerous than the limits.
    OverLimit,
}

/// The texts of one body.
#[derive(Debug)]
pub(super) struct Texts<'a> {
    values: &'a str,
    keys: &'a str,
    glued: &'a str,
}

impl<'a> Texts<'a> {
    /// All string values, joined.
    pub(super) const fn values(&self) -> &'a str {
        self.values
    }

    /// Phrases that stand in lists, joined by nothing: a list may break in the middle of a word.
    pub(super) const fn glued(&self) -> &'a str {
        self.glued
    }

    /// All names of fields, one a line.
    pub(super) const fn keys(&self) -> &'a str {
        self.keys
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

/// Reads the texts of `body`, by way of `leaves` if it has a structure.
pub(super) fn texts<'a>(
    content_type: &str,
    body: &'a [u8],
    leaves: &'a mut Leaves,
) -> Result<Texts<'a>, Refused> {
    leaves.clear();
    match format_of(content_type)? {
        Format::Delegated => delegated(body, leaves)?,
        Format::Json => json(body, leaves)?,
        Format::MessagePack => msgpack::walk(body, leaves)?,
        Format::Text => {
            let text = std::str::from_utf8(body).map_err(|_| Refused::InvalidUtf8)?;
            if !is_json(text, leaves)? {
                return Ok(Texts { values: text, keys: "", glued: "" });
            }
        }
    }
    Ok(leaves.texts())
}

/// Whether a body of this type is read as text, JSON or MessagePack. Anything else is opaque.
pub(super) fn is_readable(content_type: &str) -> bool {
    if is_usual(content_type).is_some() {
        return true;
    }
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let (family, _) = kind.split_once('/').unwrap_or((kind, ""));
    kind.is_empty() || family.eq_ignore_ascii_case("text") || structure_of(kind) != Format::Text
}

/// What nearly all bodies are, without looking into their type.
fn is_usual(content_type: &str) -> Option<Format> {
    match content_type {
        "text/plain" => Some(Format::Text),
        "application/json" => Some(Format::Json),
        _ => None,
    }
}

fn format_of(content_type: &str) -> Result<Format, Refused> {
    if let Some(format) = is_usual(content_type) {
        return Ok(format);
    }
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        let known = ["utf-8", "utf8", "us-ascii", "ascii"];
        if name.trim().eq_ignore_ascii_case("charset") && !known.iter().any(|k| value.eq_ignore_ascii_case(k))
        {
            return Err(Refused::Charset);
        }
    }
    Ok(structure_of(kind))
}

/// What [`testudo_wire::delegated::DELEGATED`] ends with: a body that calls itself so is read so, whatever it begins with.
const DELEGATED_SUBTYPE: &str = "vnd.testudo.delegated+json";

fn structure_of(kind: &str) -> Format {
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    if subtype.eq_ignore_ascii_case(DELEGATED_SUBTYPE) {
        return Format::Delegated;
    }
    let last = subtype.rsplit('+').next().unwrap_or_default();
    if last.eq_ignore_ascii_case("json") {
        return Format::Json;
    }
    if ["msgpack", "x-msgpack", "vnd.msgpack"].iter().any(|name| last.eq_ignore_ascii_case(name)) {
        return Format::MessagePack;
    }
    Format::Text
}

/// Whether a text only looks like JSON or is it; if it is, its strings are in `leaves`.
fn is_json(text: &str, leaves: &mut Leaves) -> Result<bool, Refused> {
    if !looks_like_json(text) {
        return Ok(false);
    }
    match leaves.open(text) {
        Ok(()) => Ok(true),
        Err(_) if leaves.over_limit => Err(Refused::OverLimit),
        Err(_) => Ok(false),
    }
}

/// The texts of the body within, read under its own content type, and the token's, which no agent reads.
fn delegated(body: &[u8], leaves: &mut Leaves) -> Result<(), Refused> {
    let Delegated { token, content_type, body } = Delegated::decode(body).map_err(|_| Refused::Malformed)?;
    if !is_readable(content_type.as_str()) {
        return Err(Refused::OpaqueWithin);
    }
    match format_of(content_type.as_str())? {
        Format::Delegated => return Err(Refused::Malformed),
        Format::Json => json(&body, leaves)?,
        Format::MessagePack => msgpack::walk(&body, leaves)?,
        Format::Text => {
            let text = std::str::from_utf8(&body).map_err(|_| Refused::InvalidUtf8)?;
            if !is_json(text, leaves)? {
                leaves.append(text, Place::Field);
            }
        }
    }
    leaves.values.push('\n');
    leaves.values.push_str(&token);
    Ok(())
}

fn json(body: &[u8], leaves: &mut Leaves) -> Result<(), Refused> {
    let text = std::str::from_utf8(body).map_err(|_| Refused::InvalidUtf8)?;
    leaves.open(text).map_err(|_| if leaves.over_limit { Refused::OverLimit } else { Refused::Malformed })
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

/// Collects the strings of one document. Its buffers serve one document after the other.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    values: String,
    keys: String,
    unescaped: String,
    glued: String,
    last_is_phrase: bool,
    elements: usize,
    nested: usize,
    over_limit: bool,
}

impl Leaves {
    fn clear(&mut self) {
        for buffer in [&mut self.values, &mut self.keys, &mut self.unescaped, &mut self.glued] {
            buffer.clear();
            buffer.shrink_to(SCRATCH_MAX);
        }
        self.last_is_phrase = false;
        self.elements = 0;
        self.nested = 0;
        self.over_limit = false;
    }

    /// Counts one element; an error once there are too many.
    pub(super) const fn count(&mut self) -> Result<(), Refused> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(self.over());
        }
        Ok(())
    }

    /// Notes that a limit was passed.
    pub(super) const fn over(&mut self) -> Refused {
        self.over_limit = true;
        Refused::OverLimit
    }

    /// A buffer to put a string together in; give it back.
    pub(super) fn buffer(&mut self) -> String {
        let mut buffer = std::mem::take(&mut self.unescaped);
        buffer.clear();
        buffer
    }

    /// Takes the buffer back.
    pub(super) fn give_back(&mut self, buffer: String) {
        self.unescaped = buffer;
    }

    /// Takes the name of a field.
    pub(super) fn key(&mut self, key: &str) {
        self.keys.push_str(key);
        self.keys.push('\n');
    }

    /// Takes a string value, opening it if it is JSON.
    pub(super) fn value(&mut self, text: &str, place: Place) -> Result<(), Refused> {
        if self.nested <= NESTED_MAX && looks_like_json(text) {
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

    /// Joins by a blank what may be one command (a tab between fields, so that a rule can tell where one begins), and
    /// by a line end what stands for itself: a field that holds a whole phrase is not continued by the next field.
    fn append(&mut self, text: &str, place: Place) {
        if !self.values.is_empty() {
            self.values.push(match place {
                Place::Item => ' ',
                Place::Field if self.last_is_phrase => '\n',
                Place::Field => '\t',
            });
        }
        self.values.push_str(text);
        if place == Place::Item && text.contains(' ') {
            self.glued.push_str(text);
        }
        let text = text.trim_ascii();
        let last = text.as_bytes().rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
        self.last_is_phrase = last.len() < text.len() && !last.starts_with(b"-") && !last.ends_with(b"|");
    }

    fn open(&mut self, text: &str) -> Result<(), Refused> {
        self.nested += 1;
        let outcome = json::walk(text, self);
        self.nested -= 1;
        outcome
    }

    fn texts(&self) -> Texts<'_> {
        Texts { values: &self.values, keys: &self.keys, glued: &self.glued }
    }
}

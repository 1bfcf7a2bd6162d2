//! A CloudEvent: its attributes, its extensions, its data. Never changed once made.
//!
//! Knows the JSON format (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>),
//! not what the events of Testudo mean.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The only version.
pub(super) const SPECVERSION: &str = "1.0";
/// The attribute that carries the signature.
pub(super) const MATERIAL: &str = "dssematerial";
/// Names that are no extensions.
pub(super) const CORE: [&str; 8] =
    ["id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"];
/// Extensions of one event, at most.
const EXTENSIONS_MAX: usize = 64;

/// Why JSON is not an event.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// A required attribute is missing, or an attribute is not of its type.
    #[error("its attribute {0:?} is missing or not of its type")]
    Attribute(String),
    /// Not a JSON object.
    #[error("not a JSON object")]
    Object,
    /// Another version of CloudEvents.
    #[error("not a CloudEvent of version 1.0")]
    Version,
}

/// The value of an extension attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Extension {
    /// True or false.
    Boolean(bool),
    /// A 32-bit integer.
    Integer(i32),
    /// Text; also what stands for a time, a URI or bytes.
    Text(String),
}

impl Extension {
    /// The canonical text that CloudEvents gives to a value.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Boolean(value) => Value::from(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Text(value) => Value::from(value.as_str()),
        }
    }

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Boolean(*value)),
            Value::Number(number) => {
                let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
                number.map(Self::Integer)
            }
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Array(_) | Value::Null | Value::Object(_) => None,
        }
    }
}

/// What an event carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// Bytes, as `data_base64`.
    Bytes(Vec<u8>),
    /// A JSON value, as `data`.
    Json(Value),
    /// Nothing.
    None,
}

/// An event of CloudEvents 1.0. All of it is given at its making.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloudEvent {
    /// The attributes in [`CORE`] but `specversion`, by name.
    pub(super) core: BTreeMap<&'static str, String>,
    pub(super) extensions: BTreeMap<String, Extension>,
    pub(super) content: Content,
}

/// Whether text can name an extension: lower-case letters and digits.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

impl CloudEvent {
    /// One of the core attributes.
    #[must_use]
    pub fn core(&self, name: &str) -> Option<&str> {
        if name == "specversion" { Some(SPECVERSION) } else { self.core.get(name).map(String::as_str) }
    }

    /// Its id, unique with its source.
    #[must_use]
    pub fn id(&self) -> &str {
        self.core("id").unwrap_or_default()
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.core("type").unwrap_or_default()
    }

    /// An extension.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&Extension> {
        self.extensions.get(name)
    }

    /// The names of its extensions, sorted.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        self.extensions.keys().map(String::as_str)
    }

    /// What it carries.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Its JSON format.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("specversion".to_owned(), Value::from(SPECVERSION));
        for (name, value) in &self.core {
            json.insert((*name).to_owned(), Value::from(value.as_str()));
        }
        for (name, value) in &self.extensions {
            json.insert(name.clone(), value.to_json());
        }
        match &self.content {
            Content::Bytes(bytes) => {
                json.insert("data_base64".to_owned(), Value::from(STANDARD.encode(bytes)));
            }
            Content::Json(value) => {
                json.insert("data".to_owned(), value.clone());
            }
            Content::None => {}
        }
        json
    }

    /// Reads the JSON format, and the signature if there is one: unverified, whatever it says.
    ///
    /// # Errors
    /// [`ParseError`].
    pub(super) fn parse(json: &Value) -> Result<(Self, Option<String>), ParseError> {
        let json = json.as_object().ok_or(ParseError::Object)?;
        let wrong = |name: &str| ParseError::Attribute(name.chars().take(64).collect());
        let mut event = Self { core: BTreeMap::new(), extensions: BTreeMap::new(), content: Content::None };
        let mut material = None;
        for (name, value) in json {
            let text = value.as_str();
            if let Some(core) = CORE.iter().find(|core| *core == name) {
                event.core.insert(core, text.ok_or_else(|| wrong(name))?.to_owned());
            } else if name == MATERIAL {
                material = Some(text.ok_or_else(|| wrong(name))?.to_owned());
            } else if name == "data" {
                event.content = Content::Json(value.clone());
            } else if name == "data_base64" {
                let bytes = text.and_then(|text| STANDARD.decode(text).ok());
                event.content = Content::Bytes(bytes.ok_or_else(|| wrong(name))?);
            } else if is_name(name) && event.extensions.len() < EXTENSIONS_MAX {
                let value = Extension::parse(value).ok_or_else(|| wrong(name))?;
                event.extensions.insert(name.clone(), value);
            } else {
                return Err(wrong(name));
            }
        }
        if event.core.remove("specversion").as_deref() != Some(SPECVERSION) {
            return Err(ParseError::Version);
        }
        if json.contains_key("data") && json.contains_key("data_base64") {
            return Err(wrong("data"));
        }
        for name in ["id", "source", "type"] {
            if event.core.get(name).is_none_or(String::is_empty) {
                return Err(wrong(name));
            }
        }
        Ok((event, material))
    }
}

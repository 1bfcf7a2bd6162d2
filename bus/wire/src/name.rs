//! Names, capabilities and content types, parsed at the border and valid ever after.
//!
//! One grammar each, lower-case ASCII, no wildcard, no empty or dot segment (threats A32, A55).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::Text;

/// Text that is not a name of the wanted kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found:?} is not {wanted}")]
pub struct NameError {
    found: String,
    wanted: &'static str,
}

impl NameError {
    /// Keeps at most 80 characters of the text, escaped: it may come from anyone.
    fn new(found: &str, wanted: &'static str) -> Self {
        Self { found: found.chars().take(80).collect(), wanted }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $valid:path, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Text<$max>);

        impl $name {
            /// Longest form in bytes.
            pub const MAX: usize = $max;

            /// Parses the one textual form.
            ///
            /// # Errors
            /// [`NameError`] when the text breaks the grammar.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let wrong = || NameError::new(text, $wanted);
                if text.len() > $max || !$valid(text) {
                    return Err(wrong());
                }
                Text::new(text).map(Self).ok_or_else(wrong)
            }

            /// The textual form, in bytes of ASCII.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The textual form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Parse;
                impl de::Visitor<'_> for Parse {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($wanted)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Parse)
            }
        }
    };
}

/// `[a-z0-9]` then `[a-z0-9._-]`, no `..`, not ending in a dot.
fn is_label(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        && !text.contains("..")
        && !text.ends_with('.')
}

/// `[a-z]` then `[a-z0-9_-]`.
fn is_verb(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// Labels joined by `/`.
fn is_resource(text: &str) -> bool {
    text.split('/').all(is_label)
}

/// `verb:resource`.
fn is_capability(text: &str) -> bool {
    text.split_once(':').is_some_and(|(verb, resource)| {
        verb.len() <= Verb::MAX && resource.len() <= Resource::MAX && is_verb(verb) && is_resource(resource)
    })
}

/// `type/subtype` of RFC 9110 tokens, lower case, no parameters; empty means opaque text.
fn is_content_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'_')
            })
    };
    text.is_empty() || text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

name!(
    /// An agent's name, unique in its swarm, e.g. `reader-1`.
    AgentName, 63, is_label, "an agent name (1 to 63 of a-z 0-9 . _ -, starting with a letter or digit)"
);
name!(
    /// A node's name, unique in its swarm.
    NodeName, 63, is_label, "a node name (1 to 63 of a-z 0-9 . _ -, starting with a letter or digit)"
);
name!(
    /// The verb of a capability, e.g. `read`.
    Verb, 31, is_verb, "a verb (1 to 31 of a-z 0-9 _ -, starting with a letter)"
);
name!(
    /// The resource of a capability and the name of a topic, e.g. `logs` or `billing/invoices`.
    Resource, 63, is_resource, "a resource (1 to 63 of a-z 0-9 . _ - /, no wildcard)"
);
name!(
    /// What may be done to what: `verb:resource`. Explicit names only, never a wildcard.
    Capability, 95, is_capability, "a capability verb:resource, such as read:logs (explicit names, no wildcard)"
);
name!(
    /// The media type of a body, without parameters; empty for plain text.
    ContentType, 63, is_content_type, "a content type such as application/json (lower case, no parameters)"
);

impl Capability {
    /// The part before the colon.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(verb, _)| verb)
    }

    /// The part after the colon.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(_, resource)| resource)
    }

    /// What a sender must hold besides this one to send a body under it that nobody reads as text:
    /// `opaque:<resource>`.
    #[must_use]
    pub fn opaque(&self) -> Option<Self> {
        Self::of("opaque", self.resource()).ok()
    }

    /// Joins the two parts.
    ///
    /// # Errors
    /// [`NameError`] when either breaks its grammar.
    pub fn of(verb: &str, resource: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{verb}:{resource}"))
    }

    /// The right to publish on a topic.
    #[must_use]
    pub fn publish(topic: &Resource) -> Self {
        Self::on("publish", topic)
    }

    /// The right to subscribe to a topic.
    #[must_use]
    pub fn subscribe(topic: &Resource) -> Self {
        Self::on("subscribe", topic)
    }

    fn on(verb: &str, topic: &Resource) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "a verb and a resource within their bounds, see the tests below"
        )]
        Self::of(verb, topic.as_str()).expect("a capability")
    }
}

impl ContentType {
    /// UTF-8 text, the content type of a body that says nothing.
    #[must_use]
    pub fn text() -> Self {
        Text::new("text/plain").map_or_else(Self::default, Self)
    }

    /// `application/json`.
    #[must_use]
    pub fn json() -> Self {
        Text::new("application/json").map_or_else(Self::default, Self)
    }
}

impl Default for ContentType {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the empty text always fits")]
        Self(Text::new("").expect("empty text fits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_its_two_rights() {
        for topic in ["a", &"a".repeat(Resource::MAX), "billing/invoices.v1"] {
            let topic = Resource::parse(topic).unwrap();
            let rights = [Capability::publish(&topic), Capability::subscribe(&topic)];
            assert_eq!(rights.map(|right| right.verb().to_owned()), ["publish", "subscribe"]);
            assert!(rights.iter().all(|right| right.resource() == topic.as_str()));
        }
    }

    #[test]
    fn t_a32_names_have_one_form() {
        for good in ["a", "reader-1", "0x", "a.b_c-d", &"a".repeat(63)] {
            assert!(AgentName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "é",
            "-a",
            ".a",
            "a..b",
            "a.",
            "..",
            "a/b",
            "a b",
            "a\0",
            "approv\u{435}d",
            "a%2e",
            &"a".repeat(64),
        ] {
            assert!(AgentName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn t_a55_a_wildcard_is_no_capability() {
        assert_eq!(Capability::parse("read:logs/app").unwrap().resource(), "logs/app");
        for bad in [
            "*",
            "read:*",
            "*:logs",
            "read:logs/*",
            "read:>",
            "read:",
            ":logs",
            "read",
            "read:a:b",
            "read:a//b",
            "r:/a",
        ] {
            assert!(Capability::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_at_most_80_characters_escaped() {
        let error = AgentName::parse(&"\u{1b}".repeat(500)).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && error.len() < 800, "{error}");
    }

    #[test]
    fn content_types() {
        for good in ["", "text/plain", "application/vnd.testudo.error+json"] {
            assert!(ContentType::parse(good).is_ok(), "{good}");
        }
        for bad in ["text", "text/", "/plain", "Text/plain", "text/plain; charset=utf-8", "a/b/c"] {
            assert!(ContentType::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ContentType::json().as_str(), "application/json");
    }
}

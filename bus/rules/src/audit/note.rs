//! Free text of a record: short, and nothing in it can act on a terminal or forge a line (threat A65).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// At most [`Note::MAX`] bytes of text in which control, bidirectional and invisible characters stand as
/// `\u{..}` and a backslash as `\\`.
///
/// Cheap to clone: most records of a bundle say the same.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Note(Arc<str>);

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Note {
    /// Longest note in bytes.
    pub const MAX: usize = 128;

    /// Escapes and, if need be, cuts `text`; what was cut ends in `...`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        const CUT: &str = "...";
        let mut note = String::with_capacity(text.len().min(Self::MAX));
        let mut fits = 0;
        for c in text.chars() {
            match c {
                '\\' => note.push_str("\\\\"),
                c if is_unsafe(c) => note.extend(c.escape_unicode()),
                c => note.push(c),
            }
            if note.len() > Self::MAX {
                note.truncate(fits);
                note.push_str(CUT);
                break;
            }
            if note.len() <= Self::MAX - CUT.len() {
                fits = note.len();
            }
        }
        Self(note.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character can do more than be seen: control characters, line separators, and the invisible
/// and bidirectional format characters of Unicode.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e01ef}')
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > Self::MAX || text.chars().any(is_unsafe) {
            return Err(de::Error::custom("not a note"));
        }
        Ok(Self(text.into()))
    }
}

//! What goes wrong between agents, and how one agent says so to another.
//!
//! An error travels as an answer of the content type `application/vnd.testudo.error+json` with the body
//! `{"code":"...","message":"..."}`. Texts are bounded and made harmless when they are made and again when
//! they are read: they may come from anyone and end up on a terminal.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use testudo_wire::ContentType;

/// Largest body of an error, in bytes.
pub const ERROR_BYTES_MAX: usize = 1024;
/// Of these, what is left for the message beside the braces and the longest code.
const TEXT_BYTES_MAX: usize = ERROR_BYTES_MAX - 24 - ErrorCode::MAX;

/// The content type of an error: `application/vnd.testudo.error+json`.
#[must_use]
pub fn error_content_type() -> ContentType {
    #[expect(clippy::expect_used, reason = "a constant of the right grammar, see the tests of testudo-wire")]
    ContentType::parse("application/vnd.testudo.error+json").expect("a content type")
}

/// Text that is no [`ErrorCode`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an error code (1 to 32 of a-z 0-9 -)")]
pub struct ErrorCodeError;

/// What kind of error, for programs: 1 to 32 of `a-z 0-9 -`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ErrorCode(Cow<'static, str>);

impl ErrorCode {
    /// Longest code in bytes.
    pub const MAX: usize = 32;
    /// The body is not what the capability takes.
    pub const BAD_REQUEST: Self = Self(Cow::Borrowed("bad-request"));
    /// The agent does not serve the capability.
    pub const NOT_SERVED: Self = Self(Cow::Borrowed("not-served"));
    /// The agent panicked on this message; it has been built anew.
    pub const AGENT_FAULT: Self = Self(Cow::Borrowed("agent-fault"));
    /// The agent stops and has not handled, or not finished, this message.
    pub const AGENT_STOPPED: Self = Self(Cow::Borrowed("agent-stopped"));
    /// Another agent, or the bus, did not do what this one needed.
    pub const DEPENDENCY_FAILED: Self = Self(Cow::Borrowed("dependency-failed"));
    /// Whoever asked no longer waits.
    pub const CANCELLED: Self = Self(Cow::Borrowed("cancelled"));
    /// Anything else that the agent could not do.
    pub const FAILED: Self = Self(Cow::Borrowed("failed"));
    /// The other side sent an error that is none.
    pub const UNREADABLE_ERROR: Self = Self(Cow::Borrowed("unreadable-error"));

    /// A code of one's own.
    ///
    /// # Errors
    /// [`ErrorCodeError`].
    pub fn parse(text: &str) -> Result<Self, ErrorCodeError> {
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(valid) {
            return Err(ErrorCodeError);
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }

    /// The textual form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why an agent could not do what it was asked. A waiting sender hears it as [`crate::SendFailure::Remote`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AgentError {
    code: ErrorCode,
    message: String,
}

impl AgentError {
    /// An error with a text for people: cut to what fits, control characters escaped. The sender reads it,
    /// so nothing secret belongs in it.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self { code, message: harmless(&message.to_string()) }
    }

    /// An error of the code `failed`.
    #[must_use]
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::FAILED, message)
    }

    /// An error of the code `bad-request`.
    #[must_use]
    pub fn bad_request(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::BAD_REQUEST, message)
    }

    /// What kind of error.
    #[must_use]
    pub const fn code(&self) -> &ErrorCode {
        &self.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body of the error as it travels.
    pub(crate) fn to_body(&self) -> Bytes {
        let wire = WireError { code: self.code.as_str().into(), message: self.message.as_str().into() };
        // Two strings always write; were it otherwise, the empty body would read as an unreadable error.
        serde_json::to_vec(&wire).unwrap_or_default().into()
    }

    /// Reads the body of an error.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        let unreadable = || Self::new(ErrorCode::UNREADABLE_ERROR, "the other side's error cannot be read");
        if body.len() > ERROR_BYTES_MAX {
            return unreadable();
        }
        let Ok(wire) = serde_json::from_slice::<WireError<'_>>(body) else { return unreadable() };
        ErrorCode::parse(&wire.code).map_or_else(|_| unreadable(), |code| Self::new(code, wire.message))
    }
}

#[derive(Deserialize, Serialize)]
struct WireError<'a> {
    code: Cow<'a, str>,
    message: Cow<'a, str>,
}

/// Escapes what moves a cursor, turns or hides text, and cuts to what fits an error's body once JSON has
/// escaped it again.
fn harmless(text: &str) -> String {
    const CUT: char = '…';
    let mut out = String::new();
    let mut room = TEXT_BYTES_MAX - CUT.len_utf8();
    for c in text.chars() {
        let start = out.len();
        if is_harmful(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
        let cost: usize = out[start..].chars().map(json_bytes).sum();
        let Some(left) = room.checked_sub(cost) else {
            out.truncate(start);
            out.push(CUT);
            break;
        };
        room = left;
    }
    out
}

/// Bytes of a harmless character inside a JSON string.
const fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        other => other.len_utf8(),
    }
}

/// Control characters, line and paragraph separators, marks that turn the direction of text, zero widths.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_goes_there_and_back() {
        let error = AgentError::bad_request("expected \"last\" \\ at line 1");
        assert_eq!(AgentError::from_body(&error.to_body()), error);
        assert_eq!(&error.to_body()[..21], br#"{"code":"bad-request""#);
    }

    #[test]
    fn no_error_is_larger_than_its_bound() {
        let code = ErrorCode::parse(&"z".repeat(ErrorCode::MAX)).unwrap();
        for text in ["\\", "\"", "\u{1b}", "é", "\u{10ffff}", "a", "\n\"é", "\u{202e}"] {
            let error = AgentError::new(code.clone(), text.repeat(3000));
            let body = error.to_body();
            assert!(body.len() <= ERROR_BYTES_MAX && body.len() > 1000, "{text:?}: {}", body.len());
            assert_eq!(AgentError::from_body(&body).code(), &code, "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_escaped_when_made_and_when_read() {
        let text = "red\u{1b}[31m\r\n\u{202e}x\u{9b}\u{200b}";
        let made = AgentError::failed(text);
        let read = AgentError::from_body(
            &serde_json::to_vec(&serde_json::json!({"code": "failed", "message": text})).unwrap(),
        );
        assert_eq!(made.message(), r"red\u{1b}[31m\u{d}\u{a}\u{202e}x\u{9b}\u{200b}");
        assert_eq!(read, made);
    }

    #[test]
    fn what_is_no_error_reads_as_unreadable() {
        let long = format!(r#"{{"code":"failed","message":"{}"}}"#, "a".repeat(ERROR_BYTES_MAX));
        for body in ["", "null", "[]", r#"{"code":"A b","message":""}"#, r#"{"code":"failed"}"#, &long] {
            assert_eq!(AgentError::from_body(body.as_bytes()).code(), &ErrorCode::UNREADABLE_ERROR, "{body}");
        }
    }
}

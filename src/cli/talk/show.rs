//! What others sent, for people and machines. Nothing of it can act on a terminal or forge a line (threat A65).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use testudo::ContentType;
use testudo::rules::audit::is_unsafe;
use testudo::rules::moment::{LAST_SECOND, utc_millis};
use testudo::wire::Timestamp;

/// Whether the ends of lines in a text are its own affair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// It is to stay on one line.
    OneLine,
    /// It may have many.
    Lines,
}

/// A body as text that only shows.
pub(super) fn text(body: &[u8], shape: Shape) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return body.escape_ascii().to_string() };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if shape == Shape::Lines => shown.push(c),
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if is_unsafe(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// A body as JSON, under `body`: the value that it is, or its text, or else base64, and `base64` says so.
pub(super) fn put_body(into: &mut Value, content_type: ContentType, body: &[u8]) {
    let kind = content_type.as_str();
    let is_json = kind == ContentType::json().as_str() || kind.ends_with("+json");
    let value = if is_json { serde_json::from_slice(body).ok() } else { None };
    let (value, is_base64) = match (value, std::str::from_utf8(body)) {
        (Some(value), _) => (value, false),
        (None, Ok(text)) => (Value::from(text), false),
        (None, Err(_)) => (Value::from(BASE64.encode(body)), true),
    };
    into["content_type"] = json!(content_type);
    into["body"] = value;
    if is_base64 {
        into["base64"] = json!(true);
    }
}

/// A time as people read it, in UTC, always with milliseconds.
pub(super) fn time(at: Timestamp) -> String {
    if at.as_secs() > LAST_SECOND { at.as_millis().to_string() } else { utc_millis(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_acts_on_a_terminal_or_forges_a_line() {
        let body = "red\u{1b}[31m\r\nforged\u{9b}\u{202e}x\té".as_bytes();
        assert_eq!(text(body, Shape::OneLine), r"red\u{1b}[31m\r\nforged\u{9b}\u{202e}x\té");
        assert_eq!(text(body, Shape::Lines), "red\\u{1b}[31m\\r\nforged\\u{9b}\\u{202e}x\té");
        assert_eq!(text(b"\xff\x1b\n", Shape::Lines), r"\xff\x1b\n");
    }

    #[test]
    fn a_body_is_a_value_a_text_or_base64() {
        for (kind, body, shown) in [
            ("application/json", &br#"{"n": [1]}"#[..], json!({"body": {"n": [1]}})),
            ("application/problem+json", b"1", json!({"body": 1})),
            ("application/json", b"{", json!({"body": "{"})),
            ("text/plain", b"1", json!({"body": "1"})),
            ("application/msgpack", b"\xff", json!({"body": "/w==", "base64": true})),
        ] {
            let (mut into, mut shown) = (json!({}), shown);
            put_body(&mut into, ContentType::parse(kind).unwrap(), body);
            shown["content_type"] = json!(kind);
            assert_eq!(into, shown);
        }
    }

    #[test]
    fn a_time_reads_as_one() {
        assert_eq!(time(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(Timestamp::from_millis(1_700_000_000_020)), "2023-11-14T22:13:20.020Z");
        assert_eq!(time(Timestamp::from_millis(u64::MAX)), u64::MAX.to_string());
    }
}

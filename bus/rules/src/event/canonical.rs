//! One byte form for JSON (RFC 8785): what is signed survives whoever reads an event and writes it again with other
//! spaces or another order of keys.
//!
//! Numbers are integers that every reader keeps exactly; there are no others in our events.

use serde_json::Value;

/// Largest integer that every JSON reader keeps (RFC 7493, 2.2).
const EXACT_MAX: u64 = (1 << 53) - 1;
/// Deeper than any event of ours, and no danger to a stack.
const DEPTH_MAX: usize = 32;

/// JSON that has no canonical form here: a float, an integer beyond 2^53, or too deep.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("holds a number or a depth that no event of Testudo has")]
pub struct NotCanonical;

/// The canonical text of a value.
///
/// # Errors
/// [`NotCanonical`].
pub fn canonical(value: &Value) -> Result<String, NotCanonical> {
    let mut text = String::new();
    write(value, &mut text, DEPTH_MAX)?;
    Ok(text)
}

fn write(value: &Value, out: &mut String, depth: usize) -> Result<(), NotCanonical> {
    let depth = depth.checked_sub(1).ok_or(NotCanonical)?;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
        Value::Number(number) => {
            let exact = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n <= EXACT_MAX,
                (None, Some(n)) => n.unsigned_abs() <= EXACT_MAX,
                (None, None) => false,
            };
            if !exact {
                return Err(NotCanonical);
            }
            out.push_str(&number.to_string());
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(item, out, depth)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            // By UTF-16 code units, as the RFC has it; whatever order the map itself keeps.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (n, (key, member)) in members.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(member, out, depth)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

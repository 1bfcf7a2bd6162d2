//! What neither of two texts shows and both together may: an encoding, or words run together or pulled apart, of which
//! each text holds a piece that is too short to be told, or that begins in the middle. Only the bytes beside the border
//! are looked at, so that it costs next to nothing; it may say yes where there is nothing.

use super::context::BORDER;
use super::sweep::WORD_MIN;

/// Longest escape that has begun and not ended, in bytes: `\u{10FFFF}`, `&#x0000069;`.
const ESCAPE_MAX: usize = 12;
/// The same of a substitution: `$(printf `, and a word.
const PRINTED_MAX: usize = 52;

/// Whether something may run over the border between `before`, in which borders may stand, and `after`.
pub(super) fn may_cross(before: &str, after: &str) -> bool {
    let (before, after) = (before.as_bytes(), after.as_bytes());
    is_long_run(before, after)
        || has_begun(before)
        || has_empty_quotes(before, after)
        || is_apart(before, after)
}

/// The bytes before the border, the last first.
fn back(before: &[u8]) -> impl Iterator<Item = u8> {
    before.iter().rev().copied().filter(|byte| char::from(*byte) != BORDER)
}

/// Whether a word goes on over the border that is so long that it may be more than a word.
fn is_long_run(before: &[u8], after: &[u8]) -> bool {
    // What words of base64 and hex are made of.
    let is_run = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let ends = back(before).take(WORD_MIN).take_while(is_run).count();
    let goes_on = after.iter().take(WORD_MIN).take_while(|byte| is_run(byte)).count();
    ends > 0 && goes_on > 0 && ends + goes_on >= WORD_MIN
}

/// Whether an escape has begun that may end behind the border.
fn has_begun(before: &[u8]) -> bool {
    back(before).take(ESCAPE_MAX).any(|byte| matches!(byte, b'%' | b'&' | b'\\' | b'='))
        || back(before).take(PRINTED_MAX).any(|byte| byte == b'$')
}

/// Whether two quotation marks meet there.
fn has_empty_quotes(before: &[u8], after: &[u8]) -> bool {
    let end = back(before).next();
    matches!(end, Some(b'\'' | b'"')) && end == after.first().copied()
}

/// Whether a letter stands alone on both sides.
fn is_apart(before: &[u8], after: &[u8]) -> bool {
    stands_alone(back(before)) && stands_alone(after.iter().copied())
}

/// Whether the first letter or digit, with no more than one byte before it, has none behind it.
fn stands_alone(mut bytes: impl Iterator<Item = u8>) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let Some(first) = bytes.next() else { return false };
    (is_word(&first) || bytes.next().is_some_and(|second| is_word(&second)))
        && !bytes.next().is_some_and(|next| is_word(&next))
}

//! What neither of two texts shows and both together may: an encoding, or words run together or pulled apart, of which
//! each text holds a piece that is too short to be told, or that begins in the middle. Only the bytes beside the border
//! are looked at, so that it costs next to nothing; it may say yes where there is nothing.

use super::bytes::RUN_MIN;
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

/// Whether a word goes on over the border that is so long that it may be several, or one of base64 or hex.
fn is_long_run(before: &[u8], after: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let is_run = |byte: &u8| is_word(byte) || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let ends = |is: &dyn Fn(&u8) -> bool| back(before).take_while(is).count();
    let goes_on = |is: &dyn Fn(&u8) -> bool| after.iter().take_while(|byte| is(byte)).count();
    let (end, start) = (ends(&is_run), goes_on(&is_run));
    if end == 0 || start == 0 || end + start < WORD_MIN {
        return false;
    }
    // Names and paths are long, too: of base64 something is a capital letter.
    let run = || back(before).take(end).chain(after.iter().copied().take(start));
    let is_encoded = || run().any(|b| b.is_ascii_uppercase()) || run().all(|b| b.is_ascii_hexdigit());
    let (word_end, word_start) = (ends(&is_word), goes_on(&is_word));
    word_end > 0 && word_start > 0 && word_end + word_start >= WORD_MIN
        || end + start >= RUN_MIN && is_encoded()
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

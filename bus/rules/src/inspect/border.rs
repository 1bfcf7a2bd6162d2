//! What neither of two texts shows and both together may: an encoding, or words run together or pulled apart, of which
//! each text holds a piece that is too short to be told, or that begins in the middle. Only the bytes beside the border
//! are looked at, so that it costs next to nothing; it may say yes where there is nothing.

use super::bytes::{PADDING_MAX, RUN_MIN, is_run, padding_of};
use super::context::BORDER;
use super::peel::LINE_MIN;
use super::sweep::WORD_MIN;

/// Longest escape that has begun and not ended, in bytes: `\u{10FFFF}`, `&#x0000069;`, and of two layers.
const ESCAPE_MAX: usize = 16;
/// The same of a substitution, with borders in it: `$(printf `, and a word.
const PRINTED_MAX: usize = 64;

/// Whether something may run over the border between `before`, in which borders may stand, and `after`.
pub(super) fn may_cross(before: &str, after: &str) -> bool {
    let (before, after) = (before.as_bytes(), after.as_bytes());
    is_long_run(before, after)
        || is_run_of_lines(before, after)
        || has_begun(before)
        || has_empty_quotes(before, after)
        || is_apart(before, after)
}

/// Whether a letter of another script, or an accent, stands on the border between them.
pub(super) fn may_fold(before: &str, after: &str) -> bool {
    let (before, after) = (back(before.as_bytes()).next(), after.as_bytes().first());
    [before, after].into_iter().flatten().any(|byte| !byte.is_ascii())
}

/// The bytes before the border, the last first.
fn back(before: &[u8]) -> impl Iterator<Item = &u8> {
    before.iter().rev().filter(|byte| **byte != BORDER as u8)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Whether a word goes on over the border that is so long that it may be several, or one of base64 or hex.
fn is_long_run(before: &[u8], after: &[u8]) -> bool {
    let start = after.iter().take_while(|byte| is_run(**byte)).count();
    if start + padding_of(after, start) == 0 {
        return false;
    }
    let end = back(before).take_while(|byte| is_run(**byte)).count();
    if end == 0 || end + start < WORD_MIN {
        return false;
    }
    let word_start = after.iter().take_while(|byte| is_word(**byte)).count();
    let word_end = back(before).take_while(|byte| is_word(**byte)).count();
    if word_end > 0 && word_start > 0 && word_end + word_start >= WORD_MIN {
        return true;
    }
    // Names and paths are long, too: of base64 something is a capital letter.
    let run = || back(before).take(end).chain(after.iter().take(start));
    end + start + PADDING_MAX >= RUN_MIN
        && (run().any(u8::is_ascii_uppercase) || run().all(u8::is_ascii_hexdigit))
}

/// Whether a run that is broken over lines goes on in another line behind the border.
fn is_run_of_lines(before: &[u8], after: &[u8]) -> bool {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let line = back(before).skip_while(|byte| is_end(byte)).take_while(|byte| is_run(**byte));
    let goes_on = after.iter().find(|byte| !is_end(byte)).is_some_and(|byte| is_run(*byte));
    goes_on
        && (before.last().is_some_and(is_end) || after.first().is_some_and(is_end))
        && line.count() >= LINE_MIN
}

/// Whether an escape has begun that may end behind the border.
fn has_begun(before: &[u8]) -> bool {
    let goes_on = |byte: &&u8| is_word(**byte) || matches!(**byte, b'#' | b'{' | b';' | b'\r' | b'\n');
    let begins = |byte: &u8| matches!(byte, b'%' | b'&' | b'\\' | b'=');
    back(before).take(ESCAPE_MAX).find(|byte| !goes_on(byte)).is_some_and(begins)
        || before.get(before.len().saturating_sub(PRINTED_MAX)..).unwrap_or_default().contains(&b'$')
}

/// Whether two quotation marks meet there.
fn has_empty_quotes(before: &[u8], after: &[u8]) -> bool {
    let end = back(before).next();
    matches!(end, Some(b'\'' | b'"')) && end == after.first()
}

/// Whether a letter stands alone on both sides.
fn is_apart(before: &[u8], after: &[u8]) -> bool {
    stands_alone(after.iter()) && stands_alone(back(before))
}

/// Whether the first letter or digit, with no more than one byte before it, has none behind it.
fn stands_alone<'b>(mut bytes: impl Iterator<Item = &'b u8>) -> bool {
    let mut is_next = || bytes.next().is_some_and(|byte| is_word(*byte));
    (is_next() || is_next()) && !is_next()
}

//! Texts with their letters pulled apart, swapped for digits, run together, or encoded word by word. Each way of
//! reading is tried only on a text that is odd in that way, and gives a plain text to be matched like any other.

use aho_corasick::AhoCorasick;
use base64::Engine as _;

use super::bytes::{self, Survey, alone};
use super::sweep::WORD_MIN;
use super::{peel, squeeze};

/// Undoes a disguise; nothing if the text wears none.
pub(super) type Undo = fn(text: &str, survey: &Survey) -> Option<String>;

/// All of them.
pub(super) const ALL: &[Undo] = &[join_letters, join_lines, read_ones_as_i, read_ones_as_l, decode_words];

/// Whether words are run together to one of the phrases, or parted where they should not be.
pub(super) fn runs_together(phrases: &AhoCorasick, text: &str, survey: &Survey) -> bool {
    if (survey.leet() || survey.apart()) && phrases.is_match(&squeeze::fold(text)) {
        return true;
    }
    survey.run_together()
        && text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
            word.len() >= WORD_MIN
                && !word.bytes().any(|b| b.is_ascii_uppercase())
                && phrases.is_match(&squeeze::fold(word))
        })
}

/// Whether a text that wears none may be a piece of one that does, but for the letters on its ends. It may be wrong only
/// where there is none.
pub(super) fn may_be_piece(text: &str, survey: &Survey) -> bool {
    survey.pieces_apart()
        || words_on_lines(text, survey)
        // What the other side has of capital letters, or of words, counts for both.
        || survey.capitals_many()
        || survey.escapes() && peel::may_be_printable(text.as_bytes())
        // Beside such, what is run together is read, too (`runs_together`).
        || survey.digits_many()
}

/// The same of the beginning or the end of a long text.
pub(super) fn may_begin_or_end(text: &str) -> bool {
    may_be_piece(text, &bytes::survey(text))
}

/// `i g n o r e`: drops what stands between letters that stand alone. What separates them is what does so most often.
fn join_letters(text: &str, survey: &Survey) -> Option<String> {
    if !survey.apart() {
        return None;
    }
    let separator = separator_of(text.as_bytes())?;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = separator;
    while let Some(c) = rest.next() {
        plain.push(c);
        let alone = before == separator || before.is_whitespace();
        before = c;
        if alone {
            before = rest.next_if_eq(&separator).unwrap_or(before);
        }
    }
    Some(plain)
}

/// The ASCII character that most often stands between two letters that stand alone.
fn separator_of(bytes: &[u8]) -> Option<char> {
    let mut counts = [0usize; 128];
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        let parts = !byte.is_ascii_alphanumeric() && alone(bytes, at - 1) && alone(bytes, at + 1);
        if let Some(count) = counts.get_mut(usize::from(*byte)).filter(|_| parts) {
            *count += 1;
        }
    }
    let (most, _) =
        counts.iter().enumerate().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > 0)?;
    u8::try_from(most).ok().map(char::from)
}

/// A phrase or a command broken over many short lines, or over lines of a word each: puts it on one.
fn join_lines(text: &str, survey: &Survey) -> Option<String> {
    let is_broken = survey.short_lines() || survey.lines() > 1 && words_on_lines(text, survey);
    is_broken.then(|| text.replace(['\n', '\r'], " "))
}

/// Whether nearly each line holds one word.
fn words_on_lines(text: &str, survey: &Survey) -> bool {
    let several = |line: &&str| line.split_ascii_whitespace().nth(1).is_some();
    survey.lines() > 0
        && survey.blanks_are_few()
        && text.lines().filter(several).count() * 5 <= survey.lines() + 1
}

/// `1gn0r3`: the digit one stands for an i ...
fn read_ones_as_i(text: &str, survey: &Survey) -> Option<String> {
    read_digits(text, survey, b'i')
}

/// ... or for an l: `r3v341`.
fn read_ones_as_l(text: &str, survey: &Survey) -> Option<String> {
    read_digits(text, survey, b'l')
}

/// Reads digits and signs among letters as the letters they resemble, if they stand in many words.
fn read_digits(text: &str, survey: &Survey, one: u8) -> Option<String> {
    if !survey.leet() {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut words, mut odd) = (0usize, 0usize);
    for word in bytes.split(|byte| !is_leet_byte(*byte)).filter(|word| is_word(word)) {
        words += 1;
        odd += usize::from(is_leet(word));
    }
    if words < 3 || odd * 10 <= words * 3 {
        return None;
    }
    let mut plain = bytes.to_vec();
    let mut end = 0;
    for word in plain.split_mut(|byte| !is_leet_byte(*byte)) {
        end += word.len();
        let rest = bytes.get(end..).unwrap_or_default();
        end += 1;
        if is_word(word) && is_leet(word) {
            let address = address_in(word, rest);
            translate(word, one, address);
        }
    }
    String::from_utf8(plain).ok()
}

fn is_word(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_alphanumeric)
}

const fn is_leet_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'$' | b'!' | b'|')
}

fn is_leet(word: &[u8]) -> bool {
    word.iter().any(|b| b.is_ascii_digit() || matches!(b, b'@' | b'$'))
        && (word.len() <= 4 || word.iter().any(u8::is_ascii_alphabetic))
}

/// Where the sign of an address stands in a word, which goes on after it: `c0n74c7@h057.c0m`.
fn address_in(word: &[u8], rest: &[u8]) -> Option<usize> {
    let goes_on = matches!(rest, [b'.' | b'-', after, ..] if after.is_ascii_alphanumeric());
    let sign = word.iter().rposition(|byte| *byte == b'@').filter(|_| goes_on)?;
    (sign > 0 && sign + 1 < word.len()).then_some(sign)
}

/// Reads a word's digits and signs, but the one of an address.
fn translate(word: &mut [u8], one: u8, address: Option<usize>) {
    let doubled = |sign: u8| word.windows(2).any(|pair| pair == [sign, sign]);
    let (twice, shouts) = (doubled(b'1'), doubled(b'!'));
    let last = word.len().saturating_sub(1);
    // `41` and `4p1` are more often met than `ur1`, which is read where all ones are an l.
    let is_long = word.len() > 3;
    for (at, byte) in word.iter_mut().enumerate() {
        *byte = match *byte {
            b'0' => b'o',
            b'1' if twice || at == last && is_long => b'l',
            b'1' => one,
            b'!' if !shouts => b'i',
            // On an edge it belongs to markup or to a command.
            b'|' if at > 0 && at < last => b'l',
            b'3' => b'e',
            // Somebody may be spoken to by it.
            b'@' if at == 0 && one == b'l' || address == Some(at) => b'@',
            b'4' | b'@' => b'a',
            b'5' | b'$' => b's',
            b'7' => b't',
            b'8' => b'b',
            b'9' => b'g',
            other => other,
        };
    }
}

/// Shortest word in base64 that is decoded by itself.
const ENCODED_MIN: usize = 4;

/// `aWdub3Jl cHJldmlvdXM=`: decodes words that are each in base64, if many are.
fn decode_words(text: &str, survey: &Survey) -> Option<String> {
    if !survey.mixed_case() {
        return None;
    }
    let (mut words, mut decoded) = (0usize, 0usize);
    let mut plain = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let word = piece.trim_ascii_end();
        words += usize::from(!word.is_empty());
        match decode_word(word) {
            Some(read) => {
                decoded += 1;
                plain.push_str(&read);
                plain.push_str(piece.get(word.len()..).unwrap_or_default());
            }
            None => plain.push_str(piece),
        }
    }
    (decoded >= 2 && decoded * 3 >= words).then_some(plain)
}

fn decode_word(word: &str) -> Option<String> {
    if word.len() < ENCODED_MIN || !word.len().is_multiple_of(4) {
        return None;
    }
    let bytes = peel::BASE64.decode(word).ok()?;
    let plain = bytes
        .iter()
        .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace() || *b >= 0xc2 || (0x80..0xc0).contains(b));
    if plain { String::from_utf8(bytes).ok() } else { None }
}

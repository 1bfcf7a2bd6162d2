//! What one pass over the bytes of a text shows, so that every dearer look is taken only where it can find something.

/// Classes of bytes, one bit each.
mod class {
    /// Not plain text: beyond ASCII or a control character.
    pub(super) const FOLD: u16 = 1;
    pub(super) const PERCENT: u16 = 1 << 1;
    pub(super) const AMPERSAND: u16 = 1 << 2;
    pub(super) const BACKSLASH: u16 = 1 << 3;
    pub(super) const DOLLAR: u16 = 1 << 4;
    pub(super) const QUOTE: u16 = 1 << 5;
    pub(super) const EQUALS: u16 = 1 << 6;
    /// What markup is made of.
    pub(super) const MARKUP: u16 = 1 << 7;
    /// Part of a word of base64 or hex.
    pub(super) const RUN: u16 = 1 << 8;
    /// Letter or digit.
    pub(super) const WORD: u16 = 1 << 9;
    pub(super) const UPPER: u16 = 1 << 10;
    pub(super) const DIGIT: u16 = 1 << 11;
    pub(super) const PUNCTUATION: u16 = 1 << 12;
}

use class::{
    AMPERSAND, BACKSLASH, DIGIT, DOLLAR, EQUALS, FOLD, MARKUP, PERCENT, PUNCTUATION, QUOTE, RUN, UPPER, WORD,
};

/// The classes of each byte.
static CLASSES: [u16; 256] = classes();
/// What each byte adds to the counters, which share one word.
static COUNTS: [u64; 256] = counts();

const UPPER_SHIFT: u32 = 0;
const DIGIT_SHIFT: u32 = 16;
const PUNCTUATION_SHIFT: u32 = 32;
const WORD_SHIFT: u32 = 48;
/// Longest piece whose counters cannot overflow, in bytes.
const PIECE: usize = 0xffff;

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0usize;
    while byte < 256 {
        table[byte] = classes_of(byte as u8);
        byte += 1;
    }
    table
}

const fn classes_of(byte: u8) -> u16 {
    let mut bits = match byte {
        b'%' => PERCENT,
        b'&' => AMPERSAND,
        b'\\' => BACKSLASH,
        b'$' => DOLLAR,
        b'\'' | b'"' => QUOTE,
        b'=' => EQUALS | MARKUP,
        b'<' | b'[' | b'#' | b'*' => MARKUP,
        b'-' => MARKUP | RUN,
        b'+' | b'/' | b'_' => RUN,
        b'0'..=b'9' => RUN | WORD | DIGIT,
        b'A'..=b'Z' => RUN | WORD | UPPER,
        b'a'..=b'z' => RUN | WORD,
        0x00..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f..=0xff => FOLD,
        _ => 0,
    };
    if byte.is_ascii_punctuation() {
        bits |= PUNCTUATION;
    }
    bits
}

const fn counts() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let bits = classes_of(byte as u8);
        let mut sum = 0u64;
        if bits & UPPER != 0 {
            sum |= 1 << UPPER_SHIFT;
        }
        if bits & DIGIT != 0 {
            sum |= 1 << DIGIT_SHIFT;
        }
        if bits & PUNCTUATION != 0 {
            sum |= 1 << PUNCTUATION_SHIFT;
        }
        if bits & WORD != 0 {
            sum |= 1 << WORD_SHIFT;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

/// Shortest run of base64 or hex worth decoding by itself, in bytes.
pub(super) const RUN_MIN: usize = 24;
/// Shortest word that may be a phrase run together, in bytes.
pub(super) const WORD_MIN: usize = 20;
/// Fewest letters pulled apart that are read as a word.
pub(super) const APART_MIN: usize = 5;

/// What was seen in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    seen: u16,
    bytes: usize,
    upper: usize,
    digits: usize,
    punctuation: usize,
    word: usize,
    /// Whether letters stand apart, once that was looked at.
    apart: Option<bool>,
}

/// Looks once at every byte.
pub(super) fn survey(text: &str) -> Survey {
    let mut survey = Survey { bytes: text.len(), ..Survey::default() };
    for piece in text.as_bytes().chunks(PIECE) {
        let (seen, counted) = piece.iter().fold((0u16, 0u64), |(seen, counted), byte| {
            (seen | CLASSES[usize::from(*byte)], counted + COUNTS[usize::from(*byte)])
        });
        let count = |shift: u32| (counted >> shift & 0xffff) as usize;
        survey.seen |= seen;
        survey.upper += count(UPPER_SHIFT);
        survey.digits += count(DIGIT_SHIFT);
        survey.punctuation += count(PUNCTUATION_SHIFT);
        survey.word += count(WORD_SHIFT);
    }
    survey
}

impl Survey {
    const fn has(&self, class: u16) -> bool {
        self.seen & class != 0
    }

    /// Whether folding may change anything.
    pub(super) const fn foldable(&self) -> bool {
        self.has(FOLD)
    }

    /// Whether a tag, a bracket or a banner may open.
    pub(super) const fn markup(&self) -> bool {
        self.has(MARKUP)
    }

    /// ASCII punctuation, in characters.
    pub(super) const fn punctuation(&self) -> usize {
        self.punctuation
    }

    /// The same, knowing for every later look whether letters of this text stand apart.
    pub(super) fn looked_at(mut self, text: &str) -> Self {
        self.apart = Some(self.apart(text));
        self
    }

    /// Whether so many letters stand alone that words may have been pulled apart.
    pub(super) fn apart(&self, text: &str) -> bool {
        self.apart.unwrap_or_else(|| {
            (self.bytes - self.word) * 8 >= self.bytes && has_letters_apart(text.as_bytes())
        })
    }

    /// Whether lines are so short that phrases may have been broken over them.
    pub(super) fn short_lines(&self, text: &str) -> bool {
        // In pieces whose count fits a byte: so the processor counts many places at once.
        let of = |piece: &[u8]| piece.iter().fold(0_u8, |n, byte| n.wrapping_add(u8::from(*byte == b'\n')));
        let lines = || text.as_bytes().chunks(255).map(|piece| usize::from(of(piece))).sum::<usize>();
        // Fewer are a list of names.
        self.bytes >= 96 && lines() * 12 >= self.bytes
    }

    /// Whether digits may stand for letters.
    pub(super) const fn leet(&self) -> bool {
        self.digits * 12 >= self.bytes && self.bytes >= 16
    }

    /// Whether there is a word so long that it may be several run together.
    pub(super) fn run_together(&self, text: &str) -> bool {
        has_run(text.as_bytes(), WORD, WORD_MIN)
    }

    /// Whether single words may be in base64.
    pub(super) const fn mixed_case(&self) -> bool {
        self.upper * 8 >= self.bytes && self.bytes >= 16
    }

    /// Whether anything may be decoded.
    pub(super) fn peelable(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let followed = |first: u8, then: fn(u8, u8) -> bool| {
            bytes.windows(2).any(|pair| matches!(pair, [a, b] if *a == first && then(*a, *b)))
        };
        self.has(BACKSLASH)
            || (self.has(PERCENT) && followed(b'%', |_, next| next.is_ascii_hexdigit()))
            || (self.has(AMPERSAND) && followed(b'&', |_, next| next == b'#' || next.is_ascii_alphabetic()))
            || (self.has(EQUALS)
                && followed(b'=', |_, next| next == b'\n' || next == b'\r' || is_upper_hex(next)))
            || (self.has(DOLLAR)
                && (text.contains("IFS") || text.contains("$(printf") || text.contains("$(echo")))
            || (self.has(QUOTE) && bytes.windows(2).any(|pair| matches!(pair, [b'"', b'"'] | [b'\'', b'\''])))
            || has_encoded_run(bytes)
    }
}

const fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

/// Whether `length` bytes of a class stand in a row. Looks from the end of each place such a run could have, so that
/// ordinary words are mostly skipped.
fn has_run(bytes: &[u8], class: u16, length: usize) -> bool {
    let mut start = 0;
    while let Some(window) = bytes.get(start..start + length) {
        match window.iter().rposition(|byte| CLASSES[usize::from(*byte)] & class == 0) {
            Some(last) => start += last + 1,
            None => return true,
        }
    }
    false
}

/// Whether there is a run that may be base64, which is never all in lower case, or hex. Most are paths and names.
fn has_encoded_run(bytes: &[u8]) -> bool {
    let of = |class: u16| move |byte: &u8| CLASSES[usize::from(*byte)] & class != 0;
    let mut start = 0;
    while let Some(window) = bytes.get(start..start + RUN_MIN) {
        if let Some(last) = window.iter().rposition(|byte| !of(RUN)(byte)) {
            start += last + 1;
            continue;
        }
        let run = bytes.iter().skip(start).take_while(|byte| of(RUN)(byte)).count();
        let run = bytes.get(start..start + run).unwrap_or_default();
        if run.iter().any(of(UPPER)) || run.iter().all(u8::is_ascii_hexdigit) {
            return true;
        }
        start += run.len();
    }
    false
}

/// Whether `APART_MIN` letters stand alone one after the other, each parted from the next by one byte. Every such
/// stretch covers one of the places looked at.
fn has_letters_apart(bytes: &[u8]) -> bool {
    const STEP: usize = APART_MIN * 2 - 4;
    let word = |byte: u8| CLASSES[usize::from(byte)] & WORD;
    bytes.chunks(STEP).enumerate().any(|(chunk, piece)| match *piece {
        [a, b, c, ..] if word(a) != word(b) && word(b) != word(c) => {
            let first = chunk * STEP + usize::from(word(a) == 0);
            let back = (1..=APART_MIN).take_while(|n| alone(bytes, first.wrapping_sub(2 * n))).count();
            let ahead = (0..=APART_MIN).take_while(|n| alone(bytes, first + 2 * n)).count();
            back + ahead >= APART_MIN
        }
        _ => false,
    })
}

/// Whether a letter or digit stands at `at` with none beside it.
pub(super) fn alone(bytes: &[u8], at: usize) -> bool {
    let word = |at: usize| bytes.get(at).is_some_and(|b| CLASSES[usize::from(*b)] & WORD != 0);
    word(at) && !word(at.wrapping_sub(1)) && !word(at.wrapping_add(1))
}

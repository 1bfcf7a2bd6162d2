//! What one pass over the bytes of a text shows, so that every dearer look is taken only where it can find something.

use super::block::BYTES;
use super::pattern::is_blank;
use super::sweep::{Sweep, sweep};

/// Classes of bytes, one bit each.
mod class {
    pub(super) const PERCENT: u16 = 1 << 1;
    pub(super) const AMPERSAND: u16 = 1 << 2;
    pub(super) const BACKSLASH: u16 = 1 << 3;
    pub(super) const DOLLAR: u16 = 1 << 4;
    pub(super) const EQUALS: u16 = 1 << 5;
    pub(super) const QUOTE: u16 = 1 << 6;
    /// All that an encoding begins with, but a run.
    pub(super) const SIGN: u16 = PERCENT | AMPERSAND | BACKSLASH | DOLLAR | EQUALS | QUOTE;
    /// Part of a word of base64 or hex.
    pub(super) const RUN: u16 = 1 << 7;
    /// Letter or digit.
    pub(super) const WORD: u16 = 1 << 8;
    pub(super) const UPPER: u16 = 1 << 9;
}

use class::{AMPERSAND, BACKSLASH, DOLLAR, EQUALS, PERCENT, QUOTE, RUN, SIGN, UPPER, WORD};

/// The classes of each byte.
static CLASSES: [u16; 256] = classes();

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
    match byte {
        b'%' => PERCENT,
        b'&' => AMPERSAND,
        b'\\' => BACKSLASH,
        b'$' => DOLLAR,
        b'=' => EQUALS,
        b'\'' | b'"' => QUOTE,
        b'+' | b'/' | b'-' | b'_' => RUN,
        b'A'..=b'Z' => RUN | WORD | UPPER,
        b'0'..=b'9' | b'a'..=b'z' => RUN | WORD,
        _ => 0,
    }
}

/// Shortest rule that a banner begins with, in bytes.
const RULE_MIN: usize = 3;

/// Shortest run of base64 or hex worth decoding by itself, in bytes.
pub(super) const RUN_MIN: usize = 24;

/// Most bytes that pad a run.
pub(super) const PADDING_MAX: usize = 2;

/// What was seen in a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Survey {
    bytes: usize,
    swept: Sweep,
    /// Its lines are no sender's.
    names: bool,
}

/// Looks once at every byte.
pub(super) fn survey(text: &str) -> Survey {
    Survey { bytes: text.len(), swept: sweep(text.as_bytes()), names: false }
}

impl Survey {
    /// The same of names, each on a line of its own.
    pub(super) const fn of_names(self) -> Self {
        Self { names: true, ..self }
    }

    /// Whether folding may change anything.
    pub(super) const fn foldable(&self) -> bool {
        self.swept.odd
    }

    /// ASCII punctuation, in characters.
    pub(super) const fn punctuation(&self) -> usize {
        self.swept.punctuation as usize
    }

    /// Whether so many letters stand alone that words may have been pulled apart.
    pub(super) const fn apart(&self) -> bool {
        (self.bytes - self.swept.word as usize) * 8 >= self.bytes && self.swept.letters_apart
    }

    /// Whether lines are so short that phrases may have been broken over them.
    pub(super) const fn short_lines(&self) -> bool {
        // Fewer are a list of names.
        self.bytes >= 96 && self.swept.lines as usize * 12 >= self.bytes
    }

    /// Line ends, but those between names.
    pub(super) const fn lines(&self) -> usize {
        if self.names { 0 } else { self.swept.lines as usize }
    }

    /// Whether there may be hardly a blank within its lines. On their ends may be two of each.
    pub(super) const fn blanks_are_few(&self) -> bool {
        let blanks = self.bytes - self.swept.word as usize - self.punctuation();
        blanks <= (self.lines() + 1) * 4
    }

    /// Whether letters stand alone, or lines are short, though in a text that is too short, or too long, to be odd.
    pub(super) const fn pieces_apart(&self) -> bool {
        self.swept.letters_apart || self.swept.lines > 0 && self.swept.lines as usize * 12 >= self.bytes
    }

    /// Whether digits may stand for letters.
    pub(super) const fn leet(&self) -> bool {
        self.digits_many() && self.bytes >= 16
    }

    /// The same of a text that may be too short for that.
    pub(super) const fn digits_many(&self) -> bool {
        self.swept.digits > 0 && self.swept.digits as usize * 12 >= self.bytes
    }

    /// Whether there is a word so long that it may be several run together.
    pub(super) const fn run_together(&self) -> bool {
        self.swept.long_word
    }

    /// Whether single words may be in base64.
    pub(super) const fn mixed_case(&self) -> bool {
        self.capitals_many() && self.bytes >= 16
    }

    /// The same of a text that may be too short for that.
    pub(super) const fn capitals_many(&self) -> bool {
        self.swept.upper > 0 && self.swept.upper as usize * 8 >= self.bytes
    }

    /// Whether any of the signs is there that begin an encoding.
    pub(super) const fn escapes(&self) -> bool {
        self.swept.escapes
    }

    /// Whether anything may be decoded.
    pub(super) fn peelable(&self, text: &str) -> bool {
        self.swept.empty_quotes
            || (self.swept.escapes && may_escape(text))
            || has_encoded_run(text.as_bytes())
    }
}

/// What any byte shows, of which each may show several things, one bit each. In blocks of a fixed size and without a branch,
/// so that the compiler takes many bytes at once.
pub(super) fn seen(bytes: &[u8], of: impl Fn(u8) -> u8) -> u8 {
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    let blocks = blocks.iter().fold(0, |seen, block| block.iter().fold(seen, |seen, byte| seen | of(*byte)));
    rest.iter().fold(blocks, |seen, byte| seen | of(*byte))
}

/// Whether a line begins with what a banner is ruled with, blanks or signs.
pub(super) fn has_ruled_line(text: &str) -> bool {
    let ruled =
        |at: usize| text.as_bytes().get(at..at + RULE_MIN).is_some_and(|rule| rule.iter().all(is_ruled));
    ruled(0) || text.match_indices('\n').any(|(end, _)| ruled(end + 1))
}

/// Whether a line begins with one of the signs that banners are ruled with.
fn has_banner(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start);
    lines.any(|line| line.first().is_some_and(|first| is_rule(*first)))
}

/// Whether a tag, a bracket or a banner may open, the latter at the beginning of a line. Where nothing does, a banner ruled
/// with blanks alone is none.
pub(super) fn has_markup(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is = |byte: u8, one: u8| u8::from(byte == one);
    let seen = seen(bytes, |byte| {
        let opens = is(byte, b'<') | is(byte, b'[');
        opens | u8::from(is_rule(byte)) << 1
    });
    seen & 1 != 0 || seen & 2 != 0 && has_ruled_line(text) && has_banner(bytes)
}

/// Whether a banner may be ruled with it.
const fn is_ruled(byte: &u8) -> bool {
    is_blank(*byte) || is_rule(*byte)
}

/// Whether it is one of the signs that a banner is ruled with; without a branch, so that many are told at once.
pub(super) const fn is_rule(byte: u8) -> bool {
    (byte == b'#') | (byte == b'=') | (byte == b'*') | (byte == b'-')
}

/// Whether one of the signs that begin an encoding does so.
fn may_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    let seen = bytes.iter().fold(0, |seen, byte| seen | CLASSES[usize::from(*byte)]);
    let has = |class: u16| seen & class != 0;
    let followed = |first: u8, then: fn(u8) -> bool| {
        bytes.windows(2).any(|pair| matches!(pair, [a, b] if *a == first && then(*b)))
    };
    has(BACKSLASH)
        || (has(PERCENT) && followed(b'%', |next| next.is_ascii_hexdigit()))
        || (has(AMPERSAND) && followed(b'&', |next| next == b'#' || next.is_ascii_alphabetic()))
        || (has(EQUALS) && followed(b'=', |next| matches!(next, b'\n' | b'\r' | b'0'..=b'9' | b'A'..=b'F')))
        || (has(DOLLAR) && (text.contains("IFS") || text.contains("$(printf") || text.contains("$(echo")))
}

/// Whether there is a run that may be base64, which is never all in lower case, or hex. Most are paths and names.
fn has_encoded_run(bytes: &[u8]) -> bool {
    let mut from = 0;
    while let Some(start) = run_from(bytes, from, RUN_MIN - PADDING_MAX) {
        let rest = bytes.get(start..).unwrap_or_default();
        let run = rest.get(..run_of(rest)).unwrap_or_default();
        if run.len() + padding_of(rest, run.len()) >= RUN_MIN
            && (run.iter().any(|byte| CLASSES[usize::from(*byte)] & UPPER != 0)
                || run.iter().all(u8::is_ascii_hexdigit))
        {
            return true;
        }
        from = start + run.len();
    }
    false
}

/// Where the first run begins, from a place on, that has so many bytes.
pub(super) fn run_from(bytes: &[u8], mut from: usize, least: usize) -> Option<usize> {
    loop {
        match bytes.get(from..from + least)?.iter().rposition(|byte| !is_run(*byte)) {
            Some(last) => from += last + 1,
            None => return Some(from),
        }
    }
}

/// Length of the run that a text begins with.
pub(super) fn run_of(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_run(*byte)).unwrap_or(text.len())
}

/// How many bytes pad the run that ends there.
pub(super) fn padding_of(rest: &[u8], end: usize) -> usize {
    rest.iter().skip(end).take(PADDING_MAX).take_while(|byte| **byte == b'=').count()
}

/// Whether runs of base64 or hex are made of it.
pub(super) fn is_run(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & RUN != 0
}

/// Whether an encoding that is no run may begin with it.
pub(super) fn is_sign(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & SIGN != 0
}

/// Whether a letter or digit stands at `at` with none beside it.
pub(super) fn alone(bytes: &[u8], at: usize) -> bool {
    let word = |at: usize| bytes.get(at).is_some_and(|b| CLASSES[usize::from(*b)] & WORD != 0);
    word(at) && !word(at.wrapping_sub(1)) && !word(at.wrapping_add(1))
}

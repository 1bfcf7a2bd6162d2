//! Folds a text to what a reader takes it for: invisible characters go, compatibility forms and look-alikes become
//! plain letters. Knows nothing of rules; says only what it saw on the way.

use unicode_normalization::UnicodeNormalization;

use super::bytes::seen;

/// A folded text.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The text as it reads.
    pub(super) text: String,
    /// Bidirectional overrides, embeddings or isolates were in it.
    pub(super) bidi: bool,
    /// A word mixed letters of scripts that look alike.
    pub(super) mixed: bool,
    /// Letters were hidden in invisible tag characters.
    pub(super) hidden: bool,
}

impl Folded {
    /// Whether it reads as it stands, and does so beside any other text of which that is true, too.
    pub(super) fn is_settled(&self, text: &str) -> bool {
        self.text == text && seen(text.as_bytes(), |byte| u8::from(may_imitate(byte))) == 0
    }
}

/// Normalisation would have blown the text up beyond twice its size.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Folds `text`; the result is at most twice as long.
pub(super) fn fold(text: &str) -> Result<Folded, TooLong> {
    let mut folded = Folded::default();
    let mut hidden = String::new();
    let limit = text.len() * 2 + 64;
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // ASCII stays as it is, and nothing around it moves over it.
        let (ascii, after) = rest.split_at(ascii_run(rest));
        push_visible(ascii, &mut plain);
        let (other, after) = after.split_at(after.bytes().position(|b| b.is_ascii()).unwrap_or(after.len()));
        rest = after;
        let visible = other.chars().filter(|c| keep(*c, &mut folded, &mut hidden));
        for c in visible.nfkd().filter(|c| !is_accent(*c)) {
            if plain.len() + c.len_utf8() > limit {
                return Err(TooLong);
            }
            plain.push(c);
        }
    }
    folded.text = unmix(plain, &mut folded.mixed);
    folded.hidden = hidden.bytes().filter(u8::is_ascii_alphabetic).count() > HIDDEN_FLAG_MAX;
    if !hidden.is_empty() {
        folded.text.push('\n');
        folded.text.push_str(&hidden);
    }
    Ok(folded)
}

/// How many of the first bytes are ASCII.
fn ascii_run(text: &str) -> usize {
    let (blocks, _) = text.as_bytes().as_chunks::<32>();
    let whole = blocks.iter().take_while(|block| block.is_ascii()).count() * 32;
    let rest = text.as_bytes().get(whole..).unwrap_or_default();
    whole + rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len())
}

/// Adds a piece of ASCII without control characters.
fn push_visible(ascii: &str, plain: &mut String) {
    if seen(ascii.as_bytes(), |byte| u8::from(is_hidden(byte))) == 0 {
        plain.push_str(ascii);
    } else {
        plain.extend(ascii.split(|c| u8::try_from(c).is_ok_and(is_hidden)));
    }
}

/// Whether it is a control character that is not seen; without a branch, so that many are told at once.
const fn is_hidden(byte: u8) -> bool {
    byte.is_ascii_control() & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')
}

/// Letters a flag emoji spells in tag characters, at most (a country and a region).
const HIDDEN_FLAG_MAX: usize = 6;

/// Whether a character is to be seen; notes the ones that are not there by accident.
fn keep(c: char, folded: &mut Folded, hidden: &mut String) -> bool {
    match c {
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            folded.bidi = true;
            false
        }
        // Tag characters mirror ASCII; what they spell is read like any text.
        '\u{E0020}'..='\u{E007E}' => {
            hidden.extend(char::from_u32(u32::from(c) - 0xE_0000));
            false
        }
        '\t' | '\n' | '\r' => true,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2060}'..='\u{2064}'
        | '\u{206A}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{E0000}'..='\u{E01EF}' => false,
        _ => !c.is_control(),
    }
}

/// Accents of Latin, Greek and Cyrillic, which NFKD puts after their letter.
const fn is_accent(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}')
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    LookAlike,
    Other,
}

fn script_of(c: char) -> Script {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{00C0}'..='\u{02AF}' | '\u{1E00}'..='\u{1EFF}' => Script::Latin,
        '\u{0370}'..='\u{052F}' => Script::LookAlike,
        _ => Script::Other,
    }
}

/// Replaces look-alikes in words that mix scripts. Words of one script stay as they are, and so do short ones, unless
/// the text mixes elsewhere and, for a word of one script, every letter of it has a Latin twin.
fn unmix(text: String, mixed: &mut bool) -> String {
    if seen(text.as_bytes(), |byte| u8::from(may_imitate(byte))) == 0 {
        return text;
    }
    *mixed = words(&text).any(is_mixed);
    if !*mixed && !text.chars().filter(|c| !c.is_ascii()).any(|c| ALWAYS.iter().any(|(from, _)| *from == c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_alphabetic()) {
        let stem = word.trim_end_matches(|c: char| !c.is_alphabetic());
        let swap = *mixed && (mixes(stem) || stem.chars().all(|c| twin(c).is_some()));
        out.extend(word.chars().map(|c| if swap { twin(c).unwrap_or(c) } else { always(c) }));
    }
    out
}

/// Whether a letter that imitates another may begin with this byte, in UTF-8: Greek and Cyrillic, and those of [`ALWAYS`].
const fn may_imitate(byte: u8) -> bool {
    (byte == 0xc4) | (byte.wrapping_sub(0xc9) <= 1) | (byte.wrapping_sub(0xcd) <= 0xd4 - 0xcd)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_ascii())
}

/// Shorter words are units and symbols, as in `μs`.
const MIXED_WORD_MIN: usize = 3;

fn is_mixed(word: &str) -> bool {
    mixes(word) && word.chars().count() >= MIXED_WORD_MIN
}

fn mixes(word: &str) -> bool {
    let has = |script| word.chars().any(|c| script_of(c) == script);
    has(Script::LookAlike) && has(Script::Latin)
}

fn twin(c: char) -> Option<char> {
    TWINS.iter().chain(ALWAYS).find(|(from, _)| *from == c).map(|(_, to)| *to)
}

fn always(c: char) -> char {
    ALWAYS.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)
}

/// Latin letters that only imitate others.
const ALWAYS: &[(char, char)] = &[('ı', 'i'), ('ɑ', 'a'), ('ɡ', 'g'), ('ɩ', 'i'), ('ʏ', 'y')];

/// Cyrillic and Greek letters with a Latin twin, after Unicode's confusables list (UTS 39).
const TWINS: &[(char, char)] = &[
    ('а', 'a'),
    ('в', 'b'),
    ('е', 'e'),
    ('к', 'k'),
    ('м', 'm'),
    ('н', 'h'),
    ('о', 'o'),
    ('р', 'p'),
    ('с', 'c'),
    ('т', 't'),
    ('у', 'y'),
    ('х', 'x'),
    ('ѕ', 's'),
    ('і', 'i'),
    ('ј', 'j'),
    ('һ', 'h'),
    ('ԁ', 'd'),
    ('ԛ', 'q'),
    ('ԝ', 'w'),
    ('ӏ', 'l'),
    ('г', 'r'),
    ('п', 'n'),
    ('и', 'u'),
    ('ь', 'b'),
    ('Ь', 'b'),
    ('А', 'A'),
    ('В', 'B'),
    ('Е', 'E'),
    ('К', 'K'),
    ('М', 'M'),
    ('Н', 'H'),
    ('О', 'O'),
    ('Р', 'P'),
    ('С', 'C'),
    ('Т', 'T'),
    ('У', 'Y'),
    ('Х', 'X'),
    ('Ѕ', 'S'),
    ('І', 'I'),
    ('Ј', 'J'),
    ('Ӏ', 'I'),
    ('α', 'a'),
    ('β', 'b'),
    ('γ', 'y'),
    ('ε', 'e'),
    ('η', 'n'),
    ('ι', 'i'),
    ('κ', 'k'),
    ('ν', 'v'),
    ('ο', 'o'),
    ('ρ', 'p'),
    ('τ', 't'),
    ('υ', 'u'),
    ('χ', 'x'),
    ('ω', 'w'),
    ('σ', 'o'),
    ('ς', 's'),
    ('Α', 'A'),
    ('Β', 'B'),
    ('Ε', 'E'),
    ('Ζ', 'Z'),
    ('Η', 'H'),
    ('Ι', 'I'),
    ('Κ', 'K'),
    ('Μ', 'M'),
    ('Ν', 'N'),
    ('Ο', 'O'),
    ('Ρ', 'P'),
    ('Τ', 'T'),
    ('Υ', 'Y'),
    ('Χ', 'X'),
    ('ϲ', 'c'),
    ('ϳ', 'j'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_imitates_is_known_by_its_first_byte() {
        for c in '\u{80}'..=char::MAX {
            let imitates = script_of(c) == Script::LookAlike || twin(c).is_some();
            assert!(!imitates || may_imitate(c.encode_utf8(&mut [0; 4]).as_bytes()[0]), "{c:?}");
        }
    }
}

//! Phrases to look for in words that were run together, where no rule can see where one ends: few and long, so that
//! ordinary text never holds them.

/// Phrases without their spaces; long enough not to turn up by accident.
pub(super) const PHRASES: &[&str] = &[
    "ignorepreviousinstructions",
    "ignoreallpreviousinstructions",
    "ignoreyourpreviousinstructions",
    "ignoretheaboveinstructions",
    "ignoreallinstructions",
    "disregardpreviousinstructions",
    "disregardallpreviousinstructions",
    "disregardtheaboveinstructions",
    "forgetpreviousinstructions",
    "forgetpreviousrules",
    "forgetallpreviousinstructions",
    "overridepreviousinstructions",
    "revealthesystemprompt",
    "revealyoursystemprompt",
    "revealthehiddensystemprompt",
    "donottelltheuser",
    "withouttellingtheuser",
];

/// For each byte what it is read as: lower case, digits as the letters they stand for; `l`, `1` and `i` are one. Nothing for
/// what is passed over.
static FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0_u8;
    loop {
        folded[byte as usize] = match byte.to_ascii_lowercase() {
            b'0' => b'o',
            b'1' | b'l' | b'!' | b'|' => b'i',
            b'3' => b'e',
            b'4' | b'@' => b'a',
            b'5' | b'$' => b's',
            b'7' => b't',
            other if other.is_ascii_alphanumeric() => other,
            _ => 0,
        };
        if byte == u8::MAX {
            break folded;
        }
        byte += 1;
    }
};

/// Letters and digits only, as they are read.
pub(super) fn fold(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| FOLDED[usize::from(byte)]).filter(|letter| *letter != 0).collect()
}

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

/// Letters and digits only, lower case, digits as the letters they stand for; `l`, `1` and `i` are one.
pub(super) fn fold(text: &str) -> String {
    let letter = |b: u8| match b.to_ascii_lowercase() {
        b'0' => Some('o'),
        b'1' | b'l' | b'!' | b'|' => Some('i'),
        b'3' => Some('e'),
        b'4' | b'@' => Some('a'),
        b'5' | b'$' => Some('s'),
        b'7' => Some('t'),
        other => other.is_ascii_alphanumeric().then(|| char::from(other)),
    };
    text.bytes().filter_map(letter).collect()
}

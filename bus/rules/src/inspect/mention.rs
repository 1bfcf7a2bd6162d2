//! Tells a thing done from a thing spoken about: a phrase put in quotes and called an attack nearby is a mention.

use super::pattern::Pattern;

/// Words that show that the text speaks about attacks. Whoever plants one of these beside a quoted command has told
/// the reader what it is.
pub(super) const META: &str = concat!(
    r"(?:\b|_)(?:adversarial|analysts?|changelog|glossary|lesson|literal(?:ly)?|quiz|slide|annotate|assert\w*|attacks?|blocklist|classif\w+|dangerous|destruct\w*",
    r"|detect\w*|discussi\w+|documentation|evidence|examples?|findings?|fixtures?|flag(?:s|ged|ging)|injections?",
    r"|jailbreaks?|malicious|paraphrases|patterns?|payloads?|phrases?|quot(?:e|es|ed|ing)|red-team|samples?",
    r"|signatures?|suspicious|(?:regression|unit) test|test data|training (?:material|module)s?|unsafe|untrusted",
    r"|vulnerab\w+)\b",
);

/// How far around a match a word that excuses it may stand, in bytes.
const NEAR: usize = 160;
/// No further behind a place may a match begin whose excuse depends on what is before that place, in bytes: quotation marks
/// stand between.
pub(super) const BEARING: usize = NEAR + 16;
/// Most that may follow a match within its quotation, in bytes: a mention is short.
const QUOTE_MAX: usize = 100;

/// Quotation marks: opening, closing.
const QUOTES: &[(&[u8], &[u8])] = &[
    (b"'", b"'"),
    (b"\"", b"\""),
    (b"`", b"`"),
    (b"&#x27;", b"&#x27;"),
    (b"&#39;", b"&#39;"),
    (b"&quot;", b"&quot;"),
    (b"&apos;", b"&apos;"),
    (b"%27", b"%27"),
    (b"%22", b"%22"),
    ("\u{2018}".as_bytes(), "\u{2019}".as_bytes()),
    ("\u{201C}".as_bytes(), "\u{201D}".as_bytes()),
];

/// Whether the match at `start..end` is the beginning of a quotation that the text speaks about.
pub(super) fn is_quoted(meta: &Pattern, text: &[u8], start: usize, end: usize) -> bool {
    let before = text.get(start.saturating_sub(NEAR)..start).unwrap_or_default();
    let after = text.get(end..text.len().min(end + QUOTE_MAX)).unwrap_or_default();
    let Some((open, close)) = QUOTES.iter().find(|(open, _)| before.ends_with(open)) else { return false };
    let line = after.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(closes) = line.windows(close.len()).position(|window| window == *close) else { return false };
    let lead = before.get(..before.len() - open.len()).unwrap_or_default();
    if runs_its_quotation(lead) {
        return false;
    }
    let rest = end + closes + close.len();
    let tail = text.get(rest..text.len().min(rest + NEAR)).unwrap_or_default();
    meta.is_match(lead) || meta.is_match(tail)
}

/// `sh -c '...'`, `eval "..."` and calls run what they quote.
fn runs_its_quotation(lead: &[u8]) -> bool {
    let lead = lead.trim_ascii_end().to_ascii_lowercase();
    [b"-c".as_slice(), b"eval", b"exec", b"system(", b"popen(", b"run(", b"call("]
        .iter()
        .any(|end| lead.ends_with(end))
}

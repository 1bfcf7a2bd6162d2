//! Committed secrets: key blocks, tokens of known form, and literals given to something that is called a secret.
//!
//! Knows one piece of a line at a time. A wrong alarm costs trust, so whatever looks like a stand-in is left alone.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::Rule;
use super::kind::Literals;

/// How far behind the header of a key block its body must begin.
pub(super) const KEY_BODY_BYTES: usize = 400;

/// Shannon entropy (bits for each byte) above which a value looks random; hexadecimal can reach only 4.
const RANDOM_BITS: f64 = 3.5;
const RANDOM_HEX_BITS: f64 = 3.0;
const RANDOM_BYTES_MIN: usize = 16;

/// Parts of a value that mark it as a stand-in, in lower case.
const STAND_INS: [&str; 31] = [
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "dummy",
    "sample",
    "fake",
    "xxxx",
    "****",
    "....",
    "your",
    "redacted",
    "replace",
    "insert",
    "todo",
    "fixme",
    "foobar",
    "notreal",
    "not-real",
    "not_real",
    "not-a-",
    "not_a_",
    "process.env",
    "os.environ",
    "getenv",
    "secrets.",
    "vault:",
    "0123456",
    "abcdefgh",
    "deadbeef",
];

/// What follows the word when the name is not that of a secret but of something about it: `token_url`, `tokenizer`.
const HARMLESS_ENDINGS: [&str; 27] = [
    "id",
    "ids",
    "name",
    "names",
    "url",
    "uri",
    "path",
    "file",
    "type",
    "field",
    "hash",
    "digest",
    "header",
    "prefix",
    "length",
    "len",
    "label",
    "hint",
    "format",
    "policy",
    "pattern",
    "regex",
    "version",
    "encryption",
    "algorithm",
    "method",
    "mode",
];

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test")]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

static KEY_HEADER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?-u)-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|^PuTTY-User-Key-File-[23]: ")
});
static KEY_BODY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?-u)(?:^|[\s\x22'>]|\\n)([A-Za-z0-9+/]{32,512})"));

/// AWS, Google, GitHub, GitLab, Slack, Stripe, model providers, package registries, SendGrid: the forms they publish.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?-u)\b(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b|AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}",
        r"|ya29\.[0-9A-Za-z_-]{20,200}|gh[pousr]_[0-9A-Za-z]{36,200}|github_pat_[0-9A-Za-z_]{22,200}",
        r"|glpat-[0-9A-Za-z_-]{20,60}|xox[abeoprs]-[0-9A-Za-z-]{10,200}",
        r"|hooks\.slack\.com/services/T[0-9A-Z]{6,14}/B[0-9A-Z]{6,14}/[0-9A-Za-z]{20,40}",
        r"|[sr]k_(?:live|test)_[0-9A-Za-z]{20,200}|whsec_[0-9A-Za-z]{32,64}|sk-(?:ant|proj)-[0-9A-Za-z_-]{32,200}",
        r"|npm_[0-9A-Za-z]{36}\b|pypi-AgE[0-9A-Za-z_-]{50,250}|hf_[A-Za-z]{34}\b",
        r"|SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43})",
    ))
});

/// name [quote] [: type] (= or :) [prefix] [quote] value. Groups: 1 password word, 2 rest of the name, 3 quote, 4 value.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i-u)(?:(password|passwd|passphrase|pwd)|secret|token|credential|api[_-]?key",
        r"|(?:access|auth|private|signing|encryption)[_-]?key)([a-z0-9_-]{0,40})[\x22']?\s{0,8}",
        r"(?::\s{0,2}[&a-z'<> ]{1,24})?(?::=|=>|=|:)\s{0,8}[bru]{0,2}([\x22'`]?)([^\s\x22'`]{6,256})",
    ))
});

/// A password in an address: scheme://user:password@host.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i-u)\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@\x22']{1,64}:([^/\s:@\x22']{6,128})@([a-z0-9.-]{1,128})",
    )
});

/// Whether a line holds the header of a private key and a body follows it; `ahead` begins with the line. A header
/// alone is the code or the text of someone who looks for keys.
pub(super) fn begins_private_key(line: &[u8], ahead: &[u8]) -> bool {
    KEY_HEADER.find_iter(line).any(|header| {
        let body = &ahead[header.end()..];
        let body = &body[..body.len().min(KEY_BODY_BYTES)];
        KEY_BODY.captures_iter(body).any(|found| distinct_bytes(&found[1]) >= 10 && !is_stand_in(&found[1]))
    })
}

pub(super) fn scan(window: &[u8], literals: Literals, hits: &mut BTreeSet<Rule>) {
    if TOKEN
        .find_iter(window)
        .any(|token| distinct_bytes(token.as_bytes()) >= 10 && !is_stand_in(token.as_bytes()))
    {
        hits.insert(Rule::AccessToken);
    }
    for found in ADDRESS.captures_iter(window) {
        if is_password(&found[1]) && !found[2].to_ascii_lowercase().windows(7).any(|part| part == b"example")
        {
            hits.insert(Rule::Password);
        }
    }
    for found in ASSIGNED.captures_iter(window) {
        let (ending, value) = (&found[2], trim_value(&found[4]));
        if (found[3].is_empty() && (literals == Literals::Quoted || !is_bare_value(value)))
            || is_harmless(ending)
        {
            continue;
        }
        if found.get(1).is_some() && is_password(value) {
            hits.insert(Rule::Password);
        } else if found.get(1).is_none() && looks_random(value) {
            hits.insert(Rule::RandomSecret);
        }
    }
}

/// A bare value ends before the punctuation of its line.
fn trim_value(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b',' | b';' | b')')).map_or(0, |at| at + 1);
    &value[..end]
}

/// In settings, a value that begins like this is a tag, a reference or a structure.
fn is_bare_value(value: &[u8]) -> bool {
    !value.first().is_some_and(|first| matches!(first, b'!' | b'&' | b'*' | b'|' | b'>' | b'[' | b'@' | b'='))
        && !value.contains(&b'(')
}

fn is_harmless(ending: &[u8]) -> bool {
    let ending = ending.to_ascii_lowercase();
    let last = ending.rsplit(|byte| matches!(byte, b'_' | b'-')).next().unwrap_or_default();
    ending.starts_with(b"iz") || HARMLESS_ENDINGS.iter().any(|harmless| last == harmless.as_bytes())
}

/// More than a word or a name: at least one digit or sign that names do not have; no path, no reference.
fn is_password(value: &[u8]) -> bool {
    let is_name = value.iter().all(|byte| byte.is_ascii_alphabetic() || b"_-./:,[]{}()<>?".contains(byte));
    let is_path =
        value.starts_with(b"/") || value.starts_with(b"./") || value.windows(3).any(|part| part == b"://");
    value.len() >= 6 && !is_name && !is_path && distinct_bytes(value) >= 4 && !is_stand_in(value)
}

/// Letters and digits mixed, of the alphabet that tokens use, with the entropy of a random string.
fn looks_random(value: &[u8]) -> bool {
    let is_token = value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_.-~".contains(byte));
    let is_mixed = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    let is_hex = value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let bits = if is_hex { RANDOM_HEX_BITS } else { RANDOM_BITS };
    let is_path = value.starts_with(b"/") || value.starts_with(b".");
    value.len() >= RANDOM_BYTES_MIN
        && is_token
        && is_mixed
        && !is_path
        && entropy(value) >= bits
        && !is_stand_in(value)
}

fn is_stand_in(value: &[u8]) -> bool {
    let lower = String::from_utf8_lossy(value).to_ascii_lowercase();
    let is_reference = lower.starts_with(['$', '<', '{', '%', '#'])
        || ["${", "$(", "{{", "<%", "#{", "%("].iter().any(|mark| lower.contains(mark));
    is_reference || lower.starts_with("test") || STAND_INS.iter().any(|word| lower.contains(word))
}

fn distinct_bytes(value: &[u8]) -> usize {
    counts(value).iter().filter(|count| **count > 0).count()
}

fn counts(value: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    counts
}

/// Shannon entropy in bits for each byte.
fn entropy(value: &[u8]) -> f64 {
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let shares = counts(value).into_iter().filter(|count| *count > 0).map(|count| f64::from(count) / total);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}

//! Undoes one layer of encoding in place: percent, HTML entities, escapes, quoted-printable, shell quoting, base64 and
//! hex. The result
//! is never longer than the text, so a few layers cost a few passes. Knows nothing of rules.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::bytes::{PADDING_MAX, RUN_MIN, is_sign, padding_of, run_from, run_of};

/// Either padding, any trailing bits.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Peels one layer; nothing if there was none.
pub(super) fn peel(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let printable = is_quoted_printable(bytes);
    // Of words and names, only what is long enough to be decoded is looked at.
    let next_run = |from: usize| run_from(bytes, from, RUN_MIN - PADDING_MAX).unwrap_or(bytes.len());
    let mut run_at = next_run(0);
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if run_at < at {
            run_at = next_run(at);
        }
        let before = bytes.get(at..run_at).unwrap_or_default();
        at += before.iter().position(|byte| is_sign(*byte)).unwrap_or(before.len());
        let rest = bytes.get(at..).unwrap_or_default();
        let found = match rest {
            [b'%', ..] => percent(rest),
            [b'&', ..] => entity(rest),
            [b'\\', ..] => escape(rest),
            [b'$', ..] => field_separator(rest).or_else(|| printed(rest)),
            [b'=', ..] => quoted_printable(rest).filter(|_| printable),
            [b'\'' | b'"', ..] => empty_quotes(rest),
            [] => break,
            [_, ..] => {
                let found = run(rest);
                if found.is_none() {
                    // What was taken for padding may begin something else.
                    at += run_of(rest);
                    continue;
                }
                found
            }
        };
        let Some((taken, plain)) = found else {
            at += 1;
            continue;
        };
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        out.extend_from_slice(&plain);
        at += taken;
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Some(match String::from_utf8(out) {
        Ok(text) => text,
        // A replacement character may be longer than what it stands for; a question mark is not.
        Err(broken) => broken.as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push('?');
            }
            text
        }),
    })
}

/// How many bytes an encoding took, and what it stands for.
type Peeled = Option<(usize, Vec<u8>)>;

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, digit| Some((n << 4) | char::from(*digit).to_digit(16)?))
}

fn utf8(code: u32) -> Vec<u8> {
    let c = char::from_u32(code).unwrap_or('?');
    c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()
}

fn percent(rest: &[u8]) -> Peeled {
    let byte = u8::try_from(hex(rest.get(1..3)?)?).ok()?;
    Some((3, vec![byte]))
}

/// The entities that matter to markup and commands, with or without their semicolon for numbers.
fn entity(rest: &[u8]) -> Peeled {
    const NAMED: &[(&[u8], u8)] = &[
        (b"&lt;", b'<'),
        (b"&gt;", b'>'),
        (b"&amp;", b'&'),
        (b"&quot;", b'"'),
        (b"&apos;", b'\''),
        (b"&nbsp;", b' '),
        (b"&sol;", b'/'),
        (b"&bsol;", b'\\'),
        (b"&lsqb;", b'['),
        (b"&rsqb;", b']'),
        (b"&lpar;", b'('),
        (b"&rpar;", b')'),
        (b"&num;", b'#'),
        (b"&colon;", b':'),
        (b"&excl;", b'!'),
        (b"&vert;", b'|'),
    ];
    if rest.get(1) != Some(&b'#') {
        let (name, byte) = NAMED.iter().find(|(name, _)| rest.starts_with(name))?;
        return Some((name.len(), vec![*byte]));
    }
    let is_hex = matches!(rest.get(2), Some(b'x' | b'X'));
    let start = if is_hex { 3 } else { 2 };
    let digits = rest.iter().skip(start).take(7);
    let length =
        digits.take_while(|d| if is_hex { d.is_ascii_hexdigit() } else { d.is_ascii_digit() }).count();
    let digits = rest.get(start..start + length).filter(|digits| !digits.is_empty())?;
    let radix = if is_hex { 16 } else { 10 };
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    let semicolon = usize::from(rest.get(start + length) == Some(&b';'));
    Some((start + length + semicolon, utf8(code)))
}

/// Escapes of program text and of the shell. A backslash before any other letter is shell quoting and goes.
fn escape(rest: &[u8]) -> Peeled {
    match rest.get(1)? {
        b'u' if rest.get(2) == Some(&b'{') => {
            let length = rest.iter().skip(3).take(7).position(|b| *b == b'}')?;
            Some((length + 4, utf8(hex(rest.get(3..3 + length)?)?)))
        }
        b'u' | b'U' if rest.get(2..6).and_then(hex).is_some() => unicode_escape(rest),
        b'x' if rest.get(2..4).and_then(hex).is_some() => {
            Some((4, vec![u8::try_from(hex(rest.get(2..4)?)?).ok()?]))
        }
        b'0'..=b'3' if rest.get(2..4).is_some_and(|d| d.iter().all(|d| (b'0'..=b'7').contains(d))) => {
            let code = rest.get(1..4)?.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0'));
            Some((4, vec![u8::try_from(code).ok()?]))
        }
        b'n' | b'r' => Some((2, vec![b'\n'])),
        b't' => Some((2, vec![b'\t'])),
        b'\r' if rest.get(2) == Some(&b'\n') => Some((3, vec![])),
        b'\n' => Some((2, vec![])),
        other if other.is_ascii_graphic() => Some((2, vec![*other])),
        _ => None,
    }
}

/// `\uXXXX`, with its second half if it is the first of a surrogate pair.
fn unicode_escape(rest: &[u8]) -> Peeled {
    let first = hex(rest.get(2..6)?)?;
    let pair =
        (0xD800..0xDC00).contains(&first) && rest.get(6..8).is_some_and(|b| b.eq_ignore_ascii_case(b"\\u"));
    let second =
        if pair { rest.get(8..12).and_then(hex).filter(|low| (0xDC00..0xE000).contains(low)) } else { None };
    Some(match second {
        Some(low) => (12, utf8(0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00))),
        None => (6, utf8(first)),
    })
}

fn field_separator(rest: &[u8]) -> Peeled {
    let taken = [b"${IFS}".as_slice(), b"$IFS"].into_iter().find(|name| rest.starts_with(name))?.len();
    Some((taken, vec![b' ']))
}

/// Longest word a substitution prints, in bytes.
const PRINTED_MAX: usize = 40;

/// `$(printf rm)`: stands for its word.
fn printed(rest: &[u8]) -> Peeled {
    let command =
        [b"$(printf ".as_slice(), b"$(echo "].into_iter().find(|command| rest.starts_with(command))?;
    let length = rest.iter().skip(command.len()).take(PRINTED_MAX).position(|b| *b == b')')?;
    let word = rest.get(command.len()..command.len() + length)?;
    let word = word.iter().filter(|b| !matches!(b, b'\'' | b'"' | b' ')).copied().collect::<Vec<u8>>();
    Some((command.len() + length + 1, word))
}

/// Fewest escapes that make a text quoted-printable rather than arithmetic.
const QUOTED_MIN: usize = 3;

/// Whether something may be quoted-printable, beside whatever else.
pub(super) fn may_be_printable(text: &[u8]) -> bool {
    let mut signs = text.iter().enumerate().filter(|(_, byte)| **byte == b'=');
    signs.any(|(at, _)| text.get(at..).and_then(quoted_printable).is_some())
}

/// Whether there are enough escapes and soft line ends, and hardly another equals sign.
fn is_quoted_printable(bytes: &[u8]) -> bool {
    let (mut signs, mut escapes) = (0usize, 0usize);
    for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'=') {
        signs += 1;
        escapes += usize::from(bytes.get(at..).and_then(quoted_printable).is_some());
    }
    (escapes >= QUOTED_MIN || (escapes > 0 && escapes == signs)) && escapes * 10 >= signs * 9
}

/// `=69`, or an equals sign that ends its line.
fn quoted_printable(rest: &[u8]) -> Peeled {
    match rest.get(1..3) {
        Some([b'\r', b'\n']) => Some((3, vec![])),
        Some([b'\n', _]) => Some((2, vec![])),
        Some(digits) if digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'A'..=b'F')) => {
            let byte = u8::try_from(hex(digits)?).ok()?;
            let text = byte >= b' ' && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t');
            text.then(|| (3, vec![byte]))
        }
        _ => None,
    }
}

fn empty_quotes(rest: &[u8]) -> Peeled {
    (rest.first() == rest.get(1)).then(|| (2, vec![]))
}

/// Shortest line of a run that is broken over several, in bytes.
pub(super) const LINE_MIN: usize = 60;

/// What a text begins with: a run, with its padding; or several, of one length, if it is broken over lines.
fn run(rest: &[u8]) -> Peeled {
    let first = run_of(rest);
    if first >= LINE_MIN && first.is_multiple_of(4) && next_line(rest, first, first).is_some() {
        return lines(rest, first);
    }
    let run = rest.get(..first + padding_of(rest, first)).filter(|run| run.len() >= RUN_MIN)?;
    Some((run.len(), decode_run(run)?))
}

/// Where the next line of a run begins and ends, if it is no longer than this.
fn next_line(rest: &[u8], end: usize, most: usize) -> Option<(usize, usize)> {
    let line_end = rest.iter().skip(end).take(2).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = rest.get(end + line_end..).map(|line| line.get(..most + 1).unwrap_or(line))?;
    let length = run_of(line);
    (line_end > 0 && (1..=most).contains(&length)).then_some((end + line_end, end + line_end + length))
}

/// As many lines of base64 as are text. Each is decoded once, so that lines that are none cost no more than their length.
fn lines(rest: &[u8], length: usize) -> Peeled {
    let (mut plain, mut whole, mut taken) = (Vec::new(), 0, 0);
    let mut next = Some((0, length));
    while let Some((start, end)) = next {
        let Some(line) = decode_base64(rest.get(start..end).unwrap_or_default()) else { break };
        plain.extend(line);
        // A character may be parted over two lines.
        let new = plain.get(whole..).unwrap_or_default();
        let valid = match std::str::from_utf8(new) {
            Ok(_) => new.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => break,
        };
        if !std::str::from_utf8(new.get(..valid).unwrap_or_default()).is_ok_and(is_plain) {
            break;
        }
        whole += valid;
        next = if end - start < length { None } else { next_line(rest, end, length) };
        taken = if next.is_some() { end } else { end + padding_of(rest, end) };
    }
    plain.truncate(whole);
    // Without a letter, too: looked at again from its second line on, it would cost its length for each line.
    (whole > 0).then_some((taken, plain))
}

/// What a run decodes to, if that is text.
fn decode_run(run: &[u8]) -> Option<Vec<u8>> {
    if run.len().is_multiple_of(2) && run.iter().all(u8::is_ascii_hexdigit) {
        let plain = run.chunks(2).map(|pair| u8::try_from(hex(pair)?).ok()).collect::<Option<Vec<u8>>>();
        if let Some(plain) = plain.filter(|plain| is_text(plain)) {
            return Some(plain);
        }
    }
    decode_base64(run).filter(|plain| is_text(plain))
}

fn decode_base64(run: &[u8]) -> Option<Vec<u8>> {
    let mut standard = run.iter().filter(|byte| **byte != b'=').copied().collect::<Vec<u8>>();
    for byte in &mut standard {
        *byte = match *byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
    }
    if standard.len() % 4 == 1 {
        standard.pop();
    }
    BASE64.decode(&standard).ok()
}

/// Random bytes practically never are.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    is_plain(text) && text.chars().any(char::is_alphabetic)
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

//! Weighs commands by their arguments. Each judge gets the text before the command word and after it, reads at most
//! a bounded piece, and says how grave the command is and how far it read.

use super::Severity;

/// Longest argument list read, in bytes.
const ARGUMENTS_MAX: usize = 512;

/// `rm`: grave if it is recursive and its target is not plainly a part of somebody's own work.
pub(super) fn remove(before: &[u8], after: &[u8]) -> (Option<Severity>, usize) {
    let arguments = until_operator(after);
    let read = arguments.len();
    // `git rm`, `docker rm`, `--rm`: another program's word.
    let lead = before.trim_ascii_end();
    let others: [&[u8]; 7] = [b"git", b"docker", b"podman", b"npm", b"svn", b"hg", b"container"];
    if before.ends_with(b"-") || before.ends_with(b".") || others.iter().any(|word| lead.ends_with(word)) {
        return (None, read);
    }
    let mut recursive = false;
    let mut everything = false;
    let mut worst = None;
    for word in words(arguments) {
        if let Some(long) = word.strip_prefix("--") {
            recursive |= long.len() >= 3 && "recursive".starts_with(long);
            everything |= long == "no-preserve-root";
        } else if let Some(flags) = word.strip_prefix('-') {
            recursive |= flags.len() <= 6 && flags.contains(['r', 'R']);
        } else {
            worst = worst.max(Some(target(word)));
        }
    }
    match (recursive, worst) {
        (true, Some(severity)) => (Some(if everything { Severity::High } else { severity }), read),
        (true, None) | (false, _) => (None, read),
    }
}

/// How grave it is to lose what a path names.
fn target(word: &str) -> Severity {
    let lower = word.to_ascii_lowercase();
    let home = ["~", "$home", "${home}"].iter().find_map(|home| lower.strip_prefix(home));
    if let Some(below) = home {
        return if depth(below) <= 1 { Severity::High } else { Severity::Medium };
    }
    if ["*", "./*", ".", "./", "..", "../", "../*", ".*"].contains(&word) {
        return Severity::High;
    }
    if lower.get(1..3) == Some(":\\") && depth(&lower.replace('\\', "/")) <= 2 {
        return Severity::High;
    }
    if !lower.starts_with('/') {
        return Severity::Medium;
    }
    let spare =
        ["/tmp/", "/var/tmp/", "/var/cache/", "/var/lib/apt/lists", "/usr/share/doc", "/usr/share/man"];
    if spare.iter().any(|path| lower.starts_with(path)) && !lower.contains("..") {
        return Severity::Medium;
    }
    let system =
        ["/etc", "/bin", "/sbin", "/lib", "/boot", "/root", "/dev", "/sys", "/proc", "/usr/bin", "/usr/lib"];
    let vital = system
        .iter()
        .any(|path| lower.strip_prefix(path).is_some_and(|r| r.is_empty() || r.starts_with('/')));
    if vital || depth(&lower) <= 3 { Severity::High } else { Severity::Medium }
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "*").count()
}

/// What `curl` was told to send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Upload {
    Text,
    File,
}

/// `curl`: grave if it sends something to another host (case F11 blocks by default, as the reference does).
pub(super) fn curl(_before: &[u8], after: &[u8]) -> (Option<Severity>, usize) {
    let arguments = until_command_end(after);
    let mut upload = None;
    let mut host = None;
    let mut rest = words(arguments).peekable();
    while let Some(word) = rest.next() {
        if let Some(sent) = sends(word, rest.peek().copied()) {
            upload = upload.max(Some(sent));
        }
        host = host.or_else(|| host_of(word));
    }
    let local =
        host.is_some_and(|h| ["localhost", "127.", "0.0.0.0", "[::1]"].iter().any(|l| h.starts_with(l)));
    let severity = match (upload, host) {
        (Some(_), Some(_)) if !local => Some(Severity::High),
        (Some(_), Some(_)) => Some(Severity::Medium),
        (Some(_) | None, None) | (None, Some(_)) => None,
    };
    (severity, arguments.len())
}

fn sends(word: &str, next: Option<&str>) -> Option<Upload> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, next), |(name, value)| (name, Some(value)));
        return match name {
            "upload-file" => Some(Upload::File),
            "form" | "json" => Some(text_or_file(value)),
            _ if name.starts_with("data") => Some(text_or_file(value)),
            _ => None,
        };
    }
    let flags = word.strip_prefix('-')?;
    // The flags before it that take no value; case matters, `-f` and `-t` send nothing (case F10).
    let last =
        flags.trim_start_matches(['f', 's', 'S', 'L', 'k', 'g', 'i', 'n', 'N', 'q', 'v', 'a', 'Z', '0', '#']);
    let value = if last.len() > 1 { last.get(1..) } else { next };
    match last.chars().next()? {
        'T' => Some(Upload::File),
        'F' | 'd' => Some(text_or_file(value)),
        _ => None,
    }
}

fn text_or_file(value: Option<&str>) -> Upload {
    if value.is_some_and(|v| v.contains(['@', '`']) || v.contains("$(")) {
        Upload::File
    } else {
        Upload::Text
    }
}

fn host_of(word: &str) -> Option<&str> {
    let (_, host) = word.split_once("://")?;
    Some(host)
}

/// `chmod`: grave if it lets everybody write where nobody should.
pub(super) fn chmod(_before: &[u8], after: &[u8]) -> (Option<Severity>, usize) {
    let arguments = until_operator(after);
    let mut open = false;
    let mut vital = false;
    for word in words(arguments) {
        let octal = word.trim_start_matches('0');
        open |= (3..=4).contains(&octal.len())
            && octal.bytes().all(|b| (b'0'..=b'7').contains(&b))
            && octal.ends_with(['6', '7', '2', '3']);
        open |= word.split_once(['+', '=']).is_some_and(|(who, what)| {
            who.bytes().all(|b| b"augo".contains(&b))
                && (who.is_empty() || who.contains(['a', 'o']))
                && what.contains('w')
        });
        let roots = ["/", "/*", "~", "$HOME"];
        let system =
            ["/etc", "/usr", "/bin", "/sbin", "/boot", "/lib", "/root", "/home", "/dev", "/sys", "/proc"];
        vital |= roots.contains(&word);
        vital |=
            system.iter().any(|p| word.strip_prefix(p).is_some_and(|r| r.is_empty() || r.starts_with('/')));
        vital |= word == "/var" || word == "/var/";
    }
    ((open && vital).then_some(Severity::High), arguments.len())
}

/// The words of an argument list, also of one written as a list in a program.
fn words(arguments: &[u8]) -> impl Iterator<Item = &str> {
    arguments
        .split(|b| b.is_ascii_whitespace() || *b == b',')
        .filter_map(|word| std::str::from_utf8(word).ok())
        .map(|word| {
            word.trim_matches(|c: char| matches!(c, '"' | '\'' | '`' | '(' | ')' | '[' | ']' | '{' | '}'))
        })
        .map(
            |word| {
                if word.bytes().all(|b| b == b'.') {
                    word
                } else {
                    word.trim_end_matches(['.', ':', '!', '?'])
                }
            },
        )
        .filter(|word| !word.is_empty())
}

/// Up to the end of the line or the next operator, whatever is quoted.
fn until_operator(after: &[u8]) -> &[u8] {
    let piece = after.get(..after.len().min(ARGUMENTS_MAX)).unwrap_or_default();
    let end = piece.iter().position(|b| matches!(b, b'\n' | b';' | b'|' | b'&')).unwrap_or(piece.len());
    piece.get(..end).unwrap_or_default()
}

/// The same, reading over quoted operators, line ends within quotes and continued lines.
fn until_command_end(after: &[u8]) -> &[u8] {
    let piece = after.get(..after.len().min(ARGUMENTS_MAX)).unwrap_or_default();
    let mut quote = None;
    let mut last = b' ';
    for (at, byte) in piece.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if *byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'\n') if last == b'\\' => {}
            (None, b'\n' | b';' | b'|') => return piece.get(..at).unwrap_or_default(),
            _ => {}
        }
        last = *byte;
    }
    piece
}

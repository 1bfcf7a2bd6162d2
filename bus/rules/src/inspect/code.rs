//! Code in a message that would run other code or commands.

use super::rules::{Mention, Role, Rule};
use super::{Kind, Severity};

const fn high(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule {
        id,
        kind: Kind::Code,
        role: Role::Alert(Severity::High),
        mention: Mention::Excused,
        literals,
        also: &[],
        pattern,
    }
}

/// A call of the bare function runs its argument; a method, a definition or a longer name does not.
fn bare_call(before: &[u8], _after: &[u8]) -> (Option<Severity>, usize) {
    let bare = before.iter().rev().find(|b| **b != b'_');
    let part_of_name = bare.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'>' | b':'));
    let before = before.trim_ascii_end();
    let defined = [b"fn".as_slice(), b"def", b"func", b"function"].iter().any(|word| before.ends_with(word));
    ((!part_of_name && !defined).then_some(Severity::High), 0)
}

/// The family of code rules.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "code.eval",
        kind: Kind::Code,
        role: Role::Judged(bare_call),
        mention: Mention::Excused,
        literals: &["eval(", "exec("],
        also: &[],
        pattern: r"(?:eval|exec)\(\s*[^\s)]",
    },
    high(
        "code.dynamic-import",
        &["__import__"],
        r"__import__\s*\(\s*.?(?:os|subprocess|shutil|pty|ctypes|socket|builtins)\b",
    ),
    high(
        "code.fenced-process",
        &["```"],
        concat!(
            r"```(?:python[\d.]*|py)?[\x20\t]*\r?\n(?:[^`]*\n)?\s*(?:import|from)\s+(?:subprocess|shutil",
            r"|pty)\b"
        ),
    )
    .and(&["subprocess", "shutil", "pty"]),
    high(
        "code.fenced-system",
        &["```"],
        concat!(
            r"```(?:python[\d.]*|py)?[\x20\t]*\r?\n[^`]*\bos\.(?:system|popen|exec[lv]\w*|spawn\w*",
            r"|remove|unlink|kill)\s*\("
        ),
    )
    .and(&["os."]),
    high(
        "code.fenced-system-import",
        &["```"],
        concat!(
            r"```(?:python[\d.]*|py)?[\x20\t]*\r?\n[^`]*\bfrom\s+os\s+import\s+[^\n]*(?:system|popen",
            r"|exec|spawn|remove|unlink)"
        ),
    )
    .and(&["from"]),
    high(
        "code.delete-system",
        &["os.remove", "os.unlink", "rmtree", "fs.rm", "fs.unlink", "rimraf"],
        concat!(
            r"\b(?:os\.(?:remove|unlink)|shutil\.rmtree|rmtree|fs\.(?:rm|unlink)(?:sync)?",
            r"|rimraf)\s*\(\s*.(?:/[^\w]|/(?:etc|usr|bin|boot|lib|var|root|home|dev|sys)\b|~|[a-z]:\\)"
        ),
    ),
    high("code.socket-shell", &["dup2", "pty.spawn"], r"socket[^`]*\b(?:dup2\s*\(|pty\.spawn\s*\()")
        .and(&["socket"]),
];

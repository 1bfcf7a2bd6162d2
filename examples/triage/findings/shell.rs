//! Risky commands. Knows one command at a time (a command may be continued over lines) and where it stands.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::kind::Commands;
use super::{Rule, windows};

/// A command continued over more than this is looked at in parts.
const COMMAND_BYTES_MAX: usize = 4096;

/// System folders whose removal ends the system; `rm -rf` of one of them is never meant.
const SYSTEM_FOLDERS: [&str; 18] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
    "sys", "usr", "var", "Users",
];

#[expect(clippy::expect_used, reason = "constant patterns, compiled by every test")]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

static REMOTE_SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?-u)\b(?:curl|wget)\b[^;]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:\S*/)?",
        r"(?:(?:env\s+)?(?:ba|z|k|da|fi)?sh(?:[\s;&)`\x22']|$)",
        // Other interpreters often only format what they are fed; without a program of their own they run it.
        r"|(?:python[0-9.]*|perl|ruby|node)\s*(?:-\s*)?(?:[;&)`\x22']|$))",
        r"|(?:\b(?:ba|z|k|da)?sh(?:\s+-\S+)*|\bsource|\beval|(?:^|[\s;&])\.)\s+[\x22']?(?:<\(|\$\(|`)\s*(?:curl|wget)\b",
    ))
});
static WORLD_WRITABLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?-u)\bchmod\s+(?:-\S+\s+)*(?:[02467]?777|a[+=]rwx|ugo[+=]rwx)(?:\s|$)"));
static EVAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u)(?:^|[\s;&|(@])eval\s+(.+)"));
static ARGUMENT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?-u)\$\{?(?:[1-9@*]|REPLY\b|QUERY_STRING\b|INPUT\b|[A-Z_]*_INPUT\b)|\$\{\{"));
static SUDO: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?-u)(?:^[\s@+-]*|[;&|({]\s*|\b(?:then|do|else|run:|RUN)\s+)sudo\s+[^\s=]"));

/// The command that is being read.
#[derive(Debug, Default)]
pub(super) struct Command {
    text: Vec<u8>,
}

impl Command {
    /// Takes the next line; a command is judged at its last line.
    pub(super) fn next_line(&mut self, line: &[u8], commands: Commands, hits: &mut BTreeSet<Rule>) {
        let line = line.trim_ascii();
        if commands == Commands::No || (self.text.is_empty() && line.starts_with(b"#")) {
            self.text.clear();
            return;
        }
        let (part, continued) = line.strip_suffix(b"\\").map_or((line, false), |part| (part, true));
        self.text.extend_from_slice(part);
        if continued && self.text.len() < COMMAND_BYTES_MAX {
            self.text.push(b' ');
            return;
        }
        for window in windows(&self.text) {
            scan(window, commands, hits);
        }
        self.text.clear();
    }
}

fn scan(text: &[u8], commands: Commands, hits: &mut BTreeSet<Rule>) {
    if REMOTE_SCRIPT.is_match(text) {
        hits.insert(Rule::RemoteScript);
    }
    if WORLD_WRITABLE.is_match(text) {
        hits.insert(Rule::WorldWritable);
    }
    if EVAL.captures_iter(text).any(|found| evaluates_input(&found[1])) {
        hits.insert(Rule::EvalInput);
    }
    // In a text it is advice to a person, who is asked for the password.
    if commands == Commands::Script && SUDO.is_match(text) {
        hits.insert(Rule::Sudo);
    }
    removals(text, hits);
}

/// `eval "$(tool hook)"` and `eval set -- ...` are idioms; `eval "$1"` and `eval $command` run what they are given.
fn evaluates_input(rest: &[u8]) -> bool {
    if rest.starts_with(b"set --") {
        return false;
    }
    let bare: Vec<u8> =
        rest.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\'' | b'\\')).take(2).collect();
    let variable = bare.first() == Some(&b'$') && bare.get(1).is_some_and(|next| *next != b'(');
    variable || ARGUMENT.is_match(rest)
}

/// Finds `rm` with both `-r` and `-f`, and judges what it removes.
fn removals(text: &[u8], hits: &mut BTreeSet<Rule>) {
    let text = String::from_utf8_lossy(text);
    for simple in text.split([';', '|', '&']) {
        let mut before = "";
        let mut words = simple.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let is_rm = word.trim_start_matches(['(', '`', '"', '\'', '@', '-', '$', '{']).rsplit('/').next();
            if is_rm == Some("rm") && before != "git" {
                removal(words, hits);
                break;
            }
            before = word;
        }
    }
}

fn removal<'a>(words: impl Iterator<Item = &'a str>, hits: &mut BTreeSet<Rule>) {
    let (mut recursive, mut force) = (false, false);
    let mut targets = Vec::new();
    for word in words {
        match word.strip_prefix('-') {
            Some("-recursive") => recursive = true,
            Some("-force") => force = true,
            Some(flags) if !flags.starts_with('-') => {
                recursive |= flags.contains(['r', 'R']);
                force |= flags.contains('f');
            }
            Some(_) => {}
            None => targets.push(word),
        }
    }
    if recursive && force {
        hits.extend(targets.into_iter().filter_map(judge_target));
    }
}

fn judge_target(word: &str) -> Option<Rule> {
    let plain: String =
        word.chars().filter(|character| !matches!(character, '"' | '\'' | '`' | '\\')).collect();
    let plain = plain.trim_end_matches(')');
    let base = plain.trim_end_matches('*').trim_end_matches('/');
    let is_system = base.strip_prefix('/').is_some_and(|name| SYSTEM_FOLDERS.contains(&name));
    let is_root = base.is_empty() && plain.starts_with('/');
    if is_root || is_system || matches!(base, "~" | "$HOME" | "${HOME}" | "..") {
        return Some(Rule::RemoveRoot);
    }
    // `${NAME:?}` stops the script when the name is empty: that is the cure, not the fault.
    (plain.starts_with('$') && !plain.contains(":?")).then_some(Rule::RemoveVariable)
}

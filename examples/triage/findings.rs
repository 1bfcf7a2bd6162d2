//! What a reader agent looks for in one file, and the finding it reports.
//!
//! Pure: bytes in, findings out; it opens nothing. A finding names a place and a rule and carries a keyed hash of the
//! line, never its text, so that nothing written in the folder reaches another agent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::walk::{PATH_BYTES_MAX, is_shown, shown};

#[path = "findings/folder.rs"]
mod folder;
#[path = "findings/kind.rs"]
mod kind;
#[path = "findings/markers.rs"]
mod markers;
#[path = "findings/secrets.rs"]
mod secrets;
#[path = "findings/shell.rs"]
mod shell;

#[cfg(test)]
#[path = "tests/findings.rs"]
mod tests;

pub(crate) use folder::{missing_licence, size_outliers};

/// Longer files are not examined line by line; the reader reads this much and one byte more.
pub(crate) const CONTENT_BYTES_MAX: usize = 1024 * 1024;

/// Findings kept for one file, the most severe first.
pub(crate) const FINDINGS_PER_FILE_MAX: usize = 200;

/// A NUL within this many bytes makes a file binary (the test that git uses).
const BINARY_PROBE_BYTES: usize = 8 * 1024;

/// Long lines are looked at in pieces, which keeps the time linear; the overlap is longer than any token we know.
const WINDOW_BYTES: usize = 4096;
const WINDOW_OVERLAP_BYTES: usize = 512;

/// How bad a finding is; the worst sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Someone who reads it can act as the owner.
    Critical,
    /// Likely a leak, or a command that can do great harm.
    High,
    /// Worth a decision by a person.
    Medium,
    /// Worth knowing.
    Low,
    /// A note its author left.
    Info,
}

impl Severity {
    const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// The name used in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// The block of a private key.
    PrivateKey,
    /// A token in the form of a known provider.
    AccessToken,
    /// A literal given to a password, or a password in an address.
    Password,
    /// A literal that looks random, given to something called a secret, key or token.
    RandomSecret,
    /// A download piped into an interpreter.
    RemoteScript,
    /// `rm -rf` of the root, the home or a system folder.
    RemoveRoot,
    /// `eval` of an argument or a variable.
    EvalInput,
    /// `rm -rf` of a path that begins with a variable, which may be empty.
    RemoveVariable,
    /// `chmod 777`.
    WorldWritable,
    /// No licence in the root of the folder.
    MissingLicence,
    /// `sudo` in a script.
    Sudo,
    /// Too long to examine, or far larger than the rest of the folder.
    LargeFile,
    /// `FIXME`, `XXX` or `HACK`.
    Fixme,
    /// `TODO`.
    Todo,
}

impl Rule {
    /// The severity of every finding of this rule; a reader cannot claim another.
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::PrivateKey | Self::AccessToken => Severity::Critical,
            Self::Password | Self::RandomSecret | Self::RemoteScript | Self::RemoveRoot => Severity::High,
            Self::EvalInput | Self::RemoveVariable | Self::WorldWritable | Self::MissingLicence => {
                Severity::Medium
            }
            Self::Sudo | Self::LargeFile | Self::Fixme => Severity::Low,
            Self::Todo => Severity::Info,
        }
    }

    /// The name used in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::AccessToken => "access-token",
            Self::Password => "password",
            Self::RandomSecret => "random-secret",
            Self::RemoteScript => "remote-script",
            Self::RemoveRoot => "remove-root",
            Self::EvalInput => "eval-input",
            Self::RemoveVariable => "remove-variable",
            Self::WorldWritable => "world-writable",
            Self::MissingLicence => "missing-licence",
            Self::Sudo => "sudo",
            Self::LargeFile => "large-file",
            Self::Fixme => "fixme",
            Self::Todo => "todo",
        }
    }
}

/// One finding. Decoding refuses whatever [`examine`] cannot have made: a reader is another agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Claim")]
pub(crate) struct Finding {
    /// The file, relative to the folder, escaped; `.` for the folder itself.
    pub(crate) path: String,
    /// Counted from 1; 0 is the whole file.
    pub(crate) line: u32,
    /// What was found.
    pub(crate) rule: Rule,
    /// Always that of the rule.
    pub(crate) severity: Severity,
    /// 16 hexadecimal digits of the BLAKE3 hash of the line under the key of this run; empty for a whole file.
    pub(crate) line_hash: String,
}

impl Finding {
    fn whole_file(path: &str, rule: Rule) -> Self {
        Self { path: shown(path), line: 0, rule, severity: rule.severity(), line_hash: String::new() }
    }
}

/// A finding as it arrives, before it is believed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    path: String,
    line: u32,
    rule: Rule,
    severity: Severity,
    line_hash: String,
}

impl TryFrom<Claim> for Finding {
    type Error = &'static str;

    fn try_from(claim: Claim) -> Result<Self, Self::Error> {
        if claim.path.is_empty() || claim.path.len() > PATH_BYTES_MAX || !is_shown(&claim.path) {
            return Err("a finding names a path that cannot be shown");
        }
        if claim.severity != claim.rule.severity() {
            return Err("a finding claims a severity its rule does not have");
        }
        let is_hash = claim.line_hash.len() == LINE_HASH_BYTES * 2
            && claim.line_hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if (claim.line == 0 && !claim.line_hash.is_empty()) || (claim.line > 0 && !is_hash) {
            return Err("a finding carries something other than the hash of its line");
        }
        let Claim { path, line, rule, severity, line_hash } = claim;
        Ok(Self { path, line, rule, severity, line_hash })
    }
}

const LINE_HASH_BYTES: usize = 8;

/// Examines one file. `path` is its name in the walk, `bytes` its content (or the first [`CONTENT_BYTES_MAX`] + 1
/// bytes of it), `key` the secret of this run. Findings come in the order of the lines; the time is linear.
pub(crate) fn examine(path: &str, bytes: &[u8], key: &[u8; 32]) -> Vec<Finding> {
    if bytes.len() > CONTENT_BYTES_MAX {
        return vec![Finding::whole_file(path, Rule::LargeFile)];
    }
    if bytes.iter().take(BINARY_PROBE_BYTES).any(|byte| *byte == 0) {
        return Vec::new();
    }
    let mut kind = kind::Kind::of(path, bytes);
    let mut command = shell::Command::default();
    let mut kept = Kept { path: shown(path), key, findings: Vec::new(), room: [FINDINGS_PER_FILE_MAX; 5] };
    let mut rest = bytes;
    let mut number = 0_u32;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let line = rest[..end].trim_ascii_end();
        number = number.saturating_add(1);
        let mut hits = BTreeSet::new();
        let commands = kind.next_line(line);
        if secrets::begins_private_key(line, &rest[..rest.len().min(end + secrets::KEY_BODY_BYTES)]) {
            hits.insert(Rule::PrivateKey);
        }
        for window in windows(line) {
            secrets::scan(window, kind.literals(), &mut hits);
            markers::scan(window, &mut hits);
        }
        command.next_line(line, commands, &mut hits);
        kept.keep(number, line, &hits);
        rest = &rest[end..];
    }
    kept.finish()
}

/// The pieces a line is looked at in: one for nearly every line, none for an empty one.
fn windows(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = WINDOW_BYTES - WINDOW_OVERLAP_BYTES;
    let last = line.len().saturating_sub(WINDOW_OVERLAP_BYTES).max(line.len().min(1));
    (0..last).step_by(step).map(move |start| &line[start..line.len().min(start + WINDOW_BYTES)])
}

/// The findings of one file, bounded for each severity apart: many notes cannot crowd out a secret.
struct Kept<'a> {
    path: String,
    key: &'a [u8; 32],
    findings: Vec<Finding>,
    room: [usize; Severity::ALL.len()],
}

impl Kept<'_> {
    fn keep(&mut self, line: u32, text: &[u8], hits: &BTreeSet<Rule>) {
        if hits.is_empty() {
            return;
        }
        let line_hash = self.hash(text);
        for (severity, room) in Severity::ALL.iter().zip(&mut self.room) {
            for rule in hits.iter().filter(|rule| rule.severity() == *severity).take(*room) {
                let (path, line_hash) = (self.path.clone(), line_hash.clone());
                self.findings.push(Finding { path, line, rule: *rule, severity: *severity, line_hash });
                *room -= 1;
            }
        }
    }

    fn hash(&self, text: &[u8]) -> String {
        let hash = blake3::keyed_hash(self.key, text).to_hex();
        hash.chars().take(LINE_HASH_BYTES * 2).collect()
    }

    fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|finding| finding.severity);
        self.findings.truncate(FINDINGS_PER_FILE_MAX);
        self.findings.sort_by_key(|finding| (finding.line, finding.rule));
        self.findings
    }
}

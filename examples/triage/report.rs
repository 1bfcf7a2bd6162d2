//! Puts the findings of all readers in order, prints them as a table and saves them as JSON.
//!
//! Knows findings and one output file; not where the findings came from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};

use super::findings::{Finding, Rule, Severity};
use super::walk::{shown, shown_path};

#[cfg(test)]
#[path = "tests/report.rs"]
mod tests;

/// Findings kept in a report; the totals count all of them.
pub(crate) const FINDINGS_MAX: usize = 50_000;

const TABLE_COLUMNS: u16 = 80;
/// Room for a place, so that a row is one line of the table.
const PLACE_CHARS_MAX: usize = 46;

/// The result of a triage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Files that a reader examined.
    pub(crate) files_examined: usize,
    /// Different findings, kept or not.
    pub(crate) total: usize,
    /// Findings for each severity.
    pub(crate) by_severity: BTreeMap<Severity, usize>,
    /// Findings for each rule.
    pub(crate) by_rule: BTreeMap<Rule, usize>,
    /// The worst [`FINDINGS_MAX`] findings, by severity, rule, path and line.
    pub(crate) findings: Vec<Finding>,
}

/// Orders the findings, drops those reported twice (same place, same rule) and counts them. The result does not
/// depend on the order in which readers answered.
pub(crate) fn rank(mut findings: Vec<Finding>, files_examined: usize) -> Report {
    findings.sort_unstable_by(|left, right| order(left).cmp(&order(right)));
    findings
        .dedup_by(|left, right| (left.rule, &left.path, left.line) == (right.rule, &right.path, right.line));
    let (mut by_severity, mut by_rule) = (BTreeMap::new(), BTreeMap::new());
    for finding in &findings {
        *by_severity.entry(finding.severity).or_default() += 1;
        *by_rule.entry(finding.rule).or_default() += 1;
    }
    let total = findings.len();
    findings.truncate(FINDINGS_MAX);
    Report { files_examined, total, by_severity, by_rule, findings }
}

fn order(finding: &Finding) -> (Severity, Rule, &str, u32, &str) {
    (finding.severity, finding.rule, &finding.path, finding.line, &finding.line_hash)
}

/// The report for a terminal of 80 columns: the first `rows_max` findings, the totals, and where the rest is.
pub(crate) fn table(report: &Report, rows_max: usize, file: &Path) -> String {
    let mut text = String::new();
    let rows = report.findings.iter().take(rows_max);
    let rows_shown = rows.len();
    if rows_shown > 0 {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_COLUMNS);
        table.set_header(["severity", "rule", "where"]);
        for finding in rows {
            table.add_row([finding.severity.name(), finding.rule.name(), &place(finding)]);
        }
        text = table.trim_fmt();
        text.push('\n');
    }
    text.push_str(&totals(report));
    let more = report.total.saturating_sub(rows_shown);
    if more > 0 {
        text.push_str(&format!("\nand {more} more in {}", shown_path(file)));
    }
    text
}

/// `path:line`, shortened in front, since the end of a path says most.
fn place(finding: &Finding) -> String {
    let path = shown(&finding.path);
    let place = if finding.line == 0 { path } else { format!("{path}:{}", finding.line) };
    let length = place.chars().count();
    if length <= PLACE_CHARS_MAX {
        return place;
    }
    let end: String = place.chars().skip(length - (PLACE_CHARS_MAX - 1)).collect();
    format!("…{end}")
}

fn totals(report: &Report) -> String {
    let parts: Vec<String> =
        report.by_severity.iter().map(|(severity, count)| format!("{count} {}", severity.name())).collect();
    let (findings, files) = (counted(report.total, "finding"), counted(report.files_examined, "file"));
    if parts.is_empty() {
        return format!("{findings} in {files} examined");
    }
    format!("{findings} in {files} examined: {}", parts.join(", "))
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Why a report was not saved. Each is one line and says what to do.
#[derive(Debug)]
pub(crate) enum SaveError {
    /// The path does not end in a name.
    NoName(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(path) => write!(f, "{} is not the name of a file: name one", shown_path(path)),
            Self::Io(path, error) => {
                let reason = error.kind();
                write!(
                    f,
                    "the report cannot be saved as {} ({reason}): choose another place",
                    shown_path(path)
                )
            }
        }
    }
}

impl std::error::Error for SaveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoName(_) => None,
            Self::Io(_, error) => Some(error),
        }
    }
}

/// Saves the report as JSON. It is written beside its place and then renamed, so that a reader sees the old report or
/// the new one, never a part; on Unix only the owner can read it, since it says where secrets lie.
///
/// # Errors
/// When the path names no file or the system refuses; what was there before is then still there.
pub(crate) fn save(report: &Report, path: &Path) -> Result<(), SaveError> {
    let Some(name) = path.file_name() else { return Err(SaveError::NoName(path.to_path_buf())) };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let failed = |error| SaveError::Io(path.to_path_buf(), error);
    let file = create(&beside).map_err(failed)?;
    let saved = write(report, file).and_then(|()| fs::rename(&beside, path));
    if saved.is_err() {
        // The first error is the one to tell; what cannot be removed stays under its own name.
        let _ = fs::remove_file(&beside);
    }
    saved.map_err(failed)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Never through something that is already there, such as a link.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write(report: &Report, file: File) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut writer, report)?;
    writer.write_all(b"\n")?;
    writer.flush()?;
    writer.get_ref().sync_all()
}

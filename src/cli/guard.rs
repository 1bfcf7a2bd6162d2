//! `testudo guard`: what the content guard says of a text, and how well it does on a corpus.

mod eval;
mod reload;
mod scan;
mod tally;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use testudo::files::FileError;
use testudo::packs::Packs;
use testudo::rules::inspect::{Inspection, Inspector, Scratch, Severity};
use tokio::time::Instant;

use super::{CliError, Done};

/// The content guard.
#[derive(Debug, Subcommand)]
pub(super) enum Guard {
    /// Vet a file or standard input; exit code 1 when it would be blocked
    Scan(scan::Scan),
    /// Have a running node read its packs of rules again
    Reload(reload::Reload),
    /// How well the guard tells the attacks of a corpus from the rest
    Eval(eval::Eval),
}

/// As much as a body may hold, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// Longest line of a corpus: a body with every byte escaped, in bytes.
const LINE_MAX: u64 = 8 * BYTES_MAX;

impl Guard {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Scan(scan) => scan.run(),
            Self::Eval(eval) => eval.run(),
            Self::Reload(reload) => reload.run(),
        }
    }
}

/// The standard rules, and those of packs if some are named.
fn inspector(packs: &[PathBuf]) -> Result<Inspector, CliError> {
    Ok(Packs::read(packs).map_err(|error| CliError::Usage(error.to_string()))?.inspector)
}

/// A file or standard input; nothing if it is larger than the limit.
fn read(path: Option<&Path>, bytes_max: u64) -> Result<Option<Vec<u8>>, CliError> {
    let mut bytes = Vec::new();
    match path {
        Some(path) => File::open(path)
            .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
            .map_err(|error| FileError::of(path, error))?,
        None => std::io::stdin().take(bytes_max + 1).read_to_end(&mut bytes)?,
    };
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

/// The lines of a file, or of standard input for `-`.
struct Lines {
    reader: Box<dyn std::io::BufRead>,
    path: PathBuf,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, CliError> {
        let reader: Box<dyn std::io::BufRead> = if path == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(path).map_err(|error| FileError::of(path, error))?))
        };
        Ok(Self { reader, path: path.to_owned(), number: 0 })
    }

    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<String>, CliError> {
        loop {
            let mut line = Vec::new();
            let read = Read::take(&mut self.reader, LINE_MAX).read_until(b'\n', &mut line);
            let read = read.map_err(|error| FileError::of(&self.path, error))?;
            self.number += 1;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LINE_MAX && line.last() != Some(&b'\n') {
                return Err(self.wrong("longer than a body can be"));
            }
            let line = String::from_utf8(line).map_err(|_| self.wrong("not UTF-8 text"))?;
            if !line.trim().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn wrong(&self, what: &str) -> CliError {
        CliError::Usage(format!("{}, line {}: {what}", self.path.display(), self.number))
    }
}

/// One inspection and what it took, in microseconds.
fn timed(
    inspector: &Inspector,
    scratch: &mut Scratch,
    capability: &str,
    content_type: &str,
    body: &[u8],
) -> (Inspection, f64) {
    let start = Instant::now();
    let inspection = inspector.inspect_for(scratch, capability, content_type, body);
    (inspection, start.elapsed().as_secs_f64() * 1e6)
}

/// `allow`, `alert` or `block`.
fn verdict(inspection: &Inspection) -> &'static str {
    match (inspection.blocks(), inspection.is_clean()) {
        (true, _) => "block",
        (false, true) => "allow",
        (false, false) => "alert",
    }
}

fn word(severity: Option<Severity>) -> &'static str {
    match severity {
        None => "none",
        Some(Severity::Medium) => "medium",
        Some(Severity::High) => "high",
        Some(Severity::Critical) => "critical",
    }
}

fn gravest(inspection: &Inspection) -> Option<Severity> {
    inspection.alerts().iter().map(|alert| alert.severity).max()
}

fn rules(inspection: &Inspection) -> Vec<&str> {
    inspection.alerts().iter().map(|alert| alert.rule.as_str()).collect()
}

/// Microseconds with two decimals.
fn rounded(micros: f64) -> f64 {
    (micros * 100.0).round() / 100.0
}

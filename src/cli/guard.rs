//! `testudo guard`: what the content guard says of a text.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use testudo::files::FileError;
use testudo::rules::inspect::Inspector;

use super::{CliError, Done, say};

/// The content guard.
#[derive(Debug, Subcommand)]
pub(super) enum Guard {
    /// Vet a file or standard input; exit code 1 when it would be blocked
    Scan(Scan),
}

#[derive(Args, Debug)]
pub(super) struct Scan {
    /// The file; standard input when it is not given
    file: Option<PathBuf>,
    /// Media type of the text
    #[arg(long, default_value = "text/plain")]
    content_type: String,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// As much as a body may hold.
const BYTES_MAX: u64 = 1024 * 1024;

impl Guard {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Scan(scan) => scan.run(),
        }
    }
}

impl Scan {
    fn run(self) -> Done {
        let mut body = Vec::new();
        match &self.file {
            Some(path) => std::fs::File::open(path)
                .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut body))
                .map_err(|error| FileError::of(path, error))?,
            None => std::io::stdin().take(BYTES_MAX + 1).read_to_end(&mut body)?,
        };
        if body.len() as u64 > BYTES_MAX {
            return Err(CliError::Failed(format!(
                "blocked: larger than the {BYTES_MAX} bytes that a body may have"
            )));
        }
        let inspection = Inspector::standard().inspect(&self.content_type, &body);
        let alerts: Vec<_> =
            inspection.alerts().iter().map(|alert| (alert.rule.as_str(), alert.severity)).collect();
        if self.json {
            let alerts: Vec<_> = alerts
                .iter()
                .map(|(rule, severity)| serde_json::json!({"rule": rule, "severity": format!("{severity:?}").to_lowercase()}))
                .collect();
            say(&serde_json::json!({"blocked": inspection.blocks(), "alerts": alerts}).to_string());
        } else {
            for (rule, severity) in &alerts {
                say(&format!("{severity:?}: {rule}").to_lowercase());
            }
        }
        if inspection.blocks() {
            return Err(CliError::Failed("blocked: the guard would not deliver this".into()));
        }
        if !self.json {
            say("would be delivered");
        }
        Ok(())
    }
}

//! What people and machines read of a run.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::stats::{Spread, ratio};

/// One row: a work, measured on both.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) testudo: Option<Spread>,
    pub(crate) nats: Option<Spread>,
}

/// A whole run.
pub(crate) struct Report {
    pub(crate) rows: Vec<Figures>,
    pub(crate) rounds: usize,
    pub(crate) messages: u32,
    pub(crate) requests: u32,
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| spread.median.round())
}

fn range(spread: Option<Spread>) -> Option<[f64; 2]> {
    spread.map(|spread| [spread.min.round(), spread.max.round()])
}

fn text(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{median:.0} ({min:.0}..{max:.0})"),
    )
}

impl Report {
    /// One object. A ratio is Testudo's median by NATS's: above 1 is better for a rate, below 1 for a time.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Figures| {
            json!({
                "name": row.name,
                "testudo": median(row.testudo),
                "nats_mtls": median(row.nats),
                "unit": row.unit,
                "ratio_nats_mtls": ratio(row.testudo, row.nats).map(|ratio| (ratio * 1e3).round() / 1e3),
                "testudo_range": range(row.testudo),
                "nats_mtls_range": range(row.nats),
            })
        };
        json!({
            "rounds": self.rounds,
            "messages": self.messages,
            "requests": self.requests,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// A table.
    pub(crate) fn text(&self) -> String {
        let Self { rounds, messages, requests, .. } = self;
        let mut text = format!(
            "{rounds} rounds, interleaved, of {messages} messages and {requests} requests: median (min..max)\n"
        );
        let mut line = |name: &str, ours: &str, theirs: &str, unit: &str, ratio: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<40} {ours:>26} {theirs:>26}  {unit:<10} {ratio:>5}");
        };
        line("", "testudo", "nats mtls", "", "ratio");
        for row in &self.rows {
            let ratio = ratio(row.testudo, row.nats).map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
            line(row.name, &self::text(row.testudo), &self::text(row.nats), row.unit, &ratio);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A line on standard output. A reader that has gone away ends nothing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

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
    /// NATS with a signature for every message.
    pub(crate) signed: Option<Spread>,
}

/// A whole run.
pub(crate) struct Report {
    pub(crate) rows: Vec<Figures>,
    pub(crate) rounds: usize,
}

/// Three digits after the point are enough for anything that is measured here.
fn short(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| short(spread.median))
}

fn range(spread: Option<Spread>) -> Option<[f64; 2]> {
    spread.map(|spread| [short(spread.min), short(spread.max)])
}

fn text(spread: Option<Spread>) -> String {
    let digits = |value: f64| if value < 100.0 { 2 } else { 0 };
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{median:.0$} ({min:.0$}..{max:.0$})", digits(median)),
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
                "nats_signed": median(row.signed),
                "raw_quic": Value::Null,
                "unit": row.unit,
                "ratio_nats_mtls": ratio(row.testudo, row.nats).map(short),
                "testudo_range": range(row.testudo),
                "nats_mtls_range": range(row.nats),
            })
        };
        json!({
            "rounds": self.rounds,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// A table.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} rounds, interleaved: median (min..max)\n", self.rounds);
        let mut line = |name: &str, ours: &str, theirs: &str, unit: &str, ratio: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<40} {ours:>26} {theirs:>26}  {unit:<10} {ratio:>5}");
        };
        line("", "testudo", "nats mtls", "", "ratio");
        for row in &self.rows {
            let ratio = ratio(row.testudo, row.nats).map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
            line(row.name, &self::text(row.testudo), &self::text(row.nats), row.unit, &ratio);
        }
        for row in self.rows.iter().filter(|row| row.signed.is_some()) {
            let ratio = ratio(row.testudo, row.signed).map_or_else(|| "-".to_owned(), |r| format!("{r:.1}"));
            let name = format!("{}, NATS signed", row.name);
            line(&name, &self::text(row.testudo), &self::text(row.signed), row.unit, &ratio);
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

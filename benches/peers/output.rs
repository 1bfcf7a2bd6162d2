//! What people and machines read of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::stats::{Series, Spread, ratio};
use crate::works::Shown;

/// Who is compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Column {
    Testudo,
    Nats,
    /// NATS with a signature for every message.
    NatsSigned,
    Raw,
}

impl Column {
    pub(crate) const ALL: [Self; 4] = [Self::Testudo, Self::Nats, Self::NatsSigned, Self::Raw];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Testudo => "Testudo",
            Self::Nats => "NATS mTLS",
            Self::NatsSigned => "NATS signed",
            Self::Raw => "raw QUIC",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Testudo => "testudo",
            Self::Nats => "nats_mtls",
            Self::NatsSigned => "nats_signed",
            Self::Raw => "raw_quic",
        }
    }
}

/// One row: a work, measured on all that can do it.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) shown: Shown,
    pub(crate) cells: BTreeMap<Column, Series>,
    /// Why somebody has no figure here, or fewer than there were rounds.
    pub(crate) faults: BTreeMap<Column, String>,
}

impl Row {
    pub(crate) fn new((name, shown): (String, Shown)) -> Self {
        Self { name, shown, cells: BTreeMap::new(), faults: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, column: Column, value: f64) {
        self.cells.entry(column).or_default().add(value);
    }

    pub(crate) fn spread(&self, column: Column) -> Option<Spread> {
        self.cells.get(&column)?.spread()
    }

    /// Testudo's median by NATS's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        ratio(self.spread(Column::Testudo), self.spread(Column::Nats))
    }
}

/// A whole run.
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) rounds: usize,
    /// How it was started, when, and with what.
    pub(crate) command: String,
    pub(crate) about: BTreeMap<&'static str, String>,
}

/// Three digits after the point are enough for anything that is measured here.
fn short(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A figure as people read it.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        less if less < 10.0 => format!("{value:.2}"),
        less if less < 100.0 => format!("{value:.1}"),
        less if less < 100_000.0 => format!("{value:.0}"),
        less if less < 10_000_000.0 => format!("{:.0} k", value / 1e3),
        _ => format!("{:.1} M", value / 1e6),
    }
}

pub(crate) fn text(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { median, min, max }| format!("{} ({}..{})", figure(median), figure(min), figure(max)),
    )
}

impl Report {
    /// One object. A ratio is Testudo's median by NATS's: above 1 is better for a rate, below 1 for a time.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| {
            let mut value = json!({
                "name": row.name,
                "unit": row.shown.unit,
                "more_is_better": row.shown.more_is_better,
                "ratio_nats_mtls": row.ratio().map(short),
            });
            for column in Column::ALL {
                let spread = row.spread(column);
                value[column.key()] = json!(spread.map(|spread| short(spread.median)));
                value[format!("{}_range", column.key())] =
                    json!(spread.map(|spread| [short(spread.min), short(spread.max)]));
            }
            if !row.faults.is_empty() {
                let faults = row.faults.iter().map(|(column, fault)| (column.key().to_owned(), json!(fault)));
                value["faults"] = Value::Object(faults.collect());
            }
            value
        };
        json!({
            "rounds": self.rounds,
            "command": self.command,
            "about": self.about,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// The rows as cells: name, each column, unit, ratio.
    pub(crate) fn cells(&self) -> Vec<Vec<String>> {
        let cells = |row: &Row| {
            let mut cells = vec![row.name.clone()];
            cells.extend(Column::ALL.map(|column| match row.faults.contains_key(&column) {
                true => format!("{} (!)", text(row.spread(column))),
                false => text(row.spread(column)),
            }));
            cells.push(row.shown.unit.to_owned());
            cells.push(row.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")));
            cells
        };
        self.rows.iter().map(cells).collect()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        let of = |row: &Row| {
            let name = row.name.clone();
            row.faults
                .clone()
                .into_iter()
                .map(move |(column, fault)| format!("{name}, {}: {fault}", column.name()))
        };
        self.rows.iter().flat_map(of).collect()
    }

    /// A table.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} rounds, interleaved: median (min..max)\n", self.rounds);
        let mut line = |cells: &[String]| {
            // Writing to a string cannot fail.
            for (at, cell) in cells.iter().enumerate() {
                let _ = match at {
                    0 => write!(text, "{cell:<46}"),
                    1..=4 => write!(text, " {cell:>26}"),
                    5 => write!(text, "  {cell:<12}"),
                    _ => write!(text, " {cell:>6}"),
                };
            }
            let _ = writeln!(text);
        };
        let mut head = vec![String::new()];
        head.extend(Column::ALL.map(|column| column.name().to_owned()));
        head.extend([String::new(), "ratio".to_owned()]);
        line(&head);
        self.cells().iter().for_each(|cells| line(cells));
        for fault in self.faults() {
            let _ = writeln!(text, "(!) {fault}");
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

//! `testudo guard eval`: recall and false alarms on a corpus of one JSON object a line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use testudo::rules::inspect::{Scratch, Severity};

use super::super::{Done, say};
use super::tally::{Found, Tally, left_out, macro_average, precision, wilson};
use super::{Lines, inspector, rounded, timed};

/// Times each text is read; the quickest counts, for the first finds nothing in the caches.
const READINGS: usize = 3;
/// One message in so many is an attack, in the figures on precision.
const BASE_RATES: [f64; 2] = [100.0, 1_000.0];

#[derive(Args, Debug)]
pub(in crate::cli) struct Eval {
    /// The corpus: {"source", "class": "attack" or "benign", "kind", "text"} in each line; `-` is standard input
    file: PathBuf,
    /// Rules of your own, besides the standard ones
    #[arg(long, value_name = "PACK")]
    rules: Vec<PathBuf>,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Item {
    source: String,
    class: Class,
    kind: String,
    text: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Class {
    Attack,
    Benign,
}

#[derive(Default)]
struct Results {
    attacks: Tally,
    benign: Tally,
    attack_kinds: BTreeMap<String, Tally>,
    attack_sources: BTreeMap<String, Tally>,
    benign_kinds: BTreeMap<String, Tally>,
    found: Vec<Found>,
    micros: Vec<f64>,
}

impl Eval {
    pub(super) fn run(self) -> Done {
        let inspector = inspector(&self.rules)?;
        let mut lines = Lines::open(&self.file)?;
        let mut scratch = Scratch::default();
        let mut results = Results::default();
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} texts read, {per_sec}") {
            bar.set_style(style);
        }
        while let Some(line) = lines.next()? {
            let item: Item =
                serde_json::from_str(&line).map_err(|error| lines.wrong(&format!("not an item: {error}")))?;
            let mut quickest = f64::MAX;
            let mut read = || {
                let (inspection, micros) =
                    timed(&inspector, &mut scratch, "", "text/plain", item.text.as_bytes());
                quickest = quickest.min(micros);
                inspection
            };
            let inspection = read();
            (1..READINGS).for_each(|_| drop(read()));
            results.micros.push(quickest);
            let blocking = |severity| severity >= Severity::High;
            let rules = inspection.alerts().iter();
            let rules = rules.map(|alert| (alert.rule.to_string(), blocking(alert.severity))).collect();
            results.note(item, inspection.blocks(), !inspection.is_clean(), rules);
            bar.inc(1);
        }
        bar.finish_and_clear();
        results.micros.sort_by(f64::total_cmp);
        if self.json {
            say(&results.json().to_string());
        } else {
            results.tables().iter().for_each(|line| say(line));
        }
        Ok(())
    }
}

impl Results {
    fn note(&mut self, item: Item, blocked: bool, touched: bool, rules: Vec<(String, bool)>) {
        match item.class {
            Class::Attack => {
                self.attacks.add(blocked, touched);
                self.attack_kinds.entry(item.kind).or_default().add(blocked, touched);
                self.attack_sources.entry(item.source.clone()).or_default().add(blocked, touched);
                self.found.push(Found { source: item.source, rules });
            }
            Class::Benign => {
                self.benign.add(blocked, touched);
                self.benign_kinds.entry(item.kind).or_default().add(blocked, touched);
            }
        }
    }

    fn quantile(&self, part: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        self.micros.get((last as f64 * part) as usize).copied().map_or(0.0, rounded)
    }

    fn json(&self) -> Value {
        let groups = |groups: &BTreeMap<String, Tally>| -> Value {
            groups
                .iter()
                .map(|(name, tally)| (name.clone(), tally_json(tally)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let left = left_out(&self.found);
        json!({
            "attack": tally_json(&self.attacks),
            "attack_by_kind": groups(&self.attack_kinds),
            "attack_by_source": groups(&self.attack_sources),
            "attack_by_left_out_source": groups(&left),
            "macro": averages(&self.attack_sources),
            "macro_left_out": averages(&left),
            "benign": tally_json(&self.benign),
            "benign_by_kind": groups(&self.benign_kinds),
            "precision": BASE_RATES.map(|one_in| json!({
                "one_in": one_in,
                "blocked": precision(self.attacks.block_rate(), self.benign.block_rate(), one_in),
                "touched": precision(self.attacks.touch_rate(), self.benign.touch_rate(), one_in),
            })),
            "us": {"median": self.quantile(0.5), "p99": self.quantile(0.99), "most": self.quantile(1.0)},
        })
    }

    fn tables(&self) -> Vec<String> {
        let mut lines = vec![heading("attacks by kind")];
        lines.extend(self.attack_kinds.iter().map(|(kind, tally)| row(kind, tally)));
        lines.push(heading("attacks by source"));
        lines.extend(self.attack_sources.iter().map(|(source, tally)| row(source, tally)));
        lines.push(average("mean of sources", &self.attack_sources));
        lines.push(row("all attacks", &self.attacks));
        let left = left_out(&self.found);
        lines.push(heading("by rules that also find attacks of other sources"));
        lines.extend(left.iter().map(|(source, tally)| row(source, tally)));
        lines.push(average("mean of sources", &left));
        lines.push(heading("benign texts by kind (95 % intervals)"));
        lines.extend(self.benign_kinds.iter().map(|(kind, tally)| benign_row(kind, tally)));
        lines.push(benign_row("all benign texts", &self.benign));
        for one_in in BASE_RATES {
            let blocked = precision(self.attacks.block_rate(), self.benign.block_rate(), one_in) * 100.0;
            let touched = precision(self.attacks.touch_rate(), self.benign.touch_rate(), one_in) * 100.0;
            lines.push(format!(
                "if one text in {one_in} is an attack: {blocked:.1} % of the blocked and {touched:.1} % of the alerted are"
            ));
        }
        let [median, most, longest] = [0.5, 0.99, 1.0].map(|part| self.quantile(part));
        lines.push(format!(
            "time a text: median {median} us, 99 of 100 within {most} us, longest {longest} us"
        ));
        lines
    }
}

fn averages(groups: &BTreeMap<String, Tally>) -> Value {
    json!({
        "blocked": macro_average(groups.values(), Tally::block_rate),
        "touched": macro_average(groups.values(), Tally::touch_rate),
    })
}

fn tally_json(tally: &Tally) -> Value {
    json!({
        "items": tally.items,
        "blocked": tally.block_rate(),
        "blocked_interval": wilson(tally.blocked, tally.items),
        "touched": tally.touch_rate(),
        "touched_interval": wilson(tally.touched, tally.items),
    })
}

fn heading(title: &str) -> String {
    format!("\n{title:50} {:>7} {:>9} {:>9}", "texts", "blocked", "touched")
}

fn row(name: &str, tally: &Tally) -> String {
    let (blocked, touched) = (tally.block_rate() * 100.0, tally.touch_rate() * 100.0);
    format!("  {name:48} {:7} {blocked:7.1} % {touched:7.1} %", tally.items)
}

fn average(name: &str, groups: &BTreeMap<String, Tally>) -> String {
    let of = |rate: fn(&Tally) -> f64| macro_average(groups.values(), rate) * 100.0;
    format!("  {name:48} {:7} {:7.1} % {:7.1} %", "", of(Tally::block_rate), of(Tally::touch_rate))
}

fn benign_row(name: &str, tally: &Tally) -> String {
    let interval = |part: usize| {
        let (low, high) = wilson(part, tally.items);
        format!("{:.2}-{:.2}", low * 100.0, high * 100.0)
    };
    let (blocked, touched) = (interval(tally.blocked), interval(tally.touched));
    format!("{}   blocked {blocked} %, touched {touched} %", row(name, tally))
}

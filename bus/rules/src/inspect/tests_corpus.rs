//! How the standard rules do on the development corpus, which is not part of the repository.

use std::collections::BTreeMap;
use std::path::Path;

use super::Inspector;

#[derive(serde::Deserialize)]
struct Item {
    class: String,
    kind: String,
    source: String,
    text: String,
}

#[derive(Default)]
struct Tally {
    all: usize,
    blocked: usize,
    alerted: usize,
}

impl Tally {
    fn percent(&self, of: usize) -> f64 {
        of as f64 * 100.0 / self.all.max(1) as f64
    }
}

fn corpus() -> Option<String> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/dev.jsonl"));
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if std::env::var_os("CI").is_some() => panic!("the corpus is missing under CI: {error}"),
        Err(_) => {
            eprintln!("SKIPPED: no development corpus beside the repository");
            None
        }
    }
}

#[test]
fn corpus_most_attacks_are_blocked_and_hardly_any_benign_item() {
    let Some(corpus) = corpus() else { return };
    let inspector = Inspector::standard();
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for line in corpus.lines() {
        let item: Item = serde_json::from_str(line).expect("a line of the corpus");
        let inspection = inspector.inspect("text/plain", item.text.as_bytes());
        for group in [item.kind, format!("from {}", item.source), "in all".to_owned()] {
            let tally = tallies.entry((item.class.clone(), group)).or_default();
            tally.all += 1;
            tally.blocked += usize::from(inspection.blocks());
            tally.alerted += usize::from(!inspection.is_clean());
        }
    }
    for ((class, group), tally) in &tallies {
        let (blocked, alerted) = (tally.percent(tally.blocked), tally.percent(tally.alerted));
        eprintln!(
            "{class:8} {group:32} {:5} items  {blocked:6.2} % blocked  {alerted:6.2} % alerted",
            tally.all
        );
    }
    let blocked = |class: &str| {
        tallies
            .get(&(class.to_owned(), "in all".to_owned()))
            .map_or(0.0, |tally| tally.percent(tally.blocked))
    };
    assert!(blocked("attack") >= 60.0, "attacks blocked: {:.1} %", blocked("attack"));
    assert!(blocked("benign") <= 0.5, "benign blocked: {:.2} %", blocked("benign"));
}

//! How the standard rules do on the development corpus, which is not part of the repository.

use std::collections::BTreeMap;
use std::path::Path;

use super::Inspector;

#[derive(serde::Deserialize)]
pub(super) struct Item {
    pub(super) class: String,
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) text: String,
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

/// The items of the corpus, if it is there.
pub(super) fn items() -> Option<Vec<Item>> {
    let corpus = corpus()?;
    Some(corpus.lines().map(|line| serde_json::from_str(line).expect("a line of the corpus")).collect())
}

#[test]
fn corpus_most_attacks_are_blocked_and_hardly_any_benign_item() {
    let Some(items) = items() else { return };
    let inspector = Inspector::standard();
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for item in items {
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
    let of = |class: &str, group: &str| {
        let tally = tallies.get(&(class.to_owned(), group.to_owned()));
        tally.map_or(0.0, |tally| tally.percent(tally.blocked))
    };
    let (attacks, benign) = (of("attack", "in all"), of("benign", "in all"));
    assert!(attacks >= 80.0, "attacks blocked: {attacks:.1} %");
    assert!(benign <= 0.5, "benign blocked: {benign:.2} %");
    // G11: the reference blocks 8 of 110 attacks and 16 of 170 benign texts of its own public fixture.
    let (attacks, benign) = (of("attack", "from agt"), of("benign", "from agt"));
    assert!(attacks > 800.0 / 110.0 && benign < 1_600.0 / 170.0, "G11: {attacks:.1} % and {benign:.2} %");
}

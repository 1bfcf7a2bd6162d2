//! Counts of verdicts, and what may be concluded from them.

use std::collections::{BTreeMap, BTreeSet};

/// How many of a group were blocked and how many were alerted or blocked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) items: usize,
    pub(super) blocked: usize,
    pub(super) touched: usize,
}

impl Tally {
    pub(super) fn add(&mut self, blocked: bool, touched: bool) {
        self.items += 1;
        self.blocked += usize::from(blocked);
        self.touched += usize::from(touched);
    }

    pub(super) fn block_rate(&self) -> f64 {
        rate(self.blocked, self.items)
    }

    pub(super) fn touch_rate(&self) -> f64 {
        rate(self.touched, self.items)
    }
}

fn rate(part: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// The interval in which the true rate lies with 95 % confidence (Wilson).
pub(super) fn wilson(part: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, p, z) = (all as f64, rate(part, all), 1.96);
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    (((centre - spread) / whole).max(0.0), ((centre + spread) / whole).min(1.0))
}

/// The share of blocked messages that are attacks, where one message in `one_in` is one.
pub(super) fn precision(recall: f64, false_rate: f64, one_in: f64) -> f64 {
    let (caught, wrong) = (recall / one_in, false_rate * (1.0 - 1.0 / one_in));
    if caught + wrong == 0.0 { 0.0 } else { caught / (caught + wrong) }
}

/// Mean of the groups' rates, each group counting the same.
pub(super) fn macro_average<'t>(groups: impl Iterator<Item = &'t Tally>, of: fn(&Tally) -> f64) -> f64 {
    let rates: Vec<f64> = groups.map(of).collect();
    if rates.is_empty() { 0.0 } else { rates.iter().sum::<f64>() / rates.len() as f64 }
}

/// What was found in one attack: its source, and each rule with whether it blocks.
pub(super) struct Found {
    pub(super) source: String,
    pub(super) rules: Vec<(String, bool)>,
}

/// A rule's name without what it found in this text: `evidence:conceal+way-out` is `evidence`.
fn family(rule: &str) -> &str {
    rule.split_once(':').map_or(rule, |(family, _)| family)
}

/// Recall by source if a rule counts only where it also finds an attack of another source.
pub(super) fn left_out(attacks: &[Found]) -> BTreeMap<String, Tally> {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for attack in attacks {
        for (rule, _) in &attack.rules {
            sources.entry(family(rule)).or_default().insert(&attack.source);
        }
    }
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for attack in attacks {
        let elsewhere = |rule: &str| {
            sources.get(family(rule)).is_some_and(|found| found.iter().any(|source| *source != attack.source))
        };
        let counted = attack.rules.iter().filter(|(rule, _)| elsewhere(rule));
        let (blocked, touched) = counted.fold((false, false), |(any, _), (_, blocks)| (any || *blocks, true));
        tallies.entry(attack.source.clone()).or_default().add(blocked, touched);
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_wide_for_few_and_never_leaves_the_scale() {
        let (low, high) = wilson(0, 100);
        assert!(low.abs() < 1e-9 && (high - 0.037).abs() < 0.001, "{low} {high}");
        let (low, high) = wilson(50, 100);
        assert!((low - 0.404).abs() < 0.001 && (high - 0.596).abs() < 0.001, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn precision_falls_with_the_base_rate() {
        assert!((precision(0.6, 0.005, 100.0) - 0.548).abs() < 0.001);
        assert!((precision(0.6, 0.005, 1000.0) - 0.107).abs() < 0.001);
        assert!(precision(0.0, 0.0, 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_rule_of_one_source_does_not_count_for_it() {
        let found = |source: &str, rules: &[(&str, bool)]| Found {
            source: source.to_owned(),
            rules: rules.iter().map(|(rule, blocks)| ((*rule).to_owned(), *blocks)).collect(),
        };
        let left = left_out(&[
            found("a", &[("template", true)]),
            found("a", &[("shared", true)]),
            found("b", &[("shared", true), ("weak", false)]),
            found("c", &[("weak", false)]),
        ]);
        assert_eq!((left["a"].items, left["a"].blocked), (2, 1));
        assert_eq!((left["b"].blocked, left["b"].touched), (1, 1));
        assert_eq!((left["c"].blocked, left["c"].touched), (0, 1));
    }
}

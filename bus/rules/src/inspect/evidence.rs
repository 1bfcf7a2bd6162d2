//! Weighs what stands together: concepts that are harmless alone, and the more telling the rarer they are in ordinary
//! messages (`concepts`). What one place says counts once, under its rarest concept; several concepts within a short
//! stretch alert, more of them block. The verdict names the concepts.
//!
//! Knows nothing of where the concepts come from, and has no words of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gate::Bits;
use super::rules::{Compiled, Role};
use super::{Name, RuleId};

/// What a space in a concept's pattern stands for: blanks, or one line end; a sentence runs over no empty line.
pub(super) const GAP: &str = r"(?:[ \t,*]+|[ \t,*]*\r?\n[ \t]*)";
/// Name of the rule in packs, and what names of its alerts begin with.
pub(super) const NAME: &str = "evidence";

/// Weight from which on a stretch alerts, in halves. No concept alone has it.
pub(super) const ALERT: u32 = 15;
/// Weight from which on it blocks.
pub(super) const BLOCK: u32 = 21;
/// How far apart what counts together may begin, in bytes.
const STRETCH: usize = 300;
/// Concepts an alert names, the heaviest first.
const NAMED_MAX: usize = 4;

/// Where a concept stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The rule.
    pub(super) bit: usize,
    pub(super) weight: u32,
}

/// The weightiest stretch of a text.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) start: usize,
    pub(super) end: usize,
    weight: u32,
    bits: Bits,
}

impl Stretch {
    /// Whether it blocks.
    pub(super) const fn blocks(&self) -> bool {
        self.weight >= BLOCK
    }

    /// The alert's name: `evidence:conceal+way-out`.
    pub(super) fn name(&self, rule: impl Fn(usize) -> Option<(u32, RuleId)>) -> RuleId {
        let mut found = self.bits.iter().filter_map(rule).collect::<Vec<_>>();
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let names = found.iter().take(NAMED_MAX).filter_map(|(_, id)| id.as_str().split('.').nth(1));
        let names = names.collect::<Vec<_>>().join("+");
        RuleId(Name::Pack(Arc::from(format!("{NAME}:{names}"))))
    }
}

/// Whether an alert of this name is about evidence.
pub(super) fn names(rule: &RuleId) -> bool {
    rule.as_str().strip_prefix(NAME).is_some_and(|rest| rest.starts_with(':'))
}

/// The weight of a rule; none if it is no concept.
pub(super) const fn weight_of(rule: &Compiled) -> u32 {
    match rule.role {
        Role::Evidence(weight) => weight as u32,
        Role::Alert(_) | Role::Fetch | Role::Signal(_) | Role::Judged(_) | Role::Part | Role::Markup => 0,
    }
}

/// The weightiest stretch, if it is worth an alert. What is `everywhere` counts in each.
pub(super) fn weigh(mut places: Vec<Place>, everywhere: &[Place]) -> Option<Stretch> {
    if places.is_empty() {
        places.extend(everywhere.first());
    }
    keep_rarest(&mut places, |place| place.start);
    keep_rarest(&mut places, |place| place.end);
    places.sort_unstable_by_key(|place| (place.start, place.end, place.bit));
    let mut best: Option<Stretch> = None;
    for (first, from) in places.iter().enumerate() {
        let near = places.iter().skip(first).take_while(|place| place.start <= from.start + STRETCH);
        let mut stretch = Stretch { start: from.start, end: from.end, weight: 0, bits: Bits::default() };
        for place in near.chain(everywhere) {
            if !stretch.bits.has(place.bit) {
                stretch.bits.insert(place.bit);
                stretch.weight += place.weight;
                if place.end <= from.start + 2 * STRETCH {
                    stretch.end = stretch.end.max(place.end);
                }
            }
        }
        if stretch.weight >= ALERT && best.as_ref().is_none_or(|best| best.weight < stretch.weight) {
            best = Some(stretch);
        }
    }
    best
}

/// Of places that begin (or end) together keeps those of the heaviest concept: the same words are no second evidence.
fn keep_rarest(places: &mut Vec<Place>, side: impl Fn(&Place) -> usize) {
    let mut heaviest = BTreeMap::new();
    for place in places.iter() {
        let known = heaviest.entry(side(place)).or_insert((place.weight, place.bit));
        if known.0 < place.weight {
            *known = (place.weight, place.bit);
        }
    }
    places.retain(|place| heaviest.get(&side(place)).is_some_and(|(_, bit)| *bit == place.bit));
}

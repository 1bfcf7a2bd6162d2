//! Whether a text that is put together of two could be blocked for something that neither says alone.
//!
//! Much cheaper than reading it, and never wrong when it says no: of what stands wholly in one of them, each was judged
//! already. So only what crosses the border counts, and what stands on both sides and counts together.

use std::borrow::Cow;
use std::ops::Range;

use super::super::bytes::{self, Survey};
use super::super::gate::Bits;
use super::super::markup::{Marks, Signals};
use super::super::near::Near;
use super::super::rules::{Compiled, Role, RuleSet};
use super::super::{Severity, disguise, evidence, mention, normalise, peel};
use super::{LAYERS_MAX, QUOTED_MAX, Reader, View};

/// Whether it could be. `border` is the place where the two were put together, and what was put between them.
pub(in super::super) fn may_add(rules: &RuleSet, text: &str, border: Range<usize>) -> bool {
    let mut layer = Cow::Borrowed(text);
    let mut border = border;
    for depth in 0..=LAYERS_MAX {
        let mut survey = bytes::survey(&layer);
        if survey.foldable() {
            let Ok(folded) = normalise::fold(&layer) else { return true };
            let fold = |part: &str| Some(normalise::fold(part).ok()?.text);
            let Some(at) = border_after(&layer, &border, &folded.text, fold).filter(|_| !folded.bidi) else {
                return true;
            };
            (layer, border) = (Cow::Owned(folded.text), at);
            survey = bytes::survey(&layer);
        }
        if says_more(rules, &layer, &survey, &border) {
            return true;
        }
        if depth == LAYERS_MAX || !survey.peelable(&layer) {
            return false;
        }
        let Some(next) = peel::peel(&layer) else { return false };
        let own = |part: &str| Some(peel::peel(part).unwrap_or_else(|| part.to_owned()));
        let Some(at) = border_after(&layer, &border, &next, own) else { return true };
        (layer, border) = (Cow::Owned(next), at);
    }
    false
}

/// Where the border is in what became of the text, if each of the two became the same as by itself.
fn border_after(
    text: &str,
    border: &Range<usize>,
    whole: &str,
    alone: impl Fn(&str) -> Option<String>,
) -> Option<Range<usize>> {
    let before = alone(text.get(..border.start)?)?;
    let after = alone(text.get(border.end..)?)?;
    let between = whole.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
    (Some(between) == text.get(border.clone())).then(|| before.len()..before.len() + between.len())
}

/// Whether one layer of both could say more than those of each.
fn says_more(rules: &RuleSet, text: &str, survey: &Survey, border: &Range<usize>) -> bool {
    let awake = rules.awake(&rules.woken(text.as_bytes()));
    let shape = rules.markup(&awake).filter(|_| bytes::has_markup(text));
    shape.is_some_and(|shape| !Marks::find(shape, text.as_bytes()).is_empty())
        || crosses(rules, text.as_bytes(), &awake.without(rules.signals()), border)
        || disguise::ALL.iter().any(|undo| undo(text, survey).is_some())
        || disguise::runs_together(&rules.aids.squeezed, text, survey)
}

fn crosses(rules: &RuleSet, text: &[u8], awake: &Bits, border: &Range<usize>) -> bool {
    if awake.is_empty() {
        return false;
    }
    let mut view = View {
        reader: Reader { rules, capability: "" },
        text,
        near: Near::of(rules.gate(), rules.starts(), text, awake, rules.bounded()),
        number: 0,
        signals: Signals::default(),
        parts: Vec::new(),
        concepts: Vec::new(),
        everywhere: Vec::new(),
    };
    let alone = awake.without(rules.evidence()).without(rules.parts());
    let crossing = |bit| rules.rule(bit).is_some_and(|rule| view.crosses(bit, rule, border));
    alone.iter().any(crossing) || view.pairs(&awake.meet(rules.parts())) || view.weighs(awake)
}

impl View<'_> {
    /// Whether a match of the rule that blocks by itself crosses the border.
    fn crosses(&self, bit: usize, rule: &Compiled, border: &Range<usize>) -> bool {
        // What is read of a command may run on far behind its match.
        let from = match rule.role {
            Role::Judged(_) => 0,
            Role::Alert(severity) if severity >= Severity::High => border.start,
            Role::Alert(_)
            | Role::Fetch
            | Role::Signal(_)
            | Role::Part
            | Role::Evidence(_)
            | Role::Markup => return false,
        };
        let within = from..border.end.saturating_add(mention::BEARING);
        // Quotations count up to a number, whichever side they stand on.
        if self.places(bit, rule).take(QUOTED_MAX + 1).count() > QUOTED_MAX {
            return true;
        }
        self.near.any(bit, &rule.pattern, self.text, within, |found| {
            let Role::Judged(judge) = rule.role else { return found.end >= border.start };
            let (severity, read) = self.judged(judge, found);
            severity >= Some(Severity::High) && found.end + read >= border.start
        })
    }

    /// Whether the sides of a pairing that blocks stand together.
    fn pairs(&mut self, awake: &Bits) -> bool {
        let rules = self.reader.rules;
        let blocks = |severity: Severity| severity >= Severity::High;
        let wanted = |bit: usize| {
            rules.pairings().iter().any(|pairing| {
                blocks(pairing.severity)
                    && pairing.sides.iter().any(|side| side.has(bit))
                    && pairing.sides.iter().all(|side| !side.meet(awake).is_empty())
            })
        };
        for bit in awake.iter().filter(|bit| wanted(*bit)) {
            if let Some(rule) = rules.rule(bit) {
                self.part(bit, rule);
            }
        }
        let mut pairings = rules.pairings().iter().filter(|pairing| blocks(pairing.severity));
        !self.parts.is_empty() && pairings.any(|pairing| self.together(pairing).is_some())
    }

    /// Whether there are concepts enough near each other.
    fn weighs(&mut self, awake: &Bits) -> bool {
        let all = self.reader.rules.concepts(awake).map(|(_, rule)| evidence::weight_of(rule));
        if all.sum::<u32>() < evidence::BLOCK {
            return false;
        }
        let awake = self.concepts_near(awake);
        self.stretch(awake, evidence::BLOCK).is_some_and(|stretch| stretch.blocks())
    }
}

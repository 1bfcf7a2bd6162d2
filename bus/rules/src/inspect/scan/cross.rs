//! Whether a text that is put together of two could be blocked for something that neither says alone.
//!
//! Much cheaper than reading it, and never wrong when it says no: of what stands wholly in one of them, each was judged
//! already. So only what crosses the border counts, and what stands on both sides and counts together.

use std::borrow::Cow;
use std::ops::Range;

use super::super::begun::Begun;
use super::super::bytes::{self, Survey};
use super::super::gate::{Bits, Woken};
use super::super::markup::{self, Marks};
use super::super::near::Near;
use super::super::reach::Reach;
use super::super::rules::{Compiled, Role, RuleSet};
use super::super::{Alert, Severity, disguise, evidence, mention, normalise, peel};
use super::{LAYERS_MAX, QUOTED_MAX, Reader, View, judged};

/// What is known of two texts, each by itself.
pub(in super::super) struct Sides<'a> {
    /// Concepts and parts that may stand in one of them: of no other does a match.
    pub(in super::super) lone: Bits,
    /// What was found in the second.
    pub(in super::super) alerts: &'a [Alert],
    /// More, if both read as they stand, alone and together.
    pub(in super::super) plain: Option<Plain<'a>>,
    /// Something in either, or over the border, may be in disguise.
    pub(in super::super) veiled: bool,
}

/// What is known of two texts that read as they stand.
#[derive(Clone, Copy)]
pub(in super::super) struct Plain<'a> {
    /// The literals in both, and over the border.
    pub(in super::super) woken: &'a Woken,
    /// Where matches may begin.
    pub(in super::super) begun: &'a Begun,
    /// There is markup in one of them.
    pub(in super::super) marked: bool,
}

/// What both may be together.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Crossing {
    /// Whether they could be blocked for it.
    pub(in super::super) adds: bool,
    /// Markup may run over the border.
    pub(in super::super) marked: bool,
    /// Concepts and parts of which a match may run over the border, ...
    pub(in super::super) lone: Bits,
    /// ... and those of which none stands anywhere.
    pub(in super::super) absent: Bits,
}

/// What they may be. `border` is the place where the two were put together, and what was put between them.
pub(in super::super) fn may_add(
    rules: &RuleSet,
    text: &str,
    border: Range<usize>,
    sides: &Sides<'_>,
) -> Crossing {
    let unknown = Crossing { adds: true, marked: true, lone: rules.all_lone(), absent: Bits::default() };
    if let Some(plain) = sides.plain {
        let survey = bytes::survey(text);
        let spoken_for = rules.spoken_for(plain.woken);
        let reach = rules.reach_of(text.as_bytes(), &spoken_for, plain.begun.places(border.len()));
        let both = Both::with(rules, text.as_bytes(), &spoken_for, reach, &border);
        let mut crossing = both.crossing_so_far();
        crossing.adds = (plain.marked || crossing.marked) && both.has_marks(text)
            || both.adds_beside(sides, &mut crossing)
            || is_disguised(rules, text, &survey)
            || sides.veiled && says_more(rules, text, &survey, &border);
        return crossing;
    }
    let Some((text, border, survey)) = folded(text, border) else { return unknown };
    let both = Both::of(rules, text.as_bytes(), &rules.woken(text.as_bytes()), &border);
    let mut crossing = both.crossing_so_far();
    crossing.adds = both.has_marks(&text)
        || both.adds_beside(sides, &mut crossing)
        || is_disguised(rules, &text, &survey)
        || says_more(rules, &text, &survey, &border);
    crossing
}

/// Whether it says more in a layer below.
fn says_more(rules: &RuleSet, text: &str, survey: &Survey, border: &Range<usize>) -> bool {
    peeled(text, survey, border, 0).is_some_and(|next| match next {
        Some((next, border)) => adds_below(rules, &next, border),
        None => true,
    })
}

/// The text as it reads, if both parts of it read as they do alone, and where the border is in that.
fn folded(text: &str, border: Range<usize>) -> Option<(Cow<'_, str>, Range<usize>, Survey)> {
    let survey = bytes::survey(text);
    if !survey.foldable() {
        return Some((Cow::Borrowed(text), border, survey));
    }
    let whole = normalise::fold(text).ok().filter(|whole| !whole.bidi)?;
    let alone = |part: &str| Some(normalise::fold(part).ok()?.text);
    let border = border_after(text, &border, &whole.text, alone)?;
    let survey = bytes::survey(&whole.text);
    Some((Cow::Owned(whole.text), border, survey))
}

/// The same of the layers under the first, of which nothing is known.
fn adds_below(rules: &RuleSet, text: &str, border: Range<usize>) -> bool {
    let (mut layer, mut border) = (text.to_owned(), border);
    for depth in 1..=LAYERS_MAX {
        let Some((text, at, survey)) = folded(&layer, border) else { return true };
        let both = Both::of(rules, text.as_bytes(), &rules.woken(text.as_bytes()), &at);
        if both.has_marks(&text) || both.adds() || is_disguised(rules, &text, &survey) {
            return true;
        }
        match peeled(&text, &survey, &at, depth) {
            None => return false,
            Some(None) => return true,
            Some(Some((next, at))) => (layer, border) = (next, at),
        }
    }
    false
}

/// The layer below this one, if there is one, and where the border is in it, if that is known.
fn peeled(
    text: &str,
    survey: &Survey,
    border: &Range<usize>,
    depth: usize,
) -> Option<Option<(String, Range<usize>)>> {
    if depth == LAYERS_MAX || !survey.peelable(text) {
        return None;
    }
    let next = peel::peel(text)?;
    let own = |part: &str| Some(peel::peel(part).unwrap_or_else(|| part.to_owned()));
    let at = border_after(text, border, &next, own);
    Some(at.map(|at| (next, at)))
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

/// Whether it is written in a way that hides what it says.
fn is_disguised(rules: &RuleSet, text: &str, survey: &Survey) -> bool {
    disguise::ALL.iter().any(|undo| undo(text, survey).is_some())
        || disguise::runs_together(&rules.aids.squeezed, text, survey)
}

/// One layer of both texts.
struct Both<'b> {
    rules: &'b RuleSet,
    text: &'b [u8],
    border: &'b Range<usize>,
    near: Near<'b>,
    /// Rules that may match in it, ...
    awake: Bits,
    /// ... concepts and parts, too few together or not, ...
    lone: Bits,
    /// ... and those of which none stands anywhere.
    absent: Bits,
}

impl<'b> Both<'b> {
    fn of(rules: &'b RuleSet, text: &'b [u8], woken: &Woken, border: &'b Range<usize>) -> Self {
        let spoken_for = rules.spoken_for(woken);
        let reach = rules.reach(text, &spoken_for);
        Self::with(rules, text, &spoken_for, reach, border)
    }

    /// The same, of which these rules' literals are there, and where they may match.
    fn with(
        rules: &'b RuleSet,
        text: &'b [u8],
        spoken_for: &Bits,
        reach: Reach<'b>,
        border: &'b Range<usize>,
    ) -> Self {
        let begun = reach.may_match(spoken_for);
        let (awake, lone) = (rules.awake(begun), rules.lone(&begun));
        let absent = rules.lone(spoken_for).without(&lone);
        Self { rules, text, border, near: rules.near(text, reach, &begun), awake, lone, absent }
    }

    /// Whether there is markup in it: what that means is not told from a border.
    fn has_marks(&self, text: &str) -> bool {
        let shape = self.rules.markup(&self.awake).filter(|_| bytes::has_markup(text));
        shape.is_some_and(|shape| !Marks::find(shape, self.text).is_empty())
    }

    /// What is known before it is asked whether more is said.
    fn crossing_so_far(&self) -> Crossing {
        let before = self.text.get(..self.border.end).unwrap_or_default();
        let marked = self.rules.markup(&self.awake).is_some() && markup::may_go_on(before);
        Crossing { adds: false, marked, lone: self.lone, absent: self.absent }
    }

    /// The rules that block by themselves, and some that never do.
    fn alone(&self) -> Bits {
        self.awake.without(self.rules.signals()).without(self.rules.evidence()).without(self.rules.parts())
    }

    /// Whether it says more, where of either side so much is known.
    fn adds_beside(&self, sides: &Sides<'_>, crossing: &mut Crossing) -> bool {
        let asked = self.lone.without(&sides.lone);
        let may_weigh = self.weight(&self.awake) >= evidence::BLOCK;
        let reach = self.near.reach();
        crossing.lone = self.crossing(reach, &asked);
        let known = |rule: &Compiled| sides.alerts.iter().any(|alert| alert.rule == rule.id);
        let (seen, unseen): (Vec<usize>, Vec<usize>) =
            self.alone().iter().partition(|bit| self.rules.rule(*bit).is_some_and(known));
        let crosses = |bit: usize| {
            self.rules.rule(bit).is_some_and(|rule| self.crosses(reach, bit, rule, self.border.end))
        };
        if unseen.into_iter().any(crosses) {
            return true;
        }
        let mut read = self.lone.meet(&sides.lone.with(&crossing.lone)).meet(&self.awake);
        if self.rules.blocking(&read).next().is_none() {
            read = read.without(self.rules.parts());
        }
        if may_weigh {
            let missing = self.missing(reach, &read);
            crossing.absent.join(&missing);
            read = read.without(&missing);
        }
        if self.weight(&read) < evidence::BLOCK {
            read = read.without(self.rules.evidence());
        }
        seen.into_iter().for_each(|bit| read.insert(bit));
        self.adds_of(&read, &mut crossing.absent)
    }

    /// Which of these rules may have a match over the border.
    fn crossing(&self, reach: &Reach<'_>, asked: &Bits) -> Bits {
        let mut crossing = Bits::default();
        for (bit, rule) in asked.iter().filter_map(|bit| Some((bit, self.rules.rule(bit)?))) {
            let touches = |found: &Range<usize>| found.end >= self.border.start;
            if reach.any(bit, &rule.pattern, self.border.clone(), touches) {
                crossing.insert(bit);
            }
        }
        crossing
    }

    /// Concepts that stand nowhere, as long as the others may weigh enough.
    fn missing(&self, reach: &Reach<'_>, concepts: &Bits) -> Bits {
        let (mut missing, mut weight) = (Bits::default(), self.weight(concepts));
        for (bit, rule) in self.rules.concepts(concepts) {
            if weight < evidence::BLOCK {
                break;
            }
            if !reach.stands(bit, &rule.pattern) {
                missing.insert(bit);
                weight -= evidence::weight_of(rule);
            }
        }
        missing
    }

    /// Whether it says more.
    fn adds(&self) -> bool {
        self.adds_of(&self.awake.without(self.rules.signals()), &mut Bits::default())
    }

    /// Whether these rules say more. Tells of which concepts and parts none stands anywhere.
    fn adds_of(&self, read: &Bits, absent: &mut Bits) -> bool {
        if read.is_empty() {
            return false;
        }
        let rules = self.rules;
        let mut view = View::of(Reader { rules, capability: "" }, self.text, &self.near, 0);
        let last = self.border.end.saturating_add(mention::BEARING);
        let crosses = |bit: usize| {
            rules.rule(bit).is_some_and(|rule| {
                // Quotations count up to a number, whichever side they stand on.
                self.blocks(rule).is_some()
                    && view.places(bit, rule).take(QUOTED_MAX + 1).count() > QUOTED_MAX
                    || self.crosses(self.near.reach(), bit, rule, last)
            })
        };
        let adds = read.meet(&self.alone()).iter().any(crosses)
            || view.pairs(&read.meet(rules.parts()))
            || self.weight(read) >= evidence::BLOCK && view.weighs(read);
        absent.join(&view.absent);
        adds
    }

    /// From where on matches of a rule that blocks by itself count.
    fn blocks(&self, rule: &Compiled) -> Option<usize> {
        match rule.role {
            // What is read of a command may run on far behind its match.
            Role::Judged(_) => Some(0),
            Role::Alert(severity) if severity >= Severity::High => Some(self.border.start),
            Role::Alert(_)
            | Role::Fetch
            | Role::Signal(_)
            | Role::Part
            | Role::Evidence(_)
            | Role::Markup => None,
        }
    }

    /// Whether a match of the rule that blocks by itself, and begins no further on than `last`, does not end before the
    /// border. A command is weighed by what stands before it, too.
    fn crosses(&self, reach: &Reach<'_>, bit: usize, rule: &Compiled, last: usize) -> bool {
        let Some(from) = self.blocks(rule) else { return false };
        let last =
            if matches!(rule.role, Role::Judged(_)) { self.border.end + mention::BEARING } else { last };
        reach.any(bit, &rule.pattern, from..last, |found| {
            let Role::Judged(judge) = rule.role else { return found.end >= self.border.start };
            let (severity, read) = judged(self.text, judge, found);
            severity >= Some(Severity::High) && found.end + read >= self.border.start
        })
    }

    /// What these concepts weigh together.
    fn weight(&self, concepts: &Bits) -> u32 {
        self.rules.concepts(concepts).map(|(_, rule)| evidence::weight_of(rule)).sum()
    }
}

impl View<'_> {
    /// Whether the sides of a pairing that blocks stand together. Of a side whose other side is missing nothing is read.
    fn pairs(&mut self, awake: &Bits) -> bool {
        let rules = self.reader.rules;
        let mut read = Bits::default();
        rules.blocking(awake).any(|pairing| {
            let mut stands = |side: &Bits| {
                for bit in side.meet(awake).without(&read).iter() {
                    read.insert(bit);
                    rules.rule(bit).into_iter().for_each(|rule| self.part(bit, rule));
                }
                !side.meet(&read).without(&self.absent).is_empty()
            };
            pairing.sides.all().iter().all(&mut stands) && self.together(pairing).is_some()
        })
    }

    /// Whether there are concepts enough near each other.
    fn weighs(&mut self, awake: &Bits) -> bool {
        let awake = self.concepts_near(awake);
        self.stretch(awake, evidence::BLOCK).is_some_and(|stretch| stretch.blocks())
    }
}

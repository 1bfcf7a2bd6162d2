//! Matches one text against the rules, layer by layer, and keeps what was found.

mod cross;

use std::borrow::Cow;
use std::ops::Range;

use super::bytes::{self, Survey};
use super::gate::{Bits, Woken};
use super::lanes::{Heard, Text};
use super::markup::{self, Marks};
use super::near::{Near, Places};
use super::rules::{Compiled, Judge, Mention, Paired, Role, RuleSet, Strength};
use super::{Alert, Kind, RuleId, Severity, Span, disguise, evidence, mention, normalise, peel};
pub(super) use cross::{Plain, Sides, may_add};

/// Layers of encoding undone after the text itself.
const LAYERS_MAX: usize = 3;
/// Matches of one rule looked at before the next quoted one counts as said.
const QUOTED_MAX: usize = 16;
/// Places of one signal or part looked at before it counts as being everywhere.
const PLACES_MAX: usize = 64;
/// Shortest text whose share of special characters means anything, in bytes.
const SPECIAL_MIN: usize = 32;

/// What one text leaves for those after it: whether it can be half of something, and with what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trace {
    /// The literals in it.
    pub(super) woken: Woken,
    /// Something in it was worth a look.
    pub(super) stirred: bool,
    /// It reads otherwise than it stands, or might beside another.
    pub(super) folds: bool,
    /// It is, or may be a piece of, something in disguise.
    pub(super) veiled: bool,
    /// There is markup in it.
    pub(super) marked: bool,
    /// Concepts and parts that may stand in it: of no other does a match.
    pub(super) lone: Bits,
}

/// What was found so far in one body, and what may still be spent on it.
#[derive(Debug)]
pub(super) struct Findings {
    alerts: Vec<Alert>,
    trace: Trace,
    bytes_left: usize,
    views: u16,
    kept: Option<Vec<String>>,
}

impl Findings {
    /// Allows work of four times the size of the body. What an odd text wears besides is read in a fixed number of
    /// ways, each once.
    pub(super) fn new(body_bytes: usize) -> Self {
        Self {
            alerts: Vec::new(),
            trace: Trace::default(),
            bytes_left: body_bytes.saturating_mul(4).saturating_add(4_096),
            views: 0,
            kept: None,
        }
    }

    /// The same, keeping every view of the text that was read.
    pub(super) fn keeping(body_bytes: usize) -> Self {
        Self { kept: Some(Vec::new()), ..Self::new(body_bytes) }
    }

    /// Notes an alert; of one rule only the gravest is kept.
    pub(super) fn add(&mut self, alert: Alert) {
        match self.alerts.iter_mut().find(|known| known.rule == alert.rule) {
            Some(known) if known.severity < alert.severity => *known = alert,
            Some(_) => {}
            None => self.alerts.push(alert),
        }
    }

    /// Notes what was weighed; of several views only the gravest is kept.
    fn add_evidence(&mut self, alert: Alert) {
        let weighed = |known: &&mut Alert| evidence::names(&known.rule);
        match self.alerts.iter_mut().find(weighed) {
            Some(known) if known.severity < alert.severity => *known = alert,
            Some(_) => {}
            None => self.alerts.push(alert),
        }
    }

    /// The alerts in their order. A tag explains a bare fetch beside it, and a paired tag the tag.
    pub(super) fn into_alerts(mut self) -> Vec<Alert> {
        if self.alerts.len() > 1 {
            let has = |rule: &str, alerts: &[Alert]| alerts.iter().any(|alert| alert.rule.as_str() == rule);
            let paired = has(markup::PAIRED, &self.alerts);
            if paired || has(markup::ALONE, &self.alerts) {
                self.alerts.retain(|alert| alert.rule.as_str() != FETCH);
            }
            if paired {
                self.alerts.retain(|alert| alert.rule.as_str() != markup::ALONE);
            }
            self.alerts
                .sort_unstable_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.rule.cmp(&b.rule)));
        }
        self.alerts
    }

    /// What the body leaves for those after it.
    pub(super) const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The views read, in their order.
    pub(super) fn into_views(self) -> Vec<String> {
        self.kept.unwrap_or_default()
    }

    /// Whether something found so far blocks.
    pub(super) fn block(&self) -> bool {
        self.alerts.iter().any(|alert| alert.severity >= Severity::High)
    }

    /// Begins another view of the text; gives its number.
    fn begin(&mut self, view: &str) -> u16 {
        if let Some(kept) = &mut self.kept {
            kept.push(view.to_owned());
        }
        self.views += 1;
        self.views - 1
    }

    const fn spend(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        enough
    }
}

/// Name of the rule for a download that goes nowhere in particular.
pub(super) const FETCH: &str = "poison.fetch";

/// A text, and what a first look at it showed. Many texts are looked at together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked<'t> {
    pub(super) text: &'t str,
    survey: Survey,
    heard: Heard,
}

impl<'t> Looked<'t> {
    /// Before the gate has heard it.
    pub(super) fn at(text: &'t str, survey: Survey) -> Self {
        Self { text, survey, heard: Heard::default() }
    }

    /// Whether it may be a piece of what wears a disguise.
    pub(super) fn may_be_piece(&self) -> bool {
        disguise::may_be_piece(self.text, &self.survey)
    }

    /// What the gate hears of it: nothing if it must be folded first.
    pub(super) fn heard(&self) -> Option<&Heard> {
        Some(&self.heard).filter(|_| !self.survey.foldable())
    }
}

impl Text for Looked<'_> {
    fn bytes(&self) -> &[u8] {
        if self.survey.foldable() { &[] } else { self.text.as_bytes() }
    }

    fn heard(&mut self) -> &mut Heard {
        &mut self.heard
    }
}

/// Matches a text and every layer under it.
pub(super) fn scan(rules: &RuleSet, looked: &Looked<'_>, capability: &str, findings: &mut Findings) {
    let reader = Reader { rules, capability };
    let (text, heard, mut survey) = (looked.text, looked.heard(), looked.survey);
    if text.is_empty() {
        return;
    }
    let mut layer = Cow::Borrowed(text);
    for depth in 0..=LAYERS_MAX {
        if survey.foldable() {
            let Ok(folded) = normalise::fold(&layer) else {
                findings.add(Alert::guard_error("guard.expansion"));
                return;
            };
            if depth == 0 {
                note_unicode(&folded, findings);
            }
            findings.trace.folds |= depth == 0 && !folded.is_settled(&layer);
            survey = bytes::survey(&folded.text);
            layer = Cow::Owned(folded.text);
        }
        if !findings.spend(layer.len()) {
            findings.add(Alert::guard_error("guard.work"));
            return;
        }
        let woken = match heard {
            Some(heard) if depth == 0 => heard.woken,
            Some(_) | None => rules.woken(layer.as_bytes()),
        };
        reader.read(&layer, &woken, findings);
        let next = if depth < LAYERS_MAX && survey.peelable(&layer) { peel::peel(&layer) } else { None };
        let ends = depth == 0 || next.is_none();
        let disguised = ends && !findings.block() && read_disguises(reader, &layer, &survey, findings);
        findings.trace.veiled |= disguised || next.is_some();
        let Some(next) = next else {
            // Encoding is no offence: only what it says counts.
            if !disguised {
                note_specials(&layer, &survey, findings);
            }
            return;
        };
        survey = bytes::survey(&next);
        layer = Cow::Owned(next);
    }
}

/// Reads the text as it would be without what parts or swaps its letters; says whether it was odd enough for that.
fn read_disguises(reader: Reader<'_>, view: &str, survey: &Survey, findings: &mut Findings) -> bool {
    let mut disguised = false;
    for undo in disguise::ALL {
        let Some(mut plain) = undo(view, survey) else { continue };
        disguised = true;
        for _ in 0..LAYERS_MAX {
            let mut survey = bytes::survey(&plain);
            // A letter alone shows no mixture of scripts; the word it belonged to does.
            if let Some(folded) = survey.foldable().then(|| normalise::fold(&plain).ok()).flatten() {
                plain = folded.text;
                survey = bytes::survey(&plain);
            }
            reader.read(&plain, &reader.rules.woken(plain.as_bytes()), findings);
            note_run_together(reader.rules, &plain, &survey, findings);
            let next = if findings.block() || !survey.peelable(&plain) { None } else { peel::peel(&plain) };
            let Some(next) = next else { break };
            plain = next;
        }
    }
    note_run_together(reader.rules, view, survey, findings);
    disguised
}

fn note_run_together(rules: &RuleSet, view: &str, survey: &Survey, findings: &mut Findings) {
    // A phrase that a rule has read already may be a quotation.
    let read = findings.alerts.iter().any(|alert| alert.kind == Kind::Injection);
    if !read && disguise::runs_together(&rules.aids.squeezed, view, survey) {
        findings.add(Alert::new(Severity::High, "injection.squeezed", Kind::Injection));
    }
}

/// Notes a text that is more punctuation than words.
fn note_specials(text: &str, survey: &Survey, findings: &mut Findings) {
    // Characters are at most as many as bytes, so few marks among the bytes may still be many among the characters.
    if text.len() < SPECIAL_MIN || survey.punctuation() * 40 <= text.len() * 3 {
        return;
    }
    let all = if survey.foldable() { text.chars().count() } else { text.len() };
    if survey.punctuation() * 10 > all * 3 {
        findings.add(Alert::new(Severity::Medium, "text.special-characters", Kind::SpecialCharacters));
    }
}

fn note_unicode(folded: &normalise::Folded, findings: &mut Findings) {
    let found = [
        (folded.bidi, Severity::High, "unicode.bidi-control"),
        (folded.mixed, Severity::Medium, "unicode.mixed-script"),
        (folded.hidden, Severity::Medium, "unicode.tag-characters"),
    ];
    for (seen, severity, rule) in found {
        if seen {
            findings.add(Alert::new(severity, rule, Kind::Unicode));
        }
    }
}

/// Which rules a text is read with, and under which capability it came.
#[derive(Clone, Copy)]
struct Reader<'r> {
    rules: &'r RuleSet,
    capability: &'r str,
}

/// One view of the text, while it is matched.
struct View<'v> {
    reader: Reader<'v>,
    text: &'v [u8],
    near: &'v Near<'v>,
    number: u16,
    signals: markup::Signals,
    /// Where parts of pairings stand: rule, start, end.
    parts: Vec<(usize, usize, usize)>,
    /// Where concepts stand.
    concepts: Vec<evidence::Place>,
    /// Concepts that stand in too many places to note.
    everywhere: Vec<evidence::Place>,
    /// Concepts and parts that were looked for and stand nowhere.
    absent: Bits,
}

impl Reader<'_> {
    /// Matches one view of the text, of which the gate has heard this.
    fn read(self, view: &str, woken: &Woken, findings: &mut Findings) {
        let number = findings.begin(view);
        let text = view.as_bytes();
        findings.trace.woken.join(woken);
        let spoken_for = self.rules.spoken_for(woken);
        if self.rules.awake(spoken_for).is_empty() {
            findings.trace.lone.join(&self.rules.lone(&spoken_for));
            return;
        }
        // Of most rules whose literals are there, no match begins anywhere.
        let reach = self.rules.reach(text, &spoken_for);
        let begun = reach.may_match(&spoken_for);
        let (lone, mut awake) = (self.rules.lone(&begun), self.rules.awake(begun));
        if awake.is_empty() {
            findings.trace.lone.join(&lone);
            return;
        }
        // Of evidence, words alone are no sign: they must stand as near as its phrases have them (`weigh`).
        findings.trace.stirred |= !awake.without(self.rules.evidence()).is_empty();
        let shape = self.rules.markup(&awake);
        let looked = shape.filter(|_| bytes::has_markup(view));
        let marks = looked.map_or_else(Marks::default, |shape| Marks::find(shape, text));
        // What makes a banner of blanks one may come with another message.
        let may_be = shape.is_some() && looked.is_none() && bytes::has_ruled_line(view);
        findings.trace.marked |= may_be || !marks.is_empty();
        if marks.is_empty() {
            awake = awake.without(self.rules.signals());
        }
        let near = self.rules.near(text, reach, &awake);
        let mut view = View::of(self, text, &near, number);
        for bit in awake.without(self.rules.evidence()).iter() {
            if let Some(rule) = self.rules.rule(bit) {
                view.apply(bit, rule, findings);
            }
        }
        view.pair(findings);
        view.weigh(&awake, findings);
        findings.trace.lone.join(&lone.without(&view.absent));
        marks.pair(text.len(), number, &mut view.signals, findings);
    }
}

impl<'v> View<'v> {
    /// A view of which nothing is known but the literals in it.
    fn of(reader: Reader<'v>, text: &'v [u8], near: &'v Near<'v>, number: u16) -> Self {
        Self {
            reader,
            text,
            near,
            number,
            signals: markup::Signals::default(),
            parts: Vec::new(),
            concepts: Vec::new(),
            everywhere: Vec::new(),
            absent: Bits::default(),
        }
    }

    /// Where a rule matches.
    fn places(&self, bit: usize, rule: &'v Compiled) -> Places<'v> {
        self.near.places(bit, &rule.pattern)
    }

    fn apply(&mut self, bit: usize, rule: &'v Compiled, findings: &mut Findings) {
        match rule.role {
            Role::Alert(severity) => self.alert(bit, rule, severity, findings),
            Role::Judged(judge) => self.judge(bit, rule, judge, findings),
            Role::Fetch => {
                if let Some(found) = self.places(bit, rule).next() {
                    self.found(rule, Severity::Medium, (found.start, found.end), findings);
                }
            }
            Role::Signal(strength) => self.signal(bit, rule, strength),
            Role::Part => self.part(bit, rule),
            Role::Evidence(_) | Role::Markup => {}
        }
    }

    fn found(
        &self,
        rule: &Compiled,
        severity: Severity,
        (start, end): (usize, usize),
        findings: &mut Findings,
    ) {
        let span = Span::new(self.number, start, end);
        findings.add(Alert { severity, rule: rule.id.clone(), kind: rule.kind, span });
    }

    fn part(&mut self, bit: usize, rule: &'v Compiled) {
        let before = self.parts.len();
        let places = self.places(bit, rule).take(PLACES_MAX);
        self.parts.extend(places.map(|found| (bit, found.start, found.end)));
        if self.parts.len() == before {
            self.absent.insert(bit);
        }
        // Too many to note: nobody hides the one that counts behind them.
        if self.parts.len() - before == PLACES_MAX {
            self.parts.push((bit, 0, self.text.len()));
        }
    }

    fn signal(&mut self, bit: usize, rule: &'v Compiled, strength: Strength) {
        let before = self.signals.len();
        let places = self.places(bit, rule).take(PLACES_MAX);
        self.signals.extend(strength, places.map(|found| found.start));
        if self.signals.len() - before == PLACES_MAX {
            self.signals.everywhere();
        }
    }

    fn judge(&mut self, bit: usize, rule: &'v Compiled, judge: Judge, findings: &mut Findings) {
        let mut places = self.places(bit, rule);
        while let Some(found) = places.next() {
            let (severity, read) = judged(self.text, judge, &found);
            let at = (found.end + read).min(self.text.len());
            places.pass(at);
            if let Some(severity) = severity {
                let severity = self.lower(rule, (found.start, found.end, at), severity);
                self.note(severity, found.start);
                self.found(rule, severity, (found.start, at), findings);
            }
        }
    }

    fn alert(&mut self, bit: usize, rule: &'v Compiled, severity: Severity, findings: &mut Findings) {
        let mut places = self.places(bit, rule);
        for turn in 0..=QUOTED_MAX {
            let Some(found) = places.next() else { return };
            let place = (found.start, found.end);
            let excused = self.lower(rule, (place.0, place.1, place.1), severity);
            let severity = if turn == QUOTED_MAX { severity } else { excused };
            self.note(severity, found.start);
            self.found(rule, severity, place, findings);
            if severity >= Severity::High || rule.mention == Mention::Counts {
                return;
            }
        }
    }

    /// Whatever blocks by itself also pairs with markup around it.
    fn note(&mut self, severity: Severity, at: usize) {
        if severity >= Severity::High {
            self.signals.extend(Strength::Strong, std::iter::once(at));
        }
    }

    /// How grave a match is here: a quotation only alerts, and so does what the capability may say. A match has a
    /// start, an end, and the end of what was read with it.
    fn lower(&self, rule: &Compiled, place: (usize, usize, usize), severity: Severity) -> Severity {
        self.lower_of(&rule.id, rule.mention, place, severity)
    }

    fn lower_of(
        &self,
        id: &RuleId,
        mention: Mention,
        (start, end, read): (usize, usize, usize),
        severity: Severity,
    ) -> Severity {
        if severity < Severity::High {
            return severity;
        }
        let rules = self.reader.rules;
        let matched = self.text.get(start..end).unwrap_or_default();
        // A pattern may begin with what stands before the phrase.
        let first = start + matched.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
        let quoted =
            mention == Mention::Excused && mention::is_quoted(&rules.aids.meta, self.text, first, end);
        let whole = self.text.get(start..read).unwrap_or_default();
        let allowed = quoted || rules.policy.allows(self.reader.capability, id.as_str(), whole);
        if allowed { Severity::Medium } else { severity }
    }

    /// Notes the pairings of which every side stands near its first.
    fn pair(&mut self, findings: &mut Findings) {
        if self.parts.is_empty() {
            return;
        }
        for pairing in self.reader.rules.pairings() {
            if let Some((start, end)) = self.together(pairing) {
                let severity =
                    self.lower_of(&pairing.id, pairing.mention, (start, end, end), pairing.severity);
                self.note(severity, start);
                let span = Span::new(self.number, start, end);
                findings.add(Alert { severity, rule: pairing.id.clone(), kind: pairing.kind, span });
            }
        }
    }

    /// Notes where a concept stands, of these places; says whether it stands anywhere.
    fn concept(&mut self, bit: usize, places: Places<'v>, weight: u32) -> bool {
        let before = self.concepts.len();
        let mut seen = 0;
        for found in places.take(PLACES_MAX) {
            seen += 1;
            let (start, end) = (found.start, found.end);
            if !mention::is_quoted(&self.reader.rules.aids.meta, self.text, start, end) {
                self.concepts.push(evidence::Place { start, end, bit, weight });
            }
        }
        if seen == 0 {
            self.absent.insert(bit);
        }
        // Quoted ones count among them: nobody hides the one that is meant behind mentions.
        if seen == PLACES_MAX {
            self.everywhere.push(evidence::Place { start: 0, end: 0, bit, weight });
        }
        seen == PLACES_MAX || self.concepts.len() > before
    }

    /// Notes the weightiest stretch of concepts, if it is worth an alert.
    fn weigh(&mut self, awake: &Bits, findings: &mut Findings) {
        let rules = self.reader.rules;
        let awake = self.concepts_near(awake);
        // A phrase may be parted over two messages, of which each holds words of others.
        findings.trace.stirred |= sum(&awake) >= evidence::ALERT;
        let Some(stretch) = self.stretch(awake, evidence::ALERT) else { return };
        let severity = if stretch.blocks() { Severity::High } else { Severity::Medium };
        let place = (stretch.start, stretch.end, stretch.end);
        let severity = self.lower_of(&RuleId::standard(evidence::NAME), Mention::Counts, place, severity);
        self.note(severity, stretch.start);
        let named = |bit| rules.rule(bit).map(|rule| (evidence::weight_of(rule), rule.id.clone()));
        let span = Span::new(self.number, stretch.start, stretch.end);
        findings.add_evidence(Alert { severity, rule: stretch.name(named), kind: Kind::Injection, span });
    }

    /// The concepts that may stand somewhere, the heaviest first, each with its weight.
    fn concepts_near(&mut self, awake: &Bits) -> Vec<(usize, Places<'v>, u32)> {
        let mut near = Vec::new();
        for (bit, rule) in self.reader.rules.concepts(awake) {
            let places = self.places(bit, rule);
            if places.is_over() {
                self.absent.insert(bit);
            } else {
                near.push((bit, places, evidence::weight_of(rule)));
            }
        }
        near
    }

    /// The weightiest stretch of these concepts, if all of them together weigh at least so much.
    fn stretch(&mut self, awake: Vec<(usize, Places<'v>, u32)>, least: u32) -> Option<evidence::Stretch> {
        let mut weight = sum(&awake);
        for (bit, places, own) in awake {
            // What is missing brings the sum down; too little left is not worth reading on.
            if weight < least {
                return None;
            }
            if !self.concept(bit, places, own) {
                weight -= own;
            }
        }
        if weight < least {
            return None;
        }
        evidence::weigh(std::mem::take(&mut self.concepts), &self.everywhere)
    }

    fn together(&self, pairing: &Paired) -> Option<(usize, usize)> {
        let (first, others) = pairing.sides.all().split_first()?;
        let of = |side: &Bits| {
            let side = *side;
            self.parts.iter().filter(move |(bit, ..)| side.has(*bit))
        };
        let place = of(first).find(|(_, start, end)| {
            others.iter().all(|side| {
                of(side).any(|(_, from, to)| {
                    from.saturating_sub(*end).max(start.saturating_sub(*to)) <= pairing.apart
                })
            })
        });
        place.map(|(_, start, end)| (*start, *end))
    }
}

/// How grave a command is, and how much was read behind it, in bytes.
fn judged(text: &[u8], judge: Judge, found: &Range<usize>) -> (Option<Severity>, usize) {
    let before = text.get(found.start.saturating_sub(24)..found.start).unwrap_or_default();
    judge(before, text.get(found.end..).unwrap_or_default())
}

/// What concepts weigh together.
fn sum(concepts: &[(usize, Places<'_>, u32)]) -> u32 {
    concepts.iter().map(|(_, _, weight)| weight).sum()
}

/// A rule id of the standard set, for alerts that no pattern gives.
impl Alert {
    pub(super) fn at(severity: Severity, rule: &'static str, kind: Kind, span: Span) -> Self {
        Self { severity, rule: RuleId::standard(rule), kind, span }
    }
}

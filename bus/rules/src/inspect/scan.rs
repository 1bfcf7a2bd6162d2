//! Matches one text against the rules, layer by layer, and keeps what was found.

use std::borrow::Cow;

use super::markup::{self, Marks};
use super::normalise::{self, Survey};
use super::rules::{Half, Mention, Role, Rule, RuleSet, Strength};
use super::{Alert, Kind, RuleId, Severity, mention, peel, squeeze};

/// Layers of encoding undone after the text itself.
const LAYERS_MAX: usize = 3;
/// Matches of one rule looked at before the next quoted one counts as said.
const QUOTED_MAX: usize = 16;
/// Places of one signal looked at before any markup counts as paired with it.
const PLACES_MAX: usize = 64;
/// How far apart the halves of a jailbreak may stand, in bytes.
const HALVES_APART_MAX: usize = 2_000;
/// Shortest text whose share of special characters means anything, in bytes.
const SPECIAL_MIN: usize = 32;

/// What was found so far in one body, and what may still be spent on it.
#[derive(Debug)]
pub(super) struct Findings {
    alerts: Vec<Alert>,
    bytes_left: usize,
}

impl Findings {
    /// Allows work of four times the size of the body.
    pub(super) const fn new(body_bytes: usize) -> Self {
        Self { alerts: Vec::new(), bytes_left: body_bytes.saturating_mul(4).saturating_add(4_096) }
    }

    /// Notes an alert; of one rule only the gravest is kept.
    pub(super) fn add(&mut self, alert: Alert) {
        match self.alerts.iter_mut().find(|known| known.rule == alert.rule) {
            Some(known) => known.severity = known.severity.max(alert.severity),
            None => self.alerts.push(alert),
        }
    }

    /// The alerts in their order. A tag explains a bare fetch beside it, and a paired tag the tag.
    pub(super) fn into_alerts(mut self) -> Vec<Alert> {
        let has = |rule: &str, alerts: &[Alert]| alerts.iter().any(|alert| alert.rule.as_str() == rule);
        let paired = has(markup::PAIRED, &self.alerts);
        if paired || has(markup::ALONE, &self.alerts) {
            self.alerts.retain(|alert| alert.rule.as_str() != FETCH);
        }
        if paired {
            self.alerts.retain(|alert| alert.rule.as_str() != markup::ALONE);
        }
        self.alerts.sort_unstable_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.rule));
        self.alerts
    }

    fn block(&self) -> bool {
        self.alerts.iter().any(|alert| alert.severity >= Severity::High)
    }

    const fn spend(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.bytes_left;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        enough
    }
}

/// Name of the rule for a download that goes nowhere in particular.
pub(super) const FETCH: &str = "poison.fetch";

/// Notes a text that is more punctuation than words.
pub(super) fn specials(text: &str, findings: &mut Findings) {
    if text.len() < SPECIAL_MIN {
        return;
    }
    let (special, all) = normalise::special_share(text);
    if special * 10 > all * 3 {
        findings.add(Alert::new(Severity::Medium, "text.special-characters", Kind::SpecialCharacters));
    }
}

/// Matches `text` and every layer under it.
pub(super) fn scan(rules: &RuleSet, text: &str, findings: &mut Findings) {
    let mut layer = Cow::Borrowed(text);
    for depth in 0..=LAYERS_MAX {
        let survey = normalise::survey(&layer);
        let (view, survey) = if survey.foldable {
            let Ok(folded) = normalise::fold(&layer) else {
                findings.add(Alert::guard_error("guard.expansion"));
                return;
            };
            if depth == 0 {
                note_unicode(&folded, findings);
            }
            let survey = normalise::survey(&folded.text);
            (Cow::Owned(folded.text), survey)
        } else {
            (Cow::Borrowed(layer.as_ref()), survey)
        };
        if !findings.spend(view.len()) {
            findings.add(Alert::guard_error("guard.work"));
            return;
        }
        match_layer(rules, view.as_bytes(), findings);
        if depth == 0 && !findings.block() && squeeze::found(&rules.aids.squeezed, &view) {
            findings.add(Alert::new(Severity::High, "injection.squeezed", Kind::Injection));
        }
        let Some(next) = next_layer(&view, survey) else { return };
        drop(view);
        layer = Cow::Owned(next);
    }
}

fn next_layer(view: &str, survey: Survey) -> Option<String> {
    if survey.peelable { peel::peel(view) } else { None }
}

fn note_unicode(folded: &normalise::Folded, findings: &mut Findings) {
    if folded.bidi {
        findings.add(Alert::new(Severity::High, "unicode.bidi-control", Kind::Unicode));
    }
    if folded.mixed {
        findings.add(Alert::new(Severity::Medium, "unicode.mixed-script", Kind::Unicode));
    }
    if folded.hidden {
        findings.add(Alert::new(Severity::Medium, "unicode.tag-characters", Kind::Unicode));
    }
}

/// What pairs with something else in the same layer.
#[derive(Debug, Default)]
struct Places {
    signals: markup::Signals,
    personas: Vec<usize>,
    licences: Vec<usize>,
}

fn match_layer(rules: &RuleSet, text: &[u8], findings: &mut Findings) {
    let mut places = Places::default();
    let marks = Marks::find(&rules.aids.markup, text);
    for (rule, regex) in rules.awake(text) {
        match rule.role {
            Role::Alert(severity) => alert(rules, rule, regex, severity, text, &mut places, findings),
            Role::Judged(judge) => {
                let mut at = 0;
                while let Some(found) = regex.find_at(text, at) {
                    let before =
                        text.get(found.start().saturating_sub(24)..found.start()).unwrap_or_default();
                    let (severity, read) = judge(before, text.get(found.end()..).unwrap_or_default());
                    at = found.end() + read;
                    if let Some(severity) = severity {
                        let severity = excuse(rules, rule, text, (found.start(), found.end()), severity);
                        places.note(severity, found.start());
                        findings.add(Alert::new(severity, rule.id, rule.kind));
                    }
                }
            }
            Role::Fetch => {
                if regex.is_match(text) {
                    findings.add(Alert::new(Severity::Medium, rule.id, rule.kind));
                }
            }
            Role::Signal(_) if marks.is_empty() => {}
            Role::Signal(strength) => {
                let before = places.signals.len();
                places.signals.extend(strength, regex.find_iter(text).take(PLACES_MAX).map(|m| m.start()));
                if places.signals.len() - before == PLACES_MAX {
                    places.signals.everywhere();
                }
            }
            Role::Half(half) => {
                let side = match half {
                    Half::Persona => &mut places.personas,
                    Half::Licence => &mut places.licences,
                };
                side.extend(regex.find_iter(text).take(QUOTED_MAX).map(|m| m.start()));
            }
        }
    }
    if places.has_jailbreak() {
        findings.add(Alert::new(Severity::High, "injection.jailbreak", Kind::Injection));
    }
    marks.pair(text.len(), &mut places.signals, findings);
}

impl Places {
    /// Whatever blocks by itself also pairs with markup around it.
    fn note(&mut self, severity: Severity, at: usize) {
        if severity >= Severity::High {
            self.signals.extend(Strength::Strong, std::iter::once(at));
        }
    }

    fn has_jailbreak(&self) -> bool {
        let near = |a: &usize, b: &usize| a.abs_diff(*b) <= HALVES_APART_MAX;
        self.personas.iter().any(|persona| self.licences.iter().any(|licence| near(persona, licence)))
    }
}

fn alert(
    rules: &RuleSet,
    rule: &Rule,
    regex: &regex::bytes::Regex,
    severity: Severity,
    text: &[u8],
    places: &mut Places,
    findings: &mut Findings,
) {
    let mut at = 0;
    for turn in 0..=QUOTED_MAX {
        let Some(found) = regex.find_at(text, at) else { return };
        let excused = excuse(rules, rule, text, (found.start(), found.end()), severity);
        let severity = if turn == QUOTED_MAX { severity } else { excused };
        places.note(severity, found.start());
        findings.add(Alert { severity, rule: RuleId(rule.id), kind: rule.kind });
        if severity >= Severity::High || rule.mention == Mention::Counts {
            return;
        }
        at = found.end().max(at + 1);
    }
}

fn excuse(
    rules: &RuleSet,
    rule: &Rule,
    text: &[u8],
    (start, end): (usize, usize),
    severity: Severity,
) -> Severity {
    // A pattern may begin with what stands before the phrase.
    let matched = text.get(start..end).unwrap_or_default();
    let start = start + matched.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
    let quoted = rule.mention == Mention::Excused && mention::is_quoted(&rules.aids.meta, text, start, end);
    if quoted { severity.min(Severity::Medium) } else { severity }
}

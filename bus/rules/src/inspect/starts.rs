//! Where in a text a match of a rule may begin: at one of the few texts that all its matches begin with.
//!
//! These beginnings are read off the pattern, and one pass over a text finds those of all rules that are awake in it. A
//! rule then looks only there, and stops looking where the pattern fails, instead of reading on for another beginning.
//! *Invariant*: what a rule finds is the same as if it had read the whole text.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::gate::{Bits, RULES_MAX};

/// Longest beginning, in bytes.
const BYTES_MAX: usize = 8;
/// Shortest beginning, in bytes. Shorter ones stand everywhere.
const BYTES_MIN: usize = 2;
/// Most beginnings of one rule.
const MANY: usize = 400;
/// Most bytes of a match before what is known of its beginning.
const LEAD_MAX: usize = 2;
/// Largest class of characters of which each is a beginning of its own.
const CLASS_MAX: usize = 12;
/// Most places noted in one text; where there are more, rules look everywhere.
const PLACES_MAX: usize = 1 << 15;

/// How matches of a pattern begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beginning {
    /// In lower case.
    text: Vec<u8>,
    /// Fewest and most bytes of the match before it.
    lead: (u8, u8),
    /// The match begins where a word does.
    at_word: bool,
}

/// How all matches of a pattern begin, which ignores case; nothing if that is not known, or not telling.
pub(super) fn beginnings(hir: &Hir) -> Option<Vec<Beginning>> {
    let mut all = Vec::new();
    add(hir, &mut all)?;
    all.sort_unstable();
    all.dedup();
    (all.len() <= MANY).then_some(all)
}

fn add(hir: &Hir, all: &mut Vec<Beginning>) -> Option<()> {
    match hir.kind() {
        HirKind::Capture(capture) => add(&capture.sub, all),
        HirKind::Alternation(ways) => ways.iter().try_for_each(|way| add(way, all)),
        HirKind::Concat(parts) => add_of(parts, all),
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => add_of(std::slice::from_ref(hir), all),
    }
}

/// Those of what stands one after the other.
fn add_of(parts: &[Hir], all: &mut Vec<Beginning>) -> Option<()> {
    let (mut least, mut most) = (0, 0);
    let mut at_word = false;
    for (place, part) in parts.iter().enumerate() {
        if let HirKind::Look(look) = part.kind() {
            at_word |= most == 0 && *look == Look::WordAscii;
            continue;
        }
        let rest = parts.get(place..).unwrap_or_default();
        if let Some(texts) = texts_of(&Hir::concat(rest.to_vec())) {
            let lead = (u8::try_from(least).ok()?, u8::try_from(most).ok()?);
            // Only where the first byte is one of a word does the border of a word mean that one begins.
            all.extend(texts.into_iter().map(|text| {
                let at_word = at_word && most == 0 && text.first().copied().is_some_and(is_word);
                Beginning { text, lead, at_word }
            }));
            return Some(());
        }
        least += part.properties().minimum_len()?;
        most += part.properties().maximum_len().filter(|most| *most <= LEAD_MAX)?;
        if most > LEAD_MAX {
            return None;
        }
    }
    None
}

fn texts_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.limit_class(CLASS_MAX).limit_total(MANY).limit_literal_len(BYTES_MAX);
    let found = extractor.extract(hir);
    let mut texts = found
        .literals()?
        .iter()
        .map(|literal| literal.as_bytes().iter().take(BYTES_MAX).map(u8::to_ascii_lowercase).collect())
        .collect::<Vec<Vec<u8>>>();
    texts.sort_unstable();
    // What begins with another says no more.
    texts.dedup_by(|text, known| text.starts_with(known));
    let telling = !texts.is_empty() && texts.iter().all(|text| text.len() >= BYTES_MIN);
    telling.then_some(texts)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A rule that a text begins matches of.
#[derive(Clone, Copy, Debug)]
struct Begins {
    rule: u16,
    lead: (u8, u8),
    at_word: bool,
}

/// The beginnings of all rules.
#[derive(Clone, Debug)]
pub(super) struct Starts {
    automaton: Option<AhoCorasick>,
    /// For each text of the automaton, the rules, ...
    begins: Vec<Vec<Begins>>,
    /// ... and the same as a set.
    rules: Vec<Bits>,
    /// Rules of which all beginnings are known.
    known: Bits,
}

impl Starts {
    /// Of no rule.
    pub(super) fn none() -> Self {
        Self { automaton: None, begins: Vec::new(), rules: Vec::new(), known: Bits::default() }
    }

    /// Of these rules, each in its place.
    pub(super) fn of<'r>(rules: impl Iterator<Item = Option<&'r [Beginning]>>) -> Self {
        let mut starts = Self::none();
        let mut texts = std::collections::BTreeMap::<&[u8], Vec<Begins>>::new();
        for (rule, beginnings) in rules.enumerate() {
            let (Some(beginnings), Ok(number)) = (beginnings, u16::try_from(rule)) else { continue };
            starts.known.insert(rule);
            for Beginning { text, lead, at_word } in beginnings {
                texts.entry(text).or_default().push(Begins { rule: number, lead: *lead, at_word: *at_word });
            }
        }
        let automaton = AhoCorasickBuilder::new()
            .kind(Some(AhoCorasickKind::DFA))
            .ascii_case_insensitive(true)
            .build(texts.keys())
            .ok();
        // Without it every rule looks everywhere, which is as good and slower.
        if automaton.is_none() {
            return Self::none();
        }
        starts.automaton = automaton;
        for begins in texts.into_values() {
            let mut rules = Bits::default();
            begins.iter().for_each(|begins| rules.insert(usize::from(begins.rule)));
            starts.rules.push(rules);
            starts.begins.push(begins);
        }
        starts
    }

    /// Where matches of these rules may begin.
    pub(super) fn find(&self, text: &[u8], rules: &Bits) -> Found {
        let known = rules.meet(&self.known);
        let mut found = Found { known, places: Vec::new(), last: [0; RULES_MAX] };
        let Some(automaton) = self.automaton.as_ref().filter(|_| !known.is_empty()) else {
            return Found { known: Bits::default(), ..found };
        };
        for hit in automaton.find_overlapping_iter(text) {
            let at = hit.pattern().as_usize();
            if self.rules.get(at).is_none_or(|rules| rules.meet(&known).is_empty()) {
                continue;
            }
            let inside =
                hit.start().checked_sub(1).and_then(|before| text.get(before)).is_some_and(|b| is_word(*b));
            for begins in self.begins.get(at).into_iter().flatten() {
                if known.has(usize::from(begins.rule)) && !(begins.at_word && inside) {
                    for lead in begins.lead.0..=begins.lead.1 {
                        found.note(begins.rule, hit.start().checked_sub(usize::from(lead)));
                    }
                }
            }
            if found.places.len() > PLACES_MAX {
                found.known = Bits::default();
                break;
            }
        }
        found
    }
}

/// Where matches may begin in one text.
pub(super) struct Found {
    known: Bits,
    /// Places, each with the number of its rule's place before it, from one on.
    places: Vec<(u32, u32)>,
    /// The last place of each rule, as a number from one on.
    last: [u32; RULES_MAX],
}

impl Found {
    fn note(&mut self, rule: u16, place: Option<usize>) {
        let place = place.and_then(|place| u32::try_from(place).ok());
        let (Some(place), Some(last)) = (place, self.last.get_mut(usize::from(rule))) else { return };
        self.places.push((place, *last));
        *last = u32::try_from(self.places.len()).unwrap_or(0);
    }

    /// The places of a rule, each once, the last first; nothing if they are not known.
    pub(super) fn of(&self, rule: usize) -> Option<Vec<u32>> {
        if !self.known.has(rule) {
            return None;
        }
        let before = |number: u32| self.places.get((number as usize).checked_sub(1)?);
        let last = self.last.get(rule).and_then(|last| before(*last));
        let all = std::iter::successors(last, |(_, number)| before(*number));
        let mut all = all.map(|(place, _)| *place).collect::<Vec<_>>();
        // They come in the order of their ends.
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        Some(all)
    }
}

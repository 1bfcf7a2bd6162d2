//! Where in a text a match of a rule may begin: at one of the few texts that all its matches begin with.
//!
//! These beginnings are read off the pattern, with every gap in them one blank. One pass over a text folded in the same
//! way finds those of all rules that are awake in it. A rule then looks only there, and stops looking where the pattern
//! fails, instead of reading on for another beginning.
//! *Invariant*: what a rule finds is the same as if it had read the whole text.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use super::finder::{BLANK, BYTES_MAX, FOLDED, Finder, FinderBuilder, Sought, is_word};
use super::gate::{Bits, RULES_MAX};
use super::pattern::{is_all_gap, replaced, words};

/// Shortest beginning, in bytes. Shorter ones stand everywhere.
const BYTES_MIN: usize = 2;
/// Most beginnings of one way in which a rule matches, and of all of them.
const MANY_OF_ONE: usize = 400;
const MANY: usize = 1_600;
/// Most of ways that are told apart, and the shortest beginning that makes that needless.
const MANY_APART: usize = 800;
const CLEAR: usize = 6;
/// Most ways of one pattern that are told apart, one within another or not.
const WAYS_MAX: usize = 600;
/// Most bytes of a match before what is known of its beginning.
pub(super) const LEAD_MAX: usize = 2;
/// Most words of a match before what is known of it.
const LED_MAX: u32 = 6;
/// Largest class of characters of which each is a beginning of its own.
const CLASS_MAX: usize = 12;
/// Most places noted in one text; where there are more, rules look everywhere.
const PLACES_MAX: usize = 1 << 15;
/// Fewest and most bytes of a match before its beginning.
type Lead = (u8, u8);

/// How matches of a pattern begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beginning {
    /// In lower case, each gap one blank.
    text: Vec<u8>,
    lead: Lead,
    /// The match begins where a word does.
    at_word: bool,
}

/// How all matches of a pattern begin.
#[derive(Clone, Debug)]
pub(super) struct Beginnings {
    all: Vec<Beginning>,
    /// If some match begins further before than a lead may be long: it begins within so many words.
    led: Option<u32>,
}

impl Beginnings {
    /// Those of a pattern, which ignores case; nothing if they are not known, or not telling.
    pub(super) fn of(hir: &Hir) -> Option<Self> {
        let mut found = Self::none();
        add(hir, &mut found, &mut { WAYS_MAX })?;
        found.all.sort_unstable();
        found.all.dedup();
        (found.all.len() <= MANY).then_some(found)
    }

    const fn none() -> Self {
        Self { all: Vec::new(), led: None }
    }

    fn join(&mut self, other: Self) {
        self.all.extend(other.all);
        self.led = self.led.max(other.led);
    }

    /// Some matches begin so many words before what is known of them; nothing if that is too far.
    fn lead_by(&mut self, words: u32) -> Option<()> {
        self.led = self.led.max(Some(words));
        (words <= LED_MAX).then_some(())
    }

    /// How many words before what is known a match may begin, if it need not begin there.
    pub(super) const fn led(&self) -> Option<u32> {
        self.led
    }
}

/// Adds them; `left` is how many ways may still be told apart.
fn add(hir: &Hir, found: &mut Beginnings, left: &mut usize) -> Option<()> {
    let hir = inner(hir);
    if let HirKind::Alternation(ways) = hir.kind() {
        return ways.iter().try_for_each(|way| add(way, found, left));
    }
    let parts = if let HirKind::Concat(parts) = hir.kind() { parts } else { std::slice::from_ref(hir) };
    add_of(parts, found, left)
}

/// Those of what stands one after the other. What stands before them may be long: then a match begins not where they do.
fn add_of(parts: &[Hir], found: &mut Beginnings, left: &mut usize) -> Option<()> {
    let (mut least, mut most) = (0, Some(0));
    let mut at_word = false;
    for (place, part) in parts.iter().enumerate() {
        if let HirKind::Look(look) = part.kind() {
            at_word |= most == Some(0) && *look == Look::WordAscii;
            continue;
        }
        let rest = parts.get(place..).unwrap_or_default();
        let texts = texts_of(&Hir::concat(rest.iter().map(with_blanks).collect()));
        let is_clear = texts.as_ref().is_some_and(|texts| texts.iter().all(|text| text.len() >= CLEAR));
        if most == Some(0)
            && !is_clear
            && let Some(apart) = apart(parts, place, left)
            && (apart.led.is_none() || texts.is_none())
        {
            found.join(apart);
            return Some(());
        }
        if let Some(texts) = texts {
            let lead = match most {
                Some(most) => (u8::try_from(least).ok()?, u8::try_from(most).ok()?),
                None => {
                    let lead = parts.get(..place).unwrap_or_default().iter();
                    found.lead_by(lead.map(words).try_fold(0, |sum, words| Some(sum + words?))?)?;
                    (0, 0)
                }
            };
            // Only where the first byte is one of a word does the border of a word mean that one begins.
            found.all.extend(texts.into_iter().map(|text| {
                let at_word = at_word && most == Some(0) && text.first().copied().is_some_and(is_word);
                Beginning { text, lead, at_word }
            }));
            return Some(());
        }
        least += part.properties().minimum_len()?;
        most = most.and_then(|most| Some(most + part.properties().maximum_len()?));
        most = most.filter(|most| *most <= LEAD_MAX);
    }
    None
}

/// The beginnings of each way of the part in this place by itself: all ways together may be too many to be told well.
fn apart(parts: &[Hir], place: usize, left: &mut usize) -> Option<Beginnings> {
    let HirKind::Alternation(ways) = inner(parts.get(place)?).kind() else { return None };
    let mut found = Beginnings::none();
    for way in ways {
        *left = left.checked_sub(1)?;
        let with = |(at, part): (usize, &Hir)| if at == place { way.clone() } else { part.clone() };
        add(&Hir::concat(parts.iter().enumerate().map(with).collect()), &mut found, left)?;
        if found.all.len() > MANY_APART {
            return None;
        }
    }
    Some(found)
}

/// A part without what only groups it.
fn inner(part: &Hir) -> &Hir {
    if let HirKind::Capture(capture) = part.kind() { inner(&capture.sub) } else { part }
}

/// The same with one blank for each gap, or none where there need not be one.
fn with_blanks(hir: &Hir) -> Hir {
    replaced(hir, &|part| {
        let least = part.properties().minimum_len().filter(|_| is_all_gap(part))?;
        let (min, sub) = (u32::from(least > 0), Box::new(Hir::literal([BLANK])));
        Some(Hir::repetition(Repetition { min, max: Some(1), greedy: true, sub }))
    })
}

fn texts_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.limit_class(CLASS_MAX).limit_total(MANY_OF_ONE).limit_literal_len(BYTES_MAX);
    let found = extractor.extract(hir);
    let mut texts =
        found.literals()?.iter().map(|literal| fold(literal.as_bytes()).collect()).collect::<Vec<Vec<u8>>>();
    texts.sort_unstable();
    // What begins with another says no more.
    texts.dedup_by(|text, known| text.starts_with(known));
    // A match that begins with a gap may begin anywhere in it.
    let telling = |text: &Vec<u8>| text.len() >= BYTES_MIN && text.first() != Some(&BLANK);
    (!texts.is_empty() && texts.iter().all(telling)).then_some(texts)
}

/// The bytes of a text in lower case, each run of a gap as one blank.
fn fold(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut before = 0;
    text.iter().filter_map(move |byte| {
        let folded = FOLDED[usize::from(*byte)];
        let before = std::mem::replace(&mut before, folded);
        (folded != BLANK || before != BLANK).then_some(folded)
    })
}

/// The beginnings of all rules.
#[derive(Clone, Debug)]
pub(super) struct Starts {
    texts: Finder<Lead>,
    /// Rules of which all beginnings are known.
    known: Bits,
}

impl Starts {
    /// Of these rules, each in its place. A rule whose beginnings are more than fit is looked for everywhere.
    pub(super) fn of<'r>(rules: impl Iterator<Item = Option<&'r Beginnings>>) -> Self {
        let (mut texts, mut known) = (FinderBuilder::new(), Bits::default());
        for (place, beginnings) in rules.enumerate() {
            let (Some(beginnings), Ok(rule)) = (beginnings, u16::try_from(place)) else { continue };
            let mut all = beginnings.all.iter();
            let added = all.try_for_each(|Beginning { text, lead, at_word }| {
                texts.add(text, Sought { rule, at_word: *at_word, what: *lead })
            });
            if added.is_ok() {
                known.insert(place);
            }
        }
        Self { texts: texts.build(), known }
    }

    /// Where matches of these rules may begin.
    pub(super) fn find(&self, text: &[u8], rules: &Bits) -> Found {
        let mut found = Found::of(rules.meet(&self.known));
        if !found.known.is_empty() {
            let known = found.known;
            self.each(text, &known, |rule, start| found.note(rule, start));
        }
        if found.places.len() > PLACES_MAX {
            found.known = Bits::default();
        }
        found
    }

    /// The same, picked from the places of all rules, which are known already.
    pub(super) fn found(&self, rules: &Bits, places: impl Iterator<Item = (u16, usize)>) -> Found {
        let mut found = Found::of(rules.meet(&self.known));
        for (rule, place) in places {
            if found.known.has(usize::from(rule)) {
                found.note(rule, place);
            }
        }
        found
    }

    /// Tells of each place where a match of any rule may begin, in no order; of some twice.
    pub(super) fn all(&self, text: &[u8], tell: impl FnMut(u16, usize)) {
        self.each(text, &self.known, tell);
    }

    fn each(&self, text: &[u8], known: &Bits, mut tell: impl FnMut(u16, usize)) {
        self.texts.find(text, known, |rule, (least, most), start| {
            let starts = (*least..=*most).filter_map(|lead| start.checked_sub(usize::from(lead)));
            starts.for_each(|start| tell(rule, start));
        });
    }
}

/// Where matches may begin in one text.
pub(super) struct Found {
    /// Rules of which that is known.
    known: Bits,
    /// Those of them of which a match may begin anywhere.
    begun: Bits,
    /// Places, each with the number of its rule's place before it, from one on.
    places: Vec<(u32, u32)>,
    /// The last place of each rule, as a number from one on.
    last: [u32; RULES_MAX],
}

impl Found {
    /// Of these rules, of which none is found yet.
    fn of(known: Bits) -> Self {
        Self { known, begun: Bits::default(), places: Vec::new(), last: [0; RULES_MAX] }
    }

    fn note(&mut self, rule: u16, place: usize) {
        if self.places.len() > PLACES_MAX {
            return;
        }
        let (Ok(place), Some(last)) = (u32::try_from(place), self.last.get_mut(usize::from(rule))) else {
            return;
        };
        self.places.push((place, *last));
        self.begun.insert(usize::from(rule));
        *last = u32::try_from(self.places.len()).unwrap_or(0);
    }

    /// Which of these rules may match.
    pub(super) fn may_match(&self, rules: &Bits) -> Bits {
        rules.without(&self.known.without(&self.begun))
    }

    /// The places of a rule, each once, the last first; nothing if they are not known.
    pub(super) fn places(&self, rule: usize) -> Option<Vec<u32>> {
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

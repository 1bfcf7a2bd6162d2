//! Where in a text a rule may match at all: not further from its literals than a match of it may run.
//!
//! The gate says which rules have their literals anywhere; in ordinary prose, those of thirty. Here the literals' places
//! count too. *Invariant*: what a rule finds is the same as if it had read the whole text.

use std::cell::OnceCell;
use std::ops::Range;

use super::gate::{Bits, Gate, Part, RULES_MAX};
use super::pattern::Pattern;
use super::reach::Reach;

/// Most places of literals noted; where there are more, rules read the whole text.
const HITS_MAX: usize = 1 << 13;
/// A rule looks at each of its beginnings alone while that is at most so many times the bytes in question, ...
const TIMES_MAX: usize = 8;
/// ... and so many bytes more.
const BYTES_MORE: usize = 2_048;

/// So few beginnings are looked at wherever the rule's literals stand.
const STARTS_FEW: usize = 8;

/// A place of one of a rule's literals: how many words stand before its end.
#[derive(Clone, Copy)]
struct Hit {
    word: u32,
    part: Part,
    /// The rule's place before it, as a number from one on.
    before: u16,
}

/// The places of literals in one text.
struct Hits {
    all: Vec<Hit>,
    /// The last place of each rule, as a number from one on.
    last: [u16; RULES_MAX],
    /// Rules of which all places are noted.
    noted: Bits,
}

impl Hits {
    /// Of these rules' literals.
    fn of(gate: &Gate, text: &[u8], rules: &Bits, reach: &Reach<'_>) -> Self {
        let mut hits = Self { all: Vec::with_capacity(64), last: [0; RULES_MAX], noted: *rules };
        let (mut state, mut word) = (0, 0_u32);
        for (at, byte) in (0_u32..).zip(text) {
            state = gate.step(state, *byte);
            if state & gate.ended() == 0 {
                continue;
            }
            while reach.border(word).is_some_and(|border| border <= at) {
                word += 1;
            }
            gate.each(state, rules, |rule, part| hits.note(rule, word, part));
            if hits.all.len() > HITS_MAX {
                hits.noted = Bits::default();
                break;
            }
        }
        hits
    }

    fn note(&mut self, rule: usize, word: u32, part: Part) {
        let Some(last) = self.last.get_mut(rule) else { return };
        self.all.push(Hit { word, part, before: *last });
        *last = u16::try_from(self.all.len()).unwrap_or(0);
    }

    /// The words at which literals of a rule's list stand, the last first.
    fn words(&self, rule: usize, part: Part) -> impl Iterator<Item = u32> {
        let before = |number: u16| self.all.get(usize::from(number).checked_sub(1)?);
        let last = self.last.get(rule).and_then(|last| before(*last));
        let all = std::iter::successors(last, move |hit| before(hit.before));
        all.filter(move |hit| hit.part == part).map(|hit| hit.word)
    }
}

/// Where rules may match in one text.
pub(super) struct Near<'t> {
    gate: &'t Gate,
    text: &'t [u8],
    /// Rules that match only near their literals.
    bounded: Bits,
    reach: Reach<'t>,
    /// Read once they are asked for: most texts need not be.
    hits: OnceCell<Hits>,
}

impl<'t> Near<'t> {
    /// For some rules, of which these match only near their literals.
    pub(super) const fn of(gate: &'t Gate, text: &'t [u8], reach: Reach<'t>, bounded: Bits) -> Self {
        Self { gate, text, bounded, reach, hits: OnceCell::new() }
    }

    /// How far matches reach.
    pub(super) const fn reach(&self) -> &Reach<'t> {
        &self.reach
    }

    fn hits(&self) -> &Hits {
        self.hits.get_or_init(|| Hits::of(self.gate, self.text, &self.bounded, &self.reach))
    }

    /// The parts of the text in which a rule may match, the last first.
    fn parts(&self, hits: &Hits, rule: usize, reach: u32) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut seconds = hits.words(rule, Part::Second).peekable();
        let mut open = None::<Range<u32>>;
        for word in hits.words(rule, Part::First) {
            if self.gate.double().has(rule) {
                while seconds.next_if(|second| *second > word.saturating_add(reach)).is_some() {}
                if seconds.peek().is_none_or(|second| second.saturating_add(reach) < word) {
                    continue;
                }
            }
            let part = word.saturating_sub(reach)..word.saturating_add(reach);
            open = match open {
                Some(later) if later.start <= part.end => Some(part.start..later.end),
                later => {
                    parts.extend(later.map(|later| self.bytes(&later)));
                    Some(part)
                }
            };
        }
        parts.extend(open.map(|part| self.bytes(&part)));
        parts
    }

    /// From the first to the last of these words.
    fn bytes(&self, words: &Range<u32>) -> Range<usize> {
        let border = |word: u32| self.reach.border(word).map(|border| border as usize);
        let start = words.start.checked_sub(1).and_then(border).unwrap_or(0);
        start..border(words.end).unwrap_or(self.text.len())
    }

    /// The matches of a rule.
    pub(super) fn places(&self, rule: usize, pattern: &'t Pattern) -> Places<'t> {
        let (starts, whole) = (self.reach.starts(rule), 0..self.text.len());
        let (parts, look) = match starts {
            Some(starts) if starts.is_empty() => (Vec::new(), Look::InParts),
            Some(starts) if pattern.led().is_some() => {
                (joined(self.reach.parts(starts, pattern)), Look::InParts)
            }
            Some(starts) if starts.len() <= STARTS_FEW => {
                self.beginning(pattern, std::slice::from_ref(&whole), &starts)
            }
            Some(starts) => self.beginning(pattern, &self.near(rule, pattern), &starts),
            None => (self.near(rule, pattern), Look::InParts),
        };
        Places { pattern, text: self.text, left: 0..0, parts, look }
    }

    /// The parts of the text that are not too far from a rule's literals, the last first.
    fn near(&self, rule: usize, pattern: &Pattern) -> Vec<Range<usize>> {
        let reach = pattern.reach().filter(|_| self.bounded.has(rule));
        match reach.map(|reach| (reach, self.hits())).filter(|(_, hits)| hits.noted.has(rule)) {
            Some((reach, hits)) => self.parts(hits, rule, reach),
            None => std::iter::once(0..self.text.len()).collect(),
        }
    }

    /// Where to look in these parts for matches that begin there; both come the last first.
    fn beginning(
        &self,
        pattern: &Pattern,
        parts: &[Range<usize>],
        starts: &[u32],
    ) -> (Vec<Range<usize>>, Look) {
        let all = parts.iter().map(Range::len).sum::<usize>();
        let mut enough = all.saturating_mul(TIMES_MAX).saturating_add(BYTES_MORE);
        let mut starts = starts.iter().map(|start| *start as usize).peekable();
        let (mut each, mut trimmed) = (Vec::new(), Vec::new());
        for part in parts {
            while starts.next_if(|start| *start >= part.end).is_some() {}
            let mut first = None;
            while let Some(start) = starts.next_if(|start| *start >= part.start) {
                let end = part.end.min(self.reach.end_of(pattern, start));
                enough = enough.saturating_sub(end.saturating_sub(start));
                each.push(start..end);
                first = Some(start);
            }
            trimmed.extend(first.map(|first| first..part.end));
        }
        if enough > 0 { (each, Look::AtParts) } else { (trimmed, Look::InParts) }
    }
}

/// Parts, the last first, of which none overlaps another.
fn joined(parts: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for part in parts {
        match all.last_mut() {
            Some(later) if later.start <= part.end => later.start = later.start.min(part.start),
            Some(_) | None => all.push(part),
        }
    }
    all
}

/// How a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Matches stand anywhere in it.
    InParts,
    /// A match begins where it does, or there is none.
    AtParts,
}

/// The matches of a pattern, one after the other.
pub(super) struct Places<'p> {
    pattern: &'p Pattern,
    text: &'p [u8],
    /// What is left of the part that is read.
    left: Range<usize>,
    /// The other parts, the next last.
    parts: Vec<Range<usize>>,
    look: Look,
}

impl<'p> Places<'p> {
    /// All in the text.
    pub(super) const fn everywhere(pattern: &'p Pattern, text: &'p [u8]) -> Self {
        Self { pattern, text, left: 0..text.len(), parts: Vec::new(), look: Look::InParts }
    }

    /// Goes on from there, if it is further on.
    pub(super) fn pass(&mut self, to: usize) {
        self.left.start = self.left.start.max(to);
    }

    /// Whether there can be none.
    pub(super) const fn is_over(&self) -> bool {
        self.left.start >= self.left.end && self.parts.is_empty()
    }

    /// The next that begins where one of the parts does.
    fn next_at(&mut self) -> Option<Range<usize>> {
        while let Some(part) = self.parts.pop() {
            if part.start >= self.left.start
                && let Some(found) = self.pattern.find_first(self.text, part)
            {
                self.left.start = found.end.max(found.start + 1);
                return Some(found);
            }
        }
        None
    }
}

impl Iterator for Places<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.look == Look::AtParts {
            return self.next_at();
        }
        loop {
            if self.left.start < self.left.end
                && let Some(found) = self.pattern.find(self.text, self.left.clone())
            {
                self.left.start = found.end.max(found.start + 1);
                return Some(found);
            }
            let passed = self.left.start;
            self.left = self.parts.pop()?;
            self.pass(passed);
        }
    }
}

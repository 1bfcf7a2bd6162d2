//! How far matches reach in one text: where they may begin, and after which byte none that begins there goes on. That is
//! enough to tell whether one may run over a place, without looking for the rest.

use std::cell::OnceCell;
use std::ops::Range;

use super::gate::Bits;
use super::pattern::{Pattern, borders};
use super::starts::{Found, Starts};

/// Places looked at in vain before the next counts as what was looked for.
const OVERLAPS_MAX: usize = 32;

/// The words of a text, and where matches begin.
pub(super) struct Reach<'t> {
    text: &'t [u8],
    /// Read once they are asked for: most texts need not be.
    borders: OnceCell<Vec<u32>>,
    starts: Found,
}

impl<'t> Reach<'t> {
    /// For these rules.
    pub(super) fn of(starts: &Starts, text: &'t [u8], rules: &Bits) -> Self {
        Self { text, borders: OnceCell::new(), starts: starts.find(text, rules) }
    }

    /// For these rules, of which it is known where they may begin.
    pub(super) fn with(
        starts: &Starts,
        text: &'t [u8],
        rules: &Bits,
        places: impl Iterator<Item = (u16, usize)>,
    ) -> Self {
        Self { text, borders: OnceCell::new(), starts: starts.found(rules, places) }
    }

    fn borders(&self) -> &[u32] {
        self.borders.get_or_init(|| borders(self.text))
    }

    /// Where the run begins that ends a word.
    pub(super) fn border(&self, word: u32) -> Option<u32> {
        self.borders().get(word as usize).copied()
    }

    /// Which of these rules may match, of those that it was made for.
    pub(super) fn may_match(&self, rules: &Bits) -> Bits {
        self.starts.may_match(rules)
    }

    /// Where matches of a rule may begin, the last first; nothing if that is not known.
    pub(super) fn starts(&self, rule: usize) -> Option<Vec<u32>> {
        self.starts.places(rule)
    }

    /// Where matches may stand, each with one of these beginnings.
    pub(super) fn parts(&self, starts: Vec<u32>, pattern: &Pattern) -> impl Iterator<Item = Range<usize>> {
        let led = pattern.led();
        starts.into_iter().map(move |start| {
            let start = start as usize;
            let first = led.map_or(start, |words| self.words_before(start, words));
            first..self.text.len().min(self.end_of(pattern, start))
        })
    }

    /// Where the word begins that is so many, and one, before the one at `place`.
    fn words_before(&self, place: usize, words: u32) -> usize {
        let word = self.borders().partition_point(|border| (*border as usize) < place);
        let first = word.checked_sub(words as usize + 2);
        first.and_then(|word| self.borders().get(word)).map_or(0, |border| *border as usize)
    }

    /// The match in a part, if there is one.
    fn find(&self, pattern: &Pattern, part: Range<usize>) -> Option<Range<usize>> {
        if pattern.led().is_some() {
            pattern.find(self.text, part)
        } else {
            pattern.find_first(self.text, part)
        }
    }

    /// Whether a match of a rule stands anywhere, of those that begin where it was looked.
    pub(super) fn stands(&self, rule: usize, pattern: &Pattern) -> bool {
        let Some(starts) = self.starts(rule) else {
            return pattern.find(self.text, 0..self.text.len()).is_some();
        };
        let mut parts = self.parts(starts, pattern).enumerate();
        parts.any(|(turn, part)| turn == OVERLAPS_MAX || self.find(pattern, part).is_some())
    }

    /// Whether any match is what is asked for, of those that begin before the end of `within` and do not end before its
    /// start. Matches that overlap are asked about, too. It may be true where there is none.
    pub(super) fn any(
        &self,
        rule: usize,
        pattern: &Pattern,
        within: Range<usize>,
        is: impl Fn(&Range<usize>) -> bool,
    ) -> bool {
        let concerns = |part: &Range<usize>| part.start <= within.end && part.end >= within.start;
        if let Some(starts) = self.starts(rule) {
            let mut parts = self.parts(starts, pattern).filter(concerns).enumerate();
            return parts
                .any(|(turn, part)| turn == OVERLAPS_MAX || self.any_in(pattern, part, within.end, &is));
        }
        let first = pattern.span().words.map_or(0, |words| self.words_before(within.start, words));
        let part = first..self.text.len().min(self.end_of(pattern, within.end));
        self.any_within(pattern, part, within.end, &is)
    }

    /// The same in one part.
    fn any_in(
        &self,
        pattern: &Pattern,
        part: Range<usize>,
        last: usize,
        is: &impl Fn(&Range<usize>) -> bool,
    ) -> bool {
        if pattern.led().is_some() {
            return self.any_within(pattern, part, last, is);
        }
        pattern.find_first(self.text, part).is_some_and(|found| is(&found))
    }

    /// The same where it may begin anywhere in the part.
    fn any_within(
        &self,
        pattern: &Pattern,
        mut part: Range<usize>,
        last: usize,
        is: &impl Fn(&Range<usize>) -> bool,
    ) -> bool {
        for _ in 0..OVERLAPS_MAX {
            let Some(found) = pattern.find(self.text, part.clone()).filter(|found| found.start <= last)
            else {
                return false;
            };
            if is(&found) {
                return true;
            }
            part.start = found.start + 1;
        }
        true
    }

    /// No match that begins at `start` ends after this.
    pub(super) fn end_of(&self, pattern: &Pattern, start: usize) -> usize {
        let span = pattern.span();
        let bytes = span.bytes.map_or(usize::MAX, |bytes| start.saturating_add(bytes));
        let words = span.words.and_then(|words| {
            let word = self.borders().partition_point(|border| *border as usize <= start);
            self.borders().get(word.saturating_add(words as usize)).map(|border| *border as usize)
        });
        bytes.min(words.unwrap_or(usize::MAX))
    }
}

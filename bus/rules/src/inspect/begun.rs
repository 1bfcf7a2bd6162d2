//! Where matches of any rule may begin in a talk: in its tail, and in what is said after it. Each message is looked
//! through once for that, however many come after it; of a border between two only the bytes beside it are, once for
//! each way in which the two may be put together.
//!
//! It may name places where nothing begins.

use super::context::BORDER;
use super::finder::{BYTES_MAX, end_of, start_of};
use super::starts::{LEAD_MAX, Starts};

/// Most places noted; where there are more, nothing is known.
const PLACES_MAX: usize = 1_024;
/// What begins with a match reaches no further over a border, in bytes.
const BESIDE: usize = BYTES_MAX + LEAD_MAX;

/// Places in a text in which borders stand.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Rules, and where, in no order.
    places: Vec<(u16, u16)>,
    borders: Vec<u16>,
    /// Bytes of the text that were looked through.
    read: usize,
}

impl Begun {
    /// Looks through what is new in a text that begins with what was looked through before. Says whether all places are
    /// known.
    pub(super) fn read_on(&mut self, starts: &Starts, text: &str) -> bool {
        let narrow = |place: usize| u16::try_from(place).unwrap_or(u16::MAX);
        let borders = text.match_indices(BORDER).map(|(at, _)| at).collect::<Vec<_>>();
        let from = self.read.min(text.len());
        let apart = text.replace(BORDER, " ");
        let first = start_of(apart.get(..from).unwrap_or_default().as_bytes(), BESIDE);
        let mut note = |rule: u16, place: usize| {
            let place = (rule, narrow(place));
            let is_known = usize::from(place.1) < from && self.places.contains(&place);
            if !is_known && self.places.len() <= PLACES_MAX {
                self.places.push(place);
            }
        };
        starts.all(apart.as_bytes().get(first..).unwrap_or_default(), |rule, place| {
            // Whatever begins there was found before: here it may be the rest of a word.
            if place > 0 || first == 0 {
                note(rule, first + place);
            }
        });
        // Where the borders are in the text without them, and which of them are new.
        let gone = borders.iter().enumerate().map(|(before, border)| border - before).collect::<Vec<_>>();
        let new = borders.partition_point(|border| *border < from);
        if let (Some(next), Some(last)) = (gone.get(new), gone.last()) {
            let touching = text.replace(BORDER, "").into_bytes();
            let first = start_of(touching.get(..*next).unwrap_or_default(), BESIDE);
            let end = last + end_of(touching.get(*last..).unwrap_or_default(), BESIDE);
            starts.all(touching.get(first..end).unwrap_or_default(), |rule, place| {
                let place = first + place;
                note(rule, place + gone.partition_point(|border| *border <= place));
            });
        }
        self.borders = borders.into_iter().map(narrow).collect();
        self.read = text.len();
        let known = self.places.len() <= PLACES_MAX && text.len() <= usize::from(u16::MAX);
        if !known {
            *self = Self::default();
        }
        known
    }

    /// The places, where borders are `gap` bytes long: one, or none.
    pub(super) fn places(&self, gap: usize) -> impl Iterator<Item = (u16, usize)> {
        let before = move |place: u16| match gap {
            0 => self.borders.partition_point(|border| *border < place),
            _ => 0,
        };
        self.places.iter().map(move |(rule, place)| (*rule, usize::from(*place) - before(*place)))
    }

    /// Forgets what does not stand in these bytes of the text.
    pub(super) fn keep(&mut self, bytes: std::ops::Range<usize>) {
        self.places.retain_mut(|(_, place)| {
            let kept = bytes.contains(&usize::from(*place));
            *place = place.saturating_sub(u16::try_from(bytes.start).unwrap_or(u16::MAX));
            kept
        });
        self.read = self.read.min(bytes.end).saturating_sub(bytes.start);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::pattern;
    use super::super::rules::{self, RuleSet};
    use super::super::tests_near::{Dice, filler, write};
    use super::*;

    #[test]
    fn message_by_message_it_knows_every_place_that_a_look_at_all_of_them_shows() {
        let set = RuleSet::standard();
        let hirs = rules::standard().map(|rule| pattern::parse(&rule.text()).expect("its pattern"));
        let hirs = hirs.collect::<Vec<_>>();
        let (mut dice, mut seen) = (Dice(41), 0);
        for _ in 0..400 {
            let mut text = Vec::new();
            for _ in 0..3 {
                filler(&mut dice, 9, &mut text);
                let hir = dice.one(&hirs);
                write(hir, &mut dice, &mut text);
            }
            let sign = *dice.one(&["", "\u{2014}", "\u{2192} \u{4e8b}"]);
            let text = String::from_utf8_lossy(&text).replace(|c: char| c == BORDER || !c.is_ascii(), sign);
            let (mut begun, mut talk, mut rest) = (Begun::default(), String::new(), text.as_str());
            let longest = *dice.one(&[2, 4, 40]);
            while !rest.is_empty() {
                let at = (1 + dice.below(longest)).min(rest.len());
                let (piece, after) =
                    rest.split_at((at..).find(|at| rest.is_char_boundary(*at)).unwrap_or(at));
                rest = after;
                if !talk.is_empty() {
                    talk.push(BORDER);
                }
                talk.push_str(piece);
                // Not after every message is it asked.
                if dice.below(3) == 0 || rest.is_empty() {
                    assert!(begun.read_on(set.starts(), &talk), "few places");
                }
            }
            for gap in ["", " "] {
                let known = begun.places(gap.len()).collect::<BTreeSet<_>>();
                set.starts().all(talk.replace(BORDER, gap).as_bytes(), |rule, place| {
                    seen += 1;
                    assert!(known.contains(&(rule, place)), "{gap:?} {rule} at {place} of {talk:?}");
                });
            }
        }
        assert!(seen > 10_000, "only {seen} places");
    }
}

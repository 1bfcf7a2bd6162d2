//! Which of many texts stand where in another, each of which speaks for a rule: one pass of an automaton over all of them.
//! They are folded, and none begins with a gap; what is read is folded on the way, each run of gaps to one blank.

use super::automaton::{Automaton, Ends, State, TooMany, Trie};
use super::gate::{Bits, Few};
use super::pattern::is_gap;

/// What stands for a gap.
pub(super) const BLANK: u8 = b' ';
/// Longest text, in bytes.
pub(super) const BYTES_MAX: usize = 10;
/// Parts of a text that are read side by side, as in `lanes`.
const LANES: usize = 4;
/// Shorter texts are read in one piece, in bytes.
const LANES_MIN: usize = 96;

/// For each byte what stands for it: no other than a gap's has a blank.
pub(super) static FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0_u8;
    loop {
        folded[byte as usize] = if is_gap(byte) { BLANK } else { byte.to_ascii_lowercase() };
        if byte == u8::MAX {
            break folded;
        }
        byte += 1;
    }
};

/// Whether words are made of it.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Sought<T> {
    /// The rule that it speaks for.
    pub(super) rule: u16,
    /// It stands only where a word begins.
    pub(super) at_word: bool,
    /// What is to be said about it.
    pub(super) what: T,
}

/// A text that has been read to its end.
#[derive(Clone, Debug)]
struct Read<T> {
    /// Its bytes, folded.
    bytes: u8,
    sought: Sought<T>,
}

impl<T: Clone> Ends for Vec<Read<T>> {
    fn is_none(&self) -> bool {
        self.is_empty()
    }

    fn inherit(&mut self, shorter: &Self) {
        self.extend_from_slice(shorter);
    }
}

/// Collects texts.
#[derive(Debug)]
pub(super) struct FinderBuilder<T>(Trie<Vec<Read<T>>>);

impl<T: Clone> FinderBuilder<T> {
    /// Without any.
    pub(super) fn new() -> Self {
        Self(Trie::new(&FOLDED))
    }

    /// Adds a text of at most [`BYTES_MAX`] bytes.
    pub(super) fn add(&mut self, text: &[u8], sought: Sought<T>) -> Result<(), TooMany> {
        let bytes = u8::try_from(text.len()).map_err(|_| TooMany)?;
        self.0.add(text.iter().copied())?.push(Read { bytes, sought });
        Ok(())
    }

    /// Makes the automaton. However long a gap is, it is one.
    pub(super) fn build(self) -> Finder<T> {
        let (automaton, texts) = self.0.build(Some(BLANK));
        let (mut ends, mut read) = (Vec::with_capacity(texts.len() + 1), Vec::new());
        for own in texts {
            let mut rules = Bits::default();
            own.iter().for_each(|read: &Read<T>| rules.insert(usize::from(read.sought.rule)));
            ends.push(End { rules: Few::of(&rules), from: read.len() });
            read.extend(own);
        }
        ends.push(End { rules: Few::default(), from: read.len() });
        Finder { automaton, ends, read }
    }
}

/// What ends in one state. What is its own ends where the next one's begins.
#[derive(Clone, Copy, Debug)]
struct End {
    rules: Few,
    from: usize,
}

/// Finds them.
#[derive(Clone)]
pub(super) struct Finder<T> {
    automaton: Automaton,
    /// For each state in which a text ends.
    ends: Vec<End>,
    read: Vec<Read<T>>,
}

impl<T> std::fmt::Debug for Finder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finder").field("texts", &self.read.len()).finish_non_exhaustive()
    }
}

impl<T> Finder<T> {
    /// Tells of each text of these rules where it stands in another, in no order; of some twice.
    pub(super) fn find(&self, text: &[u8], rules: &Bits, mut tell: impl FnMut(u16, &T, usize)) {
        let (few, automaton) = (Few::of(rules), &self.automaton);
        let mut told = |state: State, end: usize| {
            let text = text.get(..end).unwrap_or_default();
            if let [.., before, last] = text
                && is_gap(*before)
                && is_gap(*last)
            {
                // It was told of where the gap began.
                return;
            }
            let mut known = None;
            for Read { bytes, sought } in self.read_in(state, few) {
                if !rules.has(usize::from(sought.rule)) {
                    continue;
                }
                let start = known.filter(|(length, _)| length == bytes).map(|(_, start)| start);
                let start = start.unwrap_or_else(|| start_of(text, usize::from(*bytes)));
                known = Some((*bytes, start));
                let before = start.checked_sub(1).and_then(|before| text.get(before));
                if !sought.at_word || !before.copied().is_some_and(is_word) {
                    tell(sought.rule, &sought.what, start);
                }
            }
        };
        let pieces = pieces(text);
        let least = pieces.iter().map(|piece| piece.len()).min().unwrap_or(0);
        let read = pieces
            .clone()
            .map(|piece| text.get(piece).and_then(|piece| piece.get(..least)).unwrap_or_default());
        let mut states = [0; LANES];
        for at in 0..least {
            let mut seen = 0;
            for (state, lane) in states.iter_mut().zip(read) {
                *state = automaton.step(*state, lane[at]);
                seen |= *state;
            }
            if seen & automaton.ended() != 0 {
                // A copy, so that the states themselves stay in registers.
                for (state, piece) in { states }.into_iter().zip(&pieces) {
                    if state & automaton.ended() != 0 {
                        told(state, piece.start + at + 1);
                    }
                }
            }
        }
        for (mut state, piece) in states.into_iter().zip(pieces) {
            let from = piece.start + least;
            for (end, byte) in (from + 1..).zip(text.get(from..piece.end).unwrap_or_default()) {
                state = automaton.step(state, *byte);
                if state & automaton.ended() != 0 {
                    told(state, end);
                }
            }
        }
    }

    /// What ends in a state, if it may be of these rules.
    fn read_in(&self, state: State, rules: Few) -> &[Read<T>] {
        match self
            .automaton
            .ended_at(state)
            .and_then(|at| self.ends.get(at..))
            .and_then(|ends| ends.first_chunk())
        {
            Some([own, next]) if own.rules.may_meet(rules) => {
                self.read.get(own.from..next.from).unwrap_or_default()
            }
            Some(_) | None => &[],
        }
    }
}

/// The parts of a text that are read side by side: each begins so far before its own that whatever ends in its own begins
/// in it.
fn pieces(text: &[u8]) -> [std::ops::Range<usize>; LANES] {
    let mut pieces = [const { 0..0 }; LANES];
    if text.len() < LANES_MIN {
        pieces[0] = 0..text.len();
        return pieces;
    }
    let overlap = BYTES_MAX - 1;
    let share = (text.len() + overlap * (LANES - 1)).div_ceil(LANES);
    let mut end = 0;
    for (number, piece) in pieces.iter_mut().enumerate() {
        let start = start_of(text.get(..end).unwrap_or_default(), overlap);
        let to = if number == LANES - 1 { text.len() } else { text.len().min(end.max(start + share)) };
        *piece = start..to;
        end = to;
    }
    pieces
}

/// Where the first so many bytes of a text end, each gap counted as one.
pub(super) fn end_of(text: &[u8], bytes: usize) -> usize {
    let mut end = 0;
    for _ in 0..bytes {
        let Some((byte, after)) = text.get(end..).and_then(<[u8]>::split_first) else { break };
        let gap = if is_gap(*byte) { after.iter().take_while(|byte| is_gap(**byte)).count() } else { 0 };
        end += 1 + gap;
    }
    end
}

/// Where the last so many bytes of a text begin, each gap counted as one.
pub(super) fn start_of(text: &[u8], bytes: usize) -> usize {
    let mut start = text.len();
    for _ in 0..bytes {
        let Some((byte, before)) = text.get(..start).and_then(<[u8]>::split_last) else { return 0 };
        let gap =
            if is_gap(*byte) { before.iter().rev().take_while(|byte| is_gap(**byte)).count() } else { 0 };
        start = before.len() - gap;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::{Bits, FinderBuilder, Sought};

    const TEXTS: [&str; 8] = ["ab", "abc", "ba", "abd", "ab", "a b", "cab", "x "];

    fn told(rules: &[usize], text: &str) -> Vec<(usize, u16)> {
        let mut builder = FinderBuilder::new();
        for (rule, text) in (0..).zip(TEXTS) {
            builder.add(text.as_bytes(), Sought { rule, at_word: rule == 6, what: () }).expect("few texts");
        }
        let (finder, mut asked, mut told) = (builder.build(), Bits::default(), Vec::new());
        rules.iter().for_each(|rule| asked.insert(*rule));
        finder.find(text.as_bytes(), &asked, |rule, (), at| told.push((at, rule)));
        told.sort_unstable();
        told.dedup();
        told
    }

    #[test]
    fn it_tells_of_every_text_that_stands_in_another() {
        let all = [0, 1, 2, 3, 4, 5, 6];
        assert_eq!(told(&all, "abcd"), [(0, 0), (0, 1), (0, 4)]);
        assert_eq!(told(&all, "x aBABD"), [(2, 0), (2, 4), (3, 2), (4, 0), (4, 3), (4, 4)]);
        assert!(told(&all, "a").is_empty() && told(&all, "").is_empty() && told(&all, "b c").is_empty());
        assert_eq!(told(&[1, 2], "abcd"), [(0, 1)]);
        assert!(told(&[2], "abcd").is_empty());
    }

    #[test]
    fn a_gap_is_one_blank_and_some_stand_only_where_a_word_begins() {
        assert_eq!(told(&[5], "a ,\n* b a,c a  "), [(0, 5)]);
        assert_eq!(told(&[7], "x , yx\n x"), [(0, 7), (5, 7)]);
        assert_eq!(told(&[6], "cab xcab _cab (cab"), [(0, 6), (15, 6)]);
    }

    #[test]
    fn where_a_text_is_parted_to_be_read_side_by_side_does_not_matter() {
        for gap in ["", " ", " , \n", &" ".repeat(70)] {
            let unit = format!("cab{gap}dx. a{gap}b, ");
            for before in 0..40 {
                let text = format!("{}{}", "-".repeat(before), unit.repeat(12));
                let cabs = (0..12).map(|n| (before + n * unit.len(), 6));
                let apart = (0..12).filter(|_| !gap.is_empty());
                let apart = apart.map(|n| (before + n * unit.len() + 3 + gap.len() + 4, 5));
                let mut all: Vec<_> = cabs.chain(apart).collect();
                all.sort_unstable();
                assert_eq!(told(&[5, 6], &text), all, "{gap:?} {before}");
            }
        }
    }
}

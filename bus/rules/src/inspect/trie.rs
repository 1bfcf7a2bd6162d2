//! Which of many texts stand where in another, each of which speaks for a rule. They have two bytes at least: the first two
//! tell at once whether it is worth while to read on for the rules in question. They are folded, and none begins with a
//! blank; what is read is folded on the way.

use std::collections::{BTreeMap, VecDeque};

use super::gate::Bits;
use super::pattern::is_gap;

/// What stands for a gap.
pub(super) const BLANK: u8 = b' ';

/// For each byte what stands for it: no other than a gap's has a blank.
pub(super) const FOLDED: [u8; 256] = {
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

/// For each byte whether words are made of it.
const WORD: [bool; 256] = {
    let mut word = [false; 256];
    let mut byte = 0_u8;
    loop {
        word[byte as usize] = is_word(byte);
        if byte == u8::MAX {
            break word;
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

/// Rules of texts.
#[derive(Clone, Debug, Default)]
struct Rules {
    /// Of those that stand anywhere.
    anywhere: Bits,
    all: Bits,
}

impl Rules {
    fn note<T>(&mut self, sought: &Sought<T>) {
        self.all.insert(usize::from(sought.rule));
        if !sought.at_word {
            self.anywhere.insert(usize::from(sought.rule));
        }
    }

    /// Those of texts that stand where a word begins, or does not.
    const fn of(&self, at_word: bool) -> &Bits {
        if at_word { &self.all } else { &self.anywhere }
    }
}

/// Collects texts.
#[derive(Debug)]
pub(super) struct TrieBuilder<T> {
    nodes: Vec<Growing<T>>,
}

#[derive(Debug)]
struct Growing<T> {
    edges: BTreeMap<u8, usize>,
    said: Vec<Sought<T>>,
    /// Of all texts from here on.
    rules: Rules,
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self { edges: BTreeMap::new(), said: Vec::new(), rules: Rules::default() }
    }
}

impl<T> Default for TrieBuilder<T> {
    fn default() -> Self {
        Self { nodes: vec![Growing::default()] }
    }
}

impl<T> TrieBuilder<T> {
    /// Adds a text of two bytes at least.
    pub(super) fn add(&mut self, text: &[u8], sought: Sought<T>) {
        let mut number = 0;
        for byte in text {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(number) else { return };
            number = *node.edges.entry(*byte).or_insert(new);
            if number == new {
                self.nodes.push(Growing::default());
            }
            if let Some(node) = self.nodes.get_mut(number) {
                node.rules.note(&sought);
            }
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.said.push(sought);
        }
    }

    /// Puts the nodes close together, those under one node in a row.
    pub(super) fn build(self) -> Trie<T> {
        let mut trie = Trie {
            nodes: Vec::with_capacity(self.nodes.len() + 1),
            edges: Vec::new(),
            said: Vec::new(),
            pairs: Pairs::default(),
        };
        let mut growing: Vec<_> = self.nodes.into_iter().map(Some).collect();
        let (mut order, mut pairs) = (VecDeque::from([(0, Vec::new())]), Vec::new());
        while let Some((number, way)) = order.pop_front() {
            let Some(node) = growing.get_mut(number).and_then(Option::take) else { continue };
            trie.begin(Few::of(&node.rules.all));
            for (byte, to) in node.edges {
                trie.edges.push(byte);
                // Longer ways are no pairs.
                order.push_back((to, way.iter().copied().chain([byte]).take(3).collect()));
            }
            trie.said.extend(node.said);
            if let [first, second] = way[..] {
                let number = u32::try_from(trie.nodes.len() - 1).unwrap_or(0);
                pairs.push(([first, second], Under { node: number, rules: node.rules }));
            }
        }
        trie.begin(Few::default());
        trie.pairs = Pairs::of(pairs);
        trie
    }
}

/// A set of rules, told by few bits: what has none in common with another has no rule in common.
#[derive(Clone, Copy, Debug, Default)]
struct Few(u64);

impl Few {
    fn of(rules: &Bits) -> Self {
        Self(rules.iter().fold(0, |few, rule| few | 1 << (rule % 64)))
    }

    const fn may_meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What begins with two bytes.
#[derive(Clone, Debug)]
struct Under {
    node: u32,
    rules: Rules,
}

/// The first two bytes of all texts.
#[derive(Clone, Debug)]
struct Pairs {
    /// Which class a byte is of; those that are none of the first two of any text are of none, 0.
    classes: [u8; 256],
    /// A row is for all first bytes of a class, and as long as this.
    width: usize,
    /// For each pair of classes, the rules of texts that stand anywhere and of those that stand where a word begins.
    few: Vec<[Few; 2]>,
    /// For each pair of classes a place in `under`.
    places: Vec<u16>,
    under: Vec<Under>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { classes: [0; 256], width: 1, few: Vec::new(), places: Vec::new(), under: Vec::new() }
    }
}

impl Pairs {
    fn of(pairs: Vec<([u8; 2], Under)>) -> Self {
        let (mut all, mut used) = (Self::default(), 0_u8);
        for byte in pairs.iter().flat_map(|(pair, _)| *pair) {
            if all.classes[usize::from(byte)] == 0 {
                used = used.saturating_add(1);
                let alike = (0..=u8::MAX).filter(|other| FOLDED[usize::from(*other)] == byte);
                alike.for_each(|other| all.classes[usize::from(other)] = used);
            }
        }
        all.width = usize::from(used) + 1;
        all.few = vec![<[Few; 2]>::default(); all.width * all.width];
        all.places = vec![0; all.few.len()];
        for ([first, second], under) in pairs {
            let place = all.place(all.class(first), all.class(second));
            if let (Some(few), Some(number)) = (all.few.get_mut(place), all.places.get_mut(place)) {
                *few = [false, true].map(|at_word| Few::of(under.rules.of(at_word)));
                *number = u16::try_from(all.under.len()).unwrap_or(0);
                all.under.push(under);
            }
        }
        all
    }

    fn class(&self, byte: u8) -> u8 {
        self.classes[usize::from(byte)]
    }

    /// No larger than a square of 256.
    fn place(&self, first: u8, second: u8) -> usize {
        usize::from(first).wrapping_mul(self.width).wrapping_add(usize::from(second))
    }

    fn may_begin(&self, place: usize, at_word: bool, few: Few) -> bool {
        self.few.get(place).is_some_and(|known| known[usize::from(at_word)].may_meet(few))
    }

    fn under(&self, place: usize) -> Option<&Under> {
        self.under.get(usize::from(*self.places.get(place)?))
    }
}

/// What was read so far, as the beginning of some text. What is its own ends where the next one's begins.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first of its edges; each leads to the node that comes one place after it in the order of all.
    edges: u32,
    said: u32,
    /// Of all texts from here on.
    rules: Few,
}

/// The texts.
#[derive(Clone, Debug)]
pub(super) struct Trie<T> {
    nodes: Vec<Node>,
    edges: Vec<u8>,
    said: Vec<Sought<T>>,
    pairs: Pairs,
}

impl<T> Trie<T> {
    fn begin(&mut self, rules: Few) {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(0);
        self.nodes.push(Node { edges: narrow(self.edges.len()), said: narrow(self.said.len()), rules });
    }

    /// Only the texts of these rules.
    pub(super) fn asking<'t>(&'t self, rules: &'t Bits) -> Asking<'t, T> {
        Asking { trie: self, rules, few: Few::of(rules) }
    }
}

/// The texts of some rules.
pub(super) struct Asking<'t, T> {
    trie: &'t Trie<T>,
    rules: &'t Bits,
    few: Few,
}

/// Where one may stand, of which two bytes are read.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) at: usize,
    at_word: bool,
    node: u32,
}

impl<T> Asking<'_, T> {
    /// Where in a text they may stand, as long as `go_on` says so.
    #[inline]
    pub(super) fn openings(&self, text: &[u8], mut go_on: impl FnMut(Opening) -> bool) {
        let pairs = &self.trie.pairs;
        let (mut first, mut inside) = (0, [false; 2]);
        for (end, byte) in text.iter().enumerate() {
            let second = pairs.class(*byte);
            let place = pairs.place(std::mem::replace(&mut first, second), second);
            // Of the byte before the first, and of the first.
            let at_word = !inside[0];
            inside = [inside[1], WORD[usize::from(*byte)]];
            if pairs.may_begin(place, at_word, self.few)
                && let Some(node) = self.under(place, at_word)
                && !go_on(Opening { at: end.saturating_sub(1), at_word, node })
            {
                return;
            }
        }
    }

    /// The node behind a pair, if any of the texts begins with it.
    fn under(&self, place: usize, at_word: bool) -> Option<u32> {
        let under = self.trie.pairs.under(place)?;
        under.rules.of(at_word).meets(self.rules).then_some(under.node)
    }

    /// Tells of each that stands there in the text.
    pub(super) fn walk(&self, opening: Opening, text: &[u8], tell: &mut impl FnMut(u16, &T)) {
        let (trie, Opening { at, at_word, node }) = (self.trie, opening);
        let mut rest = text.get(at + 1..).unwrap_or_default().iter();
        let mut last = rest.next().map_or(0, |byte| FOLDED[usize::from(*byte)]);
        let mut number = node as usize;
        while let Some([node, next]) = trie.nodes.get(number..).and_then(|nodes| nodes.first_chunk()) {
            if !node.rules.may_meet(self.few) {
                return;
            }
            let said = trie.said.get(node.said as usize..next.said as usize).unwrap_or_default();
            for sought in said.iter().filter(|sought| at_word || !sought.at_word) {
                if self.rules.has(usize::from(sought.rule)) {
                    tell(sought.rule, &sought.what);
                }
            }
            let edges = trie.edges.get(node.edges as usize..next.edges as usize).unwrap_or_default();
            let mut folded = rest.by_ref().map(|byte| FOLDED[usize::from(*byte)]);
            let Some(byte) = folded.find(|byte| *byte != BLANK || last != BLANK) else { return };
            let Some(edge) = edges.iter().position(|edge| *edge == byte) else { return };
            (number, last) = (node.edges as usize + edge + 1, byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Sought, TrieBuilder};

    fn told(rules: &[usize], text: &str) -> Vec<(usize, u16)> {
        let mut builder = TrieBuilder::default();
        for (rule, text) in (0..).zip(["ab", "abc", "ba", "abd", "ab", "a b", "cab"]) {
            builder.add(text.as_bytes(), Sought { rule, at_word: rule == 6, what: () });
        }
        let (trie, mut asked, mut told) = (builder.build(), Bits::default(), Vec::new());
        rules.iter().for_each(|rule| asked.insert(*rule));
        let asking = trie.asking(&asked);
        asking.openings(text.as_bytes(), |opening| {
            asking.walk(opening, text.as_bytes(), &mut |rule, ()| told.push((opening.at, rule)));
            true
        });
        told
    }

    #[test]
    fn it_tells_of_every_text_that_stands_in_another() {
        let all = [0, 1, 2, 3, 4, 5, 6];
        assert_eq!(told(&all, "abcd"), [(0, 0), (0, 4), (0, 1)]);
        assert_eq!(told(&all, "x aBABD"), [(2, 0), (2, 4), (3, 2), (4, 0), (4, 4), (4, 3)]);
        assert!(told(&all, "a").is_empty() && told(&all, "").is_empty() && told(&all, "b c").is_empty());
        assert_eq!(told(&[1, 2], "abcd"), [(0, 1)]);
        assert!(told(&[2], "abcd").is_empty());
    }

    #[test]
    fn a_gap_is_one_blank_and_some_stand_only_where_a_word_begins() {
        assert_eq!(told(&[5], "a ,\n* b a,c a  "), [(0, 5)]);
        assert_eq!(told(&[6], "cab xcab _cab (cab"), [(0, 6), (15, 6)]);
    }
}

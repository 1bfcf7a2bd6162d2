//! Which of many texts a text begins with, each of which speaks for a rule. Texts have two bytes at least: the first two
//! tell at once whether it is worth while to read on for the rules in question.

use std::collections::BTreeMap;
use std::ops::Range;

use super::gate::Bits;

/// Collects texts, each with the rule that it speaks for and something to be said about that.
#[derive(Debug)]
pub(super) struct TrieBuilder<T> {
    nodes: Vec<Growing<T>>,
}

#[derive(Debug)]
struct Growing<T> {
    edges: BTreeMap<u8, usize>,
    said: Vec<(u16, T)>,
    /// Of all texts from here on.
    rules: Bits,
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self { edges: BTreeMap::new(), said: Vec::new(), rules: Bits::default() }
    }
}

impl<T> Default for TrieBuilder<T> {
    fn default() -> Self {
        Self { nodes: vec![Growing::default()] }
    }
}

impl<T> TrieBuilder<T> {
    /// Adds a text of two bytes at least.
    pub(super) fn add(&mut self, text: &[u8], rule: u16, what: T) {
        let mut number = 0;
        for byte in text {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(number) else { return };
            number = *node.edges.entry(*byte).or_insert(new);
            if number == new {
                self.nodes.push(Growing::default());
            }
            if let Some(node) = self.nodes.get_mut(number) {
                node.rules.insert(usize::from(rule));
            }
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.said.push((rule, what));
        }
    }

    /// Puts the nodes close together.
    pub(super) fn build(self) -> Trie<T> {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(0);
        let (mut classes, mut used) = ([0_u8; 256], 0_u8);
        let (mut firsts, mut pairs) = (Vec::new(), Vec::new());
        for (first, to) in self.nodes.first().into_iter().flat_map(|root| &root.edges) {
            let Some(node) = self.nodes.get(*to) else { continue };
            firsts.push((*first, node.rules));
            pairs.extend(node.edges.iter().map(|(second, to)| (*first, *second, *to)));
        }
        for byte in pairs.iter().flat_map(|(first, second, _): &(u8, u8, usize)| [*first, *second]) {
            let class = &mut classes[usize::from(byte)];
            if *class == 0 {
                used = used.saturating_add(1);
                *class = used;
            }
        }
        let width = usize::from(used) + 1;
        let mut trie = Trie {
            classes,
            width,
            pairs: vec![0; width * width],
            under: vec![(Bits::default(), 0)],
            firsts,
            nodes: Vec::with_capacity(self.nodes.len()),
            edges: Vec::new(),
            said: Vec::new(),
        };
        for (first, second, to) in pairs {
            let place = trie.pair(first, second);
            let Some(node) = self.nodes.get(to) else { continue };
            if let Some(pair) = trie.pairs.get_mut(place) {
                *pair = u16::try_from(trie.under.len()).unwrap_or(0);
                trie.under.push((node.rules, narrow(to)));
            }
        }
        for node in self.nodes {
            let first = (narrow(trie.edges.len()), narrow(trie.said.len()));
            trie.edges.extend(node.edges.into_iter().map(|(byte, to)| (byte, narrow(to))));
            trie.said.extend(node.said);
            let (edges, said) = (first.0..narrow(trie.edges.len()), first.1..narrow(trie.said.len()));
            trie.nodes.push(Node { edges, said, rules: Few::of(&node.rules) });
        }
        trie
    }
}

/// What was read so far, as the beginning of some text.
#[derive(Clone, Debug)]
struct Node {
    edges: Range<u32>,
    said: Range<u32>,
    /// Of all texts from here on.
    rules: Few,
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

/// The texts.
#[derive(Clone, Debug)]
pub(super) struct Trie<T> {
    /// Which class a byte is of; those that are none of the first two of any text are of none, 0.
    classes: [u8; 256],
    width: usize,
    /// For each pair of classes the place in `under`.
    pairs: Vec<u16>,
    /// The rules of all texts with these two bytes, and the node behind them.
    under: Vec<(Bits, u32)>,
    /// First bytes, each with the rules of all its texts.
    firsts: Vec<(u8, Bits)>,
    nodes: Vec<Node>,
    edges: Vec<(u8, u32)>,
    said: Vec<(u16, T)>,
}

impl<T> Trie<T> {
    fn pair(&self, first: u8, second: u8) -> usize {
        usize::from(self.classes[usize::from(first)]) * self.width
            + usize::from(self.classes[usize::from(second)])
    }

    /// Only the texts of these rules.
    pub(super) fn asking<'t>(&'t self, rules: &'t Bits) -> Asking<'t, T> {
        let mut first = [false; 256];
        for (byte, _) in self.firsts.iter().filter(|(_, own)| own.meets(rules)) {
            first[usize::from(*byte)] = true;
        }
        Asking { trie: self, rules, few: Few::of(rules), first }
    }
}

/// The texts of some rules.
pub(super) struct Asking<'t, T> {
    trie: &'t Trie<T>,
    rules: &'t Bits,
    few: Few,
    first: [bool; 256],
}

impl<T> Asking<'_, T> {
    /// Whether any begins with this byte.
    pub(super) fn begins(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }

    /// Tells what is said of each that `text` begins with.
    pub(super) fn walk(&self, mut text: impl Iterator<Item = u8>, tell: &mut impl FnMut(u16, &T)) {
        let trie = self.trie;
        let (Some(first), Some(second)) = (text.next(), text.next()) else { return };
        let pair = trie.pairs.get(trie.pair(first, second)).map_or(0, |pair| usize::from(*pair));
        let Some((_, number)) = trie.under.get(pair).filter(|(under, _)| under.meets(self.rules)) else {
            return;
        };
        let mut number = *number;
        while let Some(node) = trie.nodes.get(number as usize).filter(|node| node.rules.may_meet(self.few)) {
            let said = trie.said.get(node.said.start as usize..node.said.end as usize).unwrap_or_default();
            for (rule, what) in said.iter().filter(|(rule, _)| self.rules.has(usize::from(*rule))) {
                tell(*rule, what);
            }
            let edges = trie.edges.get(node.edges.start as usize..node.edges.end as usize);
            let Some(byte) = text.next() else { return };
            let Some((_, next)) = edges.unwrap_or_default().iter().find(|(edge, _)| *edge == byte) else {
                return;
            };
            number = *next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, TrieBuilder};

    #[test]
    fn it_tells_of_every_text_that_another_begins_with() {
        let mut builder = TrieBuilder::default();
        for (rule, text) in (0..).zip(["ab", "abc", "ba", "abd", "ab"]) {
            builder.add(text.as_bytes(), rule, ());
        }
        let trie = builder.build();
        let told = |text: &str, rules: &[usize]| {
            let (mut told, mut asked) = (Vec::new(), Bits::default());
            rules.iter().for_each(|rule| asked.insert(*rule));
            trie.asking(&asked).walk(text.bytes(), &mut |rule, ()| told.push(rule));
            told
        };
        let begins = |byte: u8, rule: usize| {
            let mut asked = Bits::default();
            asked.insert(rule);
            trie.asking(&asked).begins(byte)
        };
        assert!(begins(b'a', 0) && begins(b'b', 2) && !begins(b'a', 2) && !begins(b'c', 0));
        let all = [0, 1, 2, 3, 4];
        assert_eq!(told("abcd", &all), [0, 4, 1]);
        assert_eq!(told("ab", &all), [0, 4]);
        assert_eq!(told("ba", &all), [2]);
        assert!(told("a", &all).is_empty() && told("", &all).is_empty() && told("cab", &all).is_empty());
        assert_eq!(told("abcd", &[1, 2]), [1]);
        assert!(told("abcd", &[2]).is_empty());
    }
}

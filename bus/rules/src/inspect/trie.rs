//! Texts by their first bytes: which of many a text begins with. Knows nothing of what they are for.

use std::collections::BTreeMap;

/// Collects texts, each with something to be said of what begins with it.
#[derive(Debug)]
pub(super) struct TrieBuilder<T> {
    nodes: Vec<(BTreeMap<u8, usize>, Vec<T>)>,
}

impl<T> Default for TrieBuilder<T> {
    fn default() -> Self {
        Self { nodes: vec![(BTreeMap::new(), Vec::new())] }
    }
}

impl<T> TrieBuilder<T> {
    /// Adds a text.
    pub(super) fn add(&mut self, text: &[u8], what: T) {
        let mut node = 0;
        for byte in text {
            let new = self.nodes.len();
            let Some((edges, _)) = self.nodes.get_mut(node) else { return };
            node = *edges.entry(*byte).or_insert(new);
            if node == new {
                self.nodes.push((BTreeMap::new(), Vec::new()));
            }
        }
        if let Some((_, said)) = self.nodes.get_mut(node) {
            said.push(what);
        }
    }

    /// Puts the nodes close together.
    pub(super) fn build(self) -> Trie<T> {
        let mut trie = Trie { first: [0; 256], nodes: Vec::new(), edges: Vec::new(), said: Vec::new() };
        let narrow = |n: usize| u32::try_from(n).unwrap_or(0);
        for (number, (edges, said)) in self.nodes.into_iter().enumerate() {
            if number == 0 {
                edges.iter().for_each(|(byte, to)| trie.first[usize::from(*byte)] = narrow(*to));
            }
            let first = (narrow(trie.edges.len()), narrow(trie.said.len()));
            trie.edges.extend(edges.into_iter().map(|(byte, to)| (byte, narrow(to))));
            trie.said.extend(said);
            trie.nodes.push(Node {
                edges: first.0..narrow(trie.edges.len()),
                said: first.1..narrow(trie.said.len()),
            });
        }
        trie
    }
}

/// What was read so far, as the beginning of some text.
#[derive(Clone, Debug)]
struct Node {
    edges: std::ops::Range<u32>,
    said: std::ops::Range<u32>,
}

/// The texts.
#[derive(Clone, Debug)]
pub(super) struct Trie<T> {
    /// The node after each first byte; none is 0.
    first: [u32; 256],
    nodes: Vec<Node>,
    edges: Vec<(u8, u32)>,
    said: Vec<T>,
}

impl<T> Trie<T> {
    /// Tells what is said of each of the texts that `text` begins with.
    pub(super) fn walk(&self, text: &[u8], tell: &mut impl FnMut(&[T])) {
        let Some((first, rest)) = text.split_first() else { return };
        let mut number = self.first[usize::from(*first)];
        let mut rest = rest.iter();
        while let Some(node) = self.nodes.get(number as usize).filter(|_| number != 0) {
            let said = self.said.get(node.said.start as usize..node.said.end as usize).unwrap_or_default();
            if !said.is_empty() {
                tell(said);
            }
            let edges = self.edges.get(node.edges.start as usize..node.edges.end as usize);
            let Some(byte) = rest.next() else { return };
            let next = edges.unwrap_or_default().iter().find(|(edge, _)| edge == byte);
            number = next.map_or(0, |(_, to)| *to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TrieBuilder;

    #[test]
    fn it_tells_of_every_text_that_another_begins_with() {
        let mut builder = TrieBuilder::default();
        for (number, text) in ["ab", "abc", "b", "abd", "ab"].into_iter().enumerate() {
            builder.add(text.as_bytes(), number);
        }
        let trie = builder.build();
        let told = |text: &str| {
            let mut told = Vec::new();
            trie.walk(text.as_bytes(), &mut |said: &[usize]| told.extend_from_slice(said));
            told
        };
        assert_eq!(told("abcd"), [0, 4, 1]);
        assert_eq!(told("ab"), [0, 4]);
        assert_eq!(told("b"), [2]);
        assert!(told("a").is_empty() && told("").is_empty() && told("cab").is_empty());
    }
}

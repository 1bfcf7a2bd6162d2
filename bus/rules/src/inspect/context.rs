//! What was said just before: a bounded tail of text for each pair of sender and receiver, so that a payload split
//! over consecutive messages is seen. Pure: who owns it decides whose messages it sees, and in what order.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Inspection, Inspector, Scratch, Severity};

/// Longest tail kept of one pair, in bytes.
pub const TAIL_BYTES_MAX: usize = 512;
/// Most pairs of which a tail is kept; the least recent one gives way.
pub const PAIRS_MAX: usize = 1_024;

/// Stands in a tail where one message ended. A text may have been parted between words or within one.
const BORDER: char = '\u{1f}';

#[derive(Debug, Default)]
struct Tail {
    text: String,
    used: u64,
}

/// The tails of many pairs, each known by a key of the caller's.
#[derive(Debug)]
pub struct Context<K> {
    tails: HashMap<K, Tail>,
    clock: u64,
}

impl<K> Default for Context<K> {
    fn default() -> Self {
        Self { tails: HashMap::new(), clock: 0 }
    }
}

impl<K: Clone + Eq + Hash> Context<K> {
    /// Vets a body by itself and after what this pair was told before, and remembers its end if it may be delivered.
    /// A verdict that needed the tail says so.
    pub fn inspect(
        &mut self,
        inspector: &Inspector,
        scratch: &mut Scratch,
        pair: &K,
        content_type: &str,
        body: &[u8],
    ) -> Inspection {
        let mut inspection = inspector.inspect_with(scratch, content_type, body);
        if inspection.blocks() {
            return inspection;
        }
        let text = scratch.text(content_type, body);
        if let Some(tail) = self.tails.get(pair) {
            inspection = after(inspector, &tail.text, &text, inspection);
        }
        if !inspection.blocks() && !text.is_empty() {
            self.remember(pair, &text);
        }
        inspection
    }

    /// Forgets a pair, as when a link closes.
    pub fn forget(&mut self, pair: &K) {
        self.tails.remove(pair);
    }

    /// How many pairs are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tails.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    fn remember(&mut self, pair: &K, text: &str) {
        self.clock += 1;
        if self.tails.len() >= PAIRS_MAX && !self.tails.contains_key(pair) {
            let oldest = self.tails.iter().min_by_key(|(_, tail)| tail.used).map(|(pair, _)| pair.clone());
            oldest.inspect(|pair| drop(self.tails.remove(pair)));
        }
        let tail = self.tails.entry(pair.clone()).or_default();
        tail.used = self.clock;
        let joined = format!("{}{BORDER}{text}", tail.text);
        tail.text.clear();
        tail.text.push_str(end_of(&joined, TAIL_BYTES_MAX));
    }
}

/// The same verdict, or that of the text together with what came before if that alone makes it grave.
fn after(inspector: &Inspector, tail: &str, text: &str, alone: Inspection) -> Inspection {
    let head = head_of(text, TAIL_BYTES_MAX);
    for gap in ["", " "] {
        let tail = tail.replace(BORDER, gap);
        let before = inspector.inspect_text(&tail);
        let joined = inspector.inspect_text(&format!("{tail}{gap}{head}"));
        let grave = |alert: &&super::Alert| {
            alert.severity == Severity::High && !before.alerts().iter().any(|known| known.rule == alert.rule)
        };
        if joined.alerts().iter().any(|alert| grave(&alert)) {
            return Inspection { context: true, ..joined };
        }
    }
    alone
}

fn head_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

fn end_of(text: &str, bytes: usize) -> &str {
    let start = (text.len().saturating_sub(bytes)..=text.len()).find(|start| text.is_char_boundary(*start));
    text.get(start.unwrap_or_default()..).unwrap_or_default()
}

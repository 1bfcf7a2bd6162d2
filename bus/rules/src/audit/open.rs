//! Which records still have copies under way, while a log is being written: retention keeps those, or a crash could
//! not settle them.
//!
//! Knows how many copies a record has open, not which.

use std::collections::BTreeMap;

use super::record::Event;

/// Open copies by the index of their verdicts. As large as what is under way, which every queue bounds.
#[derive(Debug, Default)]
pub struct OpenCopies(BTreeMap<u64, u64>);

impl OpenCopies {
    /// Takes in the record at `index`; records come in order.
    pub fn note(&mut self, index: u64, event: &Event) {
        match event {
            Event::Verdicts(verdicts) => {
                self.open(index, verdicts.envelopes.iter().map(|one| u64::from(one.verdict.copies())).sum());
            }
            Event::Outcomes(outcomes) => {
                if let Some(open) = self.0.get_mut(&outcomes.of) {
                    *open = open.saturating_sub(outcomes.outcomes.len() as u64);
                    if *open == 0 {
                        self.0.remove(&outcomes.of);
                    }
                }
            }
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => {}
        }
    }

    /// The record at `index` allowed so many.
    pub fn open(&mut self, index: u64, copies: u64) {
        if copies > 0 {
            self.0.insert(index, copies);
        }
    }

    /// The first record that has any.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(index, _)| *index)
    }
}

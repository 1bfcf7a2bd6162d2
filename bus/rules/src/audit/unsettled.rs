//! What a log leaves open: a message has a copy for each of its receivers, and each copy has one outcome.
//!
//! Knows how many copies are open, not whose they are.

use std::collections::BTreeMap;

use super::Settlement;
use super::outcome::{Cause, Outcome, OutcomeOf, Outcomes};

/// Copies of allowed messages without an outcome: how many by position, by the index of their verdicts.
#[derive(Debug, Default)]
pub struct Unsettled(BTreeMap<u64, BTreeMap<u16, u32>>);

impl Unsettled {
    /// Takes in what the record at `index` says; records come in order.
    pub fn note(&mut self, index: u64, settlement: Settlement) {
        match settlement {
            Settlement::None => {}
            Settlement::Opens { copies } if copies.is_empty() => {}
            Settlement::Opens { copies } => {
                self.0.insert(index, copies.into_iter().collect());
            }
            Settlement::Settles { of, positions } => self.settle(of, &positions),
        }
    }

    fn settle(&mut self, of: u64, positions: &[u16]) {
        let Some(open) = self.0.get_mut(&of) else { return };
        for position in positions {
            match open.get_mut(position) {
                Some(copies @ 2..) => *copies -= 1,
                Some(_) => _ = open.remove(position),
                None => {}
            }
        }
        if open.is_empty() {
            self.0.remove(&of);
        }
    }

    /// Failed by the crash, every copy, in records of at most [`Outcomes::MAX`]; made one after the other, so
    /// that many subscribers take no memory.
    pub fn into_crashed(self) -> impl Iterator<Item = Outcomes> {
        self.0.into_iter().flat_map(|(of, open)| {
            let failed = |position| OutcomeOf { position, outcome: Outcome::Failed(Cause::Crash) };
            let copies = open
                .into_iter()
                .flat_map(move |(position, copies)| (0..copies).map(move |_| failed(position)));
            Outcomes::split(of, None, copies)
        })
    }
}

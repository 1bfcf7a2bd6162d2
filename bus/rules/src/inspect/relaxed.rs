//! A pattern without its counts: whatever the pattern matches, this matches too, and what it does not match is told
//! much sooner. "At most eight words" makes an automaton of many states, each of which is made when a text first leads
//! there; "any number of words" makes one of few.

use std::cell::Cell;

use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::pattern::replaced;

/// Counts up to this are kept.
const KEPT: u32 = 2;

/// The pattern without its counts; nothing where there are none.
pub(super) fn relaxed(hir: &Hir) -> Option<Hir> {
    let is_counted = Cell::new(false);
    let relaxed = without_counts(hir, &is_counted);
    is_counted.get().then_some(relaxed)
}

/// The same pattern if it has none; notes whether it has.
fn without_counts(hir: &Hir, is_counted: &Cell<bool>) -> Hir {
    replaced(hir, &|part| match part.kind() {
        HirKind::Repetition(counted) if counted.max.is_some_and(|max| max > KEPT) => {
            is_counted.set(true);
            let sub = Box::new(without_counts(&counted.sub, is_counted));
            let (min, greedy) = (counted.min.min(1), counted.greedy);
            Some(Hir::repetition(Repetition { min, max: None, greedy, sub }))
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => None,
    })
}

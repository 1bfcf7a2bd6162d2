//! A pattern without its counts: whatever the pattern matches, this matches too, and what it does not match is told
//! much sooner. "At most eight words" makes an automaton of many states, each of which is made when a text first leads
//! there; "any number of words" makes one of few.

use regex_syntax::hir::{Hir, HirKind, Repetition};

/// Counts up to this are kept.
const KEPT: u32 = 2;

/// The pattern without its counts; nothing where there are none.
pub(super) fn relaxed(hir: &Hir) -> Option<Hir> {
    is_counted(hir).then(|| without_counts(hir))
}

fn is_counted(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Repetition(repetition) => {
            repetition.max.is_some_and(|max| max > KEPT) || is_counted(&repetition.sub)
        }
        HirKind::Capture(capture) => is_counted(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(is_counted),
    }
}

fn without_counts(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(without_counts(&repetition.sub));
            let counted = repetition.max.is_some_and(|max| max > KEPT);
            let (min, max) =
                if counted { (repetition.min.min(1), None) } else { (repetition.min, repetition.max) };
            Hir::repetition(Repetition { min, max, greedy: repetition.greedy, sub })
        }
        HirKind::Capture(capture) => without_counts(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_counts).collect()),
        HirKind::Alternation(ways) => Hir::alternation(ways.iter().map(without_counts).collect()),
    }
}

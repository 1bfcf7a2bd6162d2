//! The rules in use, which may be replaced while the guard works, and the tails of what was vetted by them.
//!
//! Knows nothing of where rules come from: whoever replaces them has found them good.

use std::sync::Arc;

use arc_swap::ArcSwap;
use testudo_rules::inspect::{Context, Inspector};
use testudo_rules::pipeline::Pair;

/// The rules in use; readers do not wait for each other.
#[derive(Debug)]
pub(super) struct Rules(ArcSwap<Inspector>);

impl Rules {
    pub(super) fn new(inspector: Inspector) -> Self {
        Self(ArcSwap::from_pointee(inspector))
    }

    /// Those of now, for as long as one bundle takes.
    pub(super) fn now(&self) -> Arc<Inspector> {
        self.0.load_full()
    }

    pub(super) fn set(&self, inspector: Inspector) {
        self.0.store(Arc::new(inspector));
    }
}

/// What was said last between each pair, and by which rules it was vetted.
#[derive(Debug, Default)]
pub(super) struct Tails {
    pub(super) kept: Context<Pair>,
    by: Option<Arc<Inspector>>,
}

impl Tails {
    /// The rules of now. When they are others, what was quiet under the old ones is looked at again.
    pub(super) fn under(&mut self, rules: &Rules) -> Arc<Inspector> {
        let now = rules.now();
        if !self.by.as_ref().is_some_and(|by| Arc::ptr_eq(by, &now)) {
            self.kept.rules_changed();
            self.by = Some(now.clone());
        }
        now
    }
}

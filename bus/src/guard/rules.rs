//! The rules in use, which may be replaced while the guard works.
//!
//! Knows nothing of where rules come from: whoever replaces them has found them good.

use std::sync::Arc;

use arc_swap::ArcSwap;
use testudo_rules::inspect::Inspector;

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

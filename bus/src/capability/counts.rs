//! How often a token's meaning was known already: one that is new costs a signature check for each of its blocks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Copy, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByCache {
    cache: &'static str,
}

const HIT: ByCache = ByCache { cache: "hit" };
const MISS: ByCache = ByCache { cache: "miss" };

/// Counted by the actor, read by anybody.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    reads: Family<ByCache, Counter>,
    kept: Gauge<i64>,
}

impl Default for Counts {
    /// All zero, and all there.
    fn default() -> Self {
        let reads = Family::<ByCache, Counter>::default();
        for by in [HIT, MISS] {
            drop(reads.get_or_create(&by));
        }
        Self { reads, kept: Gauge::default() }
    }
}

impl Counts {
    pub(super) fn hit(&self) {
        self.reads.get_or_create(&HIT).inc();
    }

    /// Also one that was no good: it was looked for.
    pub(super) fn miss(&self) {
        self.reads.get_or_create(&MISS).inc();
    }

    pub(super) fn kept(&self, tokens: usize) {
        self.kept.set(i64::try_from(tokens).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "token_reads",
            "Tokens read, by whether their meaning was cached",
            self.reads.clone(),
        );
        registry.register("tokens_cached", "Tokens whose meaning is cached", self.kept.clone());
    }
}

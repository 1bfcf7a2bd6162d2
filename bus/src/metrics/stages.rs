//! How long the stages of a bundle's way take, what the log is like, and which program this is.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// A part of the way of a bundle.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Stage {
    /// Waiting for the guard.
    Wait,
    /// Decoding, binding, freshness, signature, authority.
    Assess,
    /// The content guard.
    Inspect,
    /// Finding receivers and room.
    Reserve,
    /// Writing the record.
    Record,
    /// Into the receivers' queues.
    HandOver,
}

impl Stage {
    const ALL: [Self; 6] =
        [Self::Wait, Self::Assess, Self::Inspect, Self::Reserve, Self::Record, Self::HandOver];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Assess => "assess",
            Self::Inspect => "inspect",
            Self::Reserve => "reserve",
            Self::Record => "record",
            Self::HandOver => "hand_over",
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByStage {
    stage: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByVerdict {
    verdict: &'static str,
}

/// From ten microseconds to a second.
const BUCKETS: [f64; 11] = [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 1.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The audit log at one instant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AuditSizes {
    /// Records written, with those that retention removed.
    pub records: u64,
    /// How many are on disk for good.
    pub durable: u64,
    /// The first one that is there.
    pub first: u64,
    /// Whether records are being written.
    pub works: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Stages {
    stages: Family<ByStage, Histogram, fn() -> Histogram>,
    verdicts: Family<ByVerdict, Counter>,
    records: Gauge<u64, AtomicU64>,
    lag: Gauge<u64, AtomicU64>,
    first: Gauge<u64, AtomicU64>,
    works: Gauge<u64, AtomicU64>,
}

impl Default for Stages {
    fn default() -> Self {
        let stages: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(histogram);
        for stage in Stage::ALL {
            drop(stages.get_or_create(&ByStage { stage: stage.as_str() }));
        }
        let verdicts = Family::<ByVerdict, Counter>::default();
        for verdict in ["allowed", "refused"] {
            drop(verdicts.get_or_create(&ByVerdict { verdict }));
        }
        let [records, lag, first, works] = std::array::from_fn(|_| Gauge::default());
        Self { stages, verdicts, records, lag, first, works }
    }
}

impl Stages {
    pub(super) fn took(&self, stage: Stage, time: Duration) {
        self.stages.get_or_create(&ByStage { stage: stage.as_str() }).observe(time.as_secs_f64());
    }

    pub(super) fn judged(&self, verdict: &'static str, n: usize) {
        self.verdicts.get_or_create(&ByVerdict { verdict }).inc_by(n as u64);
    }

    pub(super) fn register(&self, registry: &mut Registry, sizes: &AuditSizes) {
        self.records.set(sizes.records);
        self.lag.set(sizes.records.saturating_sub(sizes.durable));
        self.first.set(sizes.first);
        self.works.set(u64::from(sizes.works));
        registry.register("verdicts", "Messages by what the node decided", self.verdicts.clone());
        registry.register("stage_seconds", "Time that a bundle spends in a stage", self.stages.clone());
        registry.register("audit_records", "Records on the audit log", self.records.clone());
        registry.register("audit_lag_records", "Records that are not on disk for good yet", self.lag.clone());
        registry.register("audit_first_record", "The first record that retention left", self.first.clone());
        registry.register("audit_up", "Whether records are being written", self.works.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which program this is", build);
    }
}

//! What is counted, in the names that operators expect: Prometheus conventions, no unbounded label.
//!
//! The accounting law stands here: submitted == delivered + failed + dropped + queued + in flight.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use testudo_wire::Refusal;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Reason(Refusal);

impl prometheus_client::encoding::EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        prometheus_client::encoding::EncodeLabelValue::encode(
            &self.0.as_str().replace(' ', "_").as_str(),
            encoder,
        )
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByReason {
    reason: Reason,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByOutcome {
    outcome: &'static str,
}

/// Messages by where they are in their life, at one instant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Account {
    /// Messages in bundles that could be decoded.
    pub submitted: u64,
    /// Acknowledged by their receiver.
    pub delivered: u64,
    /// Refused by the node or the receiver, or lost with a link.
    pub failed: u64,
    /// Given up before hand-over.
    pub dropped: u64,
    /// Waiting for their receiver's link.
    pub queued: u64,
    /// Handed over and not yet acknowledged.
    pub in_flight: u64,
}

impl Account {
    /// The law.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.submitted == self.delivered + self.failed + self.dropped + self.queued + self.in_flight
    }
}

/// The node's counters. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    submitted: Counter,
    outcomes: Family<ByOutcome, Counter>,
    queued: Gauge<i64>,
    in_flight: Gauge<i64>,
    refusals: Family<ByReason, Counter>,
    bundles: Counter,
    bundles_refused: Family<ByReason, Counter>,
    handshakes_refused: Counter,
    links: Gauge<i64>,
    guard_faults: Counter,
    audit_records: Gauge<u64, AtomicU64>,
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Metrics {
    /// Messages that came in a decodable bundle.
    pub fn submitted(&self, n: usize) {
        self.bundles.inc();
        self.submitted.inc_by(n as u64);
    }

    /// A message that a verdict refused.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&ByReason { reason: Reason(refusal) }).inc();
        self.outcome("failed", 1);
    }

    /// A bundle refused whole, with so many messages if it could be decoded.
    pub fn bundle_refused(&self, refusal: Refusal, messages: usize) {
        self.bundles_refused.get_or_create(&ByReason { reason: Reason(refusal) }).inc();
        for _ in 0..messages {
            self.refused(refusal);
        }
    }

    fn outcome(&self, outcome: &'static str, n: usize) {
        self.outcomes.get_or_create(&ByOutcome { outcome }).inc_by(n as u64);
    }

    /// Messages that took their place in a receiver's queue.
    pub fn queued(&self, n: usize) {
        self.queued.inc_by(count(n));
    }

    /// Messages that went from the queue to the receiver's stream.
    pub fn handed_over(&self, n: usize) {
        self.queued.dec_by(count(n));
        self.in_flight.inc_by(count(n));
    }

    /// Messages given up in the queue.
    pub fn dropped(&self, n: usize) {
        self.queued.dec_by(count(n));
        self.outcome("dropped", n);
    }

    /// Messages that their receiver acknowledged.
    pub fn delivered(&self, n: usize) {
        self.in_flight.dec_by(count(n));
        self.outcome("delivered", n);
    }

    /// Messages handed over that came to no good end.
    pub fn failed(&self, n: usize) {
        self.in_flight.dec_by(count(n));
        self.outcome("failed", n);
    }

    /// A handshake that was turned away.
    pub fn handshake_refused(&self) {
        self.handshakes_refused.inc();
    }

    /// A link opened.
    pub fn link_opened(&self) {
        self.links.inc();
    }

    /// A link ended.
    pub fn link_closed(&self) {
        self.links.dec();
    }

    /// The guard failed on a bundle.
    pub fn guard_fault(&self) {
        self.guard_faults.inc();
    }

    /// How often the guard failed.
    #[must_use]
    pub fn guard_faults(&self) -> u64 {
        self.guard_faults.get()
    }

    /// Open links.
    #[must_use]
    pub fn links(&self) -> u64 {
        u64::try_from(self.links.get()).unwrap_or_default()
    }

    /// Messages refused so far, by reason; none is left out.
    #[must_use]
    pub fn refusals(&self) -> Vec<(Refusal, u64)> {
        let one = |refusal: &Refusal| {
            let counter = self.refusals.get(&ByReason { reason: Reason(*refusal) }).map_or(0, |c| c.get());
            (*refusal, counter)
        };
        Refusal::ALL.iter().map(one).filter(|(_, n)| *n > 0).collect()
    }

    /// Bundles refused whole, of any reason.
    #[must_use]
    pub fn bundles_refused(&self) -> u64 {
        let one = |refusal: &Refusal| {
            self.bundles_refused.get(&ByReason { reason: Reason(*refusal) }).map_or(0, |c| c.get())
        };
        Refusal::ALL.iter().map(one).sum()
    }

    /// The account at this instant.
    #[must_use]
    pub fn account(&self) -> Account {
        let outcome = |outcome| self.outcomes.get(&ByOutcome { outcome }).map_or(0, |c| c.get());
        Account {
            submitted: self.submitted.get(),
            delivered: outcome("delivered"),
            failed: outcome("failed"),
            dropped: outcome("dropped"),
            queued: u64::try_from(self.queued.get()).unwrap_or_default(),
            in_flight: u64::try_from(self.in_flight.get()).unwrap_or_default(),
        }
    }

    /// The text form of the Prometheus exposition format.
    ///
    /// # Errors
    /// The formatter's, which has none.
    pub fn render(&self, audit_records: u64) -> Result<String, std::fmt::Error> {
        self.audit_records.set(audit_records);
        let mut registry = Registry::with_prefix("testudo");
        registry.register(
            "messages_submitted",
            "Messages in bundles that could be decoded",
            self.submitted.clone(),
        );
        registry.register("messages", "Messages by outcome", self.outcomes.clone());
        registry.register(
            "messages_queued",
            "Messages waiting for their receiver's link",
            self.queued.clone(),
        );
        registry.register("messages_in_flight", "Messages not yet acknowledged", self.in_flight.clone());
        registry.register("refusals", "Messages refused, by reason", self.refusals.clone());
        registry.register("bundles", "Bundles decoded", self.bundles.clone());
        registry.register(
            "bundles_refused",
            "Bundles refused whole, by reason",
            self.bundles_refused.clone(),
        );
        registry.register("handshakes_refused", "Handshakes turned away", self.handshakes_refused.clone());
        registry.register("links", "Open links", self.links.clone());
        registry.register(
            "guard_faults",
            "Bundles on which the guard itself failed",
            self.guard_faults.clone(),
        );
        registry.register("audit_records", "Records on the audit log", self.audit_records.clone());
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

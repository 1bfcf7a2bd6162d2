//! What is counted, in the names that operators expect: Prometheus conventions, no unbounded label, every series
//! there from the start.
//!
//! The accounting law stands here. A message counts once for each receiver it is routed to, and once if it is
//! refused or has no receiver; every such copy is at one place of its life at every instant:
//! submitted == delivered + failed + dropped + queued + in flight. And each end has a reason: dropped == the sum of
//! `drops`, failed == the sum of `refusals` (never routed) and `failures` (handed over).

mod stages;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use testudo_rules::audit::Cause;
use testudo_wire::Refusal;

pub use stages::AuditSizes;
pub(crate) use stages::Stage;
use stages::Stages;
pub use testudo_rules::account::Account;

/// One of the words of a closed enum.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Words(&'static str);

impl EncodeLabelValue for Words {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.replace(' ', "_").as_str(), encoder)
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByReason {
    reason: Words,
}

impl ByReason {
    const fn refusal(refusal: Refusal) -> Self {
        Self { reason: Words(refusal.as_str()) }
    }

    const fn cause(cause: Cause) -> Self {
        Self { reason: Words(cause.as_str()) }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ByOutcome {
    outcome: &'static str,
}

/// The ends that a copy can have.
const OUTCOMES: [&str; 3] = ["delivered", "dropped", "failed"];

/// The node's counters. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    submitted: Counter,
    outcomes: Family<ByOutcome, Counter>,
    drops: Family<ByReason, Counter>,
    failures: Family<ByReason, Counter>,
    queued: Gauge<i64>,
    in_flight: Gauge<i64>,
    refusals: Family<ByReason, Counter>,
    bundles: Counter,
    bundles_refused: Family<ByReason, Counter>,
    handshakes_refused: Counter,
    links: Gauge<i64>,
    subscriptions: Gauge<i64>,
    guard_faults: Counter,
    stages: Stages,
}

impl Default for Metrics {
    /// All zero, and all there: an alert on a series that appears with its first count misses that count.
    fn default() -> Self {
        let words = |words: &[&'static str]| {
            let family = Family::<ByReason, Counter>::default();
            for reason in words {
                drop(family.get_or_create(&ByReason { reason: Words(reason) }));
            }
            family
        };
        let refusals: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
        let outcomes = Family::<ByOutcome, Counter>::default();
        for outcome in OUTCOMES {
            drop(outcomes.get_or_create(&ByOutcome { outcome }));
        }
        Self {
            submitted: Counter::default(),
            outcomes,
            drops: words(Cause::WORDS),
            failures: words(Cause::WORDS),
            queued: Gauge::default(),
            in_flight: Gauge::default(),
            refusals: words(&refusals),
            bundles: Counter::default(),
            bundles_refused: words(&refusals),
            handshakes_refused: Counter::default(),
            links: Gauge::default(),
            subscriptions: Gauge::default(),
            guard_faults: Counter::default(),
            stages: Stages::default(),
        }
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn value(family: &Family<ByReason, Counter>, of: &ByReason) -> u64 {
    family.get(of).map_or(0, |counter| counter.get())
}

fn by_cause(family: &Family<ByReason, Counter>) -> Vec<(&'static str, u64)> {
    let one = |words: &&'static str| (*words, value(family, &ByReason { reason: Words(words) }));
    Cause::WORDS.iter().map(one).filter(|(_, n)| *n > 0).collect()
}

impl Metrics {
    /// One bundle, and the copies that its messages come to: see the law above.
    pub fn submitted(&self, copies: usize) {
        self.bundles.inc();
        self.submitted.inc_by(copies as u64);
    }

    /// A stage of a bundle's way took so long.
    pub(crate) fn took(&self, stage: Stage, time: std::time::Duration) {
        self.stages.took(stage, time);
    }

    /// So many messages were allowed.
    pub(crate) fn allowed(&self, messages: usize) {
        self.stages.judged("allowed", messages);
    }

    /// A message that a verdict refused.
    pub fn refused(&self, refusal: Refusal) {
        self.stages.judged("refused", 1);
        self.refusals.get_or_create(&ByReason::refusal(refusal)).inc();
        self.outcome("failed", 1);
    }

    /// A bundle refused whole, with so many messages if it could be decoded.
    pub fn bundle_refused(&self, refusal: Refusal, messages: usize) {
        self.bundles_refused.get_or_create(&ByReason::refusal(refusal)).inc();
        for _ in 0..messages {
            self.refused(refusal);
        }
    }

    fn outcome(&self, outcome: &'static str, n: usize) {
        self.outcomes.get_or_create(&ByOutcome { outcome }).inc_by(n as u64);
    }

    /// Copies that took their place in a receiver's queue.
    pub fn queued(&self, n: usize) {
        self.queued.inc_by(count(n));
    }

    /// Copies that went from the queue to the receiver's stream.
    pub fn handed_over(&self, n: usize) {
        self.queued.dec_by(count(n));
        self.in_flight.inc_by(count(n));
    }

    /// Copies given up in the queue.
    pub fn dropped(&self, cause: Cause, n: usize) {
        self.queued.dec_by(count(n));
        self.dropped_at_once(cause, n);
    }

    /// Copies that no queue ever held: no room at a subscriber, or a topic without one.
    pub fn dropped_at_once(&self, cause: Cause, n: usize) {
        self.drops.get_or_create(&ByReason::cause(cause)).inc_by(n as u64);
        self.outcome("dropped", n);
    }

    /// Copies that their receiver acknowledged.
    pub fn delivered(&self, n: usize) {
        self.in_flight.dec_by(count(n));
        self.outcome("delivered", n);
    }

    /// Copies handed over that came to no good end.
    pub fn failed(&self, cause: Cause, n: usize) {
        self.in_flight.dec_by(count(n));
        self.failures.get_or_create(&ByReason::cause(cause)).inc_by(n as u64);
        self.outcome("failed", n);
    }

    /// A link receives one more topic.
    pub fn subscribed(&self) {
        self.subscriptions.inc();
    }

    /// Subscriptions that ended, one or all of a link.
    pub fn unsubscribed(&self, n: usize) {
        self.subscriptions.dec_by(count(n));
    }

    /// Subscriptions of all links.
    #[must_use]
    pub fn subscriptions(&self) -> u64 {
        u64::try_from(self.subscriptions.get()).unwrap_or_default()
    }

    /// Copies dropped so far, by the words of their cause; none is left out.
    #[must_use]
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        by_cause(&self.drops)
    }

    /// Copies that failed after hand-over so far, by the words of their cause; none is left out.
    #[must_use]
    pub fn failures(&self) -> Vec<(&'static str, u64)> {
        by_cause(&self.failures)
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
        let one = |refusal: &Refusal| (*refusal, value(&self.refusals, &ByReason::refusal(*refusal)));
        Refusal::ALL.iter().map(one).filter(|(_, n)| *n > 0).collect()
    }

    /// Bundles refused whole, of any reason.
    #[must_use]
    pub fn bundles_refused(&self) -> u64 {
        let one = |refusal: &Refusal| value(&self.bundles_refused, &ByReason::refusal(*refusal));
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
    pub fn render(&self, sizes: &AuditSizes) -> Result<String, std::fmt::Error> {
        self.render_with(sizes, |_| {})
    }

    /// The same with what `more` adds to it.
    ///
    /// # Errors
    /// The formatter's, which has none.
    pub fn render_with(
        &self,
        sizes: &AuditSizes,
        more: impl FnOnce(&mut Registry),
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("testudo");
        let copies =
            "Copies of messages: one for each receiver routed to, one if refused or without a receiver";
        registry.register("messages_submitted", copies, self.submitted.clone());
        registry.register("messages", "Copies of messages by outcome", self.outcomes.clone());
        registry.register("drops", "Copies given up before hand-over, by reason", self.drops.clone());
        registry.register(
            "failures",
            "Copies handed over that came to no good end, by reason",
            self.failures.clone(),
        );
        registry.register("messages_queued", "Copies waiting for their receiver's link", self.queued.clone());
        registry.register("messages_in_flight", "Copies not yet acknowledged", self.in_flight.clone());
        registry.register("refusals", "Messages refused, by reason", self.refusals.clone());
        registry.register("bundles", "Bundles that came", self.bundles.clone());
        registry.register(
            "bundles_refused",
            "Bundles refused whole, by reason",
            self.bundles_refused.clone(),
        );
        registry.register("handshakes_refused", "Handshakes turned away", self.handshakes_refused.clone());
        registry.register("links", "Open links", self.links.clone());
        registry.register("subscriptions", "Topics that links receive", self.subscriptions.clone());
        registry.register(
            "guard_faults",
            "Bundles on which the guard itself failed",
            self.guard_faults.clone(),
        );
        more(&mut registry);
        self.stages.register(&mut registry, sizes);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;

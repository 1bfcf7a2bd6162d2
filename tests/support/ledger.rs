//! The audit log as an oracle: what a test saw must stand there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use testudo_bus::audit::LogReader;
use testudo_bus::metrics::{Account, Metrics};
use testudo_rules::audit::{Event, LinkChange, LinkEvent, Outcome, Record, RegistryChange, Verdict};
use testudo_wire::{AgentName, MessageId, Refusal};

/// A whole log, read.
#[derive(Debug)]
pub(crate) struct Ledger {
    records: Vec<Record>,
}

/// Messages by what the log says became of them.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) refused: BTreeMap<MessageId, Refusal>,
    pub(crate) delivered: BTreeSet<MessageId>,
    pub(crate) dropped: BTreeSet<MessageId>,
    pub(crate) failed: BTreeSet<MessageId>,
    pub(crate) open: BTreeSet<MessageId>,
}

impl Ledger {
    pub(crate) fn read(dir: &Path) -> Self {
        let mut reader = LogReader::new(dir, 0);
        let mut records = Vec::new();
        while let Some((index, record)) = reader.next_record().unwrap() {
            assert_eq!(index, records.len() as u64);
            records.push(record);
        }
        Self { records }
    }

    /// What became of every message that has a verdict. Each outcome is told once.
    pub(crate) fn fates(&self) -> Fates {
        let mut fates = Fates::default();
        for record in &self.records {
            match &record.event {
                Event::Verdicts(verdicts) => {
                    for envelope in &verdicts.envelopes {
                        match &envelope.verdict {
                            Verdict::Allowed { .. } => _ = fates.open.insert(envelope.message),
                            Verdict::Refused { refusal, .. } => {
                                fates.refused.insert(envelope.message, *refusal);
                            }
                        }
                    }
                }
                Event::Outcomes(outcomes) => {
                    let of = &self.records[usize::try_from(outcomes.of).unwrap()].event;
                    let Event::Verdicts(verdicts) = of else { panic!("outcomes of {of:?}") };
                    for one in &outcomes.outcomes {
                        let message = verdicts.envelopes[usize::from(one.position)].message;
                        assert!(fates.open.remove(&message), "a second outcome, or one without a verdict");
                        match one.outcome {
                            Outcome::Delivered => fates.delivered.insert(message),
                            Outcome::Dropped(_) => fates.dropped.insert(message),
                            Outcome::Failed(_) => fates.failed.insert(message),
                        };
                    }
                }
                Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => {}
            }
        }
        fates
    }

    /// The node's account says what the log says. Messages of bundles refused whole stand on the log as
    /// bundles only; the counter of refusals knows how many they were.
    #[track_caller]
    pub(crate) fn agrees_with(&self, account: &Account, metrics: &Metrics) {
        let fates = self.fates();
        let refused: u64 = metrics.refusals().iter().map(|(_, n)| n).sum();
        let (verdicts, failed) = (fates.refused.len() as u64, fates.failed.len() as u64);
        assert!(account.is_balanced(), "{account:?}");
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
        assert!(fates.open.is_empty(), "no outcome: {:?}", fates.open);
        assert_eq!(account.delivered, fates.delivered.len() as u64, "{account:?}");
        assert_eq!(account.dropped, fates.dropped.len() as u64, "{account:?}");
        assert_eq!(account.failed, failed + refused, "{account:?}");
        assert!(verdicts <= refused, "{verdicts} refusals on the log, {refused} counted");
    }

    /// Bundles refused whole, in order.
    pub(crate) fn refused_bundles(&self) -> Vec<Refusal> {
        let of = |record: &Record| match &record.event {
            Event::BundleRefused(refused) => Some(refused.refusal),
            Event::Link(_)
            | Event::Node(_)
            | Event::Outcomes(_)
            | Event::Registry(_)
            | Event::Verdicts(_) => None,
        };
        self.records.iter().filter_map(of).collect()
    }

    /// What was recorded of links, in order.
    pub(crate) fn links(&self) -> impl Iterator<Item = &LinkEvent> {
        self.records.iter().filter_map(|record| match &record.event {
            Event::Link(link) => Some(link),
            Event::BundleRefused(_)
            | Event::Node(_)
            | Event::Outcomes(_)
            | Event::Registry(_)
            | Event::Verdicts(_) => None,
        })
    }

    /// How often a link of this agent opened.
    pub(crate) fn opened(&self, agent: AgentName) -> usize {
        let of = |link: &&LinkEvent| link.agent == Some(agent) && link.what == LinkChange::Opened;
        self.links().filter(of).count()
    }

    /// What the registry recorded of an agent, in order.
    pub(crate) fn changes(&self, agent: AgentName) -> Vec<RegistryChange> {
        let of = |record: &Record| match &record.event {
            Event::Registry(event) if event.agent == Some(agent) => Some(event.change),
            Event::BundleRefused(_)
            | Event::Link(_)
            | Event::Node(_)
            | Event::Outcomes(_)
            | Event::Registry(_)
            | Event::Verdicts(_) => None,
        };
        self.records.iter().filter_map(of).collect()
    }
}

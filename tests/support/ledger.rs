//! The audit log as an oracle: what a test saw must stand there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use testudo_bus::audit::LogReader;
use testudo_bus::metrics::{Account, Metrics};
use testudo_rules::audit::{
    Cause, Event, LinkChange, LinkEvent, Outcome, Outcomes, Record, RegistryChange, Verdict, Verdicts,
};
use testudo_wire::{AgentName, MessageId, Refusal};

/// A whole log, read.
#[derive(Debug)]
pub(crate) struct Ledger {
    records: Vec<Record>,
}

/// What the log says became of messages, and of each of their copies. A message whose copies came to several
/// ends stands in several of the sets.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) refused: BTreeMap<MessageId, Refusal>,
    pub(crate) delivered: BTreeSet<MessageId>,
    pub(crate) dropped: BTreeSet<MessageId>,
    pub(crate) failed: BTreeSet<MessageId>,
    pub(crate) open: BTreeSet<MessageId>,
    /// Allowed, but routed to nobody: dropped without an outcome, one entry for each verdict.
    pub(crate) unrouted: Vec<MessageId>,
    /// Every outcome.
    pub(crate) copies: Vec<Fate>,
}

/// What became of one copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fate {
    pub(crate) message: MessageId,
    /// Whose copy; `None` when a crash left it open.
    pub(crate) to: Option<AgentName>,
    pub(crate) outcome: Outcome,
}

impl Fates {
    /// What one receiver acknowledged.
    pub(crate) fn delivered_to(&self, agent: AgentName) -> BTreeSet<MessageId> {
        let of = |fate: &&Fate| fate.to == Some(agent) && fate.outcome == Outcome::Delivered;
        self.copies.iter().filter(of).map(|fate| fate.message).collect()
    }

    /// Copies dropped, by cause; those of messages that were routed to nobody among them.
    fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut drops = self.causes(|outcome| match outcome {
            Outcome::Dropped(cause) => Some(cause),
            Outcome::Delivered | Outcome::Failed(_) => None,
        });
        if !self.unrouted.is_empty() {
            *drops.entry(Cause::NoReceiver.as_str()).or_default() += self.unrouted.len() as u64;
        }
        drops
    }

    /// Copies that failed, by cause.
    fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.causes(|outcome| match outcome {
            Outcome::Failed(cause) => Some(cause),
            Outcome::Delivered | Outcome::Dropped(_) => None,
        })
    }

    fn causes(&self, of: impl Fn(Outcome) -> Option<Cause>) -> BTreeMap<&'static str, u64> {
        let mut causes = BTreeMap::new();
        for cause in self.copies.iter().filter_map(|fate| of(fate.outcome)) {
            *causes.entry(cause.as_str()).or_default() += 1;
        }
        causes
    }
}

/// Copies that have no outcome yet, and whose have one, by record and position.
#[derive(Default)]
struct Open {
    left: BTreeMap<(u64, u16), (MessageId, u32)>,
    told: BTreeSet<(u64, u16, AgentName)>,
}

impl Fates {
    fn judged(&mut self, index: u64, verdicts: &Verdicts, open: &mut Open) {
        for (position, envelope) in (0..).zip(&verdicts.envelopes) {
            match &envelope.verdict {
                Verdict::Allowed { copies: 0, .. } => self.unrouted.push(envelope.message),
                Verdict::Allowed { copies, .. } => {
                    open.left.insert((index, position), (envelope.message, *copies));
                }
                Verdict::Refused { refusal, .. } => {
                    self.refused.insert(envelope.message, *refusal);
                }
            }
        }
    }

    /// Each copy has one outcome, and each receiver one of each message.
    fn ended(&mut self, outcomes: &Outcomes, open: &mut Open) {
        let Outcomes { of, to, outcomes } = outcomes;
        for one in outcomes {
            let place = (*of, one.position);
            let left = open.left.get_mut(&place);
            let (message, copies) = left.expect("an outcome too many, or one without a verdict");
            let message = *message;
            *copies -= 1;
            if *copies == 0 {
                open.left.remove(&place);
            }
            let crash = one.outcome == Outcome::Failed(Cause::Crash);
            assert_eq!(to.is_none(), crash, "only what a crash left open is nobody's copy: {one:?}");
            let first = to.is_none_or(|to| open.told.insert((*of, one.position, to)));
            assert!(first, "a second outcome of {message:?} for {to:?}");
            match one.outcome {
                Outcome::Delivered => self.delivered.insert(message),
                Outcome::Dropped(_) => self.dropped.insert(message),
                Outcome::Failed(_) => self.failed.insert(message),
            };
            self.copies.push(Fate { message, to: *to, outcome: one.outcome });
        }
    }
}

impl Ledger {
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.records.iter().map(|record| &record.event)
    }

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
        let (mut fates, mut open) = (Fates::default(), Open::default());
        for (index, record) in (0..).zip(&self.records) {
            match &record.event {
                Event::Verdicts(verdicts) => fates.judged(index, verdicts, &mut open),
                Event::Outcomes(outcomes) => fates.ended(outcomes, &mut open),
                Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => {}
            }
        }
        fates.open = open.left.into_values().map(|(message, _)| message).collect();
        fates
    }

    /// The node's account says what the log says, copy by copy and cause by cause. Messages of bundles refused
    /// whole stand on the log as bundles only; the counter of refusals knows how many they were.
    #[track_caller]
    pub(crate) fn agrees_with(&self, account: &Account, metrics: &Metrics) {
        let fates = self.fates();
        let sum = |causes: &BTreeMap<_, u64>| causes.values().sum::<u64>();
        let refused: u64 = metrics.refusals().iter().map(|(_, n)| n).sum();
        let (unrouted, verdicts) = (fates.unrouted.len() as u64, fates.refused.len() as u64);
        let (drops, failures) = (fates.drops(), fates.failures());
        let delivered = fates.copies.iter().filter(|fate| fate.outcome == Outcome::Delivered).count() as u64;
        assert!(account.is_balanced(), "{account:?}");
        assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
        assert!(fates.open.is_empty(), "no outcome: {:?}", fates.open);
        assert_eq!(account.delivered, delivered, "{account:?}");
        assert_eq!(account.dropped, sum(&drops), "{account:?}");
        assert_eq!(account.failed, sum(&failures) + refused, "{account:?}");
        assert_eq!(account.submitted, fates.copies.len() as u64 + unrouted + refused, "{account:?}");
        assert!(verdicts <= refused, "{verdicts} refusals on the log, {refused} counted");
        assert_eq!(metrics.drops().into_iter().collect::<BTreeMap<_, _>>(), drops);
        assert_eq!(metrics.failures().into_iter().collect::<BTreeMap<_, _>>(), failures);
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

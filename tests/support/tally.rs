//! The audit log followed while it is written: at any instant it must say what the node's counters say, over any
//! number of nodes that wrote it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use testudo_bus::audit::LogReader;
use testudo_bus::metrics::{Account, Metrics};
use testudo_rules::audit::{Cause, Event, NodeEvent, Outcome, Outcomes, Record, Verdict, Verdicts};
use testudo_wire::{AgentName, CorrelationId, Digest, MessageId, Refusal};

/// What the log says of one message.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) record: u64,
    pub(crate) sender: AgentName,
    pub(crate) digest: Digest,
    pub(crate) correlation: CorrelationId,
    pub(crate) is_answer: bool,
    /// The refusal, or the number of copies.
    pub(crate) verdict: Result<u32, Refusal>,
    /// How its copies ended, and whose they were.
    pub(crate) ends: Vec<(Option<AgentName>, Outcome)>,
}

impl Judged {
    /// How the copy of this receiver ended; of a copy that a crash left open nobody knows whose it was.
    pub(crate) fn end_of(&self, receiver: AgentName) -> Option<Outcome> {
        let of = |who: Option<AgentName>| move |(to, end): &(_, _)| (*to == who).then_some(*end);
        let own = self.ends.iter().find_map(of(Some(receiver)));
        own.or_else(|| self.ends.iter().find_map(of(None)))
    }
}

/// What one node has done so far.
#[derive(Debug, Default)]
struct Sums {
    /// Copies on the log, and allowed messages without any.
    allowed: u64,
    refused: u64,
    delivered: u64,
    dropped: BTreeMap<&'static str, u64>,
    failed: BTreeMap<&'static str, u64>,
}

impl Sums {
    fn open(&self) -> u64 {
        let ended = |causes: &BTreeMap<_, u64>| causes.values().sum::<u64>();
        self.allowed - self.delivered - ended(&self.dropped) - ended(&self.failed)
    }
}

/// A log as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages: BTreeMap<MessageId, Judged>,
    places: BTreeMap<(u64, u16), MessageId>,
    node: Sums,
    next: u64,
    /// Which log is read now: a reader that goes on need not begin at its start.
    reader: Option<(PathBuf, LogReader)>,
}

impl Tally {
    /// Reads on. The log may be in another folder by now, if all that was read is there too.
    pub(crate) fn read(&mut self, log: &Path) {
        let before = self.reader.take().filter(|(place, _)| place == log);
        let (place, mut reader) = before.unwrap_or_else(|| (log.to_owned(), LogReader::new(log, self.next)));
        while let Some((index, record)) = reader.next_record().unwrap() {
            assert_eq!(index, self.next);
            self.next += 1;
            self.take(index, record);
        }
        self.reader = Some((place, reader));
    }

    fn take(&mut self, index: u64, record: Record) {
        match record.event {
            Event::Verdicts(verdicts) => self.judged(index, verdicts),
            Event::Outcomes(outcomes) => self.ended(&outcomes),
            Event::Node(NodeEvent::Started { .. }) => {
                let node = std::mem::take(&mut self.node);
                assert_eq!(node.open(), 0, "a node begins with nothing open: {node:?}");
            }
            Event::BundleRefused(_)
            | Event::Link(_)
            | Event::Node(
                NodeEvent::Cosigned { .. }
                | NodeEvent::Exporting { .. }
                | NodeEvent::Resumed { .. }
                | NodeEvent::Rules { .. }
                | NodeEvent::Stopped
                | NodeEvent::Trust { .. },
            )
            | Event::Registry(_) => {}
        }
    }

    fn judged(&mut self, record: u64, verdicts: Verdicts) {
        for (position, envelope) in (0..).zip(verdicts.envelopes) {
            let verdict = match envelope.verdict {
                Verdict::Allowed { copies, .. } => {
                    self.node.allowed += u64::from(copies.max(1));
                    if copies == 0 {
                        *self.node.dropped.entry(Cause::NoReceiver.as_str()).or_default() += 1;
                    }
                    Ok(copies)
                }
                Verdict::Refused { refusal, .. } => {
                    self.node.refused += 1;
                    Err(refusal)
                }
            };
            let judged = Judged {
                record,
                sender: verdicts.sender,
                digest: envelope.digest,
                correlation: envelope.correlation,
                is_answer: envelope.destination.to_string().starts_with("reply/"),
                verdict,
                ends: Vec::new(),
            };
            self.places.insert((record, position), envelope.message);
            let before = self.messages.insert(envelope.message, judged);
            assert!(before.is_none(), "a message was judged twice: {before:?}");
        }
    }

    fn ended(&mut self, outcomes: &Outcomes) {
        for one in &outcomes.outcomes {
            let message =
                self.places.get(&(outcomes.of, one.position)).expect("a verdict before its outcome");
            let judged = self.messages.get_mut(message).expect("what has a place");
            assert!(
                judged.ends.len() < judged.verdict.unwrap_or(0) as usize,
                "an outcome too many: {judged:?}"
            );
            let twice = outcomes.to.is_some() && judged.ends.iter().any(|(to, _)| *to == outcomes.to);
            assert!(!twice, "two outcomes for one receiver: {judged:?}");
            judged.ends.push((outcomes.to, one.outcome));
            match one.outcome {
                Outcome::Delivered => self.node.delivered += 1,
                Outcome::Dropped(cause) => *self.node.dropped.entry(cause.as_str()).or_default() += 1,
                Outcome::Failed(cause) => *self.node.failed.entry(cause.as_str()).or_default() += 1,
            }
        }
    }

    /// Copies of the last node that have an end on the log; allowed messages without any are among them.
    pub(crate) fn settled(&self) -> u64 {
        self.node.allowed - self.node.open()
    }

    /// Counters and log say the same now, whatever is under way.
    #[track_caller]
    pub(crate) fn agrees_with(&self, account: &Account, metrics: &Metrics) {
        let refused: u64 = metrics.refusals().iter().map(|(_, n)| n).sum();
        assert!(account.is_balanced(), "{account:?}");
        assert!(self.node.refused <= refused, "{} refusals on the log, {refused} counted", self.node.refused);
        assert_eq!(account.submitted, self.node.allowed + refused, "{account:?}");
        assert_eq!(account.delivered, self.node.delivered, "{account:?}");
        assert_eq!(account.queued + account.in_flight, self.node.open(), "{account:?}");
        assert_eq!(metrics.drops().into_iter().collect::<BTreeMap<_, _>>(), self.node.dropped);
        assert_eq!(metrics.failures().into_iter().collect::<BTreeMap<_, _>>(), self.node.failed);
    }
}

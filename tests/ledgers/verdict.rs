//! Agents' own ledgers against the audit log, when all is over.

use std::collections::{BTreeMap, BTreeSet};

use testudo_bus::client::SendError;
use testudo_rules::audit::{Cause, Outcome};
use testudo_wire::{AgentName, CorrelationId, MessageId, Refusal};

use crate::book::{Book, Heard, Kind, Sent};
use crate::support::tally::{Judged, Tally};

/// Everything that is known when a run is over.
pub(crate) struct Known<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) books: BTreeMap<AgentName, Book>,
    pub(crate) revoked: BTreeSet<AgentName>,
    /// Nothing was lost on the way, and nobody killed.
    pub(crate) calm: bool,
}

/// What became of everything, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(pub(crate) BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (what, n) in other.0 {
            *self.0.entry(what).or_default() += n;
        }
    }
}

impl Known<'_> {
    pub(crate) fn check(&self) -> Counts {
        let mut counts = Counts::default();
        let messages = &self.tally.messages;
        let mut by_work: BTreeMap<CorrelationId, (Vec<MessageId>, Vec<MessageId>)> = BTreeMap::new();
        for (id, judged) in messages {
            let (own, answers) = by_work.entry(judged.correlation).or_default();
            if judged.is_answer { answers.push(*id) } else { own.push(*id) }
        }
        for (who, book) in &self.books {
            self.received(*who, book);
            for (work, sent) in &book.sent {
                let none = (Vec::new(), Vec::new());
                let (own, answers) = by_work.get(work).unwrap_or(&none);
                assert!(own.len() <= 1, "sent again: {work:?} {sent:?}");
                let own = own.first().map(|id| (*id, &messages[id]));
                let one = Checked { known: self, who: *who, work: *work, sent, own, answers };
                counts.add(format!("{:?} {}", sent.kind, one.check()));
            }
        }
        for (id, judged) in messages {
            self.ended(*id, judged);
            for (_, end) in &judged.ends {
                counts.add(match end {
                    Outcome::Delivered => "copy delivered".to_owned(),
                    Outcome::Dropped(cause) => format!("copy dropped: {}", cause.as_str()),
                    Outcome::Failed(cause) => format!("copy failed: {}", cause.as_str()),
                });
            }
        }
        counts
    }

    /// Who handled the message of this piece of work.
    fn handlers(&self, work: CorrelationId) -> BTreeSet<AgentName> {
        let has = |book: &Book| book.handled.values().any(|took| took.correlation == work);
        self.books.iter().filter(|(_, book)| has(book)).map(|(who, _)| *who).collect()
    }

    /// Everything that came to an agent was allowed to, and the log knows that it may have come.
    fn received(&self, who: AgentName, book: &Book) {
        for (id, took) in book.handled.iter().chain(&book.answers) {
            let judged = self.tally.messages.get(id);
            let judged = judged.unwrap_or_else(|| panic!("{who} got {id:?}, of which the log knows nothing"));
            assert_eq!((judged.sender, judged.correlation), (took.from, took.correlation));
            assert!(judged.verdict.is_ok_and(|copies| copies > 0), "{who} got what was refused: {judged:?}");
            match judged.end_of(who) {
                Some(
                    Outcome::Delivered
                    | Outcome::Failed(Cause::Crash | Cause::LinkLost | Cause::Shutdown | Cause::Revoked),
                ) => {}
                other => panic!("{who} got a message that ended as {other:?}: {judged:?}"),
            }
        }
        assert!(book.handled.keys().all(|id| !self.tally.messages[id].is_answer));
        assert!(book.answers.keys().all(|id| self.tally.messages[id].is_answer));
    }

    /// What counts as delivered has come, unless a revocation overtook it in the receiver's own queue.
    fn ended(&self, id: MessageId, judged: &Judged) {
        let copies = judged.verdict.unwrap_or(0) as usize;
        assert_eq!(judged.ends.len(), copies, "an open copy: {judged:?}");
        for (to, end) in &judged.ends {
            let (Some(to), Outcome::Delivered, false) = (to, end, judged.is_answer) else { continue };
            let may_be_dropped = self.revoked.contains(to) || self.revoked.contains(&judged.sender);
            let came = self.books[to].handled.contains_key(&id);
            assert!(came || may_be_dropped, "delivered to {to}, who never saw it: {judged:?}");
        }
    }
}

/// One message that was sent.
struct Checked<'a> {
    known: &'a Known<'a>,
    who: AgentName,
    work: CorrelationId,
    sent: &'a Sent,
    own: Option<(MessageId, &'a Judged)>,
    answers: &'a [MessageId],
}

impl Checked<'_> {
    /// What its sender heard is true.
    fn check(&self) -> String {
        let Sent { kind, heard } = self.sent;
        let heard = heard.as_ref().unwrap_or_else(|| panic!("{} never heard of {:?}", self.who, self.work));
        if let Some((_, judged)) = self.own {
            assert_eq!(judged.sender, self.who);
        }
        match heard {
            Heard::Accepted(receipt) => {
                let (id, judged) = self.on_log();
                assert_eq!(
                    (id, judged.record, judged.digest),
                    (receipt.message, receipt.record, receipt.digest)
                );
                assert!(judged.verdict.is_ok(), "accepted and refused: {judged:?}");
                "accepted".into()
            }
            Heard::Delivered(word) => {
                let (id, judged) = self.on_log();
                assert_eq!((id, judged.digest), (word.message, word.digest));
                let revoked = self.known.revoked.contains(&self.who);
                let came = self.known.books[&word.receiver.name].handled.contains_key(&id);
                assert!(came || revoked || self.known.revoked.contains(&word.receiver.name), "{judged:?}");
                "delivered".into()
            }
            Heard::Posted(id) => {
                assert!(self.own.is_none_or(|(own, _)| own == *id));
                "posted".into()
            }
            Heard::Answered => {
                let (_, judged) = self.on_log();
                assert!(judged.verdict.is_ok(), "answered and refused: {judged:?}");
                assert_eq!(self.known.handlers(self.work).len(), 1, "one answer, one handler");
                "answered".into()
            }
            Heard::GaveUp => "given up".into(),
            Heard::Failed(SendError::Refused { refusal, .. }) => {
                self.refused(*kind, *refusal);
                format!("refused: {refusal}")
            }
            Heard::Failed(SendError::NoLink(_)) => {
                assert!(self.own.is_none(), "no link, and yet sent: {:?}", self.own);
                "no link".into()
            }
            Heard::Failed(SendError::TooLarge(..)) => {
                assert!(self.own.is_none(), "too large, and yet sent");
                "too large".into()
            }
            Heard::Failed(SendError::NoAnswer(_)) => "no answer".into(),
            Heard::Failed(SendError::Unknown) => {
                assert!(!self.known.calm, "unknown on a good link: {:?} {:?}", self.sent, self.own);
                "unknown".into()
            }
            Heard::Failed(SendError::Cancelled) => panic!("nobody cancels what is sent"),
        }
    }

    fn on_log(&self) -> (MessageId, &Judged) {
        self.own.unwrap_or_else(|| panic!("{:?} is not on the log: {:?}", self.work, self.sent))
    }

    /// What was refused came to no handler; or its answer came to no good end.
    fn refused(&self, kind: Kind, refusal: Refusal) {
        let handlers = self.known.handlers(self.work);
        if let (Kind::Request, false) = (kind, handlers.is_empty()) {
            let is_good = |id: &&MessageId| {
                let answer = &self.known.tally.messages[*id];
                answer.verdict.is_ok() && answer.ends.iter().all(|(_, end)| *end == Outcome::Delivered)
            };
            // Refusals that are one of many are counted and not listed.
            let good = self.answers.iter().filter(is_good).count();
            let given =
                handlers.iter().map(|who| self.known.books[who].pieces.get(&self.work)).next().flatten();
            let given = given.copied().unwrap_or_default();
            assert!(
                good < given,
                "refused ({refusal}), handled, and {good} of {given} pieces of answer came"
            );
            return;
        }
        assert!(handlers.is_empty(), "refused ({refusal}) and handled by {handlers:?}: {:?}", self.own);
        let Some((_, judged)) = self.own else { return };
        match judged.verdict {
            Err(on_log) => assert_eq!(on_log, refusal),
            Ok(_) => assert!(
                judged.ends.iter().all(|(_, end)| *end != Outcome::Delivered),
                "refused ({refusal}) and delivered: {judged:?}"
            ),
        }
    }
}

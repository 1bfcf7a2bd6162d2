//! What one agent has seen of its node's log: heads that were shown to be of one story, each proved to begin the next.

use testudo_wire::PublicKey;
use testudo_wire::frame::{LogHead, Shown};

use super::alarm::{Alarm, apart, begins_with};
use crate::audit::{Origin, is_head_signed};

/// Heads that are remembered. All links of a node are told the same ones, one a heartbeat.
const CHAIN_MAX: usize = 32;
/// Heads without a proof to the next that are kept.
pub const GAPS_MAX: usize = 4;

/// What outlives a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The log's key: the first that was seen, or that an operator gave.
    pub log: PublicKey,
    /// The head that the node told last.
    pub newest: Option<LogHead>,
    /// Heads that were told before it and never proved to be of its story, oldest first.
    pub gaps: Vec<LogHead>,
    /// Why this agent links no more.
    pub alarm: Option<Alarm>,
}

/// Two heads of which the first is to be shown to begin the second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The smaller.
    pub old: LogHead,
    /// The larger.
    pub new: LogHead,
}

/// What becomes of a head.
#[expect(clippy::large_enum_variant, reason = "looked at and gone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// It is of the story that is known.
    Same,
    /// That is to be proved first.
    Prove(Pair),
    /// There is an alarm, by it or before.
    Alarm,
}

/// Why a head says nothing about this log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotOurs {
    /// Of a log with another key.
    #[error("of a log with another key")]
    OtherKey,
    /// There is nothing to hold it against yet.
    #[error("no head is known yet")]
    TooEarly,
    /// The key that it names did not sign it.
    #[error("not signed by the log's key")]
    Unsigned,
}

/// What a proof shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proved {
    /// The first head begins the second.
    Holds,
    /// Nothing.
    Nothing,
    /// It does not, and cannot: there is an alarm now.
    Alarm,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct View {
    origin: Origin,
    log: Option<PublicKey>,
    newest: Option<LogHead>,
    /// By size, each the beginning of the next.
    chain: Vec<LogHead>,
    gaps: Vec<LogHead>,
    alarm: Option<Alarm>,
}

impl View {
    /// Nothing has been seen of the log of this name, or what an earlier run has.
    #[must_use]
    pub fn new(origin: Origin, seen: Option<Seen>) -> Self {
        let Some(Seen { log, newest, gaps, alarm }) = seen else {
            return Self {
                origin,
                log: None,
                newest: None,
                chain: Vec::new(),
                gaps: Vec::new(),
                alarm: None,
            };
        };
        Self { origin, log: Some(log), newest, chain: newest.into_iter().collect(), gaps, alarm }
    }

    /// What is to be kept; `None` while nothing was seen.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let (newest, gaps, alarm) = (self.newest, self.gaps.clone(), self.alarm.clone());
        self.log.map(|log| Seen { log, newest, gaps, alarm })
    }

    /// The head that the node told last.
    #[must_use]
    pub const fn newest(&self) -> Option<LogHead> {
        self.newest
    }

    /// Why the log is not believed any more.
    #[must_use]
    pub const fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// What may still be proved, after all: that a head of before a gap is of the story of now.
    #[must_use]
    pub fn open(&self) -> Vec<Pair> {
        let next = |gap: &LogHead| self.chain.iter().find(|known| known.size > gap.size);
        self.gaps.iter().filter_map(|gap| Some(Pair { old: *gap, new: *next(gap)? })).collect()
    }

    fn raise(&mut self, alarm: Alarm) {
        self.alarm.get_or_insert(alarm);
    }

    /// The node says that this is its log's head. `before` is what it told before, on this link or any link before
    /// that: a log does not go back.
    ///
    /// # Errors
    /// [`NotOurs::Unsigned`].
    pub fn told(&mut self, head: &LogHead, before: Option<&LogHead>) -> Result<Told, NotOurs> {
        if !is_head_signed(head, &self.origin) {
            return Err(NotOurs::Unsigned);
        }
        let log = *self.log.get_or_insert(head.log);
        if log != head.log {
            self.raise(Alarm::OtherKey { before: log, now: *head });
        }
        if let Some(before) = before.filter(|before| head.size < before.size) {
            self.raise(Alarm::Shorter { before: *before, now: *head });
        }
        if self.alarm.is_some() {
            return Ok(Told::Alarm);
        }
        if self.chain.is_empty() {
            self.chain.push(*head);
        }
        let told = self.compare(head);
        if told == Told::Same && self.newest.is_none_or(|newest| newest.size < head.size) {
            self.newest = Some(*head);
        }
        Ok(told)
    }

    /// Somebody else says that this head was told to it.
    ///
    /// # Errors
    /// [`NotOurs`]; then nothing has changed.
    pub fn shown(&mut self, head: &LogHead) -> Result<Told, NotOurs> {
        match self.log {
            Some(log) if log == head.log => {}
            Some(_) => return Err(NotOurs::OtherKey),
            None => return Err(NotOurs::TooEarly),
        }
        // What was verified once need not be again.
        if !self.chain.contains(head) && !is_head_signed(head, &self.origin) {
            return Err(NotOurs::Unsigned);
        }
        if self.alarm.is_some() {
            return Ok(Told::Alarm);
        }
        if self.chain.is_empty() {
            return Err(NotOurs::TooEarly);
        }
        Ok(self.compare(head))
    }

    fn compare(&mut self, head: &LogHead) -> Told {
        let at = self.chain.partition_point(|known| known.size < head.size);
        let (before, after) = (at.checked_sub(1).and_then(|at| self.chain.get(at)), self.chain.get(at));
        match (before, after) {
            (_, Some(known)) if known.size == head.size => match apart(known, head) {
                Some(alarm) => {
                    self.raise(alarm);
                    Told::Alarm
                }
                None => Told::Same,
            },
            // Of nothing every log is an extension.
            _ if head.size == 0 => Told::Same,
            // What is shown to begin the next begins with those before, which do, too.
            (_, Some(next)) => Told::Prove(Pair { old: *head, new: *next }),
            (Some(last), None) if last.size == 0 => {
                self.chain = vec![*head];
                Told::Same
            }
            (Some(last), None) => Told::Prove(Pair { old: *last, new: *head }),
            (None, None) => Told::Same,
        }
    }

    /// Takes in the answer to the wish for a proof. Both heads were verified when they came.
    pub fn proved(&mut self, pair: &Pair, shown: &Shown) -> Proved {
        let Pair { old, new } = pair;
        if !begins_with(old.size, new, shown) {
            return Proved::Nothing;
        }
        if shown.root != old.root {
            self.raise(Alarm::Split { one: *old, other: *new, shown: Some(shown.clone()) });
            return Proved::Alarm;
        }
        self.gaps.retain(|gap| gap != old);
        if self.chain.contains(new) {
            let at = self.chain.partition_point(|known| known.size < old.size);
            if self.chain.get(at).is_some_and(|next| next.size > old.size) {
                self.chain.insert(at, *old);
            }
        } else if self.chain.last() == Some(old) {
            self.chain.push(*new);
        }
        if self.chain.len() > CHAIN_MAX {
            // Not the one that was just proved: it would be asked for again, and again.
            self.chain.remove(usize::from(self.chain.first() == Some(old)));
        }
        Proved::Holds
    }

    /// No proof came for what the node told: it is what the node tells all the same, and others must be able to hold
    /// it against what they were told. The head before the gap is kept.
    pub fn go_on_with(&mut self, head: &LogHead) {
        if self.alarm.is_some() || self.chain.contains(head) {
            return;
        }
        if let Some(last) = self.chain.last().filter(|last| last.size < head.size).copied() {
            self.gaps.push(last);
            // The oldest stays: what was seen first is the farthest from whatever happened since.
            if self.gaps.len() > GAPS_MAX {
                self.gaps.remove(1);
            }
            self.chain = vec![*head];
        }
        if self.newest.is_none_or(|newest| newest.size < head.size) {
            self.newest = Some(*head);
        }
    }
}

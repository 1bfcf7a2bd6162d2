//! What became of messages that were allowed: one outcome for each copy, and why when it is not a good one.

use serde::{Deserialize, Serialize};
use testudo_wire::{AgentName, Refusal};

/// What became of copies of messages of one earlier [`super::Verdicts`] record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outcomes {
    /// The index of that record.
    pub of: u64,
    /// Whose copies these are; `None` only for what a crash left open, written at the next start.
    pub to: Option<AgentName>,
    /// One for each copy that came to an end.
    pub outcomes: Vec<OutcomeOf>,
}

impl Outcomes {
    /// Outcomes of one record: as many as a bundle has envelopes.
    pub const MAX: usize = 256;

    /// Any number of outcomes, as records of at most [`Outcomes::MAX`].
    pub fn split(
        of: u64,
        to: Option<AgentName>,
        outcomes: impl IntoIterator<Item = OutcomeOf>,
    ) -> impl Iterator<Item = Self> {
        let mut outcomes = outcomes.into_iter();
        std::iter::from_fn(move || {
            let outcomes: Vec<_> = outcomes.by_ref().take(Self::MAX).collect();
            (!outcomes.is_empty()).then_some(Self { of, to, outcomes })
        })
    }
}

/// What became of one copy of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OutcomeOf {
    /// Its place in `envelopes` of the verdicts.
    pub position: u16,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The receiver acknowledged it (measured fact M12: writing to a stream is not delivery).
    Delivered,
    /// Given up before it reached a receiver's link.
    Dropped(Cause),
    /// Handed over, but it did not come to a good end.
    Failed(Cause),
}

/// Why a message was not delivered although it was allowed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The audit log could not be written in time.
    AuditUnavailable,
    /// The node ended without knowing; written at its next start.
    Crash,
    /// Its time to live ran out.
    Expired,
    /// The receiver's handler failed.
    HandlerFailed,
    /// The link went down before an acknowledgement.
    LinkLost,
    /// Nobody was there to receive it.
    NoReceiver,
    /// The receiver's queue was full.
    Overflow,
    /// The receiver refused it.
    ReceiverRefused(Refusal),
    /// Sender or receiver was revoked meanwhile.
    Revoked,
    /// The node was stopped.
    Shutdown,
}

impl Cause {
    /// What [`Cause::as_str`] can say, all of it.
    pub const WORDS: &'static [&'static str] = &[
        "audit unavailable",
        "crash",
        "expired",
        "handler failed",
        "link lost",
        "no receiver",
        "overflow",
        "receiver refused",
        "revoked",
        "shutdown",
    ];

    /// The cause in words that count as few; which refusal it was is left out.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditUnavailable => "audit unavailable",
            Self::Crash => "crash",
            Self::Expired => "expired",
            Self::HandlerFailed => "handler failed",
            Self::LinkLost => "link lost",
            Self::NoReceiver => "no receiver",
            Self::Overflow => "overflow",
            Self::ReceiverRefused(_) => "receiver refused",
            Self::Revoked => "revoked",
            Self::Shutdown => "shutdown",
        }
    }
}

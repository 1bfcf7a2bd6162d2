//! The registry actor: single writer of the book, behind a typed door.
//!
//! `door` holds the handle and its messages, `run` the actix shell, `keeper` what each verb does in which
//! order, `joining` and `amend` the same for invitations and changed grants, `vault` the store and the audit journal with their failures. Nothing but `run` and the sending in
//! `door` knows actix. Times come from tokio's clock and the given wall clock, so that tests can pause both.

mod amend;
mod door;
mod joining;
mod keeper;
mod run;
mod vault;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use testudo_wire::standing::RevocationCause;
use testudo_wire::{RegistrySequence, Timestamp};

use crate::barrier::WriterBarrier;
use crate::book::{BookRules, Change, Login, RestoreError, Trusted, TrustedError};
use crate::store::{Store, StoreError};

pub use door::{Health, Offered, RegistryDoor};
pub use run::Registry;

/// The node's wall clock: for records and people, never for decisions.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The audit log could not take a record. What is wrong is the log's to tell; the registry tries again.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit log did not take a registry change ({0}); see the audit log's own error")]
pub struct JournalError(pub String);

/// What [`Journal::record`] returns: resolves when the record is durable.
pub type Recorded = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send>>;

/// The audit log as the registry sees it.
pub trait Journal: Send + Sync {
    /// Takes a record of `change` at once, in the order of the calls, and resolves when it is durable; `at`
    /// is when it is recorded. After an error or a time-out the same change is offered again: a change may
    /// be recorded twice, and its sequence tells.
    fn record(&self, change: &Change, at: Timestamp) -> Recorded;
}

/// Why the registry closes a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkClose {
    /// A newer link of the same identity took its place.
    Displaced,
    /// Links of this identity displace each other without end.
    DisplacedTooOften,
    /// Its writer did not acknowledge a change of the directory in time.
    Lagging,
    /// The agent is out.
    Revoked(RevocationCause),
    /// The registry ends, or cannot record what it must.
    Shutdown,
}

/// How the registry closes a link.
pub trait LinkControl: Send + Sync {
    /// Closes the link at once and does not block. May be called more than once.
    fn close(&self, reason: LinkClose);
}

/// A proven peer that asks to be an agent's link.
#[derive(Clone)]
pub struct LinkRequest {
    /// Who, and on which session.
    pub login: Login,
    /// How to close the link.
    pub control: Arc<dyn LinkControl>,
}

impl fmt::Debug for LinkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRequest").field("login", &self.login).finish_non_exhaustive()
    }
}

/// What a registry is made of.
pub struct RegistryParts {
    /// Where the book is kept.
    pub store: Box<dyn Store>,
    /// The audit log.
    pub journal: Arc<dyn Journal>,
    /// The wall clock.
    pub clock: WallClock,
    /// Bounds and times.
    pub rules: BookRules,
    /// The highest registry sequence that anybody was seen to hold, e.g. in an audit checkpoint.
    pub witnessed: RegistrySequence,
    /// The trust statement of the keys that are there.
    pub trusted: Trusted,
    /// The barrier where the node's link writers stand.
    pub barrier: WriterBarrier,
}

impl fmt::Debug for RegistryParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryParts")
            .field("rules", &self.rules)
            .field("witnessed", &self.witnessed)
            .finish_non_exhaustive()
    }
}

/// Why a registry does not start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StartError {
    /// The stored rows contradict each other.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An old copy of the store: what was revoked since would be good again (threats A75, F10).
    #[error(
        "the registry store is at {stored} but {witnessed} was seen: it is an old copy; restore the newest one"
    )]
    RolledBack {
        /// The number in the store.
        stored: RegistrySequence,
        /// The highest number seen.
        witnessed: RegistrySequence,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys from before the statement that was taken up last: what was retired since would count again (threat A75).
    #[error(transparent)]
    Trust(#[from] TrustedError),
}

/// Why a verb was not done, or not done for good.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerbError<E: std::error::Error + 'static> {
    /// The registry is gone; whether the verb was done is unknown.
    #[error("the registry has ended: restart the node, then look whether it was done")]
    Closed,
    /// In effect on this node from now on, but a restart could forget it. It is retried every second.
    #[error("in effect, but not yet durable: the registry store or the audit log fails; repair it")]
    NotYetDurable {
        /// The number of the change.
        sequence: RegistrySequence,
    },
    /// The book says no; nothing changed.
    #[error(transparent)]
    Refused(E),
    /// The store or the audit log takes no writes; nothing changed.
    #[error("the registry store or the audit log takes no writes: repair it, then try again")]
    Unavailable,
}

#[cfg(test)]
mod tests;

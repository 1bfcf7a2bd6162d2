//! Who is here: the book of agents, their leases and revocations, and the directory everyone reads.
//!
//! [`Book`] decides and knows neither clock nor disk; [`Store`] keeps; [`Registry`] is the one actor that
//! writes both; [`Directory`] is the lock-free half that the message path reads; [`WriterBarrier`] makes
//! "revoke has returned" mean that no link writer still works under an older directory.
//!
//! *Invariant*: the registry sequence never goes down, neither in memory, nor in the directory, nor on
//! disk; what is revoked stays revoked until a numbered change says otherwise; a burnt key never returns.

pub mod actor;
pub mod barrier;
#[cfg(test)]
mod barrier_tests;
pub mod book;
pub mod snapshot;
pub mod store;

/// What `barrier` is made of: a test compiles that file with the primitives of a model checker instead.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
}

pub use actor::{
    Health, Journal, JournalError, LinkClose, LinkControl, LinkRequest, Offered, Recorded, Registry,
    RegistryDoor, RegistryParts, StartError, VerbError, WallClock,
};
pub use barrier::{Closer, Laggard, Numbered, WriterBarrier, WriterSlot};
pub use book::{
    Admitted, AgentView, Beat, Book, BookRules, Burnt, Change, ChangeKind, Condition, EnrolError, FailError,
    GrantError, HouseError, Invitation, InvitationState, InviteError, Join, JoinError, Login, LoginError,
    Newcomer, OnSilence, Record, ReinstateError, RestoreError, RevokeError, TokenError, TrustMark, Trusted,
    TrustedError, UninviteError,
};
pub use snapshot::{Directory, Publisher, Snapshot, Standing, Update};
pub use store::{Batch, Contents, SqliteStore, Store, StoreError, StoreKey};

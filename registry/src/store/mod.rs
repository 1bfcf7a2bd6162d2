//! Where the book is kept: one trait, so that SQLite today and PostgreSQL later hold the same rows.
//!
//! A store knows rows and one number; what they mean is the book's business. A batch is written whole or
//! not at all.

mod invitations;
mod seal;
mod sqlite;
mod trust;

use std::path::PathBuf;

use testudo_wire::{AgentName, InvitationId, RegistrySequence, SwarmId, TokenFactId};

use crate::book::{Burnt, Invitation, Record, TrustMark};

pub use seal::StoreKey;
pub use sqlite::SqliteStore;

/// Everything that a store holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// The number of the latest change.
    pub sequence: RegistrySequence,
    /// All agents.
    pub agents: Vec<Record>,
    /// All burnt keys.
    pub burnt: Vec<Burnt>,
    /// All revoked token ids.
    pub tokens: Vec<TokenFactId>,
    /// All invitations.
    pub invitations: Vec<Invitation>,
    /// The trust statement that was taken up last.
    pub trust: Option<TrustMark>,
}

/// What one transaction writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// The number of the latest change that the rows hold.
    pub sequence: RegistrySequence,
    /// Agents as they now are.
    pub agents: Vec<Record>,
    /// Agents that never came to be: their enrolment could not be made durable.
    pub gone: Vec<AgentName>,
    /// Newly burnt keys.
    pub burnt: Vec<Burnt>,
    /// Newly revoked token ids.
    pub tokens: Vec<TokenFactId>,
    /// Invitations as they now are.
    pub invitations: Vec<Invitation>,
    /// Invitations that are no more, or never came to be.
    pub uninvited: Vec<InvitationId>,
    /// The trust statement that is taken up.
    pub trust: Option<TrustMark>,
}

/// Keeps the book. Calls block; the registry makes them off its own thread, one at a time.
pub trait Store: Send {
    /// Everything, strictly parsed.
    ///
    /// # Errors
    /// [`StoreError`]; a single bad row is one.
    fn load(&mut self) -> Result<Contents, StoreError>;

    /// Writes a batch in one transaction and returns when it is on disk. Writing the same batch twice is
    /// as writing it once.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the batch is then visible, but a failed disk may still hold it.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// What is wrong with a store, and what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// A row that no registry wrote.
    #[error("the registry store is damaged: {table} row {row} has {reason}; restore a backup")]
    BadRow {
        /// Its table.
        table: &'static str,
        /// Its key, as found.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database is damaged.
    #[error("the registry store {path} is corrupt ({detail}); restore a backup")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// Another program's file.
    #[error("{path} is not a registry store; point the configuration at the right file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another swarm's store.
    #[error("the registry store {path} belongs to swarm {found}, not to {wanted}; use the right directory")]
    ForeignSwarm {
        /// The file.
        path: PathBuf,
        /// Whose store it is.
        found: SwarmId,
        /// Who asked.
        wanted: SwarmId,
    },
    /// The disk is full.
    #[error("the disk of the registry store is full; free some space")]
    Full,
    /// Another process has it.
    #[error("the registry store {path} is in use by another process; stop that one first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The disk or the file system failed.
    #[error("the registry store failed ({0}); check the disk and its permissions")]
    Io(String),
    /// Written by a newer version.
    #[error("the registry store {path} has format {found}, this version knows {known}; update testudo")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It cannot be written.
    #[error("the registry store {path} is read-only; give the node write access to it")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A batch from the past: another registry writes here, or memory went back.
    #[error("the registry store is at {stored}, a batch of {offered} would turn it back; restart the node")]
    Regressed {
        /// The number on disk.
        stored: RegistrySequence,
        /// The number of the batch.
        offered: RegistrySequence,
    },
    /// Its seal is gone or does not fit: rows were edited, added or removed, or it is another node's.
    #[error("the registry store {path} was changed by something else than this node; restore a backup")]
    Tampered {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_invitations;
#[cfg(test)]
mod tests_seal;

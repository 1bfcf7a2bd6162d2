//! The audit log on disk: one writer, any number of readers that follow its files without a lock.
//!
//! [`AuditLog::append`] returns an [`Appended`] only after `write(2)` returned: hand-over demands one, so that
//! nothing is delivered that a kill of the process could leave unrecorded. [`AuditLog::run_sync`] makes records
//! durable beside that and signs checkpoints; what waits for durability waits on [`AuditLog::wait_synced`].
//!
//! A directory holds `<index of the first record, 20 digits>.log` segments, `checkpoints`, `lock`, in `exporters` how
//! far each exporter has come, and `cut` once retention has removed something.
//! What stands in them is `testudo_rules::audit`'s business; this module knows files and time.
//!
//! *Invariant*: no half record is ever read as one, and no record is ever written after an error that could
//! have lost one before it (threats F03, F06, F08).

mod backlog;
mod bundle;
mod cursor;
mod files;
mod heads;
mod open;
mod prove;
mod reader;
mod recover;
mod retain;
mod sync;
mod writer;

pub use bundle::BundleRecord;
pub use cursor::{Cursor, CursorFile, lowest_cursor, was_exported};
pub use files::read_tail;
pub use open::{AuditConfig, OpenError, Recovery};
pub use prove::{ProveError, extension, find_message, prove, prove_under};
pub use reader::{
    COSIGNED, DirError, LogReader, ReadError, cosigned_checkpoint, cut_of, latest_checkpoint, size_of,
    verify_dir,
};
pub use retain::Retained;
pub use sync::NotDurable;
pub use writer::{AppendError, Appended, AuditLog, Health};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_prove;
#[cfg(test)]
mod tests_retain;

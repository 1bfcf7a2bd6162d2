//! The guard actor: every bundle of this shard goes through it, one mailbox hop a bundle.
//!
//! It runs the pipeline of `testudo_rules` and then reserves, records and hands over. It fails closed: a
//! panic refuses the bundle, is counted, and closes the link whose state it may have left half changed.

mod actor;
mod commit;
mod cut;
mod judge;
mod large;
mod looked;
mod placing;
mod rules;

pub(crate) use actor::GuardDoor;
pub use commit::Commit;
pub(crate) use commit::{Commits, run as run_commits};
pub(crate) use large::Large;

//! The record of what the node decided: its words, its bytes, its proofs. `testudo-bus` writes it.
//!
//! A log is a sequence of [`Record`]s, each framed ([`frame`]) and each a leaf of an RFC 6962 tree
//! ([`merkle`]) whose root is signed from time to time ([`checkpoint`]); [`mod@verify`] checks all of that
//! with bounded memory and names the first bad index.
//!
//! *Invariant*: no record can hold a body, a key's secret or a token; all free text is a [`Note`].

mod bundle;
pub mod checkpoint;
mod columns;
mod cosign;
mod cut;
mod filter;
pub mod frame;
mod head;
pub mod merkle;
mod note;
mod notes;
mod open;
mod outcome;
mod packed;
pub mod path;
pub mod proof;
pub mod record;
mod render;
mod sent;
mod settle;
mod stats;
pub mod story;
mod unsettled;
pub mod verifier;
pub mod verify;
pub mod witness;
mod witnessed;

pub use bundle::{BundleHead, EnvelopeView, Spelt, Written};
pub use checkpoint::{Checkpoint, CheckpointError, Origin};
pub use columns::{encode_bundle, time_of};
pub use cosign::{Cosigned, WitnessKey, cosign, cosigned, only_signed_by, with_cosignature};
pub use cut::Cut;
pub use filter::Filter;
pub use head::{head_of, is_head_signed, note_of_head};
pub use merkle::{Frontier, LogHash};
pub use note::{Note, is_unsafe};
pub use open::OpenCopies;
pub use outcome::{Cause, Outcome, OutcomeOf, Outcomes};
pub use path::ProofBuilder;
pub use proof::{Proof, ProofFault, Proven};
pub use record::{
    BundleRefused, EnvelopeRecord, Event, LinkChange, LinkEvent, NodeEvent, Record, RegistryChange,
    RegistryEvent, TraceId, Verdict, Verdicts,
};
pub use sent::{NotSent, Sent};
pub use settle::Settlement;
pub use stats::Stats;
pub use story::Story;
pub use unsettled::Unsettled;
pub use verifier::{VerifierKey, VerifierKeyError};
pub use verify::{Fault, FaultKind, Segment, Verified, verify, verify_from};
pub use witnessed::Witnessed;

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_columns;
#[cfg(test)]
mod tests_cut;
#[cfg(test)]
mod tests_packed;
#[cfg(test)]
mod tests_proof;
#[cfg(test)]
mod tests_read;
#[cfg(test)]
mod tests_render;
#[cfg(test)]
mod tests_settle;
#[cfg(test)]
mod tests_verify;
#[cfg(test)]
mod tests_witness;

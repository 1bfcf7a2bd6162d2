//! The record of a bundle, which everything that is delivered waits for: encoded once, from where its parts are, and
//! hashed before the log is held.

use std::borrow::Borrow;

use testudo_rules::audit::{
    BundleHead, EnvelopeView, LogHash, Spelt, Verdict, Written, encode_bundle, frame,
};
use testudo_wire::{RegistrySequence, Timestamp};

use super::writer::{AppendError, Appended, AuditLog, sealed};

/// A record of a bundle, ready to be written.
#[derive(Debug)]
pub struct BundleRecord {
    at: Timestamp,
    registry: RegistrySequence,
    /// All of its frame but the index.
    frame: Vec<u8>,
    leaf: LogHash,
    of: Written,
}

impl BundleRecord {
    /// The record of so many envelopes.
    ///
    /// # Errors
    /// [`AppendError::Encode`] for another number of envelopes, and [`AppendError::TooLarge`].
    pub fn encode<'a, P: Spelt, V: Borrow<Verdict>>(
        at: Timestamp,
        registry: RegistrySequence,
        head: &BundleHead,
        count: usize,
        envelopes: impl IntoIterator<Item = EnvelopeView<'a, P, V>>,
    ) -> Result<Self, AppendError> {
        let mut frame = Vec::new();
        let start = frame::begin(&mut frame);
        let of = encode_bundle((at, registry), head, count, envelopes, &mut frame)?;
        let leaf = sealed(start, &mut frame)?;
        Ok(Self { at, registry, frame, leaf, of })
    }
}

impl AuditLog {
    /// Writes the record of a bundle, as [`AuditLog::append`] does any other.
    ///
    /// # Errors
    /// [`AppendError`]: nothing was recorded, so nothing may be delivered.
    pub fn append_bundle(&self, record: BundleRecord) -> Result<Appended, AppendError> {
        let BundleRecord { at, registry, mut frame, leaf, of: Written { messages, copies } } = record;
        let mut state = self.state();
        let result = self.put(&mut state, (at, registry), |state| {
            let index = self.write_frame(state, &mut frame, leaf)?;
            state.open.open(index, copies);
            Ok(index)
        });
        if let Err(AppendError::Write(_)) = &result {
            state.backlog.refused += messages;
        }
        drop(state);
        // Also when it failed: the log is tried again beside this.
        self.written.notify_one();
        result
    }
}

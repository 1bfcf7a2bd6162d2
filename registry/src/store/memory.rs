//! A store in memory whose failures a test can order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use testudo_wire::PublicKey;

use super::{Batch, Contents, Record, Store, StoreError};
use crate::book::Burnt;

/// What the test and the store share.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) contents: Arc<Mutex<Contents>>,
    /// How many of the next commits fail.
    pub(crate) failures: Arc<AtomicUsize>,
    /// Makes the next commit hang until the other end is dropped.
    pub(crate) gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
    /// Commits that went through.
    pub(crate) commits: Arc<AtomicUsize>,
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(self.contents.lock().unwrap().clone())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            let _ = gate.recv();
        }
        let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() {
            return Err(StoreError::Full);
        }
        let mut contents = self.contents.lock().unwrap();
        if batch.sequence < contents.sequence {
            return Err(StoreError::Regressed { stored: contents.sequence, offered: batch.sequence });
        }
        contents.sequence = batch.sequence;
        let mut agents: BTreeMap<_, Record> =
            contents.agents.drain(..).map(|record| (record.holder.name, record)).collect();
        agents.retain(|name, _| !batch.gone.contains(name));
        agents.extend(batch.agents.iter().map(|record| (record.holder.name, record.clone())));
        contents.agents = agents.into_values().collect();
        let mut burnt: BTreeMap<PublicKey, Burnt> = contents.burnt.drain(..).map(|b| (b.key, b)).collect();
        burnt.extend(batch.burnt.iter().map(|b| (b.key, *b)));
        contents.burnt = burnt.into_values().collect();
        contents.tokens.extend(&batch.tokens);
        contents.tokens.sort_unstable();
        contents.tokens.dedup();
        let written = batch.invitations.iter().map(|one| one.id);
        let changed: Vec<_> = batch.uninvited.iter().copied().chain(written).collect();
        contents.invitations.retain(|one| !changed.contains(&one.id));
        contents.invitations.extend(batch.invitations.iter().cloned());
        contents.trust = batch.trust.or(contents.trust);
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

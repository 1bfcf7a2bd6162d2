//! A node has its log's checkpoints cosigned by the configured witness, and keeps what the witness's next proof needs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testudo_bus::audit;
use testudo_bus::env::SharedEnv;
use testudo_bus::node::Office;
use testudo_rules::audit::{VerifierKey, WitnessKey, Witnessed};
use tokio::task::JoinHandle;

use crate::health::{Checker, Finding};
use crate::witness::submit;

/// Between two submissions: each reads the log that there is.
const EVERY: Duration = Duration::from_secs(60);

/// The log, and who witnesses it.
pub(super) struct Witnessing {
    pub(super) dir: PathBuf,
    pub(super) by: VerifierKey,
    pub(super) url: String,
    pub(super) witness: WitnessKey,
}

impl Witnessing {
    /// Runs until the task is aborted. The log keeps what the witness has not signed; the checker says when it does
    /// not sign. Each signature is on the log, too: who takes it away from beside the log does not take it from there.
    pub(super) fn start(self, office: Office, env: SharedEnv, checker: &Checker) -> JoinHandle<()> {
        let known = audit::cosigned_checkpoint(&self.dir, &self.by, &self.witness).ok().flatten();
        let signed = Arc::new(AtomicU64::new(known.map_or(0, |(checkpoint, _)| checkpoint.size)));
        let failing: Arc<Mutex<Option<String>>> = Arc::default();
        let of = signed.clone();
        office.audit.hold(move || Some(of.load(Ordering::Relaxed)));
        let of = failing.clone();
        checker.register("witness", move || {
            let failing = of.lock().unwrap_or_else(PoisonError::into_inner).clone();
            std::future::ready(failing.map_or_else(Finding::healthy, Finding::degraded))
        });
        tokio::spawn(async move {
            // The record that says so is no reason to have the log signed again.
            let mut own = 0;
            loop {
                let is_new = office.audit.records() > signed.load(Ordering::Relaxed) + own;
                if is_new || !self.dir.join(audit::COSIGNED).exists() {
                    let failed = match submit(&self.dir, &self.by, &self.url, &self.witness).await {
                        Ok(checkpoint) => {
                            let witnessed =
                                Witnessed { records: checkpoint.size, witness: self.witness.clone() };
                            signed.store(checkpoint.size, Ordering::Relaxed);
                            office.note_cosigned(&witnessed, &*env);
                            own = 1;
                            None
                        }
                        Err(error) => {
                            tracing::warn!(%error, "the audit log's checkpoint was not cosigned");
                            Some(error.to_string())
                        }
                    };
                    *failing.lock().unwrap_or_else(PoisonError::into_inner) = failed;
                }
                tokio::time::sleep(EVERY).await;
            }
        })
    }
}

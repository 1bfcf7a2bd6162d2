//! A node has its log's checkpoints cosigned by the configured witness, and keeps what the witness's next proof needs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use testudo_bus::audit::{self, AuditLog};
use testudo_rules::audit::{VerifierKey, WitnessKey};
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
    /// not sign.
    pub(super) fn start(self, log: &Arc<AuditLog>, checker: &Checker) -> JoinHandle<()> {
        let known = audit::cosigned_checkpoint(&self.dir, &self.by, &self.witness).ok().flatten();
        let signed = Arc::new(AtomicU64::new(known.map_or(0, |(checkpoint, _)| checkpoint.size)));
        let failing: Arc<Mutex<Option<String>>> = Arc::default();
        let of = signed.clone();
        log.hold(move || Some(of.load(Ordering::Relaxed)));
        let of = failing.clone();
        checker.register("witness", move || {
            let failing = of.lock().unwrap_or_else(PoisonError::into_inner).clone();
            std::future::ready(failing.map_or_else(Finding::healthy, Finding::degraded))
        });
        let log = log.clone();
        tokio::spawn(async move {
            loop {
                // Nothing new, nothing to sign.
                if log.records() > signed.load(Ordering::Relaxed) {
                    let failed = match submit(&self.dir, &self.by, &self.url, &self.witness).await {
                        Ok(checkpoint) => {
                            signed.store(checkpoint.size, Ordering::Relaxed);
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

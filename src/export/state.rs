//! How an exporter is, as others see it: one value, replaced whole, so that its books balance at every sample.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use testudo_rules::account::Account;
use testudo_rules::export::BreakerState;

/// Where an exporter's breaker is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// All attempts go.
    #[default]
    Closed,
    /// One attempt is on its way, and decides.
    HalfOpen,
    /// None goes for now.
    Open,
}

impl From<BreakerState> for Breaker {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::Open { .. } => Self::Open,
        }
    }
}

/// How an exporter is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExporterStatus {
    /// Its name.
    pub name: String,
    /// `file`, `otlp`, `stdout` or `webhook`.
    pub kind: String,
    /// Its books.
    pub counts: Account,
    /// Its breaker.
    pub breaker: Breaker,
    /// The first record of the log that is not done.
    pub record: u64,
    /// Durable records that it has not come to.
    pub behind: u64,
    /// Why it cannot send for now; nothing once it could again.
    pub trouble: Option<String>,
    /// Why it cannot read the log, or remember its place in it, for now; nothing once it could again.
    pub log_trouble: Option<String>,
    /// Why events were refused, the last time.
    pub refusal: Option<String>,
    /// Why it has stopped for good.
    pub stopped: Option<String>,
}

impl ExporterStatus {
    /// What is amiss, if anything is.
    #[must_use]
    pub fn amiss(&self) -> Option<String> {
        let Self { name, counts, .. } = self;
        let or_none = |why: &Option<String>| why.clone().unwrap_or_else(|| "no reason given".to_owned());
        if let Some(why) = &self.stopped {
            return Some(format!("exporter {name} has stopped: {why}"));
        }
        if let Some(why) = &self.log_trouble {
            return Some(format!("exporter {name}: {why}"));
        }
        match self.breaker {
            Breaker::Closed => {}
            Breaker::HalfOpen | Breaker::Open => {
                let trouble = or_none(&self.trouble);
                return Some(format!("exporter {name} cannot send: {trouble}; the log keeps its events"));
            }
        }
        match (counts.dropped, counts.failed) {
            (0, 0) => None,
            (0, n) => {
                let refusal = or_none(&self.refusal);
                Some(format!("exporter {name}: {n} events were refused: {refusal}"))
            }
            (n, _) => Some(format!("exporter {name} dropped {n} events; it is switched off")),
        }
    }
}

/// The state of one exporter, written by its task and read by anybody.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<ExporterStatus>>);

impl Shared {
    pub(super) fn new(name: &str, kind: &str) -> Self {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        Self(Arc::new(Mutex::new(ExporterStatus { name, kind, ..ExporterStatus::default() })))
    }

    pub(super) fn get(&self) -> ExporterStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut ExporterStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

//! What an agent has learnt of its swarm's trust statements: newer than what its identity was made with, and shared by
//! all links of one process.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use testudo_rules::token;
use testudo_rules::trust::{Trust, TrustError};
use testudo_wire::trust::SignedStatement;
use tokio::sync::watch;

use crate::tls::{self, LeafError};

/// Why a trust statement was not taken. What counted before counts on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// It does not follow.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A CA in it is none.
    #[error("a CA of the trust statement is {0}")]
    Ca(#[from] LeafError),
}

/// One statement, as it is used.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) signed: SignedStatement,
    pub(super) trust: Trust,
    pub(super) tls: tls::Trust,
    pub(super) newest: tls::Trust,
    pub(super) tokens: token::Trust,
}

impl Learned {
    fn of(signed: SignedStatement, trust: Trust, before: &tls::Trust) -> Result<Self, LearnError> {
        let cas: Vec<_> = trust.cas().iter().map(|ca| CertificateDer::from(ca.clone())).collect();
        let newest = cas.get(cas.len().saturating_sub(1)..).unwrap_or_default();
        Ok(Self {
            tls: before.rolled(&cas)?,
            newest: before.rolled(newest)?,
            tokens: trust.tokens(),
            signed,
            trust,
        })
    }
}

#[derive(Debug)]
struct Inner {
    now: ArcSwapOption<Learned>,
    learning: Mutex<()>,
    number: watch::Sender<u64>,
}

/// Nothing yet, at first. Clones are the same.
#[derive(Clone, Debug)]
pub struct Learnt(Arc<Inner>);

impl Default for Learnt {
    fn default() -> Self {
        let (now, number) = (ArcSwapOption::empty(), watch::Sender::new(0));
        Self(Arc::new(Inner { now, learning: Mutex::new(()), number }))
    }
}

impl Learnt {
    /// What was learnt in an earlier run, believed because of where it was kept.
    ///
    /// # Errors
    /// [`LearnError`].
    pub fn kept(signed: SignedStatement, before: &tls::Trust) -> Result<Self, LearnError> {
        let (learnt, trust) = (Self::default(), Trust::kept(&signed)?);
        learnt.put(Learned::of(signed, trust, before)?);
        Ok(learnt)
    }

    fn put(&self, learned: Learned) {
        let number = learned.trust.number();
        self.0.now.store(Some(Arc::new(learned)));
        self.0.number.send_replace(number);
    }

    /// Takes a statement in, or knows it already.
    pub(super) fn learn(
        &self,
        signed: &SignedStatement,
        genesis: impl FnOnce() -> Option<Trust>,
        before: &tls::Trust,
    ) -> Result<u64, LearnError> {
        let _one = self.0.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match &*self.0.now.load() {
            Some(learned) => learned.trust.clone(),
            None => genesis().ok_or(TrustError::NoAuthority)?,
        };
        if let Some(trust) = now.accept(signed)? {
            self.put(Learned::of(signed.clone(), trust, before)?);
        }
        Ok(signed.statement.number)
    }

    /// The number of the last one; 0 for none.
    #[must_use]
    pub fn number(&self) -> u64 {
        *self.0.number.borrow()
    }

    /// Is told the number of each.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.0.number.subscribe()
    }

    pub(super) fn load(&self) -> Option<Arc<Learned>> {
        self.0.now.load_full()
    }
}

//! What a node goes by: the trust statements of its swarm, the CAs and the authority key that it holds, and how they
//! are rolled over while it runs.
//!
//! Readers take a snapshot ([`Roots::load`]); there is one writer at a time. A change is signed, kept by whoever keeps
//! keys ([`Keep`]), put on record and only then in force. First everybody learns it, then it is used: certificates
//! and tokens under a new CA or key come only when every open link has heard of it.

mod pace;
mod roll;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};
use rustls::pki_types::CertificateDer;
use testudo_registry::{TrustMark, Trusted};
use testudo_rules::token;
use testudo_rules::trust::{Trust, TrustError};
use testudo_wire::trust::SignedStatement;
use testudo_wire::{AgentName, PublicKey, SecretKey, Timestamp};
use tokio::sync::watch;

use crate::node::Shared;
use crate::tls::{self, EmbeddedCa, IssuerError, LeafError};

pub use pace::{PaceError, STATEMENTS_MAX, STATEMENTS_NEAR_MAX};
pub use roll::{Change, RollError};

/// One CA, with its key.
#[derive(Clone)]
pub struct HeldCa {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: SecretKey,
}

impl fmt::Debug for HeldCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldCa")
    }
}

/// Everything that must be kept: the statements, and the secrets that go with the last of them.
#[derive(Clone)]
pub struct Holding {
    /// The first authority key, whose fingerprint the swarm is.
    pub genesis: PublicKey,
    /// The key that tokens are minted under and the next statement is signed by; none on a node without authority.
    pub authority: Option<SecretKey>,
    /// The CAs that are trusted now, oldest first.
    pub cas: Vec<HeldCa>,
    /// All statements, from the first.
    pub chain: Vec<SignedStatement>,
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("statements", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Keeps what a swarm lives on, so that it is there after a crash.
pub trait Keep: fmt::Debug + Send + Sync {
    /// Returns when it is durable, all of it at once.
    ///
    /// # Errors
    /// [`KeepError`], which says what the next start may find.
    fn keep(&self, holding: &Holding) -> Result<(), KeepError>;
}

/// Why something was not kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeepError {
    /// What was kept before is there as it was.
    #[error("{0}")]
    Unchanged(String),
    /// It was written, but may not last: the next start finds the one or the other, whole.
    #[error(
        "{0}; whether the new trust statement is kept is unknown: restart the node, then look with `testudo swarm trust show`"
    )]
    Unknown(String),
}

/// Why what is held cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The statements do not follow one another.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A CA's certificate.
    #[error("the CA's certificate cannot be used: {0}; restore keys/ca.pem from a backup")]
    Certificate(#[from] LeafError),
    /// A CA's key.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// Keys that are not those of the last statement.
    #[error("the keys are not those of the last trust statement; restore all of them from one backup")]
    Keys,
}

/// What counts at one moment.
#[derive(Debug)]
pub struct Rooted {
    /// The statement in force.
    pub trust: Trust,
    /// The same for certificates.
    pub tls: tls::Trust,
    /// The same for tokens.
    pub tokens: token::Trust,
    chain: Arc<[SignedStatement]>,
    newest: tls::Trust,
    own: Arc<EmbeddedCa>,
    issuing: Arc<EmbeddedCa>,
}

impl Rooted {
    fn of(holding: &Holding, agents: Option<&[CertificateDer<'static>]>) -> Result<Self, RootsError> {
        let cas: Vec<_> = holding.cas.iter().map(|ca| ca.certificate.clone()).collect();
        let der: Vec<_> = cas.iter().map(|ca| ca.to_vec()).collect();
        let trust = Trust::genesis(holding.genesis, der.clone()).fold(&holding.chain)?;
        let minting = holding.authority.as_ref().map(SecretKey::public);
        if trust.cas() != der || minting.is_some_and(|key| trust.minting() != Some(&key)) {
            return Err(RootsError::Keys);
        }
        let of = |cas: &[CertificateDer<'static>]| match agents {
            Some(agents) => tls::Trust::new(trust.swarm(), cas)?.with_agents_by(agents),
            None => tls::Trust::new(trust.swarm(), cas),
        };
        let load = |ca: Option<&HeldCa>| {
            let ca = ca.ok_or(RootsError::Keys)?;
            Ok::<_, RootsError>(Arc::new(EmbeddedCa::load(ca.certificate.clone(), &ca.key)?))
        };
        let newest = of(cas.get(cas.len().saturating_sub(1)..).unwrap_or_default())?;
        Ok(Self {
            tls: of(&cas)?,
            newest,
            tokens: trust.tokens(),
            own: load(holding.cas.first())?,
            issuing: load(holding.cas.last())?,
            chain: holding.chain.clone().into(),
            trust,
        })
    }

    /// The statements after this number, from which somebody who has all up to it can go on.
    #[must_use]
    pub fn after(&self, number: u64) -> &[SignedStatement] {
        self.chain.get(usize::try_from(number).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    /// What will be left when older CAs are retired.
    #[must_use]
    pub const fn newest(&self) -> &tls::Trust {
        &self.newest
    }

    /// The same for the registry.
    #[must_use]
    pub fn trusted(&self) -> Trusted {
        let mark = self.trust.digest().map(|statement| TrustMark { number: self.trust.number(), statement });
        let cas = u8::try_from(self.trust.cas().len()).unwrap_or(u8::MAX);
        Trusted { mark, authorities: self.trust.authorities().into(), cas }
    }

    /// The CA that certifies the node: the oldest, which everybody knows who can still come back.
    #[must_use]
    pub const fn own(&self) -> &Arc<EmbeddedCa> {
        &self.own
    }

    /// The CA that certifies agents once everybody has heard of it: the newest.
    #[must_use]
    pub const fn issuing(&self) -> &Arc<EmbeddedCa> {
        &self.issuing
    }
}

/// See the module.
pub struct Roots {
    now: ArcSwap<Rooted>,
    number: watch::Sender<u64>,
    /// Who certifies agents now.
    issuing: Arc<ArcSwap<EmbeddedCa>>,
    /// The number of the statement whose newest CA and key are used.
    used: AtomicU64,
    /// Nobody knows which statement the next start will find: none may be made before that.
    unsettled: AtomicBool,
    agents: Option<Vec<CertificateDer<'static>>>,
    holding: tokio::sync::Mutex<Holding>,
    node: OnceLock<Weak<Shared>>,
    /// Under which statement each agent was given its credentials, and until when they are good at the latest, as far as
    /// this process knows.
    issued: Mutex<HashMap<AgentName, (u64, Timestamp)>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("number", &self.number()).finish_non_exhaustive()
    }
}

impl Roots {
    /// Goes by what is held. `agents` are the CAs of the agents where those are certified elsewhere.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(holding: Holding, agents: Option<Vec<CertificateDer<'static>>>) -> Result<Self, RootsError> {
        let now = Rooted::of(&holding, agents.as_deref())?;
        Ok(Self {
            number: watch::Sender::new(now.trust.number()),
            used: AtomicU64::new(now.trust.number()),
            unsettled: AtomicBool::new(false),
            issuing: Arc::new(ArcSwap::new(now.issuing.clone())),
            now: ArcSwap::from_pointee(now),
            agents,
            holding: tokio::sync::Mutex::new(holding),
            node: OnceLock::new(),
            issued: Mutex::default(),
        })
    }

    /// What counts now.
    pub fn load(&self) -> Guard<Arc<Rooted>> {
        self.now.load()
    }

    /// The number of the statement in force.
    #[must_use]
    pub fn number(&self) -> u64 {
        *self.number.borrow()
    }

    /// The number of the statement whose newest CA and key are used by now: everybody has heard of it.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether a statement was written of which nobody knows whether it lasts: nothing is rolled over before the next
    /// start, or there could be two of one number.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire)
    }

    /// The CAs of the agents, where those are certified elsewhere.
    #[must_use]
    pub fn agents_elsewhere(&self) -> Option<&[CertificateDer<'static>]> {
        self.agents.as_deref()
    }

    /// Who certifies agents at the moment.
    #[must_use]
    pub fn certifying(&self) -> Arc<ArcSwap<EmbeddedCa>> {
        self.issuing.clone()
    }

    /// The authority's key, where it is held.
    pub(crate) fn authority(&self) -> Option<SecretKey> {
        self.holding.try_lock().ok().and_then(|holding| holding.authority.clone())
    }

    /// Is told the number whenever it changes.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// A node goes by these.
    pub(crate) fn serves(&self, node: &Arc<Shared>) {
        let _ = self.node.set(Arc::downgrade(node));
    }

    pub(crate) fn node(&self) -> Option<Arc<Shared>> {
        self.node.get().and_then(Weak::upgrade)
    }

    /// An agent has been given credentials that are good until then; `under` is what [`Roots::used`] said before they
    /// were made.
    pub fn note_issued(&self, agent: AgentName, under: u64, until: Timestamp) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, end) = issued.entry(agent).or_insert((under, until));
        (*of, *end) = ((*of).max(under), (*end).max(until));
    }

    /// The latest end of the certificates that an agent was given.
    #[must_use]
    pub fn certified_until(&self, agent: &AgentName) -> Option<Timestamp> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.get(agent).map(|(_, until)| *until)
    }

    /// Whether an agent was given credentials under the statement in force.
    pub(crate) fn has_issued(&self, agent: &AgentName) -> bool {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.get(agent).is_some_and(|(under, _)| *under == self.number())
    }
}

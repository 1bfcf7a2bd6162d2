//! What an agent needs to join: who it is, whom it trusts, what it may do. How it is stored is not known
//! here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use serde_bytes::ByteBuf;
use testudo_rules::gossip::Seen;
use testudo_rules::replay::ReceiverWindows;
use testudo_rules::token;
use testudo_rules::trust::Trust;
use testudo_wire::frame::{Renew, Renewed};
use testudo_wire::trust::SignedStatement;
use testudo_wire::{AgentName, Holder, Limits, SecretKey, SpiffeId, SwarmId, Timestamp};
use tokio::sync::watch;

use super::gossip::{Log, Watched};
use super::learnt::{LearnError, Learnt};
use crate::tls::{self, Csr, Leaf, LeafError, Role};

/// One agent's identity.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The agent's name.
    pub name: AgentName,
    /// Its key: TLS, envelopes, heartbeats and delegations are all signed with it.
    pub key: SecretKey,
    /// Its certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The CAs of the swarm, as they were at first.
    pub trust: tls::Trust,
    /// The authority key of the swarm, as it was at first.
    pub authority: token::Trust,
    /// What trust statements have said since.
    pub learnt: Learnt,
    /// The token that came with the identity; unsealed, so that parts of it can be handed on.
    pub token: token::Token,
    /// What was received under this identity, by all links of this process together.
    pub memory: Memory,
}

/// What an agent remembers of messages, and of its node's log: it outlives links, or a node could end a link to have the
/// next one forget. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    windows: Mutex<Option<ReceiverWindows>>,
    log: Log,
}

impl Memory {
    /// The memory of an agent that has seen this of its node's log in an earlier run.
    #[must_use]
    pub fn of(seen: Option<Seen>) -> Self {
        Self(Arc::new(Remembered { log: Log::of(seen), ..Remembered::default() }))
    }

    /// Works on the windows; they begin with the first link.
    pub(super) fn with<T>(&self, now: Timestamp, work: impl FnOnce(&mut ReceiverWindows) -> T) -> T {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        work(windows.get_or_insert_with(|| ReceiverWindows::new(now)))
    }

    /// What was seen of the node's log.
    pub(super) fn log(&self) -> &Log {
        &self.0.log
    }

    /// What is to be kept of the node's log for the next run, whenever that changes.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Option<Seen>> {
        self.0.log.seen()
    }

    /// What was seen of the node's log, in numbers.
    #[must_use]
    pub fn watched(&self) -> Watched {
        self.0.log.watched()
    }
}

impl ClientIdentity {
    /// Its certificate, checked like a stranger's.
    ///
    /// # Errors
    /// [`LeafError`]; [`LeafError::Time`] when it has run out.
    pub fn leaf(&self, now: Timestamp) -> Result<Leaf, LeafError> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
        let (leaf, intermediates) = self.chain.split_first().ok_or(LeafError::Unparsable)?;
        tls::check(Role::Agent, &self.tls(), leaf, intermediates, now)
    }

    /// The CAs that count now.
    #[must_use]
    pub fn tls(&self) -> tls::Trust {
        self.learnt.load().map_or_else(|| self.trust.clone(), |learned| learned.tls.clone())
    }

    /// The authority keys that count now.
    #[must_use]
    pub fn tokens(&self) -> token::Trust {
        self.learnt.load().map_or_else(|| self.authority.clone(), |learned| learned.tokens.clone())
    }

    /// The last trust statement, to be kept for the next run.
    #[must_use]
    pub fn statement(&self) -> Option<SignedStatement> {
        self.learnt.load().map(|learned| learned.signed.clone())
    }

    /// Takes in a trust statement that follows the last one, or is it; its number.
    ///
    /// # Errors
    /// [`LearnError`]; nothing has changed then.
    pub fn learn(&self, signed: &SignedStatement) -> Result<u64, LearnError> {
        let genesis = || self.authority.authorities.first().map(|key| Trust::genesis(*key, Vec::new()));
        self.learnt.learn(signed, genesis, &self.trust)
    }

    /// Whether certificate or token are not by the newest CA and key, which will be the only ones some day.
    pub(super) fn is_outdated(&self, now: Timestamp) -> bool {
        let Some(learned) = self.learnt.load() else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
        let by_newest = self.chain.split_first().is_some_and(|(leaf, between)| {
            tls::check(Role::Agent, &learned.newest, leaf, between, now).is_ok()
        });
        let minted = self.token.verify(&learned.tokens);
        let by_minting = minted
            .is_ok_and(|meaning| meaning.authority().is_some_and(|key| learned.trust.minting() == Some(key)));
        !by_newest || !by_minting
    }

    /// Its wish for a new certificate, with the request that some issuers demand.
    pub(super) fn request(&self) -> Result<Renew, String> {
        let csr = Csr::make(&SpiffeId::Agent(self.swarm(), self.name), &self.key);
        let csr = csr.map_err(|error| error.to_string())?;
        Ok(Renew { csr: Some(ByteBuf::from(csr.der().to_vec())) })
    }

    /// The same agent with what its node gave it anew, if that is its own in everything.
    pub(super) fn renewed(&self, word: Renewed, now: Timestamp) -> Result<Self, String> {
        let chain = word.chain.into_iter().map(|der| CertificateDer::from(der.into_vec())).collect();
        let token = match word.token {
            Some(bytes) => {
                let token = token::Token::from_bytes(&bytes, &Limits::standard());
                let token = token.map_err(|error| error.to_string())?;
                let meaning = token.verify(&self.tokens()).map_err(|error| error.to_string())?;
                if *meaning.holder() != self.holder() || meaning.swarm() != self.swarm() {
                    return Err("the token is somebody else's".into());
                }
                token
            }
            None => self.token.clone(),
        };
        let renewed = Self { chain, token, ..self.clone() };
        let leaf = renewed.leaf(now).map_err(|error| error.to_string())?;
        if leaf.id == SpiffeId::Agent(self.swarm(), self.name) && leaf.key == self.key.public() {
            Ok(renewed)
        } else {
            Err("the certificate is somebody else's".into())
        }
    }

    /// The swarm.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.trust.swarm()
    }

    /// Name and key.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { name: self.name, key: self.key.public() }
    }
}

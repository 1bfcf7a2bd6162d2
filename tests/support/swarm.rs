//! Keys, CA, clock and identities of a swarm. Knows nothing of the network.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use testudo_bus::audit::{AuditLog, Recovery};
use testudo_bus::client::ClientIdentity;
use testudo_bus::clock::NodeClock;
use testudo_bus::env::{Env, SharedEnv, random};
use testudo_bus::node::{Bodies, Commit, Node, NodeParts, StartError};
use testudo_bus::roots::{HeldCa, Holding, Keep, KeepError, Roots};
use testudo_bus::tls::{self, Embedded, EmbeddedCa, LIFETIME};
use testudo_bus::transport::Socket;
use testudo_registry::{BookRules, SqliteStore, StoreKey};
use testudo_rules::audit::Origin;
use testudo_rules::inspect::Inspector;
use testudo_rules::token::{self, Delegation, Fresh, Mint, Token};
use testudo_wire::{
    AgentName, Capability, Grant, Holder, Limits, RegistrySequence, SecretKey, Spans, SpiffeId, SwarmId,
    Timestamp, TokenFactId,
};

/// A wall clock that runs with the runtime's clock, and dice that are only counted.
#[derive(Debug)]
pub(crate) struct TestEnv {
    start: tokio::time::Instant,
    dice: AtomicU64,
    skew_ms: AtomicI64,
    panics_in: AtomicU64,
}

impl TestEnv {
    fn starting(start: tokio::time::Instant, dice: u64) -> Arc<Self> {
        let (skew_ms, panics_in) = (AtomicI64::new(0), AtomicU64::new(0));
        Arc::new(Self { start, dice: AtomicU64::new(dice), skew_ms, panics_in })
    }

    pub(crate) fn new() -> Arc<Self> {
        Self::starting(tokio::time::Instant::now(), 1)
    }

    /// Another host's clock: right at first, with dice of its own.
    pub(crate) fn another(&self) -> Arc<Self> {
        let dice = self.dice.fetch_add(1, Ordering::Relaxed);
        Self::starting(self.start, dice.wrapping_mul(1 << 32))
    }

    /// This clock is wrong by so many milliseconds from now on.
    pub(crate) fn skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::Relaxed);
    }

    /// Whoever is the n-th to look at the clock from now on panics.
    pub(crate) fn panic_at(&self, nth: u64) {
        self.panics_in.store(nth, Ordering::Relaxed);
    }

    /// Whether the panic has been had.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panics_in.load(Ordering::Relaxed) == 0
    }
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        let left = self.panics_in.load(Ordering::Relaxed);
        self.panics_in.store(left.saturating_sub(1), Ordering::Relaxed);
        assert!(left != 1, "the clock that panics, as asked for");
        let ms = 1_800_000_000_000 + i64::try_from(self.start.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(u64::try_from(ms + self.skew_ms.load(Ordering::Relaxed)).unwrap())
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.dice.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&n.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Keys and CA of a swarm.
pub(crate) struct Swarm {
    pub(crate) env: Arc<TestEnv>,
    pub(crate) authority: SecretKey,
    pub(crate) node_key: SecretKey,
    pub(crate) log_key: SecretKey,
    pub(crate) ca_key: SecretKey,
    pub(crate) ca: Arc<EmbeddedCa>,
    pub(crate) trust: tls::Trust,
    pub(crate) id: SwarmId,
    /// Who takes its nodes' spans.
    pub(crate) spans: Option<Arc<dyn Spans>>,
    /// What its nodes do with large bodies.
    pub(crate) bodies: Bodies,
    /// What one sender may have unsettled at them, in bytes.
    pub(crate) window: u32,
    /// What was rolled over is kept here for the next start.
    pub(crate) kept: Kept,
}

/// Where a swarm's trust statements are kept, with their keys; a disk that can fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Option<Holding>>>, Arc<Mutex<Disk>>);

/// What becomes of what is to be kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Disk {
    #[default]
    Works,
    /// Nothing is written.
    Fails,
    /// It is written, and that is the last that is done: as if somebody pulled the plug just then.
    Last,
}

impl Kept {
    /// So the disk is from now on.
    pub(crate) fn on(&self, disk: Disk) {
        *self.1.lock().unwrap() = disk;
    }

    /// What the next node goes by.
    pub(crate) fn holding(&self, swarm: &Swarm) -> Holding {
        self.0.lock().unwrap().clone().unwrap_or_else(|| swarm.genesis())
    }

    /// The next node goes by this.
    pub(crate) fn put(&self, holding: Option<Holding>) {
        *self.0.lock().unwrap() = holding;
    }
}

impl Keep for Kept {
    fn keep(&self, holding: &Holding) -> Result<(), KeepError> {
        let disk = *self.1.lock().unwrap();
        if disk != Disk::Fails {
            self.put(Some(holding.clone()));
        }
        let why = || "the disk fails, as asked for".to_owned();
        match disk {
            Disk::Works => Ok(()),
            Disk::Fails => Err(KeepError::Unchanged(why())),
            Disk::Last => Err(KeepError::Unknown(why())),
        }
    }
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

pub(crate) fn capability(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

fn capabilities(list: &[&str]) -> BTreeSet<Capability> {
    list.iter().map(|text| capability(text)).collect()
}

/// A key that depends on a word alone.
pub(crate) fn key_of(word: &str) -> SecretKey {
    let mut seed = [0x55; 32];
    seed[..word.len()].copy_from_slice(word.as_bytes());
    SecretKey::from_seed(&seed)
}

/// What an agent may do and serve; everything it may do it may hand on.
pub(crate) fn grant(right: &[&str], serve: &[&str]) -> Grant {
    Grant {
        right: capabilities(right),
        serve: capabilities(serve),
        delegatable: capabilities(right),
        ..Grant::default()
    }
}

impl Swarm {
    pub(crate) fn new() -> Self {
        Self::of(TestEnv::new(), [1; 32])
    }

    /// A swarm with another authority.
    pub(crate) fn of(env: Arc<TestEnv>, authority: [u8; 32]) -> Self {
        let authority = SecretKey::from_seed(&authority);
        let id = SwarmId::of(&authority.public());
        let ca_key = SecretKey::from_seed(&[2; 32]);
        let ca = Arc::new(EmbeddedCa::create(&id, &ca_key, &*env).unwrap());
        let trust = tls::Trust::new(id, &[ca.certificate().clone()]).unwrap();
        let (node_key, log_key) = (SecretKey::from_seed(&[3; 32]), SecretKey::from_seed(&[4; 32]));
        let (bodies, window, kept) = (Bodies::default(), 512 * 1024, Kept::default());
        Self { env, authority, node_key, log_key, ca_key, ca, trust, id, spans: None, bodies, window, kept }
    }

    /// What it began with.
    pub(crate) fn genesis(&self) -> Holding {
        Holding {
            genesis: self.authority.public(),
            authority: Some(self.authority.clone()),
            cas: vec![HeldCa { certificate: self.ca.certificate().clone(), key: self.ca_key.clone() }],
            chain: Vec::new(),
        }
    }

    /// What its clock shows.
    pub(crate) fn env_now(&self) -> Timestamp {
        self.env.now()
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::of_swarm(&self.id)
    }

    /// Opens registry and audit log in `dir` and starts a node on `socket`.
    pub(crate) fn node(&self, dir: &Path, socket: Socket) -> Result<(Node, Recovery), StartError> {
        self.node_with(dir, socket, Commit::default())
    }

    /// The same, with what a hand-over waits for.
    pub(crate) fn node_with(
        &self,
        dir: &Path,
        socket: Socket,
        commit: Commit,
    ) -> Result<(Node, Recovery), StartError> {
        let log = dir.join("audit");
        let (now, key) = (self.env.now(), self.log_key.clone());
        let (audit, recovery) = AuditLog::open(&log, self.origin(), key, now, RegistrySequence(0)).unwrap();
        tokio::spawn(audit.clone().run_sync());
        let sealing = StoreKey::new(zeroize::Zeroizing::new([5; 32]));
        let roots = Arc::new(Roots::new(self.kept.holding(self), None).unwrap());
        let clock = NodeClock::new(self.env.clone());
        clock.go_on_from(audit.began());
        let node = Node::start(NodeParts {
            name: "n1".parse().unwrap(),
            key: self.node_key.clone(),
            agents: Arc::new(Embedded::following(&roots, clock.clone())),
            roots,
            store: Box::new(SqliteStore::open(&dir.join("registry.db"), &self.id, sealing).unwrap()),
            rules: BookRules::default(),
            audit,
            commit,
            witnessed: RegistrySequence(0),
            window: self.window,
            bodies: self.bodies,
            inspector: Inspector::standard().with_body_limit(self.bodies.bytes_max as usize),
            spans: self.spans.clone(),
            clock,
            socket,
        })?;
        Ok((node, recovery))
    }

    /// Enrols an agent and makes its identity.
    pub(crate) async fn enrol(&self, node: &Node, who: &str, grant: &Grant) -> ClientIdentity {
        let key = key_of(who);
        let holder = Holder { name: name(who), key: key.public() };
        let minted = node.registry().enrol(holder, grant.clone()).await.unwrap();
        self.identity(key, holder.name, grant, minted)
    }

    /// An identity as the operator would write it.
    pub(crate) fn identity(
        &self,
        key: SecretKey,
        name: AgentName,
        grant: &Grant,
        minted: RegistrySequence,
    ) -> ClientIdentity {
        let env: SharedEnv = self.env.clone();
        let leaf = self.ca.issue(&SpiffeId::Agent(self.id, name), &key.public(), LIFETIME, &*env).unwrap();
        let token = self.token(Holder { name, key: key.public() }, grant, minted);
        ClientIdentity {
            name,
            key,
            chain: vec![leaf],
            trust: self.trust.clone(),
            authority: token::Trust::of(self.authority.public()),
            token,
            learnt: testudo_bus::client::Learnt::default(),
            memory: testudo_bus::client::Memory::default(),
        }
    }

    /// A token for everything that the grant holds.
    pub(crate) fn token(&self, holder: Holder, grant: &Grant, minted: RegistrySequence) -> Token {
        let mint = Mint {
            swarm: self.id,
            id: TokenFactId::new(random(&*self.env)),
            holder,
            rights: grant.right.clone(),
            delegatable: grant.delegatable.clone(),
            expires: self.env.now().after(LIFETIME),
            minted,
            hops: 3,
        };
        mint.sign(&self.authority, Fresh::from_random(random(&*self.env)), &Limits::standard()).unwrap()
    }

    /// `from` hands one of its rights to `to`.
    pub(crate) fn delegated(&self, from: &ClientIdentity, to: &ClientIdentity, right: &str) -> Token {
        let delegation = Delegation {
            id: TokenFactId::new(random(&*self.env)),
            to: to.holder(),
            grant: capabilities(&[right]),
            grant_on: BTreeSet::new(),
            expires: self.env.now().after(LIFETIME),
            hops: 0,
        };
        from.token.delegate(&delegation, &from.key, Fresh::from_random(random(&*self.env))).unwrap()
    }
}

//! A swarm for tests: real node, real clients, real TLS, on loopback sockets or on an in-memory network with
//! a paused clock.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testudo_bus::audit::AuditLog;
use testudo_bus::client::{Client, ClientIdentity, Deliveries, DialError};
use testudo_bus::env::{Env, SharedEnv};
use testudo_bus::node::{Node, NodeParts};
use testudo_bus::tls::{self, EmbeddedCa, Issuer, LIFETIME};
use testudo_bus::transport::{self, Socket};
use testudo_registry::{BookRules, SqliteStore};
use testudo_rules::audit::Origin;
use testudo_rules::inspect::Inspector;
use testudo_rules::token::{self, Fresh, Mint};
use testudo_wire::{
    AgentName, Capability, Grant, Holder, Limits, RegistrySequence, SecretKey, SpiffeId, SwarmId, Timestamp,
    TokenFactId,
};

/// A wall clock that runs with the runtime's clock, and dice that are only counted.
#[derive(Debug)]
pub struct TestEnv {
    start: tokio::time::Instant,
    dice: AtomicU64,
}

impl TestEnv {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: tokio::time::Instant::now(), dice: AtomicU64::new(1) })
    }
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).after(self.start.elapsed())
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.dice.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&n.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Keys and CA of a swarm.
pub struct Swarm {
    pub env: Arc<TestEnv>,
    pub authority: SecretKey,
    pub node_key: SecretKey,
    pub log_key: SecretKey,
    pub ca: Arc<EmbeddedCa>,
    pub trust: tls::Trust,
    pub id: SwarmId,
}

pub fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

pub fn capabilities(list: &[&str]) -> std::collections::BTreeSet<Capability> {
    list.iter().map(|text| Capability::parse(text).unwrap()).collect()
}

impl Swarm {
    pub fn new() -> Self {
        let env = TestEnv::new();
        let authority = SecretKey::from_seed(&[1; 32]);
        let id = SwarmId::of(&authority.public());
        let ca = Arc::new(EmbeddedCa::create(&id, &SecretKey::from_seed(&[2; 32]), &*env).unwrap());
        let trust = tls::Trust::new(id, &[ca.certificate().clone()]).unwrap();
        Self {
            env,
            authority,
            node_key: SecretKey::from_seed(&[3; 32]),
            log_key: SecretKey::from_seed(&[4; 32]),
            ca,
            trust,
            id,
        }
    }

    /// Opens registry and audit log in `dir` and starts a node on `socket`.
    pub fn node(&self, dir: &Path, socket: Socket) -> Node {
        let origin = Origin::of_swarm(&self.id);
        let (audit, _) = AuditLog::open(
            &dir.join("audit"),
            origin,
            self.log_key.clone(),
            self.env.now(),
            RegistrySequence(0),
        )
        .unwrap();
        tokio::spawn(audit.clone().run_sync());
        Node::start(NodeParts {
            name: "n1".parse().unwrap(),
            key: self.node_key.clone(),
            trust: self.trust.clone(),
            issuer: self.ca.clone(),
            authority_trust: token::Trust::of(self.authority.public()),
            authority: Some(self.authority.clone()),
            store: Box::new(SqliteStore::open(&dir.join("registry.db"), &self.id).unwrap()),
            rules: BookRules::default(),
            audit,
            witnessed: RegistrySequence(0),
            window: 512 * 1024,
            inspector: Inspector::standard(),
            env: self.env.clone(),
            socket,
        })
        .unwrap()
    }

    /// Enrols an agent and makes its identity.
    pub async fn enrol(&self, node: &Node, who: &str, right: &[&str], serve: &[&str]) -> ClientIdentity {
        let mut seed = [0x55; 32];
        seed[..who.len()].copy_from_slice(who.as_bytes());
        let key = SecretKey::from_seed(&seed);
        let holder = Holder { name: name(who), key: key.public() };
        let grant = Grant {
            right: capabilities(right),
            serve: capabilities(serve),
            delegatable: capabilities(right),
            ..Grant::default()
        };
        let minted = node.registry().enrol(holder, grant.clone()).await.unwrap();
        self.identity(key, holder.name, &grant, minted)
    }

    /// An identity as the operator would write it.
    pub fn identity(
        &self,
        key: SecretKey,
        name: AgentName,
        grant: &Grant,
        minted: RegistrySequence,
    ) -> ClientIdentity {
        let env: SharedEnv = self.env.clone();
        let leaf =
            self.ca.issue(&SpiffeId::Agent(self.id, name), &key.public(), LIFETIME, &*env).unwrap();
        let mint = Mint {
            swarm: self.id,
            id: TokenFactId::new(testudo_bus::env::random(&*env)),
            holder: Holder { name, key: key.public() },
            rights: grant.right.clone(),
            delegatable: grant.delegatable.clone(),
            expires: env.now().after(LIFETIME),
            minted,
            hops: 3,
        };
        let fresh = Fresh::from_random(testudo_bus::env::random(&*env));
        let token = mint.sign(&self.authority, fresh, &Limits::standard()).unwrap();
        ClientIdentity {
            name,
            key,
            chain: vec![leaf],
            trust: self.trust.clone(),
            authority: token::Trust::of(self.authority.public()),
            token,
        }
    }

    /// Connects over loopback.
    pub async fn connect(
        &self,
        identity: ClientIdentity,
        node: SocketAddr,
    ) -> Result<(Client, Deliveries), DialError> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let endpoint = transport::dialler(Socket::Udp(socket)).unwrap();
        Client::connect(&endpoint, node, Arc::new(identity), None, self.env.clone()).await
    }
}

/// Runs a test on one thread, under actix.
pub fn run<F: Future<Output = ()>>(test: F) {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    })
    .block_on(test);
}

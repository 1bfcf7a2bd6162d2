//! Certificates: whom a node lets in, whom an agent talks to, and that neither ever takes a short cut.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rcgen::ExtendedKeyUsagePurpose as Usage;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use support::careless::AnyNode;
use support::certs::{Chain, ca, profile, sign};
use support::crafted::{Craft, FAULTS, crafted};
use support::swarm::{TestEnv, key_of, name};
use support::{Swarm, World, pass, sim};
use testudo_bus::client::{ClientIdentity, DialError};
use testudo_bus::env::Env as _;
use testudo_bus::tls::{self, LIFETIME, LeafError, Listed, Listing, NodeCertificate, Role};
use testudo_bus::transport;
use testudo_wire::frame::ALPN;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Holder, SecretKey, SpiffeId};

/// rustls as it comes: resumption on, a session cache, early data if it may.
fn eager(chain: Chain, key: Vec<u8>, node: SocketAddr) -> quinn::ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyNode))
        .with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))
        .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = true;
    transport::client(QuicClientConfig::try_from(config).unwrap(), node)
}

fn eager_of(identity: &ClientIdentity, node: SocketAddr) -> quinn::ClientConfig {
    eager(identity.chain.clone(), identity.key.to_pkcs8().unwrap().to_vec(), node)
}

/// Counts how often it is asked.
struct Counting(AtomicUsize);

impl Listing for Counting {
    fn look_up(&self, _: &Holder) -> Listed {
        self.0.fetch_add(1, Ordering::Relaxed);
        Listed::Good
    }
}

/// A listening end of the bus with nothing behind it.
fn listener(
    world: &World,
    chain: Chain,
    key: &SecretKey,
) -> (std::net::SocketAddr, quinn::Endpoint, Arc<Counting>) {
    let certificate = Arc::new(NodeCertificate::new(NodeCertificate::certified(chain, key).unwrap()));
    let listing = Arc::new(Counting(AtomicUsize::new(0)));
    let env = world.swarm.env.clone();
    let config = tls::server_config(world.swarm.trust.clone(), listing.clone(), certificate, env).unwrap();
    let (address, socket) = world.net.bind();
    (address, transport::listen(config, socket).unwrap(), listing)
}

fn node_leaf(swarm: &Swarm) -> CertificateDer<'static> {
    let id = SpiffeId::Node(swarm.id, "n1".parse().unwrap());
    swarm.ca.issue(&id, &swarm.node_key.public(), LIFETIME, &*swarm.env).unwrap()
}

#[test]
fn t_a11_a_revoked_client_that_wants_to_resume_is_refused_at_the_handshake() {
    sim(async {
        let world = World::new(1);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let identity = world.enrol("thief", &["read:logs"], &[]).await;
        let config = eager_of(&identity, world.address);
        let (_, endpoint) = world.endpoint();
        let first = endpoint.connect_with(config.clone(), world.address, "testudo").unwrap().await.unwrap();
        // Time for session tickets, if the node gave any.
        pass(Duration::from_secs(1)).await;
        world.node.registry().revoke(name("thief"), RevocationCause::Operator).await.unwrap();
        first.close(0_u32.into(), b"");

        let connecting = endpoint.connect_with(config, world.address, "testudo").unwrap();
        let Err(connecting) = connecting.into_0rtt() else { panic!("0-RTT after revocation") };
        if let Ok(second) = connecting.await {
            // The client's side of TLS 1.3 is done before the node has seen its certificate.
            let closed = second.closed().await.to_string();
            assert!(closed.contains("revoked") || closed.contains("44"), "{closed}");
        }
        let none = tokio::time::timeout(Duration::from_secs(5), reader.inbox.next()).await;
        assert!(none.is_err(), "nothing is delivered");
        let refused = world.ledger().links().filter(|link| link.agent.is_none()).count();
        assert!(refused >= 1, "the refusal is on the log");
        assert_eq!(world.node.linked(), [name("reader")]);
        world.end().await;
    });
}

#[test]
fn t_a10_t_a11_no_early_data_and_the_list_is_asked_at_every_dial() {
    sim(async {
        let world = World::new(2);
        let identity = world.enrol("eager", &["read:logs"], &[]).await;
        let (address, server, listing) =
            listener(&world, vec![node_leaf(&world.swarm)], &world.swarm.node_key);
        let accepting = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Some(incoming) = server.accept().await {
                open.push(incoming.await.unwrap());
            }
        });
        let (config, (_, endpoint)) = (eager_of(&identity, world.address), world.endpoint());
        for dial in 1..=4 {
            let connecting = endpoint.connect_with(config.clone(), address, "testudo").unwrap();
            let Err(connecting) = connecting.into_0rtt() else { panic!("0-RTT on dial {dial}") };
            let connection = connecting.await.unwrap();
            pass(Duration::from_secs(1)).await;
            assert_eq!(listing.0.load(Ordering::Relaxed), dial, "asked once a dial");
            connection.close(0_u32.into(), b"");
        }
        accepting.abort();
        world.end().await;
    });
}

/// What the node's check says of a chain.
fn fault(swarm: &Swarm, chain: &[CertificateDer<'static>]) -> Option<LeafError> {
    let now = UnixTime::since_unix_epoch(Duration::from_millis(swarm.env.now().as_millis()));
    tls::check(Role::Agent, &swarm.trust, &chain[0], &chain[1..], now).err()
}

#[test]
fn t_a14_t_a32_every_crafted_certificate_is_refused_for_what_is_wrong_with_it() {
    let swarm = Swarm::new();
    let uri = SpiffeId::Agent(swarm.id, name("crafty")).to_string();
    let craft = Craft { swarm: &swarm, key: key_of("crafty"), uri };
    let chains = crafted(&craft);
    let found: BTreeMap<_, _> = chains.iter().map(|(what, chain)| (*what, fault(&swarm, chain))).collect();
    let named = |(fault, whats): &(_, &'static [&'static str])| {
        let fault = *fault;
        whats.iter().map(move |what| (*what, Some(fault))).collect::<Vec<_>>()
    };
    let expected: BTreeMap<_, _> = FAULTS.iter().flat_map(named).collect();
    assert_eq!(found, expected);
    assert!(found.len() == chains.len() && chains.len() >= 50, "{}, some of one name", chains.len());
    assert_eq!(fault(&swarm, &craft.with(|_| ())), None, "the good one");
}

#[test]
fn t_a09_t_a14_t_a32_no_crafted_certificate_gets_in() {
    sim(async {
        let world = World::new(3);
        let identity = world.enrol("crafty", &["read:logs"], &[]).await;
        let (key, uri) = (identity.key.clone(), SpiffeId::Agent(world.swarm.id, identity.name).to_string());
        let chains = crafted(&Craft { swarm: &world.swarm, key, uri });
        for (what, chain) in chains {
            let dialled = world.dial(ClientIdentity { chain, ..identity.clone() }).await;
            let Err(error) = dialled else { panic!("{what}: let in") };
            // Keys and critical extensions that rustls does not know are refused by the client's own end too.
            let by_tls = matches!(error, DialError::Certificate(_) | DialError::Expired | DialError::Tls(_));
            assert!(by_tls, "{what}: {error}");
            assert_eq!(world.node.linked(), [], "{what}");
        }
        world.dial(identity).await.expect("the good one");
        world.end().await;
    });
}

#[test]
fn t_a14_another_key_of_the_same_name_or_another_kind_of_key_stays_out() {
    sim(async {
        let world = World::new(4);
        let identity = world.enrol("crafty", &["read:logs"], &[]).await;
        let uri = SpiffeId::Agent(world.swarm.id, identity.name).to_string();
        let params = profile(&world.swarm, &uri, Usage::ClientAuth);
        let other = key_of("other");
        let chain = vec![sign(&params, &other, &ca(&world.swarm))];
        let dialled = world.dial(ClientIdentity { chain, key: other, ..identity.clone() }).await;
        assert!(matches!(dialled, Err(DialError::Unlisted)));

        let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = params.signed_by(&p256, &ca(&world.swarm)).unwrap().der().clone();
        let (_, endpoint) = world.endpoint();
        let config = eager(vec![leaf], p256.serialize_der(), world.address);
        let connection = match endpoint.connect_with(config, world.address, "testudo").unwrap().await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        };
        assert!(connection.to_string().contains("aborted"), "{connection}");
        assert_eq!(world.node.linked(), []);
        world.end().await;
    });
}

#[test]
fn an_unlisted_agent_with_a_good_certificate_is_told_so() {
    sim(async {
        let world = World::new(5);
        let grant = support::swarm::grant(&["read:logs"], &[]);
        let stranger = world.swarm.identity(
            key_of("stranger"),
            name("stranger"),
            &grant,
            testudo_wire::RegistrySequence(1),
        );
        assert!(matches!(world.dial(stranger).await, Err(DialError::Unlisted)));
        world.end().await;
    });
}

#[test]
fn an_agent_cannot_pose_as_a_node_nor_a_node_as_an_agent() {
    sim(async {
        let world = World::new(6);
        let victim = world.enrol("victim", &["read:logs"], &[]).await;
        let mallory = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
        let uri = SpiffeId::Agent(world.swarm.id, mallory.name).to_string();
        let sign_as = |uri: &str, usage| {
            vec![sign(&profile(&world.swarm, uri, usage), &mallory.key, &ca(&world.swarm))]
        };
        let posing = [
            ("its own certificate", mallory.chain.clone()),
            ("an agent's name for servers", sign_as(&uri, Usage::ServerAuth)),
            ("a node's name for clients", sign_as(&uri.replace("agent", "node"), Usage::ClientAuth)),
        ];
        for (what, chain) in posing {
            let (address, server, _) = listener(&world, chain, &mallory.key);
            let serving = tokio::spawn(async move {
                while let Some(incoming) = server.accept().await {
                    let _ = incoming.await;
                }
            });
            let (_, endpoint) = world.endpoint();
            let env = world.swarm.env.another();
            let dialled = testudo_bus::client::dial(&endpoint, address, &victim, None, env).await;
            assert!(matches!(dialled, Err(DialError::NotOurNode(_))), "{what}: {dialled:?}");
            serving.abort();
        }
        let (chain, key) = (vec![node_leaf(&world.swarm)], world.swarm.node_key.clone());
        let dialled = world.dial(ClientIdentity { chain, key, ..mallory }).await;
        assert!(matches!(dialled, Err(DialError::Certificate(_))));
        world.end().await;
    });
}

#[test]
fn a_node_of_another_swarm_is_not_ours() {
    sim(async {
        let world = World::new(7);
        let victim = world.enrol("victim", &["read:logs"], &[]).await;
        let env: Arc<TestEnv> = world.swarm.env.another();
        let other = Swarm::of(env, [9; 32]);
        let (address, _server, _) = listener(&world, vec![node_leaf(&other)], &other.node_key);
        let (_, endpoint) = world.endpoint();
        let env = world.swarm.env.another();
        let dialled = testudo_bus::client::dial(&endpoint, address, &victim, None, env).await;
        assert!(matches!(dialled, Err(DialError::NotOurNode(_) | DialError::Unreachable(_))), "{dialled:?}");
        world.end().await;
    });
}

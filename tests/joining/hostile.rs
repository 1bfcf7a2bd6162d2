//! Strangers at the join port, and nodes that are not the invitation's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::ClientConfig;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::PrivateKeyDer;
use testudo_bus::join::{AskError, PortState, ask};
use testudo_bus::{tls, transport};
use testudo_rules::audit::RegistryChange;
use testudo_wire::join::{JOIN_ALPN, JoinAnswer, JoinRefusal, JoinRequest, JoinToken, REQUEST_BYTES_MAX};
use testudo_wire::{CaFingerprint, InvitationId, SecretKey, Signature};
use tokio::time::timeout;

use super::kit::{Hall, Stranger, key};
use super::support::careless::AnyNode;
use super::support::swarm::{Swarm, TestEnv, name};
use super::support::{World, pass, sim, until};

fn refused(refusal: JoinRefusal) -> Option<JoinAnswer> {
    Some(JoinAnswer::Refused(refusal))
}

#[test]
fn t_a31_five_wrong_signatures_void_an_invitation_and_all_stand_on_the_log() {
    sim(async {
        let hall = Hall::new(20);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let forged = JoinToken { key: key(99), ..token.clone() };
        for _ in 0..5 {
            assert_eq!(hall.refused(&forged, &key(50)).await, JoinRefusal::WrongSignature);
        }
        until("the port is closed", || hall.state() == PortState::Closed).await;
        hall.invite("bob", &["read:logs"], 3600).await;
        assert_eq!(hall.refused(&token, &key(50)).await, JoinRefusal::Void, "the right seed comes too late");
        let log = hall.turned_away();
        assert_eq!(log.iter().filter(|why| *why == "a wrong signature for the invitation of ada").count(), 5);
        assert_eq!(log.last().unwrap(), "the invitation for ada is void");
        let ada = hall.world.ledger().changes(name("ada"));
        assert_eq!(ada, [RegistryChange::Invited { id: token.id }], "nobody was enrolled");
    });
}

#[test]
fn t_a31_a_question_is_good_on_its_own_connection_alone() {
    sim(async {
        let hall = Hall::new(21);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let (heard, other) =
            (Stranger::dial(&hall, &key(50)).await.unwrap(), Stranger::dial(&hall, &key(50)).await.unwrap());
        assert_ne!(heard.exporter(), other.exporter());
        let question = heard.question(&token);
        // The same key on another connection, as a thief of both question and key would.
        assert_eq!(other.asks(&question).await, refused(JoinRefusal::WrongSignature));
        // The thief's own key under the stolen proof.
        let thief = Stranger::dial(&hall, &key(51)).await.unwrap();
        let own = JoinRequest { csr: tls::certificate_request(&key(51)).unwrap(), ..question.clone() };
        assert_eq!(thief.asks(&own).await, refused(JoinRefusal::WrongSignature));
        // The stolen request whole: its key is not the connection's, so nobody counts it.
        let thief = Stranger::dial(&hall, &key(51)).await.unwrap();
        assert_eq!(thief.asks(&question).await, refused(JoinRefusal::Malformed));
        assert!(matches!(heard.asks(&question).await, Some(JoinAnswer::Joined(_))), "its own place");
        assert_eq!(hall.world.node.registry().invitations().await.unwrap()[0].0.misses, 2);
    });
}

#[test]
fn who_has_the_id_but_not_the_seed_learns_nothing_and_gets_nothing() {
    sim(async {
        let hall = Hall::new(22);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let unknown = JoinToken { id: InvitationId::new([9; 16]), ..token.clone() };
        assert_eq!(hall.refused(&unknown, &key(50)).await, JoinRefusal::Unknown);
        let stranger = Stranger::dial(&hall, &key(50)).await.unwrap();
        let zero = JoinRequest { signature: Signature::new([0; 64]), ..stranger.question(&token) };
        assert_eq!(stranger.asks(&zero).await, refused(JoinRefusal::WrongSignature));
        // Once it is spent, whoever has another key cannot void it, however often it asks.
        hall.ask(&token, &key(51)).await.unwrap();
        for _ in 0..6 {
            assert_eq!(
                hall.refused(&JoinToken { key: key(9), ..token.clone() }, &key(50)).await,
                JoinRefusal::Used
            );
        }
        hall.ask(&token, &key(51)).await.unwrap();
    });
}

#[test]
fn what_is_no_question_is_refused_by_name_and_counts_against_no_invitation() {
    sim(async {
        let hall = Hall::new(23);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let mut seed = 0;
        let mut dial = async || {
            seed += 1;
            Stranger::dial(&hall, &key(seed)).await.unwrap()
        };
        let good = dial().await.question(&token).encode().unwrap();
        let mut cases = vec![Vec::new(), vec![1], good[..80].to_vec(), good[..good.len() - 1].to_vec()];
        cases.push([&good[..], &[0]].concat());
        cases.push([&[2][..], &good[1..]].concat());
        cases.push(vec![0xff; REQUEST_BYTES_MAX]);
        cases.push([&good[..81], &tls::self_signed(&key(77)).unwrap()[..]].concat());
        for case in cases {
            let stranger = dial().await;
            assert_eq!(
                stranger.say(case.clone()).await,
                refused(JoinRefusal::Malformed),
                "{} bytes",
                case.len()
            );
            assert!(stranger.closed_after().await < 4.0);
        }
        // Longer than a frame may be: by its length prefix, and not a byte more is read.
        for len in [REQUEST_BYTES_MAX as u32 + 1, u32::MAX] {
            let stranger = dial().await;
            let bytes = [&len.to_be_bytes()[..], &[7; 4096]].concat();
            assert!(matches!(
                stranger.say_raw(&bytes).await,
                None | Some(JoinAnswer::Refused(JoinRefusal::Malformed))
            ));
            assert!(stranger.closed_after().await < 4.0);
        }
        // Cut off within the frame.
        let stranger = dial().await;
        assert_eq!(
            stranger.say_raw(&[&200_u32.to_be_bytes()[..], &good[..50]].concat()).await,
            refused(JoinRefusal::Malformed)
        );
        assert_eq!(hall.world.node.registry().invitations().await.unwrap()[0].0.misses, 0);
        assert!(hall.ask(&token, &key(200)).await.is_ok());
    });
}

#[test]
fn t_a06_who_says_nothing_or_drips_is_gone_within_seconds() {
    sim(async {
        let hall = Hall::new(24);
        hall.invite("ada", &["read:logs"], 3600).await;
        let silent = Stranger::dial(&hall, &key(50)).await.unwrap();
        assert!(silent.closed_after().await <= 3.5);
        let opener = Stranger::dial(&hall, &key(50)).await.unwrap();
        let (_questions, _answers) = opener.connection.open_bi().await.unwrap();
        assert!(opener.closed_after().await <= 3.5);
        let dripper = Stranger::dial(&hall, &key(50)).await.unwrap();
        let (mut questions, _answers) = dripper.connection.open_bi().await.unwrap();
        let dripping = async {
            for byte in 500_u32.to_be_bytes().into_iter().chain([1; 500]) {
                if questions.write_all(&[byte]).await.is_err() {
                    return;
                }
                pass(Duration::from_millis(500)).await;
            }
        };
        let (closed, ()) = tokio::join!(dripper.closed_after(), dripping);
        assert!(closed <= 3.5, "{closed}");
    });
}

#[test]
fn t_a01_silent_strangers_do_not_keep_a_newcomer_out() {
    sim(async {
        let hall = Hall::new(25);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        // One address gets but its share of places; the rest of its dials are not answered.
        let one = hall.endpoint();
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(Stranger::dial_with(&hall, one.clone(), &key(60)).await.unwrap());
        }
        let over = timeout(Duration::from_secs(1), Stranger::dial_with(&hall, one.clone(), &key(60))).await;
        assert!(over.is_err(), "the ninth of one address waits");
        hall.ask(&token, &key(50)).await.unwrap();
        // Every place taken, from many addresses: all of them are out after three seconds, and QUIC asks again.
        drop(held);
        let bob = hall.invite("bob", &["read:logs"], 3600).await;
        pass(Duration::from_secs(4)).await;
        let mut crowd = Vec::new();
        for n in 0..64 {
            crowd.push(Stranger::dial(&hall, &key(61 + n)).await.unwrap());
        }
        let start = tokio::time::Instant::now();
        hall.ask(&bob, &key(51)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    });
}

#[test]
fn t_a01_neither_port_answers_a_false_address_with_more_than_three_times_what_came() {
    sim(async {
        let hall = Hall::new(40);
        hall.invite("ada", &["read:logs"], 3600).await;
        let bob = hall.world.enrol("bob", &["read:logs"], &[]).await;
        let (swarm, net) = (&hall.world.swarm, &hall.world.net);
        for port in [hall.address, hall.world.address] {
            // As somebody who writes another's address on its datagrams: no answer ever reaches it.
            let (address, endpoint) = hall.world.endpoint();
            net.cut_one(port, address);
            let tls = if port == hall.address {
                let (ca, own) =
                    (CaFingerprint::of(swarm.ca.certificate()), tls::self_signed(&key(50)).unwrap());
                tls::join_client_config(swarm.id, ca, own, &key(50), swarm.env.another()).unwrap().0
            } else {
                tls::client_config(bob.trust.clone(), bob.chain.clone(), &bob.key, swarm.env.another())
                    .unwrap()
            };
            let dialling = endpoint.connect_with(transport::client(tls, port), port, "testudo").unwrap();
            for _ in 0..40 {
                pass(Duration::from_millis(500)).await;
                let (came, went) = (net.sent(address, port), net.sent(port, address));
                assert!(went > 0 && went <= 3 * came, "{port}: {went} bytes for {came}");
            }
            let (came, went) = (net.sent(address, port), net.sent(port, address));
            println!("{port}: {came} bytes came from a false address, {went} went there");
            drop(dialling);
        }
    });
}

#[test]
fn t_a01_a_flood_of_half_open_joins_starts_no_handshake_and_holds_no_newcomer_up() {
    sim(async {
        let hall = Hall::new(41);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        let (swarm, net) = (&hall.world.swarm, &hall.world.net);
        let (mut flood, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..64 {
            let (address, endpoint) = hall.world.endpoint();
            net.cut_one(hall.address, address);
            addresses.push(address);
            for _ in 0..32 {
                let (ca, own) =
                    (CaFingerprint::of(swarm.ca.certificate()), tls::self_signed(&key(50)).unwrap());
                let (tls, _) =
                    tls::join_client_config(swarm.id, ca, own, &key(50), swarm.env.another()).unwrap();
                flood.push(
                    endpoint
                        .connect_with(transport::client(tls, hall.address), hall.address, "testudo")
                        .unwrap(),
                );
            }
        }
        pass(Duration::from_secs(1)).await;
        let start = tokio::time::Instant::now();
        hall.ask(&token, &key(51)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        // None was answered with a handshake, whose state would be kept: at most it was asked to show where it is.
        let total = |way: &dyn Fn(SocketAddr) -> usize| addresses.iter().map(|at| way(*at)).sum::<usize>();
        let (came, went) = (total(&|at| net.sent(at, hall.address)), total(&|at| net.sent(hall.address, at)));
        println!("{} half-open joins: {came} bytes came, {went} went", flood.len());
        assert!(went > 0 && went < came / 8, "{went} bytes for {came}");
        drop(flood);
    });
}

#[test]
fn t_a10_neither_early_data_nor_resumption_at_the_join_port() {
    sim(async {
        let hall = Hall::new(26);
        hall.invite("ada", &["read:logs"], 3600).await;
        let (endpoint, swarm, key) = (hall.endpoint(), &hall.world.swarm, key(50));
        let (ca, own) =
            (testudo_wire::CaFingerprint::of(swarm.ca.certificate()), tls::self_signed(&key).unwrap());
        let (tls, _) = tls::join_client_config(swarm.id, ca, own, &key, swarm.env.another()).unwrap();
        let config = ClientConfig::new(Arc::new(tls));
        for _ in 0..2 {
            let connecting = endpoint.connect_with(config.clone(), hall.address, "testudo").unwrap();
            let connection = connecting.into_0rtt().err().expect("early data").await.unwrap();
            pass(Duration::from_millis(100)).await;
            connection.close(0_u32.into(), b"");
        }
    });
}

#[test]
fn links_and_newcomers_do_not_fit_each_others_ports() {
    sim(async {
        let hall = Hall::new(27);
        let token = hall.invite("ada", &["read:logs"], 3600).await;
        // A newcomer at the port of links: no common protocol.
        let there = JoinToken { address: hall.world.address, ..token.clone() };
        let error = hall.ask(&there, &key(50)).await.unwrap_err();
        assert!(matches!(error, AskError::Protocol("it is no join port")), "{error:?}");
        // An agent at the join port.
        let agent = hall.world.enrol("bob", &["read:logs"], &[]).await;
        let env = hall.world.swarm.env.another();
        let tls = tls::client_config(agent.trust.clone(), agent.chain.clone(), &agent.key, env).unwrap();
        let dialled = hall
            .endpoint()
            .connect_with(transport::client(tls, hall.address), hall.address, "testudo")
            .unwrap()
            .await;
        assert!(dialled.is_err());
        assert!(hall.ask(&token, &key(50)).await.is_ok());
    });
}

#[test]
fn t_a14_a_certificate_with_another_above_it_or_none_is_refused_in_the_handshake() {
    sim(async {
        let hall = Hall::new(28);
        hall.invite("ada", &["read:logs"], 3600).await;
        let swarm = &hall.world.swarm;
        let (own, key) = (tls::self_signed(&key(50)).unwrap(), key(50));
        let env = swarm.env.another();
        let two = tls::client_config(swarm.trust.clone(), vec![own.clone(), own], &key, env).unwrap();
        let connecting = hall
            .endpoint()
            .connect_with(transport::client(two, hall.address), hall.address, "testudo")
            .unwrap();
        assert!(connecting.await.is_err());
        until("it stands on the log", || !hall.turned_away().is_empty()).await;
        let before = hall.world.ledger().changes(name("ada")).len();
        assert_eq!(before, 1, "nothing of ours was read");
    });
}

#[test]
fn who_shows_no_certificate_or_another_key_kind_does_not_get_through_the_handshake() {
    sim(async {
        let hall = Hall::new(32);
        hall.invite("ada", &["read:logs"], 3600).await;
        let ecdsa = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::default();
        let foreign = params.self_signed(&ecdsa).unwrap().der().clone();
        let foreign_key = PrivateKeyDer::Pkcs8(ecdsa.serialize_der().into());
        for shown in [None, Some((foreign, foreign_key))] {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyNode));
            let what = if shown.is_some() { "another kind of key" } else { "no certificate" };
            let mut config = match shown {
                None => config.with_no_client_auth(),
                Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
            };
            config.alpn_protocols = vec![JOIN_ALPN.to_vec()];
            let tls = QuicClientConfig::try_from(config).unwrap();
            let client = ClientConfig::new(Arc::new(tls));
            let dialled = hall.endpoint().connect_with(client, hall.address, "testudo").unwrap().await;
            // The client may think itself done before the node has judged it.
            let ended = match dialled {
                Ok(connection) => connection.closed().await.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(ended.contains("cryptographic handshake failed"), "{what}: {ended}");
        }
    });
}

/// Another swarm's node that stands where the invitation points.
fn impostor(net_seed: u64, swarm: Swarm) -> Hall {
    let (net, dir) = (super::support::net::SimNet::new(net_seed), tempfile::tempdir().unwrap());
    let (address, socket) = net.bind();
    let (node, _) = swarm.node(dir.path(), socket).unwrap();
    Hall::of(World { swarm, net, dir, address, node })
}

#[test]
fn t_a44_another_swarms_node_hears_nothing_of_the_invitation() {
    sim(async {
        // Another authority; and our authority's name over a CA of another key.
        let mut other_ca = Swarm::new();
        other_ca.ca_key = SecretKey::from_seed(&[222; 32]);
        let ca = tls::EmbeddedCa::create(&other_ca.id, &other_ca.ca_key, &*other_ca.env).unwrap();
        other_ca.trust = tls::Trust::new(other_ca.id, &[ca.certificate().clone()]).unwrap();
        other_ca.ca = Arc::new(ca);
        for swarm in [Swarm::of(TestEnv::new(), [200; 32]), other_ca] {
            let (hall, other) = (Hall::new(29), impostor(30, swarm));
            let token = hall.invite("ada", &["read:logs"], 3600).await;
            let theirs = other.invite("eve", &["read:logs"], 3600).await;
            let led_astray = JoinToken { address: other.address, ..token.clone() };
            let error = ask(&other.endpoint(), &led_astray, &key(50), hall.world.swarm.env.another())
                .await
                .unwrap_err();
            assert!(matches!(error, AskError::WrongSwarm(at, _) if at == other.address), "{error:?}");
            until("its log has the broken handshake", || !other.turned_away().is_empty()).await;
            assert!(
                other.turned_away().iter().all(|why| !why.contains("invitation")),
                "{:?}",
                other.turned_away()
            );
            assert!(hall.ask(&token, &key(50)).await.is_ok(), "the invitation is as good as before");
            // Their CA with our swarm's id, and the other way round.
            let mixed = JoinToken { ca: theirs.ca, ..led_astray.clone() };
            let mixed = ask(&other.endpoint(), &mixed, &key(51), hall.world.swarm.env.another()).await;
            let other_authority = other.world.swarm.id != hall.world.swarm.id;
            assert_eq!(matches!(mixed, Err(AskError::WrongSwarm(..))), other_authority, "{mixed:?}");
        }
    });
}

#[test]
fn a_node_on_an_old_copy_of_its_registry_lets_nobody_join() {
    sim(async {
        let hall = Hall::new(31);
        let ada = hall.world.enrol("ada", &["read:logs"], &[]).await;
        let token = hall.invite("bob", &["read:logs"], 3600).await;
        let (swarm, ahead) = (&hall.world.swarm, testudo_wire::RegistrySequence(1_000));
        let session = testudo_wire::SessionId::new([7; 16]);
        let now = testudo_bus::env::Env::now(&*swarm.env);
        let seen = testudo_wire::frame::Seen::sign(
            &swarm.node_key,
            &swarm.id,
            &ada.key.public(),
            session,
            ahead,
            now,
        );
        assert!(hall.world.dial_with(ada, Some(seen), swarm.env.another()).await.is_err());
        until("the port is closed", || hall.state() == PortState::Closed).await;
        assert!(matches!(hall.ask(&token, &key(50)).await, Err(AskError::Unreachable(_))));
    });
}

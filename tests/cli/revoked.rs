//! Revocation against real processes: a node that is killed right after `agent revoke` returned, a node that was
//! stopped for longer than any heartbeat may be late, keys that are burnt.

use std::time::Duration;

use testudo::operator::{Answer, Request};
use testudo::wire::{AgentName, Grant, PublicKey};
use testudo::{Client, Deliveries, DialError, Identity};
use tokio::runtime::Runtime;

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn enrol(place: &Place, name: &str) {
    place.does(&format!("agent add {name} {C} --allow read:logs --out {name}.id"));
}

/// Tries again while there is no answer: on a machine that builds beside, one dial's three seconds may be too few.
async fn dial(place: &Place, node: &Node, name: &str) -> Result<(Client, Deliveries), DialError> {
    let mut identity = Identity::load(&place.path(&format!("{name}.id"))).unwrap();
    identity.node = node.listen.parse().unwrap();
    for _ in 0..4 {
        match testudo::dial(&identity).await {
            Err(DialError::Unreachable(_)) => {}
            answer => return answer,
        }
    }
    testudo::dial(&identity).await
}

#[test]
fn t_f03_a_node_killed_right_after_revoke_returned_comes_back_knowing_it() {
    let place = Place::swarm();
    let (runtime, victims) = (runtime(), ["a", "b", "c", "d"]);
    victims.iter().for_each(|name| enrol(&place, name));
    for (gone, name) in victims.iter().enumerate() {
        let node = Node::start(&place);
        let link = runtime.block_on(dial(&place, &node, name)).unwrap();
        let cause = if gone % 2 == 0 { "operator" } else { "compromised" };
        place.does(&format!("agent revoke {name} --cause {cause} {C}"));
        node.kill();
        drop(link);
        let node = Node::start(&place);
        let again = runtime.block_on(dial(&place, &node, name)).err();
        assert!(matches!(again, Some(DialError::Revoked)), "{name}: {again:?}");
        let states = place.states();
        let out = states.iter().filter(|(_, state)| *state == format!("revoked ({cause})")).count();
        assert!(out > gone / 2, "{states:?}");
        node.end();
    }
    place.does(&format!("audit verify {C}"));
}

#[test]
fn a_burnt_key_never_comes_back_whatever_is_asked() {
    let place = Place::swarm();
    enrol(&place, "a");
    let key: PublicKey = Identity::load(&place.path("a.id")).unwrap().client.key.public();
    place.fails(2, &format!("agent revoke a --compromised --cause operator {C}"), "cannot be used with");
    place.does(&format!("agent revoke a --compromised {C}"));
    assert_eq!(place.states(), [("a".to_owned(), "revoked (compromised)".to_owned())]);
    place.fails(1, &format!("agent reinstate a {C}"), "");
    place.fails(1, &format!("agent renew --identity a.id {C}"), "a is revoked");
    place.fails(1, &format!("token mint a {C}"), "a is revoked");
    let ask = |name: &str| {
        let (name, grant) = (AgentName::parse(name).unwrap(), Grant::default());
        let request = Request::AgentAdd { name, key, grant, csr: None };
        runtime().block_on(testudo::server::ask(&place.path("s/data"), &request)).unwrap()
    };
    for restart in 0..2 {
        let node = Node::start(&place);
        for name in ["a", "b"] {
            assert!(matches!(ask(name), Answer::Refused { .. }), "{name} with a burnt key, start {restart}");
        }
        node.end();
    }
    // The name comes back with a new key.
    std::fs::remove_file(place.path("a.id")).unwrap();
    enrol(&place, "a");
    let node = Node::start(&place);
    assert!(runtime().block_on(dial(&place, &node, "a")).is_ok());
    node.end();
}

/// A second is what a real process needs; nothing in it can be hurried.
fn for_real(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn t_f18_a_node_process_that_was_stopped_revokes_nobody_alive() {
    let place = Place::swarm();
    // Silence is two of these, three seconds: the pause below is to them as a minute is to the default.
    let config = place.read("s/testudo.toml").replace("heartbeat_ms = 30000", "heartbeat_ms = 1500");
    place.write("s/testudo.toml", config);
    for name in ["one", "two", "gone"] {
        enrol(&place, name);
    }
    let node = Node::start(&place);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let links: Vec<_> =
        ["one", "two"].map(|name| runtime.block_on(dial(&place, &node, name)).unwrap()).into_iter().collect();
    let active = || place.states().iter().filter(|(_, state)| state == "active").count();
    assert_eq!(active(), 2);
    for _ in 0..2 {
        node.signal("-STOP");
        for_real(Duration::from_secs(4));
        node.signal("-CONT");
        // One more deadline: whoever is alive beats again, and nobody is out.
        for _ in 0..18 {
            assert_eq!(active(), 2, "{:?}", place.states());
            for_real(Duration::from_millis(200));
        }
    }
    // The check itself is awake: an agent that falls silent is out.
    let silent = runtime.block_on(dial(&place, &node, "gone")).unwrap();
    assert_eq!(active(), 3);
    runtime.shutdown_background();
    let silenced = (0..100).any(|_| {
        for_real(Duration::from_millis(200));
        active() == 0
    });
    assert!(silenced, "{:?}", place.states());
    drop((links, silent));
    node.end();
}

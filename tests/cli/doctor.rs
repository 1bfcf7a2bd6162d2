//! `doctor`: what it finds, what it says to do, and that it changes nothing.

use std::net::{TcpListener, UdpSocket};

use serde_json::Value;

use super::kit::{Node, Place};

const DOCTOR: &str = "doctor --config s/testudo.toml";

/// The state and reason of a finding.
fn finding(said: &Value, what: &str) -> (String, String) {
    let found = said["findings"].as_array().unwrap().iter().find(|one| one["what"] == what);
    let found = found.unwrap_or_else(|| panic!("{what} was not looked at: {said}"));
    (found["state"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap_or_default().to_owned())
}

/// What it says, whatever its exit code.
fn examined(place: &Place) -> (Option<i32>, Value) {
    let ran = place.run(&format!("{DOCTOR} --json"));
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}")))
}

/// A swarm whose addresses are nobody else's.
fn swarm(place: &Place, agents: &str, health: &str) {
    place.does(&format!("init s --listen {agents} --health {health}"));
}

#[test]
fn a_new_swarm_is_in_place_and_looking_changes_nothing() {
    let place = Place::new();
    swarm(&place, "127.0.0.1:0", "127.0.0.1:0");
    let before = place.files();
    let (code, said) = examined(&place);
    assert_eq!(code, Some(0), "{said}");
    for what in ["keys", "guard rules", "address for agents", "address for newcomers", "address for health"] {
        assert_eq!(finding(&said, what).0, "healthy", "{what}");
    }
    assert!(place.does(DOCTOR).contains("keys"), "for people, too");
    assert_eq!(place.files(), before);
}

#[test]
fn a_taken_address_is_named_with_the_key_that_changes_it() {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (agents, health) = (udp.local_addr().unwrap().to_string(), tcp.local_addr().unwrap().to_string());
    let place = Place::new();
    swarm(&place, &agents, &health);
    let (code, said) = examined(&place);
    assert_eq!((code, said["state"].as_str()), (Some(1), Some("unhealthy")));
    for (what, at, key) in
        [("address for agents", &agents, "node.listen"), ("address for health", &health, "node.health")]
    {
        let (state, reason) = finding(&said, what);
        assert!(state == "unhealthy" && reason.contains(at) && reason.contains(key), "{reason}");
    }
    place.fails(1, DOCTOR, "UNHEALTHY");
}

#[test]
fn open_and_foreign_keys_are_found() {
    let place = Place::new();
    swarm(&place, "127.0.0.1:0", "127.0.0.1:0");
    place.does("init other");
    place.mode("s/keys/authority.key", 0o644);
    let (state, reason) = finding(&examined(&place).1, "keys");
    assert!(state == "unhealthy" && reason.contains("authority.key"), "{reason}");
    for file in ["authority.key", "ca.key", "ca.pem", "log.key", "node.key"] {
        std::fs::copy(place.path("other/keys").join(file), place.path("s/keys").join(file)).unwrap();
        place.mode(&format!("s/keys/{file}"), 0o600);
    }
    let (state, reason) = finding(&examined(&place).1, "keys");
    assert!(state == "unhealthy" && reason.contains("not the key of this swarm"), "{reason}");
}

#[test]
fn bad_rules_are_found_and_a_bad_configuration_is_none() {
    let place = Place::new();
    swarm(&place, "127.0.0.1:0", "127.0.0.1:0");
    let config = place.read("s/testudo.toml");
    place.write(
        "s/testudo.toml",
        config.replace("[guard]\npacks = []\n", "") + "\n[guard]\npacks = [\"ours.toml\"]\n",
    );
    place.write("s/ours.toml", "[[rule]]\nid = 7\n");
    let (code, said) = examined(&place);
    let (state, reason) = finding(&said, "guard rules");
    assert!(code == Some(1) && state == "unhealthy" && reason.contains("ours.toml"), "{reason}");
    place.write("s/testudo.toml", "[node]\nport = 1\n");
    place.fails(2, DOCTOR, "testudo.toml");
    place.fails(2, "doctor --config nowhere.toml", "nowhere.toml does not exist");
}

#[test]
fn a_running_node_speaks_for_itself() {
    let place = Place::new();
    swarm(&place, "127.0.0.1:0", "127.0.0.1:0");
    let node = Node::start(&place);
    let (code, said) = examined(&place);
    assert_eq!(code, Some(0), "{said}");
    for part in ["audit", "registry", "actors", "certificate", "issuer"] {
        assert_eq!(finding(&said, &format!("node: {part}")).0, "healthy", "{part}");
    }
    assert!(!said.to_string().contains("address for"), "it holds them: {said}");
    node.end();
}

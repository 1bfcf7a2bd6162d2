//! `swarm trust`: a swarm is rolled over through the real command, while its node runs, is killed, and is restored.

use std::time::Duration;

use serde_json::Value;
use testudo::{DialError, Identity};

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

/// Number, authority keys, CAs.
fn lens(view: &Value) -> (u64, usize, usize) {
    let len = |what: &str| view[what].as_array().unwrap().len();
    (view["number"].as_u64().unwrap(), len("authorities"), len("cas"))
}

fn roll(place: &Place, what: &str) -> (u64, usize, usize) {
    lens(&place.json(&format!("swarm trust {what} {C} --json")))
}

/// Connects as the file says, to this node, and waits for the file to follow what is heard.
async fn heard(place: &Place, file: &str, node: &Node, what: &str) {
    let mut identity = Identity::load(&place.path(file)).unwrap();
    identity.node = node.listen.parse().unwrap();
    let connection = testudo::connect(&identity).await.unwrap();
    for _ in 0..500 {
        if place.read(file).contains(what) {
            return connection.goodbye().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{file} does not say {what}");
}

async fn dialled(place: &Place, file: &str, node: &Node) -> Result<(), DialError> {
    let mut identity = Identity::load(&place.path(file)).unwrap();
    identity.node = node.listen.parse().unwrap();
    testudo::dial(&identity).await.map(drop)
}

#[test]
fn f27_a_swarm_is_rolled_over_by_hand_step_by_step() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --serve read:logs --out a.id"));
    place.write("early.id", place.read("a.id"));
    let old = place.does(&format!("token mint a {C}"));
    assert_eq!(roll(&place, "show"), (0, 1, 1));
    let node = Node::start(&place);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();

    // A new CA beside the old one: whoever comes hears of it, and keeps it in the identity file.
    assert_eq!(roll(&place, "rotate-ca"), (1, 1, 2));
    assert_eq!(place.json(&format!("status {C} --json"))["trust"], 1);
    place.fails(
        1,
        &format!("swarm trust retire-ca {C}"),
        "1 of the agents still depend on what is to be retired (a)",
    );
    runtime.block_on(heard(&place, "a.id", &node, "trust = "));
    assert_eq!(place.mode_of("s/keys/trust.toml"), 0o600);
    for superseded in ["authority.key", "ca.key", "ca.pem"] {
        assert!(!place.exists(&format!("s/keys/{superseded}")), "{superseded}");
    }
    place.does(&format!("agent renew --identity a.id {C}"));
    assert_eq!(roll(&place, "retire-ca"), (2, 1, 1));
    runtime.block_on(dialled(&place, "a.id", &node)).unwrap();
    let why = runtime.block_on(dialled(&place, "early.id", &node)).unwrap_err();
    assert!(matches!(why, DialError::NotOurNode(_)), "{why}");

    // The same with the authority; the node is killed in between.
    assert_eq!(roll(&place, "rotate-authority"), (3, 2, 1));
    node.kill();
    assert_eq!(roll(&place, "show"), (3, 2, 1));
    place.does(&format!("token verify {} {C}", old.trim()));
    assert_eq!(roll(&place, "retire-authority --force"), (4, 1, 1));
    assert_eq!(
        place.run(&format!("token verify {} {C}", old.trim())).code,
        Some(1),
        "by a retired authority"
    );
    place.fails(1, &format!("swarm trust retire-authority {C}"), "there is only one; make a new one first");
    let node = Node::start(&place);
    place.does(&format!("agent renew --identity a.id {C}"));
    runtime.block_on(dialled(&place, "a.id", &node)).unwrap();
    place.does(&format!("audit verify {C}"));
    node.end();

    // A backup holds what is in force.
    place.write("pass", "correct horse battery\n");
    place.does(&format!("swarm backup {C} --out s.backup --passphrase-file pass"));
    let kept = place.read("s/keys/trust.toml");
    std::fs::remove_dir_all(place.path("s/keys")).unwrap();
    std::fs::remove_file(place.path("s/testudo.toml")).unwrap();
    place.does("swarm restore s.backup --to s --passphrase-file pass");
    assert_eq!((place.read("s/keys/trust.toml"), roll(&place, "show")), (kept, (4, 1, 1)));
    place.write("s/keys/trust.toml", "testudo_trust = 2\n");
    place.fails(2, &format!("swarm trust show {C}"), "is not the file of this swarm's trust statements");
}

/// A copy of a folder, with the permissions of its files.
fn copied(place: &Place, from: &str, to: &str) {
    let done =
        std::process::Command::new("cp").args(["-a"]).arg(place.path(from)).arg(place.path(to)).status();
    assert!(done.unwrap().success());
}

#[test]
fn t_a75_older_keys_beside_newer_data_start_nothing_and_take_no_newer_identity_back() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    copied(&place, "s", "old");
    assert_eq!(roll(&place, "rotate-ca"), (1, 1, 2));
    copied(&place, "s/keys", "between");
    place.does(&format!("agent renew --identity a.id {C}"));
    assert_eq!(roll(&place, "retire-ca --force"), (2, 1, 1));
    place.does(&format!("agent renew --identity a.id {C}"));
    let newest = place.read("a.id");

    // All of the folder is from before: it cannot know, but the file does.
    let renew = "agent renew --identity a.id --config old/testudo.toml";
    place.fails(2, renew, "a.id goes by trust statement 2, what was issued by 0");
    assert_eq!(place.read("a.id"), newest, "as it was");

    // The keys alone are from before.
    std::fs::rename(place.path("s/keys"), place.path("newest")).unwrap();
    for (keys, number) in [("old/keys", 0), ("between", 1)] {
        copied(&place, keys, "s/keys");
        let says = format!(
            "the keys go by trust statement {number}, the registry by 2: they are an old copy; restore the newest backup of keys/"
        );
        for line in [
            "agent list",
            "swarm trust show",
            "swarm trust rotate-ca",
            "node --listen 127.0.0.1:0 --health 127.0.0.1:0",
        ] {
            place.fails(2, &format!("{line} {C}"), &says);
        }
        std::fs::remove_dir_all(place.path("s/keys")).unwrap();
    }
    std::fs::rename(place.path("newest"), place.path("s/keys")).unwrap();
    assert_eq!(roll(&place, "show"), (2, 1, 1));
    place.does(&format!("audit verify {C}"));
}

#[test]
fn certificates_are_known_by_whom_they_were_given_to_and_not_by_whom_they_were_made_in_vain() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:logs --out a.id"));
    let node = Node::start(&place);
    let until = || place.json(&format!("agent list --json {C}"))[0]["certificate_until_ms"].as_u64();
    assert_eq!(until(), None, "this node has given it nothing");
    roll(&place, "rotate-ca");
    // Made for somebody else of the same name, who is not let in.
    place.fails(1, &format!("agent add a {C} --allow read:logs --out b.id"), "the name is taken");
    assert_eq!(until(), None);
    let depends = "1 of the agents still depend on what is to be retired (a)";
    place.fails(1, &format!("swarm trust retire-ca {C}"), depends);
    let certified = |place: &Place| {
        let lines = place.does(&format!("audit tail --agent a --json {C}"));
        lines.lines().filter(|line| line.contains("\"certified\"")).count()
    };
    assert_eq!(certified(&place), 1, "the one that it was enrolled with");
    place.does(&format!("agent renew --identity a.id {C}"));
    assert!(until().is_some());
    assert_eq!(certified(&place), 2, "every one that was handed out is on the log");
    assert_eq!(roll(&place, "retire-ca"), (2, 1, 1));
    node.end();
}

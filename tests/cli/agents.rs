//! `agent`: enrolment is whole or not at all, with and without a running node; identity files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

#[test]
fn an_agent_is_enrolled_with_a_private_identity_file() {
    let place = Place::swarm();
    let said =
        place.json(&format!("agent add a {C} --allow read:logs --delegatable read:logs --out a.id --json"));
    assert_eq!((said["agent"].as_str(), said["identity"].as_str()), (Some("a"), Some("a.id")));
    assert_eq!(place.mode_of("a.id"), 0o600);
    place.does(&format!("agent add b {C} --serve read:logs --out b.id"));
    let agents = place.json(&format!("agent list --json {C}"));
    assert_eq!(agents[0]["grant"]["right"], serde_json::json!(["read:logs"]));
    assert_eq!(agents[1]["grant"]["serve"], serde_json::json!(["read:logs"]));
    let table = place.does(&format!("agent list {C}"));
    assert!(table.contains("enrolled") && table.contains("read:logs"));
}

#[test]
fn an_agent_that_acts_only_under_delegated_tokens_is_shown_as_one() {
    let place = Place::swarm();
    place.does(&format!("agent add free {C} --allow read:logs --out free.id"));
    place.does(&format!("agent add mere {C} --delegated-only --out mere.id"));
    place.does(&format!("agent add tool {C} --delegated-only --allow read:logs --out tool.id"));
    for running in [false, true] {
        let node = running.then(|| Node::start(&place));
        let agents = place.json(&format!("agent list --json {C}"));
        let only = |n: usize| agents[n]["grant"]["delegated_only"].as_bool();
        assert_eq!([0, 1, 2].map(only), [None, Some(true), Some(true)], "{agents}");
        let table = place.does(&format!("agent list {C}"));
        let line = |name: &str| table.lines().find(|l| l.contains(name)).unwrap().to_owned();
        assert!(line("tool").contains("read:logs (delegated only)"), "{table}");
        assert!(line("mere").contains("(delegated only)") && !line("free").contains("delegated"), "{table}");
        if let Some(node) = node {
            node.end();
        }
    }
}

#[test]
fn what_is_refused_enrols_nobody_and_writes_nothing() {
    let place = Place::swarm();
    place.write("taken", "mine");
    std::os::unix::fs::symlink("nowhere", place.path("dangling")).unwrap();
    std::fs::create_dir(place.path("folder")).unwrap();
    place.does(&format!("agent list {C}"));
    let node = Node::start(&place);
    for (args, says) in [
        ("--allow read:x --delegatable write:x --out a.id", "--delegatable write:x is not in --allow"),
        ("--out a.id", "give --allow, --serve or both"),
        ("--delegated-only --allow read:x --delegatable read:x --out a.id", "leave out --delegatable"),
        ("--allow read:x --out taken", "taken exists already"),
        ("--allow read:x --out dangling", "dangling exists already"),
        ("--allow read:x --out folder", "folder exists already"),
        ("--allow read:x --out none/a.id", "none does not exist"),
        ("--allow read:x --out taken/a.id", "choose another path"),
    ] {
        place.fails(2, &format!("agent add a {C} {args}"), says);
        assert!(!place.exists("a.id") && !place.exists("none"), "{args}");
    }
    place.fails(2, "agent add a --allow read:x --out a.id", "testudo.toml does not exist");
    assert!(!place.exists("a.id"), "the reserved file is gone");
    node.end();
    assert_eq!((place.states(), place.read("taken").as_str()), (vec![], "mine"));
    // The same without a node.
    place.fails(2, &format!("agent add a {C} --allow read:x --out none/a.id"), "none does not exist");
    assert!(place.states().is_empty());
}

#[test]
fn a_name_can_be_enrolled_once() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    for running in [false, true] {
        let node = running.then(|| Node::start(&place));
        place.fails(1, &format!("agent add a {C} --allow read:x --out a2.id"), "the name is taken");
        assert!(!place.exists("a2.id"));
        if let Some(node) = node {
            node.end();
        }
    }
    assert_eq!(place.states(), [("a".into(), "enrolled".into())]);
}

#[test]
fn operators_work_through_a_running_node_and_on_the_folder() {
    for running in [true, false] {
        let place = Place::swarm();
        let node = running.then(|| Node::start(&place));
        place.does(&format!("agent add a {C} --allow read:x --out a.id"));
        if let Some(node) = &node {
            assert!(place.read("a.id").contains(&node.listen), "the identity knows the real port");
        }
        place.fails(1, &format!("agent revoke nobody {C}"), "no agent of this name");
        place.fails(1, &format!("agent reinstate nobody {C}"), "no agent of this name");
        place.fails(1, &format!("agent reinstate a {C}"), "good standing already");
        place.does(&format!("agent renew --identity a.id {C}"));
        let first = place.json(&format!("agent revoke a {C} --cause compromised --json"));
        assert_eq!((first["agent"].as_str(), first["done"].as_str()), (Some("a"), Some("revoked")));
        let again = place.json(&format!("agent revoke a {C} --json"));
        assert_eq!(again["sequence"], first["sequence"], "already revoked: no new change");
        place.fails(1, &format!("agent reinstate a {C}"), "for good");
        let before = place.read("a.id");
        place.fails(1, &format!("agent renew --identity a.id {C}"), "a is revoked");
        assert_eq!(place.read("a.id"), before);
        assert_eq!(place.states(), [("a".into(), "revoked (compromised)".into())]);
        if let Some(node) = node {
            node.end();
        }
    }
}

/// Says one line to the running node's socket, as an operator's tool may.
fn tell(place: &Place, line: &str) -> serde_json::Value {
    let mut stream = UnixStream::connect(place.path("s/data/admin.sock")).unwrap();
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_failed_agent_stays_out_past_kill_9_until_it_is_reinstated() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    let node = Node::start(&place);
    let said = tell(&place, r#"{"do":"agent_revoke","name":"a","cause":"failed"}"#);
    assert_eq!(said["done"], "changed", "{said}");
    node.kill();
    assert_eq!(place.states(), [("a".into(), "revoked (failed)".into())]);
    place.fails(1, &format!("agent add a {C} --allow read:x --out a2.id"), "`testudo agent reinstate`");
    place.fails(1, &format!("agent renew --identity a.id {C}"), "a is revoked");
    let log = place.does(&format!("audit tail {C}"));
    assert!(log.lines().any(|line| line.ends_with("registry a revoked (failed)")), "{log}");
    place.does(&format!("agent reinstate a {C}"));
    place.does(&format!("agent renew --identity a.id {C}"));
    assert_eq!(place.states(), [("a".into(), "offline".into())]);
}

#[test]
fn renewing_keeps_the_key_and_the_mode() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    let line = |text: &str, key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    let before = place.read("a.id");
    place.does(&format!("agent renew --identity a.id {C}"));
    let after = place.read("a.id");
    assert_eq!(line(&before, "key"), line(&after, "key"));
    assert_ne!(line(&before, "token"), line(&after, "token"));
    assert_eq!(place.mode_of("a.id"), 0o600);
}

#[test]
fn a_wrong_identity_file_is_named_in_one_line_and_stays_as_it_is() {
    let place = Place::swarm();
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    place.does(&format!("agent add b {C} --allow read:x --out b.id"));
    let (good, other) = (place.read("a.id"), place.read("b.id"));
    let line = |text: &str, key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    let certificate = |text: &str| {
        let from = text.find("certificate = ").unwrap();
        text[from..text.find("ca = ").unwrap()].to_owned()
    };
    let swap = |key: &str| good.replace(&line(&good, key), &line(&other, key));
    let set = |key: &str, value: &str| good.replace(&line(&good, key), &format!("{key} = {value}"));
    // A value without its last half.
    let cut = |line: &str| {
        let value = line.split_once(" = ").unwrap().1;
        format!("{}\"", &value[..value.len() / 2])
    };
    let renew = format!("agent renew --identity bad.id {C}");
    for (content, says) in [
        (String::new(), "missing field"),
        (good[..good.len() / 2].to_owned(), "is not an identity file"),
        (good.replace("= \"", "= "), "is not an identity file"),
        (swap("name"), "the token is somebody else's"),
        (swap("key"), "the token is somebody else's"),
        (swap("token"), "the token is somebody else's"),
        (good.replace(&certificate(&good), &certificate(&other)), "the certificate is somebody else's"),
        (good.replace("MII", "AAA"), "is not an identity file"),
        (good.replace("-----END CERTIFICATE-----", ""), "is no certificate"),
        (
            good.replacen("-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n!", 1),
            "is no certificate",
        ),
        (set("token", &cut(&line(&good, "token"))), "is not an identity file"),
        (set("token", &format!("\"testudo-token:{}\"", "A".repeat(9_000))), "is not an identity file"),
        (set("key", "\"00\""), "the key is not 64 hex digits"),
        (set("token", "\"abc\""), "not a token"),
        (set("node", "\"here\""), "invalid socket address"),
        (set("authority", "[]"), "exactly one authority key"),
        (set("swarm", &format!("\"{}\"", "0".repeat(64))), "swarm is not the fingerprint"),
        (set("testudo_identity", "2"), "version 2 is not known"),
        (format!("extra = 1\n{good}"), "unknown field"),
        ("a".repeat(70_000), "is larger than"),
    ] {
        place.write("bad.id", &content);
        place.fails(2, &renew, says);
        assert_eq!(place.read("bad.id"), content);
    }
    place.write("bad.id", [0xff, 0xfe]);
    place.fails(2, &renew, "is not a text file");
    place.write("bad.id", &good);
    place.mode("bad.id", 0o644);
    place.fails(2, &renew, "can be read by others; run `chmod 600 ");
    place.fails(2, &format!("agent renew --identity none.id {C}"), "none.id does not exist");
    place.fails(2, &format!("agent renew --identity s {C}"), "s");
    place.does("init other");
    place.fails(1, "agent renew --identity a.id --config other/testudo.toml", "no agent a is enrolled");
    assert_eq!(place.read("a.id"), good);
}

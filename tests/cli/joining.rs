//! `agent invite` and `join`: real processes, a real join port, and every wrong invitation in one line.

use std::net::UdpSocket;

use serde_json::Value;
use testudo::wire::join::JoinToken;

use super::kit::{Node, Place, Ran};

const C: &str = "--config s/testudo.toml";

/// A node whose ports are the same after a restart.
struct Hall {
    place: Place,
    listen: u16,
    port: u16,
}

/// A UDP port of loopback that is free now.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Hall {
    fn new() -> Self {
        Self { place: Place::swarm(), listen: free_port(), port: free_port() }
    }

    fn start(&self) -> Node {
        let line = format!(
            "node --json --until-stdin-closes --listen 127.0.0.1:{} --health 127.0.0.1:0 --join 127.0.0.1:{} {C}",
            self.listen, self.port
        );
        Node::of(self.place.command(&line.split(' ').collect::<Vec<_>>()))
    }

    /// Invites and returns the line.
    fn invite(&self, rest: &str) -> String {
        self.place.does(&format!("agent invite {rest} {C}"))
    }

    fn join(&self, token: &str, out: &str) -> Ran {
        self.place.fed(&format!("join - --out {out}"), token)
    }

    fn list(&self) -> Value {
        self.place.json(&format!("agent invite --list --json {C}"))
    }

    fn records(&self) -> String {
        self.place.does(&format!("audit tail {C}"))
    }
}

#[test]
fn who_is_invited_joins_and_talks() {
    let hall = Hall::new();
    let node = hall.start();
    hall.place.does(&format!("agent add b {C} --allow subscribe:news --out b.id"));
    let token = hall.invite("ada --allow publish:news read:logs --delegatable read:logs");
    assert_eq!((token.lines().count(), token.starts_with("testudo-join:")), (1, true));
    let joined = hall.join(&format!("{token}\n"), "ada.id");
    assert_eq!(joined.code, Some(0), "{joined:?}");
    assert!(joined.out.contains("ada has joined swarm") && joined.out.contains(&node.listen), "{joined:?}");
    assert_eq!((hall.place.mode_of("ada.id"), hall.place.exists("ada.id.joining")), (0o600, false));
    hall.place.does("publish news hello --identity ada.id");
    let agents = hall.place.json(&format!("agent list --json {C}"));
    assert_eq!(
        (agents[0]["name"].as_str(), agents[0]["grant"]["right"].as_array().unwrap().len()),
        (Some("ada"), 2)
    );
    hall.place.does(&format!("agent renew --identity ada.id {C}"));
    node.end();
    let records = hall.records();
    assert!(records.contains("registry ada invited") && records.contains("registry ada joined"), "{records}");
    // The seed is in no file of the node; the newcomer's key never was.
    let seed = hex::encode(*JoinToken::parse(&token).unwrap().key.seed());
    for (path, content) in hall.place.files() {
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(!text.contains(&seed) && !text.contains(&token), "{}", path.display());
        let raw = JoinToken::parse(&token).unwrap().key.seed();
        assert!(!content.windows(32).any(|bytes| bytes == raw.as_slice()), "{}", path.display());
    }
}

#[test]
fn f10_an_invitation_that_was_spent_before_kill_9_stays_spent() {
    let hall = Hall::new();
    let node = hall.start();
    let said = hall.place.json(&format!("agent invite ada --allow publish:news --json {C}"));
    let token = said["token"].as_str().unwrap();
    assert!(said["address"].as_str().unwrap().ends_with(&hall.port.to_string()));
    assert_eq!(hall.join(token, "ada.id").code, Some(0));
    node.kill();
    let node = hall.start();
    hall.join(token, "thief.id").fails(1, "has been used, with another key", "another key");
    assert!(!hall.place.exists("thief.id") && !hall.place.exists("thief.id.joining"));
    assert_eq!(hall.list()[0]["state"], "spent");
    hall.place.does("publish news hello --identity ada.id");
    node.end();
}

#[test]
fn an_outstanding_invitation_outlives_kill_9_and_one_made_without_a_node_waits_for_it() {
    let hall = Hall::new();
    let (first, second) = {
        let node = hall.start();
        let first = hall.invite("ada --allow read:logs");
        node.kill();
        // The configuration's own port, which the node is then told to listen on.
        let second = hall.place.json(&format!("agent invite bob --allow read:logs --json {C}"));
        assert_eq!(second["address"], "127.0.0.1:7602");
        (first, second["token"].as_str().unwrap().to_owned())
    };
    let node = hall.start();
    assert_eq!(hall.join(&first, "ada.id").code, Some(0));
    let mut moved = JoinToken::parse(&second).unwrap();
    moved.address.set_port(hall.port);
    assert_eq!(hall.join(&moved.to_text(), "bob.id").code, Some(0));
    let states = hall.list();
    assert!(states.as_array().unwrap().iter().all(|one| one["state"] == "spent"), "{states}");
    node.end();
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_key_that_was_kept() {
    let hall = Hall::new();
    let node = hall.start();
    let token = hall.invite("ada --allow read:logs");
    // As a newcomer leaves it that was killed after it had asked: its key, and no identity.
    assert_eq!(hall.join(&token, "first.id").code, Some(0));
    let identity = hall.place.read("first.id");
    let key =
        identity.lines().find_map(|line| line.strip_prefix("key = ")).unwrap().trim_matches('"').to_owned();
    let id = JoinToken::parse(&token).unwrap().id;
    hall.place.write("ada.id.joining", format!("testudo-joining-1:{id}:{key}\n"));
    // Whoever stands in between cannot make it forget that key.
    let elsewhere =
        JoinToken { swarm: testudo::wire::SwarmId::new([9; 32]), ..JoinToken::parse(&token).unwrap() };
    hall.join(&elsewhere.to_text(), "ada.id").fails(1, "the key waits in ada.id.joining", "an impostor");
    assert!(hall.place.read("ada.id.joining").contains(&key));
    assert_eq!(hall.join(&token, "ada.id").code, Some(0));
    assert!(hall.place.read("ada.id").contains(&key) && !hall.place.exists("ada.id.joining"));
    // What is no kept key is not touched.
    hall.place.write("other.id.joining", "mine");
    hall.join(&token, "other.id").fails(2, "other.id.joining exists already", "somebody's file");
    hall.place.mode("other.id.joining", 0o644);
    hall.join(&token, "other.id").fails(2, "chmod 600", "open to others");
    node.end();
}

#[test]
fn wrong_invitations_write_nothing_and_say_what_to_do() {
    let hall = Hall::new();
    let node = hall.start();
    let token = hall.invite("ada --allow read:logs");
    hall.place.write("taken.id", "mine");
    let before = hall.place.files();
    let long = "x".repeat(100_000);
    let cut = &token[..token.len() - 3];
    for (text, says) in [
        ("", "paste the one line"),
        ("hello", "paste the one line"),
        (long.as_str(), "paste the one line"),
        (&format!("{token}\n{token}"), "paste the one line"),
        (cut, "copy the whole line"),
        (&token.replace("join:AQR", "join:AQS"), "copy the whole line"),
        ("testudo-join:", "copy the whole line"),
    ] {
        hall.join(text, "a.id").fails(2, says, &text.chars().take(80).collect::<String>());
    }
    hall.join(&token, "taken.id").fails(2, "taken.id exists already", "a file that is there");
    hall.join(&token, "none/a.id").fails(2, "does not exist", "no folder");
    hall.place.fails(2, &format!("join {token} --out a.id"), "arguments are seen");
    hall.place.fails(2, "join -", "--out");
    let forged =
        JoinToken { key: testudo::wire::SecretKey::from_seed(&[9; 32]), ..JoinToken::parse(&token).unwrap() };
    hall.join(&forged.to_text(), "a.id").fails(1, "signature is wrong", "another seed");
    let elsewhere =
        JoinToken { swarm: testudo::wire::SwarmId::new([9; 32]), ..JoinToken::parse(&token).unwrap() };
    hall.join(&elsewhere.to_text(), "a.id").fails(1, "is of another swarm", "another swarm's");
    let same: Vec<_> =
        hall.place.files().into_iter().filter(|(path, _)| !path.starts_with(hall.place.path("s"))).collect();
    let was: Vec<_> =
        before.into_iter().filter(|(path, _)| !path.starts_with(hall.place.path("s"))).collect();
    assert_eq!(same, was, "nothing written");
    assert_eq!(hall.join(&token, "a.id").code, Some(0));
    node.end();
}

#[test]
fn invitations_are_listed_and_cancelled_and_wrong_ones_refused() {
    let hall = Hall::new();
    hall.place.fails(1, &format!("agent invite --cancel ada {C}"), "no invitation ada");
    assert!(hall.place.does(&format!("agent invite --list {C}")).starts_with("no invitations"));
    hall.place.fails(2, &format!("agent invite {C}"), "NAME");
    hall.place.fails(2, &format!("agent invite ada {C}"), "give --allow, --serve or both");
    hall.place.fails(2, &format!("agent invite ada --allow a:b --delegatable c:d {C}"), "add it there too");
    hall.place.fails(2, &format!("agent invite ada --allow a:b --ttl 0 {C}"), "--ttl");
    hall.place.fails(2, &format!("agent invite ada --list {C}"), "cannot be used with");
    hall.place.fails(2, &format!("agent invite --list --allow a:b {C}"), "take no rights");
    let node = hall.start();
    hall.place.does(&format!("agent add bob --allow read:logs --out bob.id {C}"));
    hall.place.fails(1, &format!("agent invite bob --allow read:logs {C}"), "the name is taken");
    let token = hall.invite("ada --allow read:logs --ttl 60");
    hall.place.fails(1, &format!("agent invite ada --allow read:logs {C}"), "is outstanding");
    let list = hall.list();
    assert_eq!((list[0]["name"].as_str(), list[0]["state"].as_str()), (Some("ada"), Some("outstanding")));
    let table = hall.place.does(&format!("agent invite --list {C}"));
    assert!(table.contains("ada") && table.contains("outstanding") && !table.contains(&token), "{table}");
    let cancelled = hall.place.json(&format!("agent invite --cancel ada --json {C}"));
    assert_eq!(cancelled["done"], "cancelled");
    assert_eq!(hall.list(), serde_json::json!([]));
    hall.join(&token, "ada.id").fails(1, "nobody answers", "cancelled");
    assert!(!hall.place.exists("ada.id.joining"), "a key that nobody heard of");
    let other = hall.invite("ada --allow read:logs");
    hall.join(&token, "ada.id").fails(1, "does not know this invitation", "cancelled while another is open");
    let id = hall.list()[0]["id"].as_str().unwrap().to_owned();
    hall.place.does(&format!("agent invite --cancel {id} {C}"));
    hall.join(&other, "ada.id").fails(1, "nobody answers", "cancelled by its id");
    node.end();
}

#[test]
fn a_port_that_is_taken_makes_no_invitation() {
    let hall = Hall::new();
    let _taken = UdpSocket::bind(("127.0.0.1", hall.port)).unwrap();
    let node = hall.start();
    hall.place.fails(1, &format!("agent invite ada --allow read:logs {C}"), "set node.join");
    assert_eq!(hall.list(), serde_json::json!([]));
    node.end();
}

#[test]
fn a_node_that_listens_everywhere_is_reached_by_the_address_of_the_invitation() {
    let hall = Hall::new();
    let line = format!(
        "node --json --until-stdin-closes --listen 0.0.0.0:0 --health 127.0.0.1:0 --join 0.0.0.0:{} {C}",
        hall.port
    );
    let node = Node::of(hall.place.command(&line.split(' ').collect::<Vec<_>>()));
    hall.place.fails(1, &format!("agent invite ada --allow publish:news {C}"), "say with --host");
    assert_eq!(hall.list(), serde_json::json!([]), "an invitation that nobody holds is taken back");
    let token = hall.invite("ada --allow publish:news --host 127.0.0.1");
    assert_eq!(hall.join(&token, "ada.id").code, Some(0));
    for _ in 0..2 {
        assert!(hall.place.read("ada.id").contains("node = \"127.0.0.1:"));
        hall.place.does("publish news hello --identity ada.id");
        hall.place.does(&format!("agent renew --identity ada.id {C}"));
    }
    node.end();
}

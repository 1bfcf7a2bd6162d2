//! What agents keep of their node's log: found, checked and compared by people who have nothing but the files.

use serde_json::Value;
use testudo::bus::audit::AuditLog;
use testudo::bus::env::Env as _;
use testudo::config::{Config, Overrides};
use testudo::env::System;
use testudo::rules::audit::{NodeEvent, Record};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::wire::RegistrySequence;

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";

/// A swarm with agents that may hear and publish news.
fn swarm(agents: &[&str]) -> Place {
    let place = Place::swarm();
    for agent in agents {
        place.does(&format!(
            "agent add {agent} --allow publish:news --allow subscribe:news --out {agent}.id {C}"
        ));
    }
    place
}

/// Runs a node, and has these agents link to it for a moment.
fn linked(place: &Place, agents: &[&str]) {
    let node = Node::start(place);
    for agent in agents {
        // Nobody publishes anything.
        place.fails_at_last(&hear(place, agent, &node), "0 of 1");
    }
    node.end();
}

/// A verb that links for a second.
fn hear(place: &Place, agent: &str, node: &Node) -> String {
    let file = format!("{agent}.id");
    let text = place.read(&file);
    let lines = text.lines().map(|line| match line.strip_prefix("node = ") {
        Some(_) => format!("node = \"{}\"\n", node.listen),
        None => format!("{line}\n"),
    });
    place.write(&file, lines.collect::<String>());
    format!("subscribe news --identity {file} --count 1 --timeout 1")
}

/// Makes the log longer, by another story each time.
fn grow(place: &Place, story: u64) {
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let key = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let (now, none) = (System.now(), RegistrySequence(0));
    let (log, _) = AuditLog::open(&audit_dir(&config), origin(&config), key, now, none).unwrap();
    for _ in 0..40 {
        let event = NodeEvent::Started { records: 0, recovered_bytes: story };
        let _ = log.append(&Record { at: now, registry: none, event: event.into() }).unwrap();
    }
}

fn copy(place: &Place, from: &str, to: &str) {
    let done = std::process::Command::new("cp").args(["-r", from, to]).current_dir(place.path("")).status();
    assert!(done.unwrap().success());
}

#[test]
fn t_a74_what_an_agent_saw_is_kept_held_against_the_log_and_locks_it_until_somebody_has_looked() {
    let place = swarm(&["ada"]);
    place.fails(1, "audit seen ada.id", "ada.id.seen is not there");
    linked(&place, &["ada"]);
    copy(&place, "s/data/audit", "old");
    assert_eq!(place.mode_of("ada.id.seen"), 0o600);
    let key = place.does(&format!("audit key {C}"));
    let said = place.json(&format!("audit seen ada.id --key {key} --json"));
    let first = said["agents"][0]["records"].as_u64().unwrap();
    assert_eq!((&said["one_log"], &said["agents"][0]["log"]), (&true.into(), &key.as_str().into()));
    assert!(place.does(&format!("audit verify --against ada.id.seen {C}")).contains("the same as others"));
    grow(&place, 1);
    linked(&place, &["ada"]);
    let said = place.json("audit seen ada.id.seen --json");
    assert!(said["agents"][0]["records"].as_u64().unwrap() >= first + 40, "{said}");
    assert_eq!(said["agents"][0]["gaps"], Value::Array(Vec::new()), "it was proved to be the same log");

    // The log is put back: shorter than what was seen, or longer, and another one.
    for (grown, kind) in [(0, "shorter"), (2, "split")] {
        std::fs::remove_dir_all(place.path("s/data/audit")).unwrap();
        copy(&place, "old", "s/data/audit");
        for _ in 0..grown {
            grow(&place, 2);
        }
        let node = Node::start(&place);
        for _ in 0..2 {
            // On a busy machine the link ends before the topic is heard, and the log says why.
            let ran = place.run(&hear(&place, "ada", &node));
            assert!(ran.code == Some(1) && ran.err.contains("audit log is not believed any more"), "{ran:?}");
        }
        node.end();
        let ran = place.run("audit seen ada.id --json");
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        let alarm = &said["agents"][0]["alarm"];
        assert_eq!((ran.code, &alarm["kind"], &said["one_log"]), (Some(1), &kind.into(), &false.into()));
        assert_eq!(alarm["shows_itself"], kind == "split");
        assert_eq!(alarm["notes"].as_array().unwrap().len(), 2);
        place.fails(1, "audit seen ada.id", "keep these files");
        place.fails(1, &format!("audit verify --against ada.id.seen {C}"), "ada.id.seen: ");
        let other = "testudo/other+00000000+AAAA";
        place.fails(2, &format!("audit seen ada.id --key {other}"), "not a log's key");

        // Somebody has looked.
        place.fails(2, "audit seen --clear ada.id ada.id", "one FILE");
        place.does("audit seen --clear ada.id");
        place.fails(1, "audit seen ada.id.seen.old", "keep these files");
        linked(&place, &["ada"]);
        place.does("audit seen ada.id");
        // For the next round: it has seen the log grow.
        std::fs::remove_dir_all(place.path("s/data/audit")).unwrap();
        copy(&place, "old", "s/data/audit");
        place.does("audit seen --clear ada.id");
        grow(&place, 1);
        linked(&place, &["ada"]);
    }
}

#[test]
fn t_a74_two_agents_compare_what_they_were_shown() {
    let place = swarm(&["ada", "bob", "cyd"]);
    linked(&place, &["ada", "bob"]);
    let said = place.does("audit seen ada.id bob.id");
    assert!(said.ends_with("`testudo audit verify --against FILE`"), "{said}");
    // Ada's node goes one way, and Bob's another: both logs have as many records.
    place.does("audit seen --clear bob.id");
    copy(&place, "s/data", "both");
    grow(&place, 1);
    linked(&place, &["ada"]);
    std::fs::remove_dir_all(place.path("s/data")).unwrap();
    std::fs::rename(place.path("both"), place.path("s/data")).unwrap();
    grow(&place, 2);
    linked(&place, &["bob"]);
    place.fails(1, "audit seen ada.id bob.id", "were shown two logs");
    place.does(&format!("audit verify --against bob.id.seen {C}"));
    place.fails(1, &format!("audit verify --against ada.id.seen {C}"), "another story of the first");
    // Another swarm's says nothing of this one.
    let other = swarm(&["eve"]);
    linked(&other, &["eve"]);
    place.write("eve.id.seen", other.read("eve.id.seen"));
    place.fails(1, "audit seen ada.id eve.id", "of two swarms");
    place.fails(1, &format!("audit verify --against eve.id.seen {C}"), "goes by another log");
    let key = other.does(&format!("audit key {C}"));
    place.fails(1, &format!("audit seen ada.id --key {key}"), "another log's key");
    // What was changed is no statement, and its agent does not start from it.
    let seen = place.read("ada.id.seen");
    place.write("ada.id.seen", seen.replace("testudo_seen = 1", "testudo_seen = 2"));
    place.fails(1, "audit seen ada.id", "version 2 is not known here");
    let ran = place.run("subscribe news --identity ada.id --count 1 --timeout 1");
    assert!(ran.code != Some(0) && ran.err.contains("begin anew by moving it away"), "{ran:?}");
}

//! A node under a clock that shows an earlier time than its log.

use serde_json::Value;
use testudo::bus::audit::AuditLog;
use testudo::bus::env::Env as _;
use testudo::config::{Config, Overrides};
use testudo::env::System;
use testudo::rules::audit::{NodeEvent, Record};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::wire::{RegistrySequence, Timestamp};

use super::kit::{Node, Place};

const C: &str = "--config s/testudo.toml";
const HOUR_MS: u64 = 3_600_000;

/// The time of the last record.
fn last(place: &Place) -> u64 {
    let record: Value = serde_json::from_str(&place.does(&format!("audit tail -n 1 --json {C}"))).unwrap();
    record["at_ms"].as_u64().unwrap()
}

fn clock(place: &Place, node: &Node) -> Value {
    let secret = place.read("s/data/health.secret");
    let (_, body) = node.page_with("/healthz", &format!("authorization: Bearer {secret}\r\n"));
    serde_json::from_str::<Value>(&body).unwrap()["components"]["clock"].clone()
}

#[test]
fn t_a51_t_a77_a_node_goes_on_from_its_log_until_it_is_told_that_the_clock_is_right() {
    let place = Place::swarm();
    let now = System.now().as_millis();
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let sign = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let (ahead, none) = (Timestamp::from_millis(now + HOUR_MS), RegistrySequence(0));
    let (log, _) = AuditLog::open(&audit_dir(&config), origin(&config), sign, ahead, none).unwrap();
    let _ = log.append(&Record { at: ahead, registry: none, event: NodeEvent::Stopped.into() }).unwrap();
    drop(log);
    // Again and again: a restart is no way to turn it back.
    for _ in 0..2 {
        let node = Node::start(&place);
        let found = clock(&place, &node);
        let reason = found["reason"].as_str().unwrap();
        assert_eq!(found["state"], "degraded");
        assert!(reason.contains("behind the node's time") && reason.contains("--clock-is-right"), "{reason}");
        node.end();
        assert!(last(&place) >= now + HOUR_MS);
    }
    place.does(&format!("audit verify {C}"));
    let line = "node --json --until-stdin-closes --clock-is-right --listen 127.0.0.1:0 --health 127.0.0.1:0";
    let node = Node::of(place.command(&format!("{line} {C}").split(' ').collect::<Vec<_>>()));
    assert_eq!(clock(&place, &node)["state"], "healthy");
    node.end();
    assert!(last(&place) < now + HOUR_MS);
    let node = Node::start(&place);
    assert_eq!(clock(&place, &node)["state"], "healthy", "once is enough");
    node.end();
}

//! `audit`: what is on the log, and every way of rewriting it named.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;
use testudo::bus::audit::AuditLog;
use testudo::config::{Config, Overrides};
use testudo::rules::audit::{Event, LinkChange, LinkEvent, Outcome, OutcomeOf, Outcomes, Record};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::wire::{AgentName, Refusal, RegistrySequence, Timestamp};

use super::kit::{Node, Place, ended};
use super::node::patch;

const C: &str = "--config s/testudo.toml";
const LOG: &str = "s/data/audit/00000000000000000000.log";

/// A swarm whose log names two agents.
fn logged() -> Place {
    let place = Place::swarm();
    let node = Node::start(&place);
    place.does(&format!("agent add a {C} --allow read:x --out a.id"));
    place.does(&format!("agent add b {C} --allow read:x --out b.id"));
    place.does(&format!("agent revoke a {C}"));
    node.end();
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tail_prints_records_as_json_lines() {
    let place = logged();
    let all = lines(&place.does(&format!("audit tail --json -n 0 {C}")));
    assert!(all.len() >= 4);
    for (index, record) in all.iter().enumerate() {
        assert_eq!(record["index"], index);
        assert!(record["event"].is_string() && record["at_ms"].is_u64());
    }
    let last = lines(&place.does(&format!("audit tail --json -n 2 {C}")));
    assert_eq!(last, all[all.len() - 2..]);
    let of_a = lines(&place.does(&format!("audit tail --json --agent a {C}")));
    let changes: Vec<_> =
        of_a.iter().map(|record| (&record["fields"]["change"], &record["fields"]["what"])).collect();
    let said: Vec<_> =
        changes.iter().map(|(change, what)| change.as_str().or(what.as_str()).unwrap()).collect();
    assert_eq!(said, ["enrolled", "certified", "revoked"]);
    assert_eq!(place.does(&format!("audit tail -n 0 {C}")).lines().count(), all.len());
    assert_eq!(place.does(&format!("audit tail --agent nobody {C}")), "");
    place.fails(2, &format!("audit tail --agent No/body {C}"), "not an agent name");
}

#[test]
fn tail_shows_an_agent_its_copies_and_its_topics() {
    let place = Place::swarm();
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let key = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let at = Timestamp::from_millis(5);
    let (log, _) =
        AuditLog::open(&audit_dir(&config), origin(&config), key, at, RegistrySequence(0)).unwrap();
    let append = |event: Event| drop(log.append(&Record { at, registry: RegistrySequence(0), event }));
    for to in ["a", "b"] {
        let to = AgentName::parse(to).ok();
        let outcomes = vec![OutcomeOf { position: 0, outcome: Outcome::Delivered }];
        append(Outcomes { of: 0, to, outcomes }.into());
        let what = LinkChange::SubscriptionRefused { topic: "alerts".into(), refusal: Refusal::Unauthorised };
        append(LinkEvent { agent: to, session: None, remote: "127.0.0.1:9".into(), what }.into());
    }
    drop(log);
    let told = place.does(&format!("audit tail --agent b {C}"));
    let told: Vec<_> = told.lines().collect();
    assert!(told.len() == 2 && told[0].ends_with(" outcomes of #0 to b: 0 delivered;"), "{told:?}");
    assert!(told[1].ends_with(" subscription-refused (topic: alerts) (refusal: unauthorised)"), "{told:?}");
    let told = lines(&place.does(&format!("audit tail --json --agent b {C}")));
    assert_eq!((&told[0]["fields"]["to"], &told[1]["fields"]["topic"]), (&"b".into(), &"alerts".into()));
    assert_eq!(told[1]["fields"]["refusal"], "unauthorised");
}

#[test]
fn following_ends_when_its_reader_went_away() {
    let place = logged();
    let line = format!("audit tail --follow --json {C}");
    let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert_eq!(lines(&first)[0]["index"], 0);
    drop(out);
    place.does(&format!("agent revoke b {C}"));
    assert_eq!(ended(&mut child).code(), Some(0));
}

#[test]
fn a_whole_log_verifies() {
    let place = logged();
    let said = place.json(&format!("audit verify --json {C}"));
    assert_eq!(said["verified"], true);
    assert_eq!(said["records"], said["sealed"], "an orderly end seals all");
    assert!(place.does(&format!("audit verify {C}")).starts_with("verified: "));
}

#[test]
fn a_flipped_byte_is_named_by_its_record() {
    let place = logged();
    let bytes = std::fs::read(place.path(LOG)).unwrap();
    for at in [10, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
        patch(&place, LOG, i64::try_from(at).unwrap(), |byte| byte ^ 1);
        place.fails(1, &format!("audit verify {C}"), "record ");
        let ran = place.run(&format!("audit verify --json {C}"));
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        let error = said["error"].as_str().unwrap();
        assert!(
            ran.code == Some(1) && said["verified"] == false && error.contains("record "),
            "{at}: {ran:?}"
        );
        place.write(LOG, &bytes);
    }
    patch(&place, LOG, 40, |byte| byte ^ 1);
    place.fails(1, &format!("audit verify {C}"), "record 0");
    place.fails(1, &format!("audit tail -n 0 {C}"), "record 0");
}

#[test]
fn a_log_cut_behind_its_checkpoint_is_named() {
    let place = logged();
    let bytes = std::fs::read(place.path(LOG)).unwrap();
    for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        place.write(LOG, &bytes[..keep]);
        let ran = place.run(&format!("audit verify {C}"));
        assert_eq!(ran.code, Some(1), "{keep}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1);
    }
    place.write(LOG, &bytes);
    place.does(&format!("audit verify {C}"));
}

#[test]
fn t_a72_a_log_without_its_checkpoints_is_not_verified() {
    let place = logged();
    let (log, notes) = (std::fs::read(place.path(LOG)).unwrap(), "s/data/audit/checkpoints");
    let checkpoints = place.read(notes);
    std::fs::remove_file(place.path(notes)).unwrap();
    place.fails(1, &format!("audit verify {C}"), "no signed checkpoint covers any of");
    place.write(LOG, &log[..log.len() / 2]);
    place.fails(1, &format!("audit verify {C}"), "");
    place.write(notes, "");
    place.write(LOG, &log);
    place.fails(1, &format!("audit verify {C}"), "no signed checkpoint covers any of");
    let ran = place.run(&format!("audit verify --json {C}"));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["verified"], false);
    // Wiped as a whole, its folder left.
    std::fs::remove_file(place.path(LOG)).unwrap();
    place.fails(1, &format!("audit verify {C}"), "no signed checkpoint covers any of 0 records");
    place.write(LOG, &log);
    place.write(notes, checkpoints);
    place.does(&format!("audit verify {C}"));
}

#[test]
fn a_log_that_is_not_there_is_no_proof() {
    let place = Place::swarm();
    place.fails(2, &format!("audit verify {C}"), "there is no audit log in s/data/audit");
    place.fails(2, &format!("audit tail {C}"), "there is no audit log in s/data/audit");
    assert!(!place.exists("s/data/audit"), "looking makes nothing");
}

#[test]
fn another_key_does_not_verify_the_log() {
    let place = logged();
    place.does("init other");
    place.write("s/keys/log.key", place.read("other/keys/log.key"));
    place.fails(1, &format!("audit verify {C}"), "checkpoint");
}

#[test]
fn a_record_is_proved_to_somebody_who_has_only_the_key() {
    let place = logged();
    let key = place.does(&format!("audit key {C}"));
    let said = place.does(&format!("audit prove 1 --out p {C}"));
    assert!(said.ends_with(&format!("testudo audit check p --key {key}")), "{said}");
    let all = lines(&place.does(&format!("audit tail --json -n 0 {C}")));
    std::fs::rename(place.path("s"), place.path("away")).unwrap();
    let proved = place.json(&format!("audit check p --key {key} --json"));
    assert_eq!((&proved["proved"], &proved["record"]), (&true.into(), &all[1]));
    assert_eq!(proved["size"], all.len());
    let text = place.does(&format!("audit check p --key {key}"));
    assert!(text.starts_with("proved: record 1 of testudo/") && text.lines().count() == 2, "{text}");

    let good = std::fs::read(place.path("p")).unwrap();
    for at in [0, 30, good.len() / 2, good.len() - 1] {
        patch(&place, "p", i64::try_from(at).unwrap(), |byte| byte ^ 0x81);
        place.fails(1, &format!("audit check p --key {key}"), "p proves nothing: ");
        let ran = place.run(&format!("audit check p --key {key} --json"));
        assert_eq!((ran.code, lines(&ran.out)[0]["proved"].as_bool()), (Some(1), Some(false)));
        place.write("p", &good);
    }
    place.does("init other");
    let other = place.does("audit key --config other/testudo.toml");
    place.fails(1, &format!("audit check p --key {other}"), "of another log");
    place.fails(2, &format!("audit check p --key {}", &key[..key.len() - 1]), "not a log's key");
    place.fails(2, &format!("audit check gone --key {key}"), "gone");
}

#[test]
fn what_cannot_be_proved_is_said_and_leaves_no_file() {
    let place = logged();
    place.fails(1, &format!("audit prove 99 --out p {C}"), "record 99 is not under a signed checkpoint");
    place.fails(1, &format!("audit prove {} --out p {C}", "ab".repeat(16)), "no record names message abab");
    place.fails(2, &format!("audit prove nothing --out p {C}"), "neither the index of a record nor");
    assert!(!place.exists("p"));
    place.write("p", "mine");
    place.fails(2, &format!("audit prove 0 --out p {C}"), "p");
    assert_eq!(place.read("p"), "mine");
}

//! `audit tail`, `trace`, `stats`, `cosign` and `witness`: what people and scripts read from the log, and a second key
//! that vouches for it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use testudo::bus::audit::{AuditLog, OpenError};
use testudo::config::{Config, Overrides};
use testudo::rules::audit::{
    Cause, EnvelopeRecord, Event, Outcome, OutcomeOf, Outcomes, Record, Verdict, Verdicts,
};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, MessageId, Refusal, RegistrySequence,
    SecretKey, Sequence, SessionId, Timestamp,
};

use super::kit::{Node, Place, ended};

const C: &str = "--config s/testudo.toml";

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

/// A swarm whose log holds one request with its answer, and a refusal of something else.
fn told() -> Place {
    let place = Place::swarm();
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let key = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000);
    let (log, _) =
        AuditLog::open(&audit_dir(&config), origin(&config), key, at, RegistrySequence(0)).unwrap();
    let append = |ms: u64, event: Event| {
        let at = Timestamp::from_millis(1_700_000_000_000 + ms);
        log.append(&Record { at, registry: RegistrySequence(0), event }).unwrap().index()
    };
    let sent = |from: &str, to: Destination, work: u8, verdict: Verdict| {
        let envelope = EnvelopeRecord {
            message: MessageId::new([work + 1; 16]),
            digest: Digest::new([1; 32]),
            sequence: Sequence(1),
            destination: EnvelopeRecord::destination_note(&to),
            capability: Capability::parse("read:logs").ok().filter(|_| !matches!(to, Destination::Reply(_))),
            correlation: CorrelationId::new([work; 16]),
            trace: None,
            verdict,
        };
        Event::Verdicts(Verdicts {
            session: SessionId::new([3; 16]),
            sender: name(from),
            key: SecretKey::from_seed(&[4; 32]).public(),
            lane: 0,
            root: Digest::new([5; 32]),
            envelopes: vec![envelope],
        })
    };
    let ended = |of: u64, to: &str, outcome: Outcome| {
        Event::Outcomes(Outcomes {
            of,
            to: Some(name(to)),
            outcomes: vec![OutcomeOf { position: 0, outcome }],
        })
    };
    let asked = append(0, sent("asker", Destination::Agent(name("reader")), 7, Verdict::allowed([], 1)));
    append(2, ended(asked, "reader", Outcome::Delivered));
    let answer = append(9, sent("reader", Destination::Reply(name("asker")), 7, Verdict::allowed([], 1)));
    append(11, ended(answer, "asker", Outcome::Failed(Cause::LinkLost)));
    append(
        20,
        sent(
            "asker",
            Destination::Agent(name("other")),
            8,
            Verdict::refused(Refusal::Poisoned, ["inject.x"]),
        ),
    );
    drop(log);
    place
}

fn indices(out: &str) -> Vec<u64> {
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap()).collect()
}

#[test]
fn tail_is_filtered_by_agent_reason_and_correlation_id() {
    let place = told();
    let tail = |what: &str| indices(&place.does(&format!("audit tail --json -n 0 {what} {C}")));
    assert_eq!(tail("--agent other"), [5]);
    assert_eq!(tail("--agent reader"), [1, 2, 3]);
    assert_eq!(tail("--reason poisoned"), [5]);
    assert_eq!(tail("--reason link-lost"), [4]);
    let work = "07".repeat(16);
    assert_eq!(tail(&format!("--correlation {work}")), [1, 2, 3, 4]);
    assert_eq!(tail(&format!("--correlation {work} --agent asker")), [1, 3, 4]);
    let line = place.does(&format!("audit tail -n 1 {C}"));
    assert!(line.starts_with("#5 2023-11-14T22:13:20.020Z verdicts asker "), "{line}");
    place.fails(2, &format!("audit tail --correlation xx {C}"), "correlation");
}

#[test]
fn trace_tells_the_story_of_one_piece_of_work() {
    let place = told();
    let work = "07".repeat(16);
    let out = place.does(&format!("audit trace {work} {C}"));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].ends_with(": 2 messages from 2023-11-14T22:13:20.000Z, 11 ms"), "{out}");
    assert!(lines[1].ends_with("asker -> reader  read:logs  delivered in 2 ms  #1"), "{out}");
    assert!(lines[2].ends_with("└ reader -> asker  answer  FAILED after 2 ms: link lost  #3"), "{out}");
    let json = place.json(&format!("audit trace --json {work} {C}"));
    assert_eq!((json["steps"].as_array().unwrap().len(), &json["steps"][1]["parent"]), (2, &0.into()));
    place.fails(1, &format!("audit trace {} {C}", "09".repeat(16)), "no message of 0909");
    place.fails(2, &format!("audit trace 12 {C}"), "see --help");
}

#[test]
fn stats_count_what_is_on_the_log() {
    let place = told();
    let json = place.json(&format!("audit stats --json {C}"));
    let keys = ["records", "messages", "allowed", "refused", "delivered"];
    assert_eq!(keys.map(|key| json[key].as_u64().unwrap()), [6, 3, 2, 1, 1]);
    assert_eq!((&json["failed"]["link lost"], &json["refusals"]["poisoned"]), (&1.into(), &1.into()));
    let bytes = std::fs::metadata(place.path("s/data/audit/00000000000000000000.log")).unwrap().len();
    assert_eq!(json["bytes"], bytes);
    let out = place.does(&format!("audit stats --top 1 {C}"));
    assert!(out.contains("1 (poisoned 1)") && out.contains("asker") && !out.contains("reader "), "{out}");
    assert!(!out.contains('{'), "for people: {out}");
}

/// A running witness; ends with its test.
pub(crate) struct Witness {
    child: Child,
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Witness {
    pub(crate) fn start(place: &Place, log: &str) -> Self {
        Self::named(place, log, "w", "w/1")
    }

    pub(crate) fn named(place: &Place, log: &str, dir: &str, name: &str) -> Self {
        let line = format!("audit witness --dir {dir} --name {name} --listen 127.0.0.1:0 --json --log {log}");
        let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let said: Value = serde_json::from_str(&first).unwrap();
        let (at, key) = (said["listen"].as_str().unwrap(), said["key"].as_str().unwrap());
        Self { child, url: format!("http://{at}"), key: key.to_owned() }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn t_a73_a_witness_vouches_for_a_log_and_not_for_another_story_of_it() {
    let place = told();
    let log = place.does(&format!("audit key {C}"));
    let witness = Witness::start(&place, &log);
    let (url, key) = (witness.url.clone(), witness.key.clone());
    place.fails(2, &format!("audit cosign {C}"), "which witness?");
    let said = place.does(&format!("audit cosign --witness {url} --key {key} {C}"));
    assert_eq!(said, "1 records are cosigned by w/1", "what the last checkpoint covers");
    place.does(&format!("audit prove 0 --out p --witness {key} {C}"));
    let checked = place.does(&format!("audit check p --key {log} --witness {key}"));
    assert!(checked.contains("that w/1 cosigned at 20"), "{checked}");
    let json = place.json(&format!("audit check p --key {log} --witness {key} --json"));
    assert!(json["cosigned_at"].as_u64().unwrap() > 1_700_000_000);

    // Another story under the same key, longer than the first.
    std::fs::remove_dir_all(place.path("s/data/audit")).unwrap();
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let sign = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    // Another test may be starting a process, which holds our lock until it runs.
    let open = || loop {
        let at = Timestamp::from_millis(9);
        match AuditLog::open(&audit_dir(&config), origin(&config), sign.clone(), at, RegistrySequence(0)) {
            Err(OpenError::InUse) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    drop(open());
    drop(open());
    place.fails(1, &format!("audit cosign --witness {url} --key {key} {C}"), "the witness refused (422)");
    place.does(&format!("audit prove 0 --out q {C}"));
    place.does(&format!("audit check q --key {log}"));
    place.fails(1, &format!("audit check q --key {log} --witness {key}"), "not cosigned by w/1");
    drop(witness);
    place.fails(1, &format!("audit cosign --witness {url} --key {key} {C}"), "cannot be reached");
    place.fails(
        2,
        &format!("audit witness --dir w --name other --log {log} --listen 127.0.0.1:0"),
        "is called w/1",
    );
}

/// Whoever has the log's folder can put an older copy of records and checkpoints back, and these agree with each other.
#[test]
fn t_a72_t_a73_a_log_cut_together_with_its_checkpoints_is_found_by_what_its_witness_signed() {
    let place = told();
    let log = place.does(&format!("audit key {C}"));
    let witness = Witness::start(&place, &log);
    let config = place.read("s/testudo.toml");
    let watched = format!("[audit]\nwitness = \"{}\"\nwitness_key = \"{}\"\n", witness.url, witness.key);
    assert!(config.contains("[audit]\n"));
    place.write("s/testudo.toml", config.replace("[audit]\n", &watched));
    place.fails(1, &format!("audit verify {C}"), "the word of w/1 is missing");
    let files = ["00000000000000000000.log", "checkpoints"].map(|file| format!("s/data/audit/{file}"));
    let older = files.clone().map(|file| std::fs::read(place.path(&file)).unwrap());
    let loaded = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let sign = read_key(&loaded.node.keys, KeyPurpose::Log).unwrap();
    let open = |at: u64| loop {
        // Later than what the log holds: it goes on from there.
        let at = Timestamp::from_millis(1_800_000_000_000 + at);
        match AuditLog::open(&audit_dir(&loaded), origin(&loaded), sign.clone(), at, RegistrySequence(0)) {
            Err(OpenError::InUse) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    drop(open(7));
    place.does(&format!("audit cosign {C}"));
    let said = place.does(&format!("audit verify {C}"));
    assert!(said.ends_with("7 of them under a signed checkpoint, 7 cosigned by w/1"), "{said}");
    for (file, bytes) in files.iter().zip(&older) {
        place.write(file, bytes);
    }
    place.fails(1, &format!("audit verify {C}"), "w/1 cosigned 7 records of this log");
    // And when it grew again since, by another story.
    (8..13).for_each(|at| drop(open(at)));
    place.fails(1, &format!("audit verify {C}"), "w/1 cosigned 7 records of this log");
    let ran = place.run(&format!("audit verify --json {C}"));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["verified"], false);
}

/// No witness is needed for that, only that they exchange something that they were given.
#[test]
fn t_a74_two_auditors_who_were_shown_two_logs_find_out_by_one_proof() {
    let place = told();
    place.does(&format!("audit prove 0 --out one {C}"));
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let sign = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let open = |at| loop {
        let at = Timestamp::from_millis(at);
        match AuditLog::open(&audit_dir(&config), origin(&config), sign.clone(), at, RegistrySequence(0)) {
            Err(OpenError::InUse) => std::thread::yield_now(),
            opened => break drop(opened.unwrap()),
        }
    };
    open(7);
    place.does(&format!("audit prove 1 --out later {C}"));
    let said = place.does(&format!("audit verify --against one --against later {C}"));
    assert!(said.ends_with("7 the same as others were shown"), "{said}");
    let said = place.json(&format!("audit verify --against one --json {C}"));
    assert_eq!((&said["verified"], &said["shared"]), (&true.into(), &1.into()));
    // Another story under the same key.
    std::fs::rename(place.path("s/data/audit"), place.path("first")).unwrap();
    (0..9).for_each(&open);
    place.does(&format!("audit verify {C}"));
    place.does(&format!("audit prove 0 --out two {C}"));
    for file in ["one", "later"] {
        let verify = format!("audit verify --against two --against {file} {C}");
        place.fails(1, &verify, &format!("{file}: the log's key signed another story of the first"));
    }
    let ran = place.run(&format!("audit verify --against one --json {C}"));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["verified"], false);
    std::fs::rename(place.path("s/data/audit"), place.path("second")).unwrap();
    std::fs::rename(place.path("first"), place.path("s/data/audit")).unwrap();
    place.fails(
        1,
        &format!("audit verify --against two {C}"),
        "two: it covers 9 records, and this log has 7",
    );
    // So are checkpoints alone.
    place.fails(1, &format!("audit verify --against second/checkpoints {C}"), "this log has 7");
    place.does(&format!("audit verify --against s/data/audit/checkpoints {C}"));
    // What is nothing says nothing.
    place.write("none", "nothing\n");
    place.fails(1, &format!("audit verify --against none {C}"), "none: is neither a checkpoint nor a proof");
    let own = place.read("s/data/audit/checkpoints");
    place.write("other", own.replace("\n7\n", "\n8\n"));
    place.fails(1, &format!("audit verify --against other {C}"), "other: as a checkpoint of this log");
    place.fails(1, &format!("audit verify --against nowhere {C}"), "nowhere: ");
    let other = Place::swarm();
    Node::start(&other).end();
    other.does(&format!("audit prove 0 --out p {C}"));
    place.write("p", other.read("p"));
    place.fails(1, &format!("audit verify --against p {C}"), "p: proves nothing of this log");
}

#[test]
fn a_witness_ends_in_good_order() {
    let place = Place::swarm();
    let log = place.does(&format!("audit key {C}"));
    let mut witness = Witness::start(&place, &log);
    let pid = witness.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(ended(&mut witness.child).code(), Some(0));
}

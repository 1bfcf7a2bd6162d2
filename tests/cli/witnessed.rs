//! A log that a witness cosigned says so itself: its word cannot be taken away by who can only take files away.

use testudo::bus::audit::{AuditConfig, AuditLog, OpenError};
use testudo::config::{Config, Overrides};
use testudo::rules::audit::{NodeEvent, Record, Witnessed};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{KeyPurpose, read_key};
use testudo::wire::{RegistrySequence, Timestamp};

use super::kit::{Node, Place};
use super::reading::Witness;

const C: &str = "--config s/testudo.toml";
const COSIGNED: &str = "s/data/audit/cosigned";

/// A swarm whose node has its log cosigned; its configuration without the witness, and with it.
fn watched() -> (Place, Witness, [String; 2]) {
    let place = Place::swarm();
    let witness = Witness::start(&place, &place.does(&format!("audit key {C}")));
    let plain = place.read("s/testudo.toml");
    let keys = format!("[audit]\nwitness = \"{}\"\nwitness_key = \"{}\"\n", witness.url, witness.key);
    let with = plain.replace("[audit]\n", &keys);
    assert_ne!(plain, with);
    place.write("s/testudo.toml", &with);
    (place, witness, [plain, with])
}

/// Runs the node until its log says once more that it was cosigned.
fn cosigned(place: &Place) {
    let said = || place.does(&format!("audit tail -n 0 {C}")).matches("records cosigned by w/1").count();
    let before = if place.exists("s/data/audit") { said() } else { 0 };
    let node = Node::start(place);
    while said() == before {
        std::thread::yield_now();
    }
    node.end();
}

#[test]
fn t_a73_a_log_that_was_cosigned_does_not_verify_without_its_witnesss_word() {
    let (place, _witness, [plain, with]) = watched();
    cosigned(&place);
    let verify = format!("audit verify {C}");
    assert!(place.does(&verify).ends_with(" cosigned by w/1"));
    let old = std::fs::read(place.path(COSIGNED)).unwrap();
    cosigned(&place);
    let new = std::fs::read(place.path(COSIGNED)).unwrap();
    // Its word is taken away, spoilt, or an older one put in its place; also when the configuration is changed, too.
    let mut spoilt = new.clone();
    spoilt[30] ^= 1;
    for bytes in [None, Some(Vec::new()), Some(spoilt), Some(old)] {
        match &bytes {
            Some(bytes) => place.write(COSIGNED, bytes),
            None => std::fs::remove_file(place.path(COSIGNED)).unwrap(),
        }
        for config in [&with, &plain] {
            place.write("s/testudo.toml", config);
            place.fails(1, &verify, "and the file cosigned does not show it");
        }
    }
    // Taken out of the configuration in good faith, it is checked as before.
    place.write(COSIGNED, &new);
    assert!(place.does(&verify).ends_with(" cosigned by w/1"));
    place.write("s/testudo.toml", &with);
    std::fs::remove_file(place.path(COSIGNED)).unwrap();
    place.does(&format!("audit cosign {C}"));
    assert!(place.does(&verify).ends_with(" cosigned by w/1"), "the witness gave it again");
}

#[test]
fn t_a73_a_node_asks_again_for_a_word_that_was_taken_away() {
    let (place, _witness, _) = watched();
    cosigned(&place);
    std::fs::remove_file(place.path(COSIGNED)).unwrap();
    cosigned(&place);
    assert!(place.does(&format!("audit verify {C}")).ends_with(" cosigned by w/1"));
}

#[test]
fn t_a73_a_configured_witness_that_never_signed_is_said_to_be_missing() {
    let (place, witness, _) = watched();
    drop(witness);
    Node::start(&place).end();
    place.fails(1, &format!("audit verify {C}"), "the word of w/1 is missing");
    let ran = place.run(&format!("audit verify --json {C}"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["verified"], false);
}

/// A log with a segment for each record, opened as a node does, which seals what is there.
fn open(place: &Place) -> std::sync::Arc<AuditLog> {
    let config = Config::load(&place.path("s/testudo.toml"), Overrides::default()).unwrap();
    let sign = read_key(&config.node.keys, KeyPurpose::Log).unwrap();
    let kept = AuditConfig { segment_bytes_max: 1, keep_bytes: Some(0), ..AuditConfig::default() };
    let (dir, by, at) = (audit_dir(&config), origin(&config), Timestamp::from_millis(7));
    loop {
        // Another test may be starting a process, which holds our lock until it runs.
        match AuditLog::open_with(&dir, by.clone(), sign.clone(), at, RegistrySequence(0), kept) {
            Err(OpenError::InUse) => std::thread::yield_now(),
            opened => break opened.unwrap().0,
        }
    }
}

fn note(log: &AuditLog, event: NodeEvent) -> u64 {
    let (at, registry) = (Timestamp::from_millis(8), RegistrySequence(0));
    log.append(&Record { at, registry, event: event.into() }).unwrap().index()
}

/// What retention removed cannot speak for the witness; whatever is left must.
#[test]
fn t_a73_a_cut_around_what_was_cosigned_is_no_alarm_and_hides_no_missing_word() {
    let (place, witness, [plain, with]) = watched();
    (0..5).for_each(|_| drop(open(&place)));
    let said = place.does(&format!("audit cosign {C}"));
    let size: u64 = said.split(' ').next().unwrap().parse().unwrap();
    let by = witness.key.parse().unwrap();
    let log = open(&place);
    note(&log, NodeEvent::Stopped);
    let index = note(&log, Witnessed { records: size, witness: by }.event());
    for _ in 0..4 {
        note(&log, NodeEvent::Stopped);
    }
    drop(log);
    assert!(size > 3 && index > size + 1, "{size}, {index}");
    let word = std::fs::read(place.path(COSIGNED)).unwrap();
    let mut spoilt = word.clone();
    spoilt[30] ^= 1;
    let verify = format!("audit verify {C}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Before what was cosigned, at its end, behind it, at the record that says so, behind that.
    for cut in [size - 1, size, size + 1, index, index + 1] {
        let log = open(&place);
        log.hold(move || Some(cut));
        let retained = runtime.block_on(log.retain(Timestamp::from_millis(9))).unwrap().unwrap();
        assert_eq!(retained.first, cut);
        drop(log);
        for (config, is_configured) in [(&with, true), (&plain, false)] {
            place.write("s/testudo.toml", config);
            place.write(COSIGNED, &word);
            if cut <= size {
                let said = place.does(&verify);
                assert!(said.ends_with(&format!("{size} cosigned by w/1")), "{cut}: {said}");
            } else if is_configured {
                place.fails(
                    1,
                    &verify,
                    &format!("w/1 cosigned {size} records of this log, and {cut} were removed"),
                );
            } else {
                let said = place.does(&verify);
                assert!(!said.contains("cosigned"), "{cut}: {said}");
            }
            for other in [None, Some(&spoilt)] {
                match other {
                    Some(bytes) => place.write(COSIGNED, bytes),
                    None => std::fs::remove_file(place.path(COSIGNED)).unwrap(),
                }
                if cut <= index {
                    place.fails(1, &verify, "and the file cosigned does not show it");
                } else if is_configured {
                    place.fails(1, &verify, "the word of w/1 is missing");
                } else {
                    // All that spoke of the witness is gone under a signed cut.
                    place.does(&verify);
                }
            }
        }
    }
    // A new witness begins with what is there.
    place.write("s/testudo.toml", &plain);
    let key = place.does(&format!("audit key {C}"));
    let other = Witness::named(&place, &key, "w2", "w/2");
    place.does(&format!("audit cosign --witness {} --key {} {C}", other.url, other.key));
    let keys = format!("[audit]\nwitness = \"{}\"\nwitness_key = \"{}\"\n", other.url, other.key);
    place.write("s/testudo.toml", plain.replace("[audit]\n", &keys));
    assert!(place.does(&verify).ends_with(" cosigned by w/2"));
}

//! A log that a witness cosigned says so itself: its word cannot be taken away by who can only take files away.

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

//! What all tests of events need, the golden file, and the forms that an event can have.

use std::path::Path;

use serde_json::{Value, json};
use testudo_wire::{NodeName, SecretKey, SwarmId};

use super::*;
use crate::audit::tests::{events, record};
use crate::audit::{Origin, VerifierKey};

pub(super) fn source() -> EventSource {
    EventSource::of_node(SwarmId::new([0xab; 32]), NodeName::parse("node-1").unwrap())
}

pub(super) fn origin() -> Origin {
    Origin::of_swarm(&SwarmId::new([0xab; 32]))
}

pub(super) fn secret() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

pub(super) fn key() -> EventKey {
    EventKey::new(&origin(), secret())
}

pub(super) fn verifier() -> VerifierKey {
    VerifierKey { origin: origin(), key: secret().public() }
}

/// Every kind of record as signed events.
pub(super) fn all() -> Vec<(Kind, Signed)> {
    let records = events().into_iter().map(record).zip(7..);
    let events = records.flat_map(|(record, index)| events_of(&source(), index, &record));
    events.map(|(kind, event)| (kind, event.sign(&key()).unwrap())).collect()
}

pub(super) fn line(event: &Signed) -> String {
    event.to_line().unwrap()
}

pub(super) fn json_of(event: &Signed) -> Value {
    serde_json::from_str(&line(event)).unwrap()
}

/// Verifies JSON as somebody who received it.
pub(super) fn check(json: &Value) -> Result<Verified, String> {
    let event = Signed::parse(json).map_err(|error| error.to_string())?;
    event.verify(&verifier()).map_err(|error| error.to_string())
}

/// A bug in what is signed, or in how, changes a file that is committed and that other languages' readers check.
#[test]
fn the_golden_events_are_what_is_made_today() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/events.jsonl");
    let mut text = format!("{}\n", json!({ "key": verifier().to_string() }));
    for (_, event) in all() {
        text.push_str(&line(&event));
        text.push('\n');
    }
    if std::env::var_os("TESTUDO_REGENERATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == text, "events changed: TESTUDO_REGENERATE=1, read the diff, say so in CHANGELOG.md");
}

#[test]
fn r_c15_an_event_survives_a_reader_that_writes_it_again_in_another_form() {
    for (_, event) in all() {
        let json = json_of(&event);
        // Keys in another order at every depth, and other spaces.
        let again: Value = serde_json::from_str(&shuffled(&json)).unwrap();
        assert_eq!(check(&again).unwrap(), check(&json).unwrap());
        assert_ne!(shuffled(&json), line(&event));
    }
}

fn shuffled(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.reverse();
            let one = |(key, value): &(&String, &Value)| format!("{}\t: {}", json!(key), shuffled(value));
            format!("{{ {} }}", members.iter().map(one).collect::<Vec<_>>().join(" ,\n"))
        }
        Value::Array(items) => {
            format!("[ {} ]", items.iter().map(shuffled).collect::<Vec<_>>().join(" , "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[test]
fn a_batch_is_the_events_in_order() {
    let events = all();
    let lines: Vec<_> = events.iter().map(|(_, event)| line(event)).collect();
    let json: Value = serde_json::from_str(&batch(lines.iter().map(String::as_str))).unwrap();
    let each: Vec<_> = events.iter().map(|(_, event)| json_of(event)).collect();
    assert_eq!(json, Value::Array(each));
    assert_eq!(batch([]), "[]");
}

#[test]
fn r_c17_json_without_one_exact_form_is_never_signed_or_believed() {
    for (text, whole) in [
        ("[1,-1,9007199254740991,-9007199254740991,true,null,\"\\u0001é\"]", true),
        ("9007199254740992", false),
        ("-9007199254740992", false),
        ("1.5", false),
        ("1e400", false),
    ] {
        let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
        assert_eq!(canonical(&value).is_ok(), whole, "{text}");
    }
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(canonical(&deep), Err(NotCanonical));
    let mixed = json!({ "b": 1, "a": [{ "d": "é\u{1}\"", "c": null }], "\u{e000}": 2, "\u{10000}": 3 });
    let text = "{\"a\":[{\"c\":null,\"d\":\"é\\u0001\\\"\"}],\"b\":1,\"\u{10000}\":3,\"\u{e000}\":2}";
    assert_eq!(canonical(&mixed).unwrap(), text, "UTF-16 order, RFC 8785 3.2.3");
}

#[test]
fn what_is_not_an_event_is_said_to_be_none() {
    let good = json_of(&all()[0].1);
    for (name, value) in [
        ("specversion", json!("0.3")),
        ("specversion", json!(1.0)),
        ("id", json!("")),
        ("id", json!(5)),
        ("source", json!(null)),
        ("Upper", json!("x")),
        ("with-dash", json!("x")),
        ("ext", json!({ "a": 1 })),
        ("ext", json!(1.5)),
        ("ext", json!(5_000_000_000_u64)),
        ("data_base64", json!("AAAA")),
        ("dssematerial", json!(7)),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(Signed::parse(&bad).is_err(), "{name}");
    }
    for name in ["specversion", "id", "source", "type", "dssematerial"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(name);
        assert!(Signed::parse(&bad).is_err(), "without {name}");
    }
    assert_eq!(Signed::parse(&json!([])), Err(ParseError::Object));
}

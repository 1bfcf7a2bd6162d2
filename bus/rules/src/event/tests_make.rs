//! From records to events: every kind, every place, and nothing that a sender wrote stands in for what we know.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use testudo_wire::Timestamp;

use super::tests::{all, check, json_of, key, source};
use super::*;
use crate::audit::tests::{events, name, record};
use crate::audit::{
    Event, LinkChange, LinkEvent, NodeEvent, Note, Outcomes, Record, TraceId, Verdict, Verdicts,
};

fn of(event: Event) -> Vec<(Kind, Value)> {
    let events = events_of(&source(), 12, &record(event));
    events.into_iter().map(|(kind, event)| (kind, json_of(&event.sign(&key()).unwrap()))).collect()
}

fn verdicts() -> Verdicts {
    let Event::Verdicts(verdicts) = events().swap_remove(0) else { panic!("the first is one") };
    verdicts
}

#[test]
fn r_c01_r_c18_every_event_has_what_the_standard_and_our_readers_ask_for() {
    for (kind, event) in all() {
        let json = json_of(&event);
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["source"], format!("spiffe://{}/node/node-1", "ab".repeat(32)));
        assert_eq!(json["type"], kind.type_name());
        assert_eq!(json["datacontenttype"], "application/json");
        assert_eq!(json["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(json["schemaversion"], "1");
        assert_eq!(json["severitynumber"].as_i64().unwrap() % 4, 1);
        assert!(json["data"]["at_ms"] == 1_700_000_000_123_u64 && json["data"]["registry"] == 42);
        for (name, value) in json.as_object().unwrap() {
            assert!(cloud::is_name(name), "{name}");
            assert!(!value.is_null() && value != "", "{name} is left out when there is nothing to say");
        }
        assert_eq!(json.get("sessionid").is_some(), json["data"]["session"].is_string(), "{json}");
        assert_eq!(json.get("subject").is_some(), event_agent(&json).is_some(), "{json}");
    }
}

/// The agent that the data names.
fn event_agent(json: &Value) -> Option<&str> {
    json["data"]["agent"].as_str().or_else(|| json["data"]["to"].as_str())
}

#[test]
fn r_c02_every_kind_is_of_our_namespace_and_every_record_has_its_kind() {
    let seen: BTreeSet<Kind> = all().into_iter().map(|(kind, _)| kind).collect();
    let unused: Vec<_> = Kind::ALL.iter().filter(|kind| !seen.contains(kind)).collect();
    assert_eq!(unused, [&Kind::OutcomesNone, &Kind::VerdictsNone], "records that nobody writes");
    for kind in Kind::ALL {
        assert!(kind.type_name().starts_with("dev.testudo."));
        assert_eq!(kind.type_name().parse(), Ok(*kind));
        let (group, _) = kind.as_str().split_once('.').unwrap();
        assert!(kind.is(kind.as_str()) && kind.is(group) && !kind.is("") && !kind.is("mess"));
    }
    assert_eq!("dev.testudo.nothing".parse::<Kind>(), Err(()));
    assert_eq!("ai.agentmesh.message.refused".parse::<Kind>(), Err(()));
}

#[test]
fn a_bundle_is_one_event_for_each_verdict_with_its_work_and_its_trace() {
    let events = of(verdicts().into());
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["message.allowed", "message.allowed", "message.refused", "message.allowed"]);
    for (place, (_, json)) in events.iter().enumerate() {
        assert_eq!(json["id"], format!("12-{place}"));
        assert_eq!(json["sequence"], format!("00000000000000000012-{place:05}"));
        assert_eq!(json["recordevents"], 4);
        assert_eq!(json["subject"], "agent/reader-1");
        assert_eq!(json["data"]["agent"], "reader-1");
        assert_eq!(json["data"]["position"], place);
        assert_eq!(json["correlationid"], json["data"]["correlation"]);
    }
    let refused = &events[2].1;
    assert_eq!(refused["data"]["verdict"]["refusal"], "poisoned");
    assert_eq!(refused["severitytext"], "WARN");
    let span = "03".repeat(8);
    assert_eq!(refused["traceparent"], format!("00-{}-{span}-00", "03".repeat(16)));
    assert_eq!(events[0].1["severitytext"], "INFO");
    assert_eq!(events[1].1["severitytext"], "WARN", "allowed, with an alert of the guard");
    let mut untraced = verdicts();
    untraced.envelopes[0].trace = None;
    untraced.envelopes[1].trace = Some(TraceId::new([0; 16]));
    let events = of(untraced.into());
    assert!(events[0].1.get("traceparent").is_none() && events[1].1.get("traceparent").is_none());
}

#[test]
fn an_outcome_names_the_event_of_its_verdict() {
    let Some(Event::Outcomes(outcomes)) = events().pop() else { panic!("the last is one") };
    for (_, json) in of(Event::Outcomes(outcomes)) {
        assert_eq!(json["causationid"], format!("4-{}", json["data"]["position"]));
    }
}

#[test]
fn r_c04_a_name_can_put_nothing_into_a_path() {
    assert_eq!(percent_encoded("a b/c"), "a%20b%2Fc");
    assert_eq!(percent_encoded("reader-1.x_~"), "reader-1.x_~");
    assert_eq!(percent_encoded("../é?#%\n"), "..%2F%C3%A9%3F%23%25%0A");
}

#[test]
fn r_c07_r_c08_t_a65_what_a_peer_wrote_stays_where_it_stands() {
    let forged = r#"x","agent":"forged","refusal":"none","index":0,"id":"9-9"#;
    // The agent is not known: nothing that the peer wrote may fill the gap.
    for what in [
        LinkChange::Refused { reason: Note::new(forged) },
        LinkChange::Closed { reason: Note::new("agent\r\n\u{1b}[2J\u{202e}") },
    ] {
        let remote = Note::new(r#""},"subject":"agent/forged"#);
        let event = LinkEvent { agent: None, session: None, remote, what };
        let (_, json) = of(event.into()).swap_remove(0);
        assert!(json["data"]["agent"].is_null() && json.get("subject").is_none());
        assert_eq!((&json["id"], &json["data"]["index"]), (&json!("12-0"), &json!(12)));
        let text = json.to_string();
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text}");
        assert!(check(&json).is_ok());
    }
}

#[test]
fn a_sender_cannot_make_an_event_that_cannot_be_signed() {
    let mut verdicts = verdicts();
    verdicts.envelopes[0].sequence.0 = u64::MAX;
    assert_eq!(of(verdicts.into())[0].1["data"]["sequence"], "18446744073709551615");
}

#[test]
fn r_c17_a_clock_gone_wild_gives_an_honest_time_or_no_event_but_never_bad_json() {
    let started = |at| Record { at: Timestamp::from_millis(at), ..record(NodeEvent::Stopped.into()) };
    let event = events_of(&source(), 0, &started(253_402_300_799_999)).swap_remove(0).1;
    assert_eq!(event.core("time"), Some("9999-12-31T23:59:59.999Z"));
    assert!(event.sign(&key()).is_ok());
    let event = events_of(&source(), 0, &started(u64::MAX)).swap_remove(0).1;
    assert_eq!(event.sign(&key()), Err(NotCanonical));
}

#[test]
fn records_that_tell_nothing_still_have_their_place() {
    let empty = Verdicts { envelopes: Vec::new(), ..verdicts() };
    let outcomes = Outcomes { of: 3, to: Some(name("writer")), outcomes: Vec::new() };
    assert_eq!(of(empty.into()).len() + of(outcomes.into()).len(), 2);
}

#[test]
fn r_c23_a_gap_a_repeat_and_an_exchange_in_a_stream_are_found() {
    let events: Vec<_> = all().iter().map(|(_, event)| check(&json_of(event)).unwrap()).collect();
    let mut whole = StreamCheck::default();
    assert!(events.iter().all(|event| whole.follow(event).is_ok()));
    assert!(matches!(whole.follow(&events[2]), Err(Break::Repeated { record: 7, place: 2 })));
    for missing in 1..events.len() - 1 {
        let mut check = StreamCheck::default();
        let left = events.iter().enumerate().filter(|(n, _)| *n != missing);
        let faults: Vec<_> = left.filter_map(|(n, event)| Some((n, check.follow(event).err()?))).collect();
        assert!(matches!(faults.as_slice(), [(n, Break::Gap { .. })] if *n == missing + 1), "{faults:?}");
    }
    let mut check = StreamCheck::default();
    let exchanged = [&events[0], &events[2], &events[1], &events[3]];
    let found: Vec<_> = exchanged.iter().map(|event| check.follow(event).is_ok()).collect();
    assert_eq!(found, [true, false, false, true], "out of order, then where it went on");
}

proptest! {
    #[test]
    fn t_a65_no_text_of_a_peer_breaks_an_event(reason in "\\PC{0,200}|(?s).{0,200}", alert in "(?s).{0,60}") {
        let link = LinkEvent { agent: Some(name("a")), session: None, remote: Note::new(&alert),
            what: LinkChange::Closed { reason: Note::new(&reason) } };
        let mut verdicts = verdicts();
        verdicts.envelopes[0].verdict = Verdict::allowed([alert.as_str()], 1);
        verdicts.envelopes[0].destination = Note::new(&reason);
        for (kind, json) in of(link.into()).into_iter().chain(of(verdicts.into())) {
            let line = json.to_string();
            prop_assert!(!line.contains(|c: char| c.is_control()));
            prop_assert_eq!(&json["type"], &json!(kind.type_name()));
            let verified = check(&json).unwrap();
            prop_assert_eq!(verified.event().kind(), kind.type_name());
        }
    }
}

#[test]
fn r_c05_an_explicit_source_wins_and_is_a_uri_reference() {
    let explicit = EventSource::explicit("https://ops.example/swarm/blue?node=1#a%20b").unwrap();
    for event in events() {
        for (_, event) in events_of(&explicit, 12, &record(event)) {
            let json = json_of(&event.sign(&key()).unwrap());
            assert_eq!(json["source"], "https://ops.example/swarm/blue?node=1#a%20b");
        }
    }
    assert!(EventSource::explicit("/a").is_ok());
    for bad in ["", "a b", "a\nb", "\u{e9}", "a%2", "a%zz", "<a>", "a\"b", &"a".repeat(257)] {
        assert_eq!(EventSource::explicit(bad), Err(SourceError), "{bad:?}");
    }
}

#[test]
fn r_c03_r_c06_without_a_source_of_ones_own_it_is_the_nodes_and_there_is_no_event_without_one() {
    let event = events_of(&source(), 0, &record(NodeEvent::Stopped.into())).swap_remove(0).1;
    assert_eq!(event.core("source"), Some(format!("spiffe://{}/node/node-1", "ab".repeat(32)).as_str()));
    // Nothing to derive it from is nothing that can be made, or believed.
    assert_eq!(EventSource::explicit(""), Err(SourceError));
    let whole = json_of(&event.sign(&key()).unwrap());
    for none in [None, Some(json!("")), Some(Value::Null), Some(json!(7))] {
        let mut json = whole.clone();
        match none.clone() {
            Some(value) => json["source"] = value,
            None => _ = json.as_object_mut().unwrap().remove("source"),
        }
        assert!(check(&json).is_err(), "{none:?}");
    }
    assert!(check(&whole).is_ok());
}

/// What JSON has no form for is text: moments, bytes, and numbers that a reader's doubles would round.
#[test]
fn r_c16_what_json_has_no_form_for_is_text_and_verifies_after_another_has_written_it() {
    let mut verdicts = verdicts();
    let one = &mut verdicts.envelopes[0];
    (one.sequence.0, one.trace) = (u64::MAX - 1, Some(TraceId::new([0xfe; 16])));
    let (_, json) = of(verdicts.into()).swap_remove(0);
    let data = &json["data"];
    assert_eq!(data["sequence"], "18446744073709551614");
    for (name, len) in [("message", 32), ("digest", 64), ("session", 32)] {
        let text = data[name].as_str().unwrap();
        assert!(text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {text}");
    }
    assert!(json["time"].is_string());
    // Through doubles and back, as most readers do.
    fn doubles(value: &Value) -> Value {
        match value {
            Value::Number(n) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "what a reader with doubles writes again"
                )]
                let whole = n.as_f64().unwrap() as i64;
                json!(whole)
            }
            Value::Array(items) => items.iter().map(doubles).collect(),
            Value::Object(of) => of.iter().map(|(name, value)| (name.clone(), doubles(value))).collect(),
            Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
        }
    }
    for (_, event) in all() {
        let json = json_of(&event);
        assert!(check(&doubles(&json)).is_ok(), "{json}");
    }
    assert!(check(&doubles(&json)).is_ok());
}

#[test]
fn r_c24_an_event_is_what_it_was_made_as() {
    let event = events_of(&source(), 0, &record(NodeEvent::Stopped.into())).swap_remove(0).1;
    let before = event.clone();
    // What is given out is a copy; there is no way to write into an event, and to sign one takes it.
    let mut copy = event.to_json();
    copy.insert("id".into(), json!("forged"));
    copy.get_mut("data").unwrap()["at_ms"] = json!(1);
    assert_eq!(event, before);
    let signed = event.sign(&key()).unwrap();
    let line = signed.to_line().unwrap();
    let mut shown = json_of(&signed);
    shown["source"] = json!("forged");
    assert_eq!(signed.to_line().unwrap(), line);
    assert_eq!((signed.event().id(), signed.event().core("source")), (before.id(), before.core("source")));
    assert!(check(&shown).is_err());
}

#[test]
fn r_c19_the_flat_form_has_no_specversion_keeps_its_three_names_and_omits_nulls() {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            Value::Object(fields) => fields.values().any(has_null),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    let mut nulls = 0;
    for event in events() {
        for (kind, event) in events_of(&source(), 12, &record(event)) {
            let flat = event.flat();
            let json = json_of(&event.sign(&key()).unwrap());
            assert!(flat.get("specversion").is_none() && flat.get("dssematerial").is_none());
            assert!(Signed::parse(&flat).is_err(), "nobody takes it for a signed event");
            assert_eq!(flat["event_id"], json["id"]);
            assert_eq!(flat["kind"], kind.as_str());
            assert_eq!((&flat["occurred_at"], &flat["source"]), (&json["time"], &json["source"]));
            assert!(!has_null(&flat), "{flat}");
            nulls += usize::from(has_null(&json["data"]));
            for (name, value) in json["data"].as_object().unwrap() {
                let own = ["event_id", "kind", "occurred_at", "source", "subject"].contains(&name.as_str());
                assert!(!own, "{name} would be hidden");
                assert_eq!(flat.get(name).is_some(), !value.is_null(), "{name}");
            }
        }
    }
    assert!(nulls > 0, "there was something to omit");
}

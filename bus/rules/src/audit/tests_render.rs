//! Records as people and their tools see them.

use serde_json::Value;
use testudo_wire::{Refusal, SessionId};

use super::tests::{events, name, record};
use super::*;

#[test]
fn every_event_is_shown_to_people_and_to_tools() {
    for event in events() {
        let record = record(event);
        let (line, json) = (record.to_line(9), record.to_json(9));
        assert!(line.starts_with("#9 2023-11-14T22:13:20.123Z "), "{line}");
        assert!(line.is_ascii() && !line.contains(|c: char| c.is_control()), "{line}");
        assert_eq!(json["index"], 9);
        assert_eq!(json["registry"], 42);
        assert_eq!(json["at_ms"], 1_700_000_000_123_u64);
        assert!(json["event"].is_string() && json["fields"].is_object(), "{json}");
    }
}

#[test]
fn the_renderings_say_who_what_and_why() {
    let record = record(events().swap_remove(0));
    let line = record.to_line(0);
    assert!(
        line.contains("reader-1 key=") && line.contains("03030303->agent/writer refused: poisoned by"),
        "{line}"
    );
    let envelopes = &record.to_json(0)["fields"]["envelopes"];
    let third = &envelopes[2];
    assert_eq!(third["message"], "03".repeat(16));
    assert_eq!(third["trace"], "03".repeat(16));
    assert_eq!(third["verdict"]["refusal"], "poisoned");
    assert_eq!(third["verdict"]["rules"][0], "inject.ignore");
    assert!(line.contains(" allowed; 0202"), "{line}");
    assert!(line.contains("read:logs allowed to 3 receivers by unicode.bidi;"), "{line}");
    assert!(line.ends_with("read:logs allowed, no receiver;"), "{line}");
    let copies: Vec<_> = [0, 1, 3].iter().map(|n| envelopes[n]["verdict"]["copies"].as_u64()).collect();
    assert_eq!(copies, [Some(1), Some(3), Some(0)]);
}

#[test]
fn outcomes_say_whose_copies_they_are() {
    let outcomes = vec![
        OutcomeOf { position: 2, outcome: Outcome::Delivered },
        OutcomeOf { position: 0, outcome: Outcome::Failed(Cause::ReceiverRefused(Refusal::Stale)) },
    ];
    let told = record(Outcomes { of: 7, to: Some(name("writer")), outcomes }.into());
    let ends = "of #7 to writer: 2 delivered; 0 failed (refused by the receiver: stale);";
    assert!(told.to_line(8).ends_with(ends), "{}", told.to_line(8));
    assert_eq!(told.to_json(8)["fields"]["to"], "writer");

    let crash = OutcomeOf { position: 1, outcome: Outcome::Failed(Cause::Crash) };
    let told = record(Outcomes { of: 7, to: None, outcomes: vec![crash; 2] }.into());
    let ends = "of #7: 1 failed (crash); 1 failed (crash);";
    assert!(told.to_line(8).ends_with(ends), "{}", told.to_line(8));
    assert!(told.to_json(8)["fields"]["to"].is_null());
}

#[test]
fn a_subscription_is_shown_with_its_topic_and_what_was_wrong_with_it() {
    let topic = Note::new("alerts");
    let changes = [
        (LinkChange::Subscribed { topic: topic.clone() }, "subscribed", " (topic: alerts)"),
        (
            LinkChange::SubscriptionRefused { topic: topic.clone(), refusal: Refusal::Unauthorised },
            "subscription-refused",
            " (topic: alerts) (refusal: unauthorised)",
        ),
        (
            LinkChange::SubscriptionWithdrawn { topic: topic.clone() },
            "subscription-withdrawn",
            " (topic: alerts)",
        ),
        (LinkChange::Unsubscribed { topic }, "unsubscribed", " (topic: alerts)"),
    ];
    for (what, word, details) in changes {
        let refusal = matches!(what, LinkChange::SubscriptionRefused { .. }).then_some("unauthorised");
        let session = Some(SessionId::new([3; 16]));
        let link = LinkEvent { agent: Some(name("a")), session, remote: "127.0.0.1:9".into(), what };
        let record = record(link.into());
        let line = record.to_line(1);
        assert!(line.ends_with(&format!(" session=03030303 {word}{details}")), "{line}");
        let fields = &record.to_json(1)["fields"];
        assert_eq!((&fields["what"], &fields["topic"]), (&Value::from(word), &Value::from("alerts")));
        assert_eq!(fields["refusal"].as_str(), refusal);
    }
}

//! What the log tells its readers: filters, the story of one piece of work, numbers.

use testudo_wire::{
    Capability, CorrelationId, Destination, Digest, MessageId, Refusal, RegistrySequence, SecretKey,
    Sequence, SessionId, Timestamp,
};

use super::tests::{events, name, record};
use super::*;

const WORK: CorrelationId = CorrelationId::new([7; 16]);

struct Log(Vec<Record>);

impl Log {
    fn at(&mut self, ms: u64, event: impl Into<Event>) -> u64 {
        let at = Timestamp::from_millis(ms);
        self.0.push(Record { at, registry: RegistrySequence(1), event: event.into() });
        self.0.len() as u64 - 1
    }

    fn sent(
        &mut self,
        ms: u64,
        from: &str,
        to: Destination,
        correlation: CorrelationId,
        verdict: Verdict,
    ) -> u64 {
        let capability = match &to {
            Destination::Reply(_) => None,
            Destination::Agent(_) | Destination::Service | Destination::Topic(_) => {
                Capability::parse("read:logs").ok()
            }
        };
        let n = self.0.len() as u8;
        let envelope = EnvelopeRecord {
            message: MessageId::new([n; 16]),
            digest: Digest::new([n; 32]),
            sequence: Sequence(1),
            destination: EnvelopeRecord::destination_note(&to),
            capability,
            correlation,
            trace: None,
            verdict,
        };
        self.at(
            ms,
            Verdicts {
                session: SessionId::new([3; 16]),
                sender: name(from),
                key: SecretKey::from_seed(&[4; 32]).public(),
                lane: 0,
                root: Digest::new([5; 32]),
                envelopes: vec![envelope],
            },
        )
    }

    fn ended(&mut self, ms: u64, of: u64, to: &str, outcome: Outcome) {
        let outcomes = vec![OutcomeOf { position: 0, outcome }];
        self.at(ms, Outcomes { of, to: Some(name(to)), outcomes });
    }
}

/// The planner asks the reader, who asks whoever serves, is refused by the guard at a third, and answers; somebody
/// else talks at the same time.
fn log() -> Log {
    let mut log = Log(Vec::new());
    let ok = || Verdict::allowed([], 1);
    let asked = log.sent(1_000, "planner", Destination::Agent(name("reader")), WORK, ok());
    log.ended(1_003, asked, "reader", Outcome::Delivered);
    let noise =
        log.sent(1_004, "planner", Destination::Agent(name("reader")), CorrelationId::new([8; 16]), ok());
    let served = log.sent(1_005, "reader", Destination::Service, WORK, ok());
    log.ended(1_006, noise, "reader", Outcome::Delivered);
    let poisoned = Verdict::refused(Refusal::Poisoned, ["inject.ignore"]);
    log.sent(1_007, "reader", Destination::Agent(name("writer")), WORK, poisoned);
    let part = log.sent(1_008, "store", Destination::Reply(name("reader")), WORK, ok());
    log.ended(1_009, served, "store", Outcome::Delivered);
    log.ended(1_010, part, "reader", Outcome::Failed(Cause::ReceiverRefused(Refusal::Stale)));
    log.sent(1_020, "reader", Destination::Reply(name("planner")), WORK, ok());
    log
}

fn story(log: &Log, of: CorrelationId) -> Story {
    let mut story = Story::of(of);
    (0..).zip(&log.0).for_each(|(index, record)| story.take(index, record));
    story
}

#[test]
fn a_story_is_told_as_a_tree_with_reasons_and_times() {
    let story = story(&log(), WORK);
    let expected = [
        "07070707070707070707070707070707: 5 messages from 1970-01-01T00:00:01.000Z, 20 ms",
        "      0 ms  planner -> reader  read:logs  delivered in 3 ms  #0",
        "      5 ms  ├ reader -> store (a service)  read:logs  delivered in 4 ms  #3",
        "      8 ms  │ └ store -> reader  answer  FAILED after 2 ms: refused by the receiver: stale  #6",
        "      7 ms  ├ reader -> writer  read:logs  REFUSED: poisoned by inject.ignore  #5",
        "     20 ms  └ reader -> planner  answer  still under way  #9",
    ];
    assert_eq!(story.to_lines(), expected);
    let json = story.to_json();
    let parents: Vec<_> =
        json["steps"].as_array().unwrap().iter().map(|step| step["parent"].as_u64()).collect();
    assert_eq!(parents, [None, Some(0), Some(0), Some(1), Some(0)]);
    assert_eq!(json["steps"][2]["verdict"]["refusal"], "poisoned");
    assert_eq!(json["steps"][3]["ends"][0]["cause"], "refused by the receiver: stale");
    assert!(super::Story::of(CorrelationId::new([1; 16])).to_lines().is_empty());
}

#[test]
fn a_story_of_any_depth_is_told_and_its_length_is_bounded() {
    let mut log = Log(Vec::new());
    for n in 0..story::STEPS_MAX as u64 + 3 {
        let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
        log.sent(n, from, Destination::Agent(name(to)), WORK, Verdict::allowed([], 1));
        log.0[n as usize].at = Timestamp::from_millis(n);
    }
    log.0.truncate(200);
    assert_eq!(story(&log, WORK).to_lines().len(), 201);
}

#[test]
fn a_publication_says_how_many_had_it_and_who_had_not() {
    let mut log = Log(Vec::new());
    let topic = Destination::Topic(testudo_wire::Resource::parse("news").unwrap());
    let of = log.sent(5, "a", topic, WORK, Verdict::allowed(["unicode.bidi"], 3));
    log.ended(6, of, "b", Outcome::Delivered);
    log.ended(7, of, "c", Outcome::Dropped(Cause::Overflow));
    let told = story(&log, WORK).to_lines().pop().unwrap();
    let fate = "a -> topic/news  read:logs  delivered to 1 of 3; c: DROPPED after 2 ms: overflow, alert by unicode.bidi  #0";
    assert!(told.ends_with(fate), "{told}");
}

fn wanted(mut filter: Filter, log: &Log) -> Vec<u64> {
    (0..).zip(&log.0).filter(|(index, record)| filter.wants(*index, record)).map(|(index, _)| index).collect()
}

#[test]
fn filters_find_what_they_name_and_meet_each_other() {
    let log = log();
    let agent = |text: &str| Some(name(text));
    assert_eq!(wanted(Filter::new(agent("writer"), None, None), &log), [5]);
    assert_eq!(wanted(Filter::new(agent("store"), None, None), &log), [6, 7]);
    assert_eq!(wanted(Filter::new(None, None, Some(WORK)), &log), [0, 1, 3, 5, 6, 7, 8, 9]);
    for reason in ["poisoned", "POISON", "inject.ignore"] {
        assert_eq!(wanted(Filter::new(None, Some(reason.to_owned()), None), &log), [5], "{reason}");
    }
    for reason in ["stale", "receiver refused", "receiver-refused"] {
        assert_eq!(wanted(Filter::new(None, Some(reason.to_owned()), None), &log), [8], "{reason}");
    }
    assert_eq!(wanted(Filter::new(agent("planner"), None, Some(WORK)), &log), [0, 9]);
    assert_eq!(wanted(Filter::default(), &log).len(), log.0.len());
    for event in events() {
        // No event makes a filter stumble.
        let mut filter = Filter::new(agent("a"), Some("x".to_owned()), Some(WORK));
        assert!(!filter.wants(0, &record(event)));
    }
}

#[test]
fn the_numbers_are_those_of_the_log() {
    let mut stats = Stats::default();
    log().0.iter().for_each(|record| stats.take(record));
    let json = stats.to_json(2);
    let number = |key: &str| json[key].as_u64().unwrap();
    assert_eq!((number("records"), number("messages"), number("bundles")), (10, 6, 6));
    assert_eq!((number("allowed"), number("refused"), number("delivered")), (5, 1, 3));
    assert_eq!((&json["refusals"]["poisoned"], &json["failed"]["receiver refused"]), (&1.into(), &1.into()));
    assert_eq!((number("from_ms"), number("to_ms")), (1_000, 1_020));
    assert_eq!(json["messages_per_second"], 300.0);
    assert_eq!(json["agents"].as_array().unwrap().len(), 2);
    assert_eq!(json["agents"][0]["name"], "reader");
    assert_eq!(
        (&json["agents"][0]["sent"], &json["agents"][0]["refused"], &json["agents"][0]["received"]),
        (&3.into(), &1.into(), &2.into())
    );
    let (rows, agents) = stats.to_rows(10);
    assert!(rows.contains(&("refused".to_owned(), "1 (poisoned 1)".to_owned())), "{rows:?}");
    assert_eq!((rows.len(), agents.len()), (10, 3));
    let mut log = Log(Vec::new());
    log.sent(
        1,
        "a",
        Destination::Topic(testudo_wire::Resource::parse("news").unwrap()),
        WORK,
        Verdict::allowed([], 0),
    );
    let mut nobody = Stats::default();
    nobody.take(&log.0[0]);
    assert_eq!(nobody.to_json(1)["dropped"]["no receiver"], 1);
    let line = log.0[0].to_line(0);
    assert!(line.contains(" correlation=07070707070707070707070707070707: "), "{line}");
    let (rows, agents) = Stats::default().to_rows(10);
    assert!(agents.is_empty() && rows.iter().any(|(name, value)| name == "time" && value == "-"));
}

//! Verdicts on the log: one encoding, short where a bundle repeats itself, and logs of earlier nodes read on.

use proptest::prelude::*;
use testudo_wire::canonical::{self, CanonicalError, Writer};
use testudo_wire::{
    Capability, CorrelationId, Digest, MessageId, Refusal, RegistrySequence, SecretKey, Sequence, SessionId,
    Timestamp,
};

use super::tests::{events, name, record};
use super::*;

pub(super) fn verdicts(envelopes: Vec<EnvelopeRecord>) -> Record {
    let of = Verdicts {
        session: SessionId::new([3; 16]),
        sender: name("sender-1"),
        key: SecretKey::from_seed(&[4; 32]).public(),
        lane: 2,
        root: Digest::new([5; 32]),
        envelopes,
    };
    record(of.into())
}

/// What a message is like: each number decides one of its fields, and equal ones make equal fields.
pub(super) fn envelope(
    sequence: u64,
    [id, correlation, to, capability, trace, verdict]: [u8; 6],
) -> EnvelopeRecord {
    EnvelopeRecord {
        message: MessageId::new([id; 16]),
        digest: Digest::new([id; 32]),
        sequence: Sequence(sequence),
        destination: ["agent/reader-1", "service", "topic/t"][usize::from(to) % 3].into(),
        capability: (capability > 0)
            .then(|| Capability::parse(["read:logs", "x:y"][usize::from(to % 2)]).unwrap()),
        correlation: CorrelationId::new([correlation; 16]),
        trace: (trace > 0).then(|| TraceId::new([trace; 16])),
        verdict: match verdict {
            0 => Verdict::allowed([], 1),
            1 => Verdict::allowed(["unicode.bidi", "poison.x"], 70_000),
            2 => Verdict::refused(Refusal::Poisoned, ["inject.ignore"]),
            _ => Verdict::refused(Refusal::Replayed, []),
        },
    }
}

/// As earlier nodes wrote it: every envelope whole.
pub(super) fn oldest(record: &Record) -> Vec<u8> {
    canonical::encode(record).unwrap()
}

/// As the nodes before this one did: each envelope after the one before it.
pub(super) fn older(record: &Record) -> Vec<u8> {
    let Event::Verdicts(verdicts) = &record.event else { panic!("verdicts") };
    let mut payload = Vec::new();
    packed::encode(record.at, record.registry, verdicts, &mut payload).unwrap();
    payload
}

/// A short payload cannot become a long record, or more messages than have numbers.
#[test]
fn t_p19_what_repeats_is_bounded() {
    let many = |n: u64| verdicts((0..n).map(|sequence| envelope(sequence, [1; 6])).collect());
    let payload = |record: &Record| record.encode().unwrap();
    assert_eq!(Record::decode(&payload(&many(256))).unwrap(), many(256));
    assert_eq!(many(257).encode(), Err(CanonicalError::Limit));
    let long = by_hand(&[0; 257 * 48], &Of::Own, &[(257, 0)]);
    assert_eq!(Record::decode(&long), Err(CanonicalError::Limit));
    assert_eq!(Settlement::of(&long), Err(CanonicalError::Limit));
    // Runs that say more than there are messages.
    let many_runs = by_hand(&[0; 48], &Of::Own, &[(65_535, 0); 1000]);
    assert!(Record::decode(&many_runs).is_err());
    assert_eq!(Settlement::of(&many_runs), Err(CanonicalError::Limit));
    let noted = |notes: usize| {
        let mut one = envelope(1, [1; 6]);
        one.verdict = Verdict::Allowed { alerts: vec!["x".into(); notes], copies: 1 };
        verdicts(vec![one])
    };
    assert_eq!(Record::decode(&payload(&noted(17))).unwrap(), noted(17));
    assert_eq!(Record::decode(&payload(&noted(18))), Err(CanonicalError::Unexpected));
}

proptest! {
    #[test]
    fn any_bundle_has_one_encoding_comes_back_and_is_settled_as_it_was_by_earlier_nodes(
        envelopes in prop::collection::vec(
            (any::<u8>(), 0..3_u8, prop::sample::select(vec![1_u64, 1, 1, 2, 9]), 0..3_u8, 0..2_u8, 0..2_u8, 0..4_u8),
            0..80,
        ),
        works in 0..3_u8,
        traced in 0..3_u8,
        first in prop::sample::select(vec![0, 1, 127, 1 << 20, u64::MAX - 300]),
        stray in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut sequence = first;
        let envelopes = envelopes.into_iter().map(|(id, correlation, step, to, capability, trace, verdict)| {
            sequence = sequence.saturating_add(step);
            let correlation = [correlation, id, 7][usize::from(works)];
            let trace = [0, trace, id][usize::from(traced)];
            envelope(sequence, [id, correlation, to, capability, trace, verdict])
        });
        let record = verdicts(envelopes.collect());
        let payload = record.encode().unwrap();
        prop_assert_eq!(Record::decode(&payload).unwrap(), record.clone());
        for before in [older(&record), oldest(&record)] {
            prop_assert_eq!(Record::decode(&before).unwrap(), record.clone(), "a log of before is read");
            prop_assert_eq!(Settlement::of(&payload), Settlement::of(&before));
        }
        // No other bytes say the same.
        let mut other = payload.clone();
        other[stray.index(payload.len())] ^= 1 << bit;
        if let Ok(other) = Record::decode(&other) {
            prop_assert_ne!(other.encode().unwrap(), payload);
        }
    }
}

/// What a settlement must be, from the whole record.
fn opened(record: &Record) -> Settlement {
    let Event::Verdicts(verdicts) = &record.event else { panic!("verdicts") };
    let copies = (0..).zip(verdicts.envelopes.iter().map(|one| one.verdict.copies()));
    Settlement::Opens { copies: copies.filter(|(_, copies)| *copies > 0).collect() }
}

fn any_note() -> impl Strategy<Value = Note> {
    ".{0,140}".prop_map(|text| Note::new(&text))
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    let notes = || prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(any_note(), 0..=17)];
    let refusals = (0..=u8::MAX).filter_map(|n| Refusal::try_from(n).ok()).collect::<Vec<_>>();
    let copies = prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()];
    prop_oneof![
        (notes(), copies).prop_map(|(alerts, copies)| Verdict::Allowed { alerts, copies }),
        (prop::sample::select(refusals), notes())
            .prop_map(|(refusal, rules)| Verdict::Refused { refusal, rules }),
    ]
}

fn any_envelope() -> impl Strategy<Value = EnvelopeRecord> {
    let id = || prop_oneof![Just([0; 16]), Just([1; 16]), any::<[u8; 16]>()];
    let capability = prop::sample::select(vec!["read:logs", "publish:a-very-long-name-of-a-topic"]);
    let capability = prop::option::of(capability.prop_map(|text| Capability::parse(text).unwrap()));
    let way = (any_note(), capability, any_verdict());
    let sequence = prop_oneof![0..4_u64, (u64::MAX - 3)..=u64::MAX, any::<u64>()];
    (id(), any::<[u8; 32]>(), sequence, id(), prop::option::of(id()), way).prop_map(
        |(message, digest, sequence, correlation, trace, (destination, capability, verdict))| {
            EnvelopeRecord {
                message: MessageId::new(message),
                digest: Digest::new(digest),
                sequence: Sequence(sequence),
                destination,
                capability,
                correlation: CorrelationId::new(correlation),
                // Zeros are none, and are not recorded.
                trace: trace.filter(|trace| *trace != [0; 16]).map(TraceId::new),
                verdict,
            }
        },
    )
}

proptest! {
    /// Verdicts of every shape, some of them repeated with the next number, as far as there are numbers.
    #[test]
    fn whatever_is_recorded_is_what_is_read(
        each in prop::collection::vec((any_envelope(), prop_oneof![3 => Just(1_u64), 1 => 1..90_u64]), 0..6),
        lane: u8, at: u64, registry: u64,
    ) {
        let runs = each.into_iter().flat_map(|(first, times)| {
            let numbers = (0..times).map_while(move |next| first.sequence.0.checked_add(next));
            numbers.map(move |number| EnvelopeRecord { sequence: Sequence(number), ..first.clone() })
        });
        let mut record = verdicts(runs.take(256).collect());
        let Event::Verdicts(of) = &mut record.event else { panic!("verdicts") };
        of.lane = lane;
        (record.at, record.registry) = (Timestamp::from_millis(at), RegistrySequence(registry));
        let payload = record.encode().unwrap();
        prop_assert_eq!(&Record::decode(&payload).unwrap(), &record);
        prop_assert_eq!(time_of(&payload), Some(record.at));
        for form in [payload, older(&record), oldest(&record)] {
            prop_assert_eq!(Settlement::of(&form).unwrap(), opened(&record));
            prop_assert_eq!(&Record::decode(&form).unwrap(), &record);
        }
    }

    /// Bytes that somebody meddled with: no panic, and what is read of them is one thing in every way of reading.
    #[test]
    fn t_p19_whatever_is_made_of_a_record_reads_as_itself_or_not_at_all(
        each in prop::collection::vec(any_envelope(), 0..6),
        form in 0..3_u8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..5),
    ) {
        let record = verdicts(each);
        let mut payload = match form {
            0 => record.encode().unwrap(),
            1 => older(&record),
            _ => oldest(&record),
        };
        for (at, byte, how) in changes {
            let at = at.index(payload.len());
            match how {
                0 => payload[at] = byte,
                1 => payload[at] = payload[at].wrapping_add(byte % 3).wrapping_sub(1),
                2 => payload.insert(at, byte),
                _ => drop(payload.remove(at)),
            }
            if payload.is_empty() {
                break;
            }
        }
        let settled = Settlement::of(&payload);
        if let Ok(read) = Record::decode(&payload) && let Event::Verdicts(_) = &read.event {
            prop_assert_eq!(settled.unwrap(), opened(&read));
            let forms = [read.encode().unwrap(), older(&read), oldest(&read)];
            prop_assert!(forms.contains(&payload));
        }
    }
}

#[test]
fn what_a_bundle_repeats_stands_on_the_log_once() {
    let of = |n: u8| envelope(u64::from(n), [n, n, 0, 1, 0, 0]);
    let len = |envelopes: Vec<EnvelopeRecord>| verdicts(envelopes).encode().unwrap().len();
    let bundle = |n: u8, each: &dyn Fn(u8) -> EnvelopeRecord| len((0..n).map(each).collect());
    // Longer heads of the columns.
    assert_eq!(bundle(64, &of), bundle(1, &of) + 63 * 48 + 1, "ids alone, and each its own work");
    let together = |n: u8| EnvelopeRecord { correlation: CorrelationId::new([9; 16]), ..of(n) };
    assert_eq!(bundle(64, &together), bundle(64, &of) + 17, "of one piece of work");
    let others = |n: u8| EnvelopeRecord { correlation: CorrelationId::new([n + 1; 16]), ..of(n) };
    assert_eq!(bundle(64, &others), bundle(64, &of) + 64 * 16 + 2, "of one piece of work each");
    let traced = |n: u8| EnvelopeRecord { trace: Some(TraceId::new([n + 1; 16])), ..of(n) };
    assert_eq!(bundle(64, &traced), bundle(64, &of) + 64 * 16 + 2, "of one trace each");
    let gap = |n: u8| EnvelopeRecord { sequence: Sequence(u64::from(n) * 2), ..of(n) };
    assert!(bundle(64, &gap) > bundle(64, &of) + 63 * 30, "a gap in the numbers is said");
}

#[test]
fn another_number_of_envelopes_than_was_said_is_no_record() {
    let record = verdicts((0..3).map(|n| envelope(n, [1; 6])).collect());
    let Event::Verdicts(verdicts) = &record.event else { panic!("verdicts") };
    let head = BundleHead {
        session: verdicts.session,
        sender: verdicts.sender,
        key: verdicts.key,
        lane: verdicts.lane,
        root: verdicts.root,
    };
    let of = |count: usize| {
        let views = verdicts.envelopes.iter().map(EnvelopeRecord::view);
        let mut payload = Vec::new();
        encode_bundle((record.at, record.registry), &head, count, views, &mut payload).map(|_| payload)
    };
    assert_eq!(of(3).unwrap(), record.encode().unwrap());
    assert!(of(2).is_err() && of(4).is_err() && of(0).is_err());
}

/// Whose work messages are, or of which trace: their own, or of none.
enum Of<'a> {
    Own,
    These(&'a [u8]),
}

/// A record with these columns and runs, which refuse everything, written by hand.
fn by_hand(rows: &[u8], of: &Of<'_>, runs: &[(u64, u64)]) -> Vec<u8> {
    with_traces(rows, of, &Of::Own, runs)
}

fn with_traces(rows: &[u8], of: &Of<'_>, traces: &Of<'_>, runs: &[(u64, u64)]) -> Vec<u8> {
    let mut writer = Writer::default();
    let empty = verdicts(Vec::new()).encode().unwrap();
    // Without the heads of the rows, of the correlations, of the traces and of the runs.
    writer.raw(&empty[..empty.len() - 5]);
    writer.bin(rows);
    match of {
        Of::Own => writer.nil(),
        Of::These(correlations) => writer.bin(correlations),
    }
    match traces {
        Of::Own => writer.nil(),
        Of::These(traces) => writer.bin(traces),
    }
    writer.array(u16::try_from(runs.len()).unwrap());
    for (count, sequence) in runs {
        writer.array(5);
        writer.uint(*count);
        writer.uint(*sequence);
        writer.str("service");
        writer.nil();
        writer.map(1);
        writer.str("refused");
        writer.array(2);
        writer.uint(u64::from(u8::from(Refusal::Stale)));
        writer.array(0);
    }
    writer.into_bytes()
}

#[test]
fn a_form_that_is_longer_than_need_be_or_of_uneven_columns_is_refused() {
    let row = |n: u8| [n; 48];
    let two = [row(1), row(2)].concat();
    let read = |rows: &[u8], of: &Of<'_>, runs: &[(u64, u64)]| Record::decode(&by_hand(rows, of, runs));
    for (of, correlations) in [
        (Of::Own, [1, 2]),
        (Of::These(&[7; 16]), [7, 7]),
        (Of::These(&[[7; 16], [8; 16]].concat()), [7, 8]),
        (Of::These(&[[1; 16], [8; 16]].concat()), [1, 8]),
    ] {
        for runs in [&[(2, 5)][..], &[(1, 5), (1, 9)]] {
            let Event::Verdicts(read) = read(&two, &of, runs).unwrap().event else { panic!("verdicts") };
            let found: Vec<_> = read.envelopes.iter().map(|one| one.correlation.as_bytes()[0]).collect();
            assert_eq!(found, correlations);
            assert_eq!(read.envelopes[0].sequence, Sequence(5));
        }
    }
    let of = Of::Own;
    assert!(read(&two, &of, &[(1, 5), (1, 6)]).is_err(), "the same could be said in one run");
    assert!(read(&two, &of, &[(0, 1), (2, 5)]).is_err(), "a run of nothing");
    assert!(read(&two, &of, &[(1, 5)]).is_err() && read(&two, &of, &[(3, 5)]).is_err(), "uneven");
    assert!(read(&two[1..], &of, &[(2, 5)]).is_err() && read(&two[1..], &of, &[(1, 5)]).is_err());
    assert!(read(&two, &of, &[(2, u64::MAX)]).is_err(), "beyond the numbers");
    let these = |of: &[u8]| read(&two, &Of::These(of), &[(2, 5)]);
    assert!(these(&[[1; 16], [2; 16]].concat()).is_err(), "each its own is said shorter");
    assert!(these(&[7; 32]).is_err(), "one for all is said shorter");
    assert!(these(&[]).is_err() && these(&[7; 15]).is_err() && these(&[7; 17]).is_err());
    assert!(these(&[[7; 16], [8; 16], [9; 16]].concat()).is_err());
    let traced = |traces: &[u8]| Record::decode(&with_traces(&two, &of, &Of::These(traces), &[(2, 5)]));
    for (traces, expected) in [
        (&[7; 16][..], [Some(7), Some(7)]),
        (&[[7; 16], [8; 16]].concat(), [Some(7), Some(8)]),
        (&[[0; 16], [8; 16]].concat(), [None, Some(8)]),
        (&[[7; 16], [0; 16]].concat(), [Some(7), None]),
    ] {
        let Event::Verdicts(read) = traced(traces).unwrap().event else { panic!("verdicts") };
        let found: Vec<_> =
            read.envelopes.iter().map(|one| one.trace.map(|trace| trace.as_bytes()[0])).collect();
        assert_eq!(found, expected);
    }
    assert!(traced(&[0; 16]).is_err() && traced(&[0; 32]).is_err(), "none is said shorter");
    assert!(traced(&[7; 32]).is_err() && traced(&[7; 15]).is_err() && traced(&[]).is_err());
    assert!(traced(&[[7; 16], [8; 16], [9; 16]].concat()).is_err());
    // An agent may send any: what it sends must not make a log that cannot be read.
    for others in [None, Some(TraceId::new([7; 16]))] {
        let zero = EnvelopeRecord { trace: Some(TraceId::new([0; 16])), ..envelope(1, [1; 6]) };
        let other = EnvelopeRecord { trace: others, ..envelope(2, [2; 6]) };
        for envelopes in [vec![zero.clone(), other.clone()], vec![other, zero]] {
            let Event::Verdicts(read) = Record::decode(&verdicts(envelopes).encode().unwrap()).unwrap().event
            else {
                panic!("verdicts")
            };
            assert_eq!(
                read.envelopes.iter().filter_map(|one| one.trace).collect::<Vec<_>>().len(),
                others.iter().len()
            );
        }
    }
    let mut trailing = verdicts(vec![envelope(1, [1; 6])]).encode().unwrap();
    trailing.push(0xc0);
    assert!(Record::decode(&trailing).is_err());
}

#[test]
fn only_verdicts_are_written_in_another_form_than_before() {
    for event in events() {
        let is_verdicts = matches!(event, Event::Verdicts(_));
        let record = record(event);
        assert_eq!(record.encode().unwrap() != oldest(&record), is_verdicts, "{record:?}");
        let mut behind = vec![1, 2, 3];
        record.encode_to(&mut behind).unwrap();
        assert_eq!(behind[3..], record.encode().unwrap());
    }
}

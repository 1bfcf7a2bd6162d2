//! Verdicts on the log: one encoding, short where a bundle repeats itself, and logs of earlier nodes read on.

use proptest::prelude::*;
use testudo_wire::canonical::{self, Writer};
use testudo_wire::{Capability, CorrelationId, Digest, MessageId, Refusal, SecretKey, Sequence, SessionId};

use super::tests::{events, name, record};
use super::*;

fn verdicts(envelopes: Vec<EnvelopeRecord>) -> Record {
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
fn envelope(sequence: u64, [id, correlation, to, capability, trace, verdict]: [u8; 6]) -> EnvelopeRecord {
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
fn older(record: &Record) -> Vec<u8> {
    canonical::encode(record).unwrap()
}

/// A short payload cannot become a long record, or more messages than have numbers.
#[test]
fn t_p19_what_repeats_is_bounded() {
    let many = |n: u64| verdicts((0..n).map(|sequence| envelope(sequence, [1; 6])).collect());
    let payload = |record: &Record| record.encode().unwrap();
    assert_eq!(Record::decode(&payload(&many(256))).unwrap(), many(256));
    assert_eq!(Record::decode(&payload(&many(257))), Err(canonical::CanonicalError::Limit));
    let noted = |notes: usize| {
        let mut one = envelope(1, [1; 6]);
        one.verdict = Verdict::Allowed { alerts: vec!["x".into(); notes], copies: 1 };
        verdicts(vec![one])
    };
    assert_eq!(Record::decode(&payload(&noted(17))).unwrap(), noted(17));
    assert_eq!(Record::decode(&payload(&noted(18))), Err(canonical::CanonicalError::Unexpected));
    // Envelopes of no elements, of which the first says nothing to repeat.
    let [head, tail] = [payload(&many(0)), vec![0x90; 70_000]];
    let (last, head) = head.split_last().unwrap();
    assert_eq!(*last, 0x90, "no envelopes");
    let hostile = [head, &[0xdd, 0x00, 0x01, 0x11, 0x70][..], &tail].concat();
    assert!(Record::decode(&hostile).is_err());
    assert!(Settlement::of(&hostile).is_ok_and(|of| of == Settlement::Opens { copies: Vec::new() }));
    let copies =
        [head, &[0xdd, 0x00, 0x01, 0x11, 0x70][..], &payload(&many(1))[head.len() + 1..], &tail].concat();
    assert!(Settlement::of(&copies).is_err(), "more messages than have numbers");
}

proptest! {
    #[test]
    fn any_bundle_has_one_encoding_comes_back_and_is_settled_as_it_was_by_earlier_nodes(
        envelopes in prop::collection::vec(
            (any::<u8>(), 0..3_u8, prop::sample::select(vec![1_u64, 1, 1, 2, 9]), 0..3_u8, 0..2_u8, 0..2_u8, 0..4_u8),
            0..80,
        ),
        first in prop::sample::select(vec![0, 1, 127, 1 << 20, u64::MAX - 300]),
        stray in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut sequence = first;
        let envelopes = envelopes.into_iter().map(|(id, correlation, step, to, capability, trace, verdict)| {
            sequence = sequence.saturating_add(step);
            envelope(sequence, [id, correlation, to, capability, trace, verdict])
        });
        let record = verdicts(envelopes.collect());
        let payload = record.encode().unwrap();
        prop_assert_eq!(Record::decode(&payload).unwrap(), record.clone());
        let before = older(&record);
        prop_assert_eq!(Record::decode(&before).unwrap(), record, "a log of before is read");
        prop_assert_eq!(Settlement::of(&payload), Settlement::of(&before));
        prop_assert!(payload.len() <= before.len());
        // No other bytes say the same.
        let mut other = payload.clone();
        other[stray.index(payload.len())] ^= 1 << bit;
        if let Ok(other) = Record::decode(&other) {
            prop_assert_ne!(other.encode().unwrap(), payload);
        }
    }
}

#[test]
fn what_a_bundle_repeats_stands_on_the_log_once() {
    let of = |n: u8| envelope(u64::from(n), [n, n, 0, 1, 0, 0]);
    let len = |envelopes: Vec<EnvelopeRecord>| verdicts(envelopes).encode().unwrap().len();
    let one = len(vec![of(0)]);
    assert_eq!(len((0..64).map(of).collect()), one + 63 * 71 + 2, "ids alone, and a longer head");
    let together = |n: u8| EnvelopeRecord { correlation: CorrelationId::new([9; 16]), ..of(n) };
    assert_eq!(len((0..64).map(together).collect()), one + 63 * 53 + 2, "of one piece of work");
    let gap = |n: u8| EnvelopeRecord { sequence: Sequence(u64::from(n) * 2), ..of(n) };
    assert!(len((0..64).map(gap).collect()) > one + 63 * 100, "a gap in the numbers is said");
}

#[test]
fn a_form_that_is_longer_than_need_be_or_repeats_nothing_is_refused() {
    // The shape of a record with these envelopes, each written by hand.
    let by_hand = |envelopes: &[&dyn Fn(&mut Writer)]| {
        let mut writer = Writer::default();
        let empty = verdicts(Vec::new()).encode().unwrap();
        writer.raw(&empty[..empty.len() - 1]);
        writer.array(u16::try_from(envelopes.len()).unwrap());
        envelopes.iter().for_each(|envelope| envelope(&mut writer));
        writer.into_bytes()
    };
    let ids = |writer: &mut Writer, elements: u16, n: u8| {
        writer.array(elements);
        writer.bin(&[n; 16]);
        writer.bin(&[n; 32]);
    };
    let whole = |n: u8| {
        move |writer: &mut Writer| {
            ids(writer, 8, n);
            writer.bin(&[7; 16]);
            writer.uint(u64::from(n));
            writer.str("service");
            writer.nil();
            writer.nil();
            writer.map(1);
            writer.str("refused");
            writer.array(2);
            writer.uint(u64::from(u8::from(Refusal::Stale)));
            writer.array(0);
        }
    };
    let same = |n: u8| move |writer: &mut Writer| ids(writer, 2, n);
    let piece = |n: u8, of: u8| {
        move |writer: &mut Writer| {
            ids(writer, 3, n);
            writer.bin(&[of; 16]);
        }
    };
    let read = |envelopes: &[&dyn Fn(&mut Writer)]| Record::decode(&by_hand(envelopes));
    for good in [read(&[&whole(1)]), read(&[&whole(1), &same(2)]), read(&[&whole(1), &piece(2, 8), &same(3)])]
    {
        let Event::Verdicts(read) = good.unwrap().event else { panic!("verdicts") };
        assert!(read.envelopes.iter().zip(1..).all(|(one, n)| one.sequence == Sequence(n)));
        assert!(read.envelopes.iter().all(|one| one.destination.as_str() == "service"));
    }
    assert!(read(&[&whole(1), &whole(2)]).is_err(), "the same could be said shorter");
    assert!(read(&[&whole(1), &piece(2, 7)]).is_err(), "that correlation was the one before");
    assert!(read(&[&same(1)]).is_err() && read(&[&piece(1, 7)]).is_err(), "nothing to repeat");
    let four = |writer: &mut Writer| {
        ids(writer, 4, 2);
        writer.bin(&[7; 16]);
        writer.uint(2);
    };
    assert!(read(&[&whole(1), &four]).is_err());
    let mut trailing = verdicts(vec![envelope(1, [1; 6])]).encode().unwrap();
    trailing.push(0xc0);
    assert!(Record::decode(&trailing).is_err());
}

#[test]
fn only_verdicts_are_written_in_another_form_than_before() {
    for event in events() {
        let is_verdicts = matches!(event, Event::Verdicts(_));
        let record = record(event);
        assert_eq!(record.encode().unwrap() != older(&record), is_verdicts, "{record:?}");
        let mut behind = vec![1, 2, 3];
        record.encode_to(&mut behind).unwrap();
        assert_eq!(behind[3..], record.encode().unwrap());
    }
}

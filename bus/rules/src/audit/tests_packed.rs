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

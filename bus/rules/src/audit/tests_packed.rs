//! Verdicts as earlier nodes wrote them are read, in their one encoding and no other.

use testudo_wire::canonical::{CanonicalError, Writer};
use testudo_wire::{Refusal, Sequence};

use super::tests_columns::{envelope, older, verdicts};
use super::*;

/// A short payload cannot become a long record, or more messages than have numbers.
#[test]
fn t_p19_what_repeated_was_bounded_too() {
    let many = |n: u64| verdicts((0..n).map(|sequence| envelope(sequence, [1; 6])).collect());
    assert_eq!(Record::decode(&older(&many(256))).unwrap(), many(256));
    assert_eq!(Record::decode(&older(&many(257))), Err(CanonicalError::Limit));
    // Envelopes of no elements, of which the first says nothing to repeat.
    let [head, tail] = [older(&many(0)), vec![0x90; 70_000]];
    let (last, head) = head.split_last().unwrap();
    assert_eq!(*last, 0x90, "no envelopes");
    let hostile = [head, &[0xdd, 0x00, 0x01, 0x11, 0x70][..], &tail].concat();
    assert!(Record::decode(&hostile).is_err());
    assert!(Settlement::of(&hostile).is_ok_and(|of| of == Settlement::Opens { copies: Vec::new() }));
    let copies =
        [head, &[0xdd, 0x00, 0x01, 0x11, 0x70][..], &older(&many(1))[head.len() + 1..], &tail].concat();
    assert!(Settlement::of(&copies).is_err(), "more messages than have numbers");
}

#[test]
fn an_older_form_that_is_longer_than_need_be_or_repeats_nothing_is_refused() {
    // The shape of a record with these envelopes, each written by hand.
    let by_hand = |envelopes: &[&dyn Fn(&mut Writer)]| {
        let mut writer = Writer::default();
        let empty = older(&verdicts(Vec::new()));
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
    let mut trailing = older(&verdicts(vec![envelope(1, [1; 6])]));
    trailing.push(0xc0);
    assert!(Record::decode(&trailing).is_err());
}

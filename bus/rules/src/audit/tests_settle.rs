//! What a log leaves open, held against a count of every copy: any bundles, any outcomes, a crash at any record,
//! and crashes while the first is made good.

use std::collections::BTreeMap;

use proptest::prelude::*;
use testudo_wire::{
    AgentName, CorrelationId, Digest, MessageId, Refusal, RegistrySequence, SecretKey, Sequence, SessionId,
    Timestamp,
};

use super::*;

fn payload(event: impl Into<Event>) -> Vec<u8> {
    Record { at: Timestamp::from_millis(1), registry: RegistrySequence(1), event: event.into() }
        .encode()
        .unwrap()
}

fn reader(n: u32) -> AgentName {
    AgentName::parse(&format!("reader-{n}")).unwrap()
}

/// Verdicts on a bundle; `None` is refused.
fn verdicts(envelopes: &[Option<u32>]) -> Verdicts {
    let envelope = |(n, copies): (u8, &Option<u32>)| EnvelopeRecord {
        message: MessageId::new([n; 16]),
        digest: Digest::new([n; 32]),
        sequence: Sequence(u64::from(n)),
        destination: "topic/t".into(),
        capability: None,
        correlation: CorrelationId::new([n; 16]),
        trace: None,
        verdict: match copies {
            Some(copies) => Verdict::allowed(["x"], *copies),
            None => Verdict::refused(Refusal::Poisoned, ["x"]),
        },
    };
    Verdicts {
        session: SessionId::new([3; 16]),
        sender: AgentName::parse("sender").unwrap(),
        key: SecretKey::from_seed(&[4; 32]).public(),
        lane: 0,
        root: Digest::new([5; 32]),
        envelopes: (0..).zip(envelopes).map(envelope).collect(),
    }
}

fn unsettled(log: &[Vec<u8>]) -> Unsettled {
    let mut unsettled = Unsettled::default();
    for (index, payload) in (0..).zip(log) {
        unsettled.note(index, Settlement::of(payload).unwrap());
    }
    unsettled
}

/// Copies and outcomes of every message of a log, by record and position, read in full.
fn counted(log: &[Vec<u8>]) -> BTreeMap<(u64, u16), (u32, u32)> {
    let mut counted = BTreeMap::new();
    for (index, payload) in (0..).zip(log) {
        match Record::decode(payload).unwrap().event {
            Event::Verdicts(verdicts) => {
                for (position, envelope) in (0..).zip(&verdicts.envelopes) {
                    counted.insert((index, position), (envelope.verdict.copies(), 0));
                }
            }
            Event::Outcomes(outcomes) => {
                assert!((1..=Outcomes::MAX).contains(&outcomes.outcomes.len()));
                for one in outcomes.outcomes {
                    let crash = one.outcome == Outcome::Failed(Cause::Crash);
                    assert_eq!(outcomes.to.is_none(), crash);
                    counted.get_mut(&(outcomes.of, one.position)).unwrap().1 += 1;
                }
            }
            other @ (Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_)) => {
                panic!("{other:?}")
            }
        }
    }
    counted
}

/// A log of such bundles, in which each receiver's copies end in one record of their own or several, in an order
/// that `order` decides.
fn log(bundles: &[Vec<Option<u32>>], order: &[u8]) -> Vec<Vec<u8>> {
    let mut log = Vec::new();
    let mut waiting: Vec<Outcomes> = Vec::new();
    let mut order = order.iter().map(|n| usize::from(*n)).cycle();
    let mut next = move || order.next().unwrap_or_default();
    for envelopes in bundles {
        let of = log.len() as u64;
        log.push(payload(verdicts(envelopes)));
        let receivers = envelopes.iter().copied().flatten().max().unwrap_or_default();
        for receiver in 0..receivers {
            let outcome = match next() % 3 {
                0 => Outcome::Dropped(Cause::Overflow),
                1 => Outcome::Failed(Cause::LinkLost),
                _ => Outcome::Delivered,
            };
            let mine = (0..).zip(envelopes).filter(|(_, copies)| copies.is_some_and(|n| n > receiver));
            let ends: Vec<_> = mine.map(|(position, _)| OutcomeOf { position, outcome }).collect();
            let cut = next() % (ends.len() + 1);
            waiting.extend(Outcomes::split(of, Some(reader(receiver)), ends[..cut].to_vec()));
            waiting.extend(Outcomes::split(of, Some(reader(receiver)), ends[cut..].to_vec()));
        }
        for _ in 0..next() % (waiting.len() + 1) {
            let outcomes = waiting.swap_remove(next() % waiting.len());
            log.push(payload(outcomes));
        }
    }
    log.extend(waiting.into_iter().map(payload));
    log
}

proptest! {
    #[test]
    fn after_a_crash_every_copy_has_exactly_one_outcome(
        bundles in prop::collection::vec(
            prop::collection::vec(prop_oneof![1 => Just(None), 4 => (0..5_u32).prop_map(Some)], 1..6),
            1..6,
        ),
        order in prop::collection::vec(any::<u8>(), 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut log = log(&bundles, &order);
        prop_assert!(counted(&log).values().all(|(copies, ends)| copies == ends), "a whole log");
        prop_assert_eq!(unsettled(&log).into_crashed().count(), 0);
        for cut in cuts {
            // The crash; the first records of the next start may be cut off by the next crash.
            log.truncate(cut.index(log.len() + 1));
            log.extend(unsettled(&log).into_crashed().map(payload));
            for (place, (copies, ends)) in counted(&log) {
                prop_assert_eq!(copies, ends, "{:?}", place);
            }
            prop_assert_eq!(unsettled(&log).into_crashed().count(), 0, "settled once");
        }
    }
}

#[test]
fn what_a_crash_leaves_of_a_wide_topic_is_settled_in_records_that_fit() {
    let log = vec![payload(verdicts(&[Some(300), None, Some(0), Some(400)]))];
    let crashed: Vec<_> = unsettled(&log).into_crashed().collect();
    let lens: Vec<_> = crashed.iter().map(|one| one.outcomes.len()).collect();
    assert_eq!(lens, [256, 256, 188]);
    let of = |at| crashed.iter().flat_map(|one| &one.outcomes).filter(|one| one.position == at).count();
    assert_eq!([of(0), of(1), of(2), of(3)], [300, 0, 0, 400]);
    assert!(crashed.iter().all(|one| one.of == 0 && one.to.is_none()));
}

#[test]
fn a_topic_without_subscribers_opens_nothing() {
    assert_eq!(
        Settlement::of(&payload(verdicts(&[Some(0), None]))),
        Ok(Settlement::Opens { copies: Vec::new() })
    );
}

#[test]
fn an_outcome_too_many_settles_nothing_else() {
    let end = OutcomeOf { position: 0, outcome: Outcome::Delivered };
    let outcomes = Outcomes { of: 0, to: Some(reader(1)), outcomes: vec![end; 3] };
    let log = vec![payload(verdicts(&[Some(1), Some(1)])), payload(outcomes)];
    let crashed: Vec<_> = unsettled(&log).into_crashed().collect();
    let end = OutcomeOf { position: 1, outcome: Outcome::Failed(Cause::Crash) };
    assert_eq!(crashed, [Outcomes { of: 0, to: None, outcomes: vec![end] }]);
}

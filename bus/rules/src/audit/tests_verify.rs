//! Verification finds whatever is done to a log: bits, cuts, gaps, exchanges, rewriting.

use std::io;

use testudo_wire::{RegistrySequence, SecretKey, Timestamp};

use super::*;

/// A log of two segments with checkpoints in its middle and at its end.
struct Log {
    segments: Vec<(u64, Vec<u8>)>,
    /// Where each frame ends in the joined bytes.
    ends: Vec<usize>,
    checkpoints: Vec<u8>,
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn origin() -> Origin {
    Origin::parse("testudo/test").unwrap()
}

fn payload(n: u64) -> Vec<u8> {
    let event = NodeEvent::Started { records: n, recovered_bytes: 0 }.into();
    Record { at: Timestamp::from_millis(n), registry: RegistrySequence(n), event }.encode().unwrap()
}

fn log(records: u64, seals: &[u64]) -> Log {
    log_of(records, seals, &payload)
}

fn log_of(records: u64, seals: &[u64], payload: &dyn Fn(u64) -> Vec<u8>) -> Log {
    let mut log = Log { segments: Vec::new(), ends: Vec::new(), checkpoints: Vec::new() };
    let mut frontier = Frontier::new();
    let mut total = 0;
    for n in 0..records {
        if n == 0 || n == records / 2 {
            log.segments.push((n, Vec::new()));
        }
        let segment = &mut log.segments.last_mut().unwrap().1;
        let before = segment.len();
        frontier.append(frame::encode(n, &payload(n), segment).unwrap());
        total += segment.len() - before;
        log.ends.push(total);
        if seals.contains(&(n + 1)) {
            let checkpoint = Checkpoint { size: n + 1, root: frontier.root() };
            log.checkpoints.extend_from_slice(checkpoint.sign(&origin(), &key()).as_bytes());
        }
    }
    log
}

impl Log {
    fn verify(&self) -> Result<Verified, Fault> {
        let segments =
            self.segments.iter().map(|(first, bytes)| Ok(Segment { first: *first, bytes: bytes.as_slice() }));
        verify(segments, self.checkpoints.as_slice(), &key().public(), &origin())
    }

    fn fault(&self) -> Fault {
        self.verify().expect_err("must be found")
    }

    /// The byte at a place in the joined segments.
    fn byte(&mut self, at: usize) -> &mut u8 {
        self.segments.iter_mut().flat_map(|(_, bytes)| bytes.iter_mut()).nth(at).unwrap()
    }

    fn len(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Cuts everything from a place in the joined segments.
    fn cut(&mut self, at: usize) {
        let mut left = at;
        for (_, bytes) in &mut self.segments {
            bytes.truncate(left);
            left -= bytes.len();
        }
        self.segments.retain(|(first, bytes)| *first == 0 || !bytes.is_empty());
    }

    /// The frames of the first segment, apart.
    fn frames(&self) -> Vec<Vec<u8>> {
        let first = &self.segments[0].1;
        let ends: Vec<_> = self.ends.iter().copied().filter(|end| *end <= first.len()).collect();
        ends.iter().scan(0, |from, end| Some(first[std::mem::replace(from, *end)..*end].to_vec())).collect()
    }
}

#[test]
fn a_good_log_verifies() {
    assert_eq!(
        log(60, &[20, 60]).verify().unwrap(),
        Verified { first: 0, records: 60, sealed: 60, unsealed: 0, witnessed: None }
    );
    assert_eq!(
        log(60, &[20, 50]).verify().unwrap(),
        Verified { first: 0, records: 60, sealed: 50, unsealed: 10, witnessed: None }
    );
    assert_eq!(
        log(0, &[]).verify().unwrap(),
        Verified { first: 0, records: 0, sealed: 0, unsealed: 0, witnessed: None }
    );
}

/// What a checkpoint covers is the log's word; behind it anybody can write, such as that a key of theirs is the witness.
#[test]
fn t_a73_what_a_log_says_of_its_witness_counts_once_it_is_sealed() {
    let by = |seed, name: &str, records| {
        let witness = WitnessKey {
            name: Origin::parse(name).unwrap(),
            key: SecretKey::from_seed(&[seed; 32]).public(),
        };
        Witnessed { records, witness }
    };
    let (first, last, forged) = (by(1, "w/1", 1), by(2, r"w\\2", 5), by(3, "w/3", 1));
    let says = |n| match n {
        2 => Some(&first),
        6 => Some(&last),
        9 => Some(&forged),
        _ => None,
    };
    let record = |n| {
        let Some(witnessed) = says(n) else { return payload(n) };
        let at = Timestamp::from_millis(n);
        Record { at, registry: RegistrySequence(n), event: witnessed.event().into() }.encode().unwrap()
    };
    for (seals, found) in [
        (&[2][..], None),
        (&[2, 3], Some(&first)),
        (&[3, 6], Some(&first)),
        (&[3, 7], Some(&last)),
        (&[8], Some(&last)),
    ] {
        let verified = log_of(10, seals, &record).verify().unwrap();
        assert_eq!(verified.witnessed.as_ref(), found, "{seals:?}");
    }
}

#[test]
fn t_a71_every_flipped_bit_of_a_log_is_found_at_its_index() {
    let mut log = log(60, &[60]);
    for at in 0..log.len() {
        let index = log.ends.iter().filter(|end| **end <= at).count() as u64;
        for bit in 0..8 {
            *log.byte(at) ^= 1 << bit;
            let fault = log.fault();
            assert_eq!(fault.index, index, "byte {at} bit {bit}: {fault}");
            *log.byte(at) ^= 1 << bit;
        }
    }
    assert!(log.verify().is_ok());
}

#[test]
fn t_a71_flipped_bits_of_a_larger_unsealed_log_are_found_too() {
    let mut log = log(1_000, &[]);
    for at in (0..log.len()).step_by(997) {
        let index = log.ends.iter().filter(|end| **end <= at).count() as u64;
        *log.byte(at) ^= 1 << (at % 8);
        assert_eq!(log.fault().index, index);
        *log.byte(at) ^= 1 << (at % 8);
    }
}

#[test]
fn t_a72_every_flipped_bit_of_the_checkpoints_is_found() {
    let mut log = log(12, &[3, 7, 12]);
    for at in 0..log.checkpoints.len() {
        for bit in 0..8 {
            log.checkpoints[at] ^= 1 << bit;
            let fault = log.fault();
            assert!(matches!(fault.what, FaultKind::Checkpoint(_)), "byte {at} bit {bit}: {fault}");
            assert!([0, 3, 7].contains(&fault.index), "{fault}");
            log.checkpoints[at] ^= 1 << bit;
        }
    }
}

#[test]
fn t_a72_every_cut_behind_a_checkpoint_is_found_at_its_index() {
    let whole = log(40, &[10, 40]);
    for at in 0..whole.len() {
        let mut log = log(40, &[10, 40]);
        log.cut(at);
        let fault = log.fault();
        assert_eq!(
            fault.index,
            whole.ends.iter().filter(|end| **end <= at).count() as u64,
            "cut at {at}: {fault}"
        );
        assert!(matches!(fault.what, FaultKind::Truncated { .. }), "cut at {at}: {fault}");
    }
}

#[test]
fn t_f08_a_torn_tail_after_the_checkpoint_is_named() {
    let whole = log(40, &[30]);
    for at in whole.ends[29]..whole.len() {
        let mut log = log(40, &[30]);
        log.cut(at);
        let good = whole.ends.iter().filter(|end| **end <= at).count() as u64;
        match log.verify() {
            Ok(verified) => assert_eq!((verified.records, verified.unsealed), (good, good - 30)),
            Err(Fault { index, what: FaultKind::TornTail { bytes } }) => {
                assert_eq!(index, good);
                assert_eq!(bytes as usize, at - whole.ends[good as usize - 1]);
            }
            Err(fault) => panic!("cut at {at}: {fault}"),
        }
    }
}

#[test]
fn t_a71_gaps_repeats_and_exchanges_are_found_at_their_index() {
    for (change, index) in [
        ((|frames| drop(frames.remove(7))) as fn(&mut Vec<Vec<u8>>), 7),
        (|frames| frames.insert(7, frames[6].clone()), 7),
        (|frames| frames.swap(7, 8), 7),
        (|frames| frames.swap(0, 29), 0),
        (|frames| frames.reverse(), 0),
        (|frames| drop(frames.pop()), 29),
    ] {
        let mut log = log(60, &[60]);
        let mut frames = log.frames();
        change(&mut frames);
        log.segments[0].1 = frames.concat();
        let fault = log.fault();
        assert!(matches!(fault.what, FaultKind::OutOfOrder { .. }), "{fault}");
        assert_eq!(fault.index, index, "{fault}");
    }
    let mut log = log(60, &[60]);
    log.segments.swap(0, 1);
    assert_eq!(log.fault().index, 0);
    log.segments.remove(0);
    assert!(matches!(log.fault(), Fault { index: 30, what: FaultKind::Truncated { sealed: 60 } }));
}

#[test]
fn t_a71_a_record_rewritten_with_its_hash_is_found_by_the_checkpoint() {
    let mut log = log(60, &[20, 60]);
    let mut frames = log.frames();
    frames[25].clear();
    assert!(frame::encode(25, &payload(26), &mut frames[25]).is_some());
    log.segments[0].1 = frames.concat();
    assert!(matches!(log.fault(), Fault { index: 20, what: FaultKind::Rewritten { size: 60 } }));
}

#[test]
fn t_a72_checkpoints_only_grow_and_are_by_this_key_for_this_log() {
    let mut log = log(10, &[5, 10]);
    let half = log.checkpoints.len() / 2;
    let twice = [&log.checkpoints[..half], &log.checkpoints[..half]].concat();
    let good = std::mem::replace(&mut log.checkpoints, twice);
    assert!(matches!(log.fault(), Fault { index: 5, what: FaultKind::Shrinking { found: 5 } }));
    log.checkpoints = good;
    let check = |key: &SecretKey, origin: &str| {
        let segments =
            log.segments.iter().map(|(first, bytes)| Ok(Segment { first: *first, bytes: &bytes[..] }));
        verify(segments, &log.checkpoints[..], &key.public(), &Origin::parse(origin).unwrap())
    };
    assert!(check(&key(), "testudo/test").is_ok());
    assert!(matches!(
        check(&SecretKey::from_seed(&[1; 32]), "testudo/test"),
        Err(Fault { index: 0, what: FaultKind::Checkpoint(CheckpointError::Unauthentic) })
    ));
    assert!(matches!(
        check(&key(), "testudo/other"),
        Err(Fault { index: 0, what: FaultKind::Checkpoint(CheckpointError::WrongOrigin) })
    ));
}

#[test]
fn a_segment_that_cannot_be_read_is_named() {
    let segments = [Err::<Segment<&[u8]>, _>(io::Error::other("gone"))];
    let fault = verify(segments, &b""[..], &key().public(), &origin()).unwrap_err();
    assert!(matches!(fault, Fault { index: 0, what: FaultKind::Unreadable(_) }));
}

#[test]
fn any_frame_from_tells_damage_within_from_a_torn_tail() {
    let log = log(6, &[]);
    let bytes = [log.segments[0].1.clone(), log.segments[1].1.clone()].concat();
    let third = log.ends[2];
    assert!(frame::any_frame_from(&bytes[third + 1..], 3));
    assert!(!frame::any_frame_from(&bytes[..third], 3), "older frames do not count");
    assert!(!frame::any_frame_from(&bytes[log.ends[4] + 1..], 5), "the last one is torn");
    assert!(!frame::any_frame_from(&[0; 500], 0));
}

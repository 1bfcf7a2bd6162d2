//! Proofs from a log of several segments on disk, and none from one that was rewritten.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use testudo_rules::audit::{Proof, VerifierKey};
use testudo_wire::{MessageId, RegistrySequence, Timestamp};

use super::tests::{key, open, origin, read, small, verdicts};
use super::*;

fn by() -> VerifierKey {
    VerifierKey { origin: origin(), key: key().public() }
}

/// A sealed log of several segments.
fn sealed(dir: &Path) {
    let at = Timestamp::from_millis(7);
    let (log, _) = AuditLog::open_with(dir, origin(), key(), at, RegistrySequence(4), small()).unwrap();
    for _ in 0..20 {
        let _ = log.append(&verdicts()).unwrap();
    }
    drop(log);
    assert!(files::segments(dir).unwrap().len() > 2);
    drop(open(dir).unwrap());
}

#[test]
fn every_record_under_the_checkpoint_is_proved_and_none_behind_it() {
    let dir = TempDir::new().unwrap();
    sealed(dir.path());
    let records = read(dir.path());
    let verified = verify_dir(dir.path(), &key().public(), &origin()).unwrap();
    assert_eq!(verified.sealed, records.len() as u64);
    for (index, record) in (0..).zip(&records) {
        let text = prove(dir.path(), index, &by()).unwrap().to_text();
        let proven = Proof::parse(text.as_bytes()).unwrap().verify(&by()).unwrap();
        assert_eq!((proven.index, &proven.record), (index, record));
        assert_eq!(proven.checkpoint.size, verified.sealed);
    }
    let behind = prove(dir.path(), verified.sealed, &by());
    assert!(matches!(behind, Err(ProveError::Unsealed { .. })), "{behind:?}");
}

#[test]
fn a_message_is_found_by_its_verdict() {
    let dir = TempDir::new().unwrap();
    sealed(dir.path());
    for id in [1, 2, 3] {
        assert_eq!(find_message(dir.path(), MessageId::new([id; 16])).unwrap(), Some(1), "the first of them");
    }
    assert_eq!(find_message(dir.path(), MessageId::new([9; 16])).unwrap(), None);
    assert!(find_message(&dir.path().join("none"), MessageId::new([1; 16])).is_err());
}

#[test]
fn t_a71_nothing_is_proved_of_a_log_that_is_not_what_was_signed() {
    let dir = TempDir::new().unwrap();
    sealed(dir.path());
    let path = files::segment_path(dir.path(), 0);
    let whole = fs::read(&path).unwrap();
    let mut bad = whole.clone();
    bad[60] ^= 1;
    fs::write(&path, &bad).unwrap();
    let damaged = prove(dir.path(), 3, &by());
    assert!(matches!(damaged, Err(ProveError::Read(ReadError::Damaged { index: 0, .. }))), "{damaged:?}");

    // Another record with its right hash in the place of the first.
    let (header, _) = whole.split_first_chunk::<44>().unwrap();
    let end = 44 + testudo_rules::audit::frame::Header::parse(header).unwrap().len;
    let mut forged = Vec::new();
    let payload = verdicts().encode().unwrap();
    assert!(testudo_rules::audit::frame::encode(0, &payload, &mut forged).is_some());
    forged.extend_from_slice(&whole[end..]);
    fs::write(&path, &forged).unwrap();
    for index in [0, 3] {
        let refused = prove(dir.path(), index, &by());
        assert!(matches!(refused, Err(ProveError::Forged { .. })), "{refused:?}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(prove(dir.path(), 3, &by()), Err(ProveError::Read(ReadError::Missing { index: 0 }))));
}

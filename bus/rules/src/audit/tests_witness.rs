//! A witness signs what extends what it signed, and nothing else; its signature reads as C2SP has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use testudo_wire::SecretKey;

use super::merkle::{leaf_hash, prove_consistency, root};
use super::witness::{Refused, Submission};
use super::*;

fn log_key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn log() -> VerifierKey {
    VerifierKey { origin: Origin::parse("testudo/test").unwrap(), key: log_key().public() }
}

fn witness() -> SecretKey {
    SecretKey::from_seed(&[8; 32])
}

fn by() -> WitnessKey {
    WitnessKey { name: Origin::parse("witness.example/w1").unwrap(), key: witness().public() }
}

fn leaves(story: u8, n: usize) -> Vec<LogHash> {
    (0..n).map(|n| leaf_hash(&[if n < 5 { 0 } else { story }, n as u8])).collect()
}

fn head(leaves: &[LogHash]) -> Checkpoint {
    Checkpoint { size: leaves.len() as u64, root: root(leaves) }
}

fn submission(leaves: &[LogHash], old: usize) -> Submission {
    let proof = if old == 0 { Vec::new() } else { prove_consistency(leaves, old).unwrap() };
    Submission { old: old as u64, proof, checkpoint: head(leaves).sign(&log().origin, &log_key()) }
}

fn judged(submission: &Submission, last: Option<Checkpoint>) -> Result<Checkpoint, Refused> {
    let logs = [log()];
    let (_, next) = Submission::parse(submission.to_text().as_bytes())?.of(&logs)?;
    submission.extends(last, next).map(|()| next)
}

#[test]
fn t_a73_every_true_extension_is_signed_and_no_other_story_ever() {
    for size in 1..20 {
        for old in 0..=size {
            let (true_log, other) = (leaves(1, size), leaves(2, size));
            let last = (old > 0).then(|| head(&true_log[..old]));
            assert_eq!(judged(&submission(&true_log, old), last), Ok(head(&true_log)), "{old} to {size}");
            if old > 5 {
                let refused = judged(&submission(&other, old), last).unwrap_err();
                let size_seen = old as u64;
                if old == size {
                    assert_eq!((refused, refused.status()), (Refused::Forked { size: size_seen }, 409));
                } else {
                    assert_eq!((refused, refused.status()), (Refused::NotExtending { size: size_seen }, 422));
                }
            }
        }
    }
}

#[test]
fn t_a73_a_log_that_shrank_or_proves_from_elsewhere_is_told_where_the_witness_is() {
    let all = leaves(1, 12);
    let last = Some(head(&all[..9]));
    for old in [0, 3, 8, 10] {
        let refused = judged(&submission(&all, old), last).unwrap_err();
        assert_eq!((refused, refused.status()), (Refused::Stale { size: 9 }, 409));
    }
    let shrunk = Submission { old: 9, ..submission(&all[..7], 7) };
    assert_eq!(judged(&shrunk, last).unwrap_err().status(), 400);
    let padded = Submission { proof: vec![all[0]], ..submission(&all, 0) };
    assert_eq!(
        judged(&padded, None),
        Err(Refused::NotExtending { size: 0 }),
        "from nothing the proof is empty"
    );
}

#[test]
fn who_signed_matters_and_of_which_log_it_is() {
    let all = leaves(1, 3);
    let other = SecretKey::from_seed(&[1; 32]);
    let forged = Submission { checkpoint: head(&all).sign(&log().origin, &other), ..submission(&all, 0) };
    assert_eq!(
        judged(&forged, None).map_err(|refused| (refused, refused.status())),
        Err((Refused::Unsigned, 403))
    );
    let elsewhere = Origin::parse("testudo/elsewhere").unwrap();
    let unknown = Submission { checkpoint: head(&all).sign(&elsewhere, &log_key()), ..submission(&all, 0) };
    assert_eq!(
        judged(&unknown, None).map_err(|refused| (refused, refused.status())),
        Err((Refused::UnknownLog, 404))
    );
    let good = submission(&all, 0).to_text();
    for bad in
        ["", "old 0\n", "old 00\n\nx", "old -1\n\nx", "new 0\n\nx", "old 0\nnot base64\n\nx", "old 0\n\n"]
    {
        assert_eq!(
            Submission::parse(bad.as_bytes()).and_then(|s| s.of(&[log()]).map(drop)).unwrap_err().status(),
            400,
            "{bad:?}"
        );
    }
    let many = good.replacen(
        "old 0\n",
        &format!("old 0\n{}", format!("{}\n", STANDARD.encode([0; 32])).repeat(64)),
        1,
    );
    assert_eq!(Submission::parse(many.as_bytes()).unwrap_err().status(), 400);
    assert_eq!(Submission::parse(&vec![b'a'; Submission::BYTES_MAX + 1]).unwrap_err().status(), 400);
}

/// Reads a line as the specification has it, with nothing of ours.
fn independent_check(note: &str, line: &str, at: u64) {
    let (name, blob) =
        line.strip_prefix("\u{2014} ").unwrap().strip_suffix('\n').unwrap().split_once(' ').unwrap();
    let blob = STANDARD.decode(blob).unwrap();
    assert_eq!((name, blob.len()), ("witness.example/w1", 4 + 8 + 64));
    let mut hash = Sha256::new();
    hash.update(b"witness.example/w1\n\x04");
    hash.update(witness().public().as_bytes());
    assert_eq!(blob[..4], hash.finalize()[..4]);
    assert_eq!(blob[4..12], at.to_be_bytes());
    let text = &note[..note.find("\n\n").unwrap() + 1];
    let signed = format!("cosignature/v1\ntime {at}\n{text}");
    let signature = testudo_wire::Signature::new(blob[12..].try_into().unwrap());
    assert!(witness().public().verifies_bytes(signed.as_bytes(), &signature));
}

#[test]
fn a_cosignature_is_that_of_c2sp_and_no_bit_of_it_can_be_changed() {
    let note = head(&leaves(1, 9)).sign(&log().origin, &log_key());
    let at = 1_679_315_147;
    let line = cosign(&note, &by().name, &witness(), at).unwrap();
    independent_check(&note, &line, at);
    let both = with_cosignature(&note, &line);
    assert_eq!(with_cosignature(&both, &line), both, "once is enough");
    assert_eq!(cosigned(&both, &by()).unwrap(), Cosigned { at });
    assert_eq!(Checkpoint::verify(&both, &log().origin, &log_key().public()).unwrap().size, 9);
    assert!(matches!(cosigned(&note, &by()), Err(CheckpointError::Unauthentic)));
    let stranger = WitnessKey { key: log_key().public(), ..by() };
    assert!(cosigned(&both, &stranger).is_err());
    for bit in note.len() * 8..both.len() * 8 {
        let mut bad = both.clone().into_bytes();
        bad[bit / 8] ^= 1 << (bit % 8);
        let Ok(bad) = String::from_utf8(bad) else { continue };
        assert!(cosigned(&bad, &by()).is_err(), "bit {bit}");
    }
    // Another checkpoint does not inherit it.
    let moved = with_cosignature(&head(&leaves(1, 8)).sign(&log().origin, &log_key()), &line);
    assert!(cosigned(&moved, &by()).is_err());
}

#[test]
fn a_witness_key_is_read_whole_or_not_at_all() {
    let text = by().to_string();
    assert_eq!(text.parse(), Ok(by()));
    assert_eq!(
        log().to_string().parse::<WitnessKey>(),
        Err(VerifierKeyError::WitnessShape),
        "a log's key is none"
    );
    assert_eq!(text.parse::<VerifierKey>(), Err(VerifierKeyError::Shape), "nor the other way round");
    assert_eq!(text.replacen("w1", "w2", 1).parse::<WitnessKey>(), Err(VerifierKeyError::Mismatch));
}

#[test]
fn a_witness_has_a_name_that_a_log_can_say() {
    let named = |name: &str| WitnessKey { name: Origin::parse(name).unwrap(), key: witness().public() };
    for good in ["w".repeat(128), "\\".repeat(64)] {
        assert_eq!(named(&good).to_string().parse(), Ok(named(&good)));
    }
    let bad = named(&"\\".repeat(65)).to_string();
    assert_eq!(bad.parse::<WitnessKey>(), Err(VerifierKeyError::WitnessName));
}

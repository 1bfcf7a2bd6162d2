//! Proofs: the paths are those of RFC 6962, and nothing in the text of a proof can be changed.

use testudo_wire::SecretKey;

use super::merkle::{leaf_hash, prove_inclusion, root, verify_inclusion};
use super::path::ProofBuilder;
use super::proof::{Proof, ProofFault};
use super::tests::{events, hash, hashes, record, vectors};
use super::verifier::{VerifierKey, VerifierKeyError};
use super::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn by(name: &str, key: &SecretKey) -> VerifierKey {
    VerifierKey { origin: Origin::parse(name).unwrap(), key: key.public() }
}

fn ours() -> VerifierKey {
    by("testudo/test", &key())
}

/// The path and root over the leaves, from the builder.
fn built(leaves: &[LogHash], index: usize) -> (LogHash, Vec<LogHash>) {
    let mut builder = ProofBuilder::path(index as u64, leaves.len() as u64).unwrap();
    for leaf in leaves {
        assert_eq!(builder.finish(), None, "leaves are missing");
        builder.append(*leaf);
    }
    builder.append(leaf_hash(b"written meanwhile"));
    assert_eq!(builder.taken(), leaves.len() as u64);
    builder.finish().unwrap()
}

/// A proof of one record among all events, under a checkpoint of the first `size`.
fn proof(index: usize, size: usize) -> Proof {
    let records: Vec<_> = events().into_iter().map(|event| record(event).encode().unwrap()).collect();
    let leaves: Vec<_> = records[..size].iter().map(|record| leaf_hash(record)).collect();
    let (root, path) = built(&leaves, index);
    let checkpoint = Checkpoint { size: size as u64, root }.sign(&ours().origin, &key());
    Proof { record: records[index].clone(), index: index as u64, path, checkpoint }
}

#[test]
fn paths_of_leaves_that_pass_by_are_those_of_the_whole_tree() {
    let leaves: Vec<_> = (0..70_u8).map(|n| leaf_hash(&[n])).collect();
    for size in 1..=leaves.len() {
        for index in 0..size {
            let whole = prove_inclusion(&leaves[..size], index).unwrap();
            assert_eq!(built(&leaves[..size], index), (root(&leaves[..size]), whole), "{index} of {size}");
        }
    }
    assert!(ProofBuilder::path(0, 0).is_none() && ProofBuilder::path(7, 7).is_none());
}

#[test]
fn t_m19_the_vectors_hold_for_what_a_proof_carries() {
    for (path, case) in vectors("inclusion").into_iter().flatten() {
        // Through the text and back: the hashes that a proof carries are those that are judged.
        let judge = || {
            let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
            let path = hashes(&case["proof"])?;
            let text = Proof { record: b"x".to_vec(), index, path, checkpoint: "x\n".to_owned() }.to_text();
            let read = Proof::parse(text.as_bytes()).unwrap();
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            verify_inclusion(&leaf, read.index, size, &read.path, &root).ok()
        };
        assert_eq!(judge().is_none(), case["wantErr"].as_bool().unwrap(), "{}", path.display());
    }
}

#[test]
fn a_proof_says_what_stands_where_and_under_which_checkpoint() {
    for size in [1, 2, 7, events().len()] {
        for index in 0..size {
            let made = proof(index, size);
            let read = Proof::parse(made.to_text().as_bytes()).unwrap();
            assert_eq!(read, made);
            let proven = read.verify(&ours()).unwrap();
            assert_eq!((proven.index, proven.checkpoint.size), (index as u64, size as u64));
            assert_eq!(proven.record, record(events().swap_remove(index)));
        }
    }
}

#[test]
fn the_text_is_that_of_c2sp() {
    let text = proof(3, 6).to_text();
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
    assert!(lines[1].starts_with("extra ") && lines[2] == "index 3");
    assert_eq!(
        (lines[6], lines[7], lines[8]),
        ("", "testudo/test", "6"),
        "three hashes, then the checkpoint"
    );
    assert!(lines[10].is_empty() && lines[11].starts_with("\u{2014} testudo/test "));
    assert!(lines[12].is_empty() && lines.len() == 13);
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    let text = proof(3, 6).to_text().into_bytes();
    let accepts = |bytes: &[u8]| Proof::parse(bytes).and_then(|proof| proof.verify(&ours())).is_ok();
    assert!(accepts(&text));
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bad = text.clone();
            bad[at] ^= 1 << bit;
            assert!(!accepts(&bad), "byte {at} bit {bit}");
        }
        assert!(!accepts(&text[..at]), "cut at {at}");
        let added = [&text[..at], b"A", &text[at..]].concat();
        assert!(!accepts(&added), "more at {at}");
    }
    assert!(!accepts(&[text.as_slice(), b"\n"].concat()));
    assert!(!accepts(&vec![b'A'; Proof::BYTES_MAX + 1]));
}

#[test]
fn a_proof_of_another_log_key_or_place_is_refused() {
    let good = proof(3, 6);
    let fault = |proof: &Proof, by: &VerifierKey| proof.verify(by).expect_err("must be found");
    let other = SecretKey::from_seed(&[1; 32]);
    let wrong_key = fault(&good, &by("testudo/test", &other));
    assert!(matches!(wrong_key, ProofFault::Checkpoint(CheckpointError::Unauthentic)), "{wrong_key}");
    let wrong_origin = fault(&good, &by("testudo/other", &key()));
    assert!(matches!(wrong_origin, ProofFault::Checkpoint(CheckpointError::WrongOrigin)), "{wrong_origin}");

    let late = Proof { index: 6, ..good.clone() };
    assert!(matches!(fault(&late, &ours()), ProofFault::TooEarly { index: 6, size: 6 }));
    let old = Proof { checkpoint: proof(0, 3).checkpoint, ..good.clone() };
    let said = fault(&old, &ours()).to_string();
    assert_eq!(said, "its checkpoint covers 3 records, and record 3 is behind them");
    let moved = Proof { index: 4, ..good.clone() };
    assert!(matches!(fault(&moved, &ours()), ProofFault::NotThere { index: 4, .. }));
    let swapped = Proof { record: proof(2, 6).record, ..good.clone() };
    assert!(matches!(
        fault(&swapped, &ours()),
        ProofFault::NotThere { index: 3, why: merkle::ProofError::Root }
    ));
    let mut longer = good;
    longer.path.push(leaf_hash(b"more"));
    assert!(matches!(fault(&longer, &ours()), ProofFault::NotThere { why: merkle::ProofError::Length, .. }));
}

#[test]
fn a_leaf_that_is_no_record_is_said_to_be_none() {
    let leaf = leaf_hash(b"junk");
    let checkpoint = Checkpoint { size: 1, root: leaf }.sign(&ours().origin, &key());
    let junk = Proof { record: b"junk".to_vec(), index: 0, path: Vec::new(), checkpoint };
    assert!(matches!(junk.verify(&ours()), Err(ProofFault::Record { index: 0 })));
}

#[test]
fn a_verifier_key_is_read_whole_or_not_at_all() {
    let text = ours().to_string();
    assert_eq!(text.parse(), Ok(ours()));
    let renamed = text.replace("/test+", "/rest+");
    assert_eq!(renamed.parse::<VerifierKey>(), Err(VerifierKeyError::Mismatch));
    for at in 0..text.len() {
        let mut bad = text.clone().into_bytes();
        bad[at] ^= 1;
        let bad = String::from_utf8(bad).unwrap();
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        assert!(text[..at].parse::<VerifierKey>().is_err());
    }
}

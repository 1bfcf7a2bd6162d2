//! A log whose beginning was removed: proofs and verification of the rest hold as before, and nobody can pass off a
//! removed beginning as a cut.

use testudo_wire::SecretKey;

use super::merkle::{leaf_hash, prove_consistency, prove_inclusion, root};
use super::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

fn origin() -> Origin {
    Origin::parse("testudo/test").unwrap()
}

fn leaves(n: u8) -> Vec<LogHash> {
    (0..n).map(|n| leaf_hash(&[n])).collect()
}

fn tree(leaves: &[LogHash]) -> Frontier {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree
}

#[test]
fn paths_behind_a_cut_are_those_of_the_whole_tree() {
    let all = leaves(40);
    for size in 1..=all.len() {
        for cut in 0..=size {
            let base = tree(&all[..cut]);
            for index in cut..size {
                let mut builder = ProofBuilder::path_behind(&base, index as u64, size as u64).unwrap();
                all[cut..size].iter().for_each(|leaf| builder.append(*leaf));
                let whole = (root(&all[..size]), prove_inclusion(&all[..size], index).unwrap());
                assert_eq!(builder.finish().unwrap(), whole, "{index} of {size} behind {cut}");
            }
            assert!(cut == 0 || ProofBuilder::path_behind(&base, cut as u64 - 1, size as u64).is_none());
        }
    }
}

#[test]
fn extensions_from_any_size_behind_a_cut_are_those_of_the_whole_tree() {
    let all = leaves(40);
    for size in 1..=all.len() {
        for cut in 0..=size {
            let base = tree(&all[..cut]);
            for old in 0..=size {
                let builder = ProofBuilder::extension_behind(&base, old as u64, size as u64);
                let Some(mut builder) = builder else {
                    assert!(old > 0 && old < cut, "{old} to {size} behind {cut}");
                    continue;
                };
                all[cut..size].iter().for_each(|leaf| builder.append(*leaf));
                let proof = if old == 0 { Ok(Vec::new()) } else { prove_consistency(&all[..size], old) };
                assert_eq!(builder.finish().unwrap(), (root(&all[..size]), proof.unwrap()));
            }
            assert!(ProofBuilder::extension_behind(&base, size as u64 + 1, size as u64).is_none());
        }
    }
}

#[test]
fn a_cut_comes_back_from_its_statement_and_from_no_other() {
    let all = leaves(100);
    for size in 0..all.len() {
        let cut = Cut { base: tree(&all[..size]) };
        let note = cut.sign(&origin(), &key());
        assert!(note.len() <= Cut::BYTES_MAX);
        assert_eq!(Cut::verify(&note, &origin(), &key().public()).unwrap(), cut);
        assert!(
            Checkpoint::verify(&note, &origin(), &key().public()).is_err(),
            "{size} reads as a checkpoint"
        );
    }
    let checkpoint = Checkpoint { size: 7, root: root(&all[..7]) }.sign(&origin(), &key());
    assert!(Cut::verify(&checkpoint, &origin(), &key().public()).is_err());
    let note = Cut { base: tree(&all[..7]) }.sign(&origin(), &key());
    for bit in 0..note.len() * 8 {
        let mut bad = note.clone().into_bytes();
        bad[bit / 8] ^= 1 << (bit % 8);
        let Ok(bad) = String::from_utf8(bad) else { continue };
        assert!(Cut::verify(&bad, &origin(), &key().public()).is_err(), "bit {bit}");
    }
    let other = SecretKey::from_seed(&[1; 32]);
    assert!(Cut::verify(&note, &origin(), &other.public()).is_err());
    assert!(Cut::verify(&note, &Origin::parse("testudo/other").unwrap(), &key().public()).is_err());
}

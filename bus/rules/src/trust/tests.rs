//! What may follow what: every way to get it wrong has its name, and nothing changes by it.

use proptest::prelude::*;
use testudo_wire::trust::{SignedStatement, Statement};
use testudo_wire::{PublicKey, SecretKey, SwarmId, Timestamp};

use super::{Trust, TrustError};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn ca(byte: u8) -> Vec<u8> {
    vec![byte; 300]
}

fn genesis() -> Trust {
    Trust::genesis(key(1).public(), vec![ca(1)])
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn statement(number: u64, authorities: &[u8], cas: &[u8]) -> Statement {
    Statement {
        swarm: SwarmId::of(&key(1).public()),
        number,
        time: at(1_000 * number),
        authorities: authorities.iter().map(|seed| key(*seed).public()).collect(),
        cas: cas.iter().map(|byte| ca(*byte).into()).collect(),
    }
}

fn signed(number: u64, authorities: &[u8], cas: &[u8], by: u8) -> SignedStatement {
    statement(number, authorities, cas).sign(&key(by)).unwrap()
}

fn keys(trust: &Trust) -> Vec<PublicKey> {
    trust.authorities().to_vec()
}

#[test]
fn f27_a_whole_rollover_statement_by_statement() {
    let chain = [
        signed(1, &[1, 2], &[1], 1),
        signed(2, &[1, 2], &[1, 2], 2),
        signed(3, &[2], &[1, 2], 1),
        signed(4, &[2], &[2], 2),
    ];
    let trust = genesis().fold(&chain).unwrap();
    assert_eq!((trust.number(), keys(&trust)), (4, vec![key(2).public()]));
    assert_eq!((trust.cas(), trust.swarm()), (&[ca(2)][..], genesis().swarm()));
    assert_eq!(trust.minting(), Some(&key(2).public()));
    // Whoever has it already is not disturbed by hearing it again.
    assert_eq!(trust.accept(&chain[3]), Ok(None));
    assert_eq!(trust.tokens().swarm, genesis().swarm(), "the swarm outlives its first key");
    // A file that was kept says the same as the chain.
    assert_eq!(Trust::kept(&chain[3]).unwrap(), trust);
}

#[test]
fn f27_forged_replayed_forked_and_shrunk_statements_have_names_of_their_own() {
    let first = signed(1, &[1, 2], &[1, 2], 1);
    let now = genesis().fold([&first]).unwrap();
    let check = |signed: &SignedStatement| now.accept(signed).unwrap_err();
    let mut changed = signed(2, &[2], &[2], 2);
    changed.statement.authorities = vec![key(9).public()];
    let mut borrowed = signed(2, &[9], &[2], 9);
    borrowed.by = key(2).public();
    let mut other = statement(2, &[2], &[2]);
    other.swarm = SwarmId::of(&key(9).public());
    let mut early = statement(2, &[2], &[2]);
    early.time = at(999);
    let mut empty = statement(2, &[2], &[2]);
    empty.cas = vec![Vec::new().into()];
    let mut long = statement(2, &[2], &[2]);
    long.cas = vec![vec![1; 4097].into()];
    let by = |statement: Statement| statement.sign(&key(2)).unwrap();
    for (bad, why) in [
        (changed, TrustError::Forged),
        (borrowed, TrustError::Forged),
        (signed(2, &[9], &[2], 9), TrustError::NotByAuthority),
        (by(other), TrustError::OtherSwarm),
        (signed(0, &[1], &[1], 1), TrustError::Old { have: 1, got: 0 }),
        (signed(3, &[2], &[2], 2), TrustError::Gap { have: 1, got: 3 }),
        (signed(1, &[1, 3], &[1], 1), TrustError::Fork(1)),
        (signed(2, &[], &[2], 2), TrustError::NoAuthority),
        (signed(2, &[2], &[], 2), TrustError::NoCa),
        (signed(2, &[1, 2, 3, 4, 5], &[2], 2), TrustError::TooMany),
        (signed(2, &[2], &[1, 2, 3, 4, 5], 2), TrustError::TooMany),
        (signed(2, &[2, 2], &[2], 2), TrustError::Unusable),
        (signed(2, &[2], &[2, 2], 2), TrustError::Unusable),
        (by(empty), TrustError::Unusable),
        (by(long), TrustError::Unusable),
        (by(early), TrustError::Time),
    ] {
        assert_eq!(check(&bad), why);
    }
    let then = now.fold([&signed(2, &[2], &[2], 2)]).unwrap();
    assert_eq!(then.accept(&first), Err(TrustError::Old { have: 2, got: 1 }), "a replay");
    assert_eq!(then.accept(&signed(3, &[1], &[1], 1)), Err(TrustError::NotByAuthority), "a retired key");
}

#[test]
fn t_a51_a_clock_that_was_turned_back_makes_no_statement_from_before() {
    let made = |trust: &Trust, ms| {
        let (authorities, cas) = (keys(trust), trust.cas().to_vec());
        trust.next((authorities, cas), at(ms), &key(1)).unwrap()
    };
    let (_, first) = made(&genesis(), 5_000);
    let (signed, second) = made(&first, 1);
    assert_eq!(signed.statement.time, at(5_000));
    assert_eq!(second.time(), at(5_000));
}

#[test]
fn a_statement_comes_back_from_its_bytes_and_no_change_of_them_passes() {
    let good = signed(1, &[1, 2], &[1, 2], 1);
    let bytes = good.encode().unwrap();
    assert_eq!(SignedStatement::decode(&bytes), Ok(good));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let passed = SignedStatement::decode(&bad).is_ok_and(|bad| genesis().accept(&bad).is_ok());
        assert!(!passed, "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(SignedStatement::decode(&bytes[..cut]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against a model of four lines: what counts is the longest row of statements, each by one of the one before.
    #[test]
    fn f27_only_what_follows_and_is_signed_by_the_one_before_changes_anything(
        offers in proptest::collection::vec(
            (0_u64..6, proptest::collection::vec(1_u8..6, 0..6), proptest::collection::vec(1_u8..6, 0..6), 1_u8..6),
            0..40,
        ),
    ) {
        let mut trust = genesis();
        let (mut number, mut authorities) = (0, vec![1_u8]);
        for (offered, named, cas, by) in offers {
            let twice = |list: &[u8]| (1..list.len()).any(|at| list[..at].contains(&list[at]));
            let usable = |list: &[u8]| (1..=4).contains(&list.len()) && !twice(list);
            let follows = offered == number + 1 && authorities.contains(&by) && usable(&named) && usable(&cas);
            let before = trust.clone();
            match trust.accept(&signed(offered, &named, &cas, by)) {
                Ok(Some(next)) => {
                    prop_assert!(follows);
                    (number, authorities) = (offered, named);
                    trust = next;
                }
                Ok(None) => prop_assert_eq!(offered, number),
                Err(_) => prop_assert!(!follows),
            }
            prop_assert_eq!(trust.number(), number);
            prop_assert_eq!(trust.number() == before.number(), trust == before);
            prop_assert!(!trust.authorities().is_empty() && !trust.cas().is_empty());
        }
    }
}

//! No token costs a node more than five milliseconds, whatever its holder or a hostile authority put into it
//! (promise P09, threat A48).

#![expect(clippy::disallowed_methods, reason = "this measures the machine")]

use std::time::{Duration, Instant};

use biscuit_auth::UnverifiedBiscuit;
use biscuit_auth::builder::BlockBuilder;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::hostile::{with_authority, with_block};
use super::stock::{extend, minted, recipe};
use super::*;

/// The promise.
const COST_MAX: Duration = Duration::from_millis(5);
/// A machine that does something else meanwhile is no token's fault: the least of so many readings counts.
const READINGS: usize = 20;

/// Datalog that a stock library would run, in all sizes that fit and some that do not.
fn bomb() -> impl Strategy<Value = Vec<u8>> {
    let joins = (1..60_usize, 1..5_usize).prop_map(|(facts, joined)| {
        let facts: String = (0..facts).map(|n| format!("p({n});")).collect();
        let join: Vec<_> = (0..joined).map(|n| format!("p($x{n})")).collect();
        format!("{facts} check if {}, $x0 > 999;", join.join(", "))
    });
    let rules = (1..40_usize, 1..5_usize).prop_map(|(facts, wide)| {
        let facts: String = (0..facts).map(|n| format!("p({n});")).collect();
        let (head, body): (Vec<_>, Vec<_>) =
            (0..wide).map(|n| (format!("$x{n}"), format!("p($x{n})"))).unzip();
        format!("{facts} q({}) <- {};", head.join(", "), body.join(", "))
    });
    let patterns = (1..60_usize).prop_map(|deep| {
        format!("check if request($v, $r), $r.matches(\"({})*$\");", "(a|aa)+".repeat(deep))
    });
    let closures = (1..120_usize, 1..4_usize).prop_map(|(size, deep)| {
        let set = (0..size).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let innermost = "$x0 >= 0".to_owned();
        let check = (0..deep).rev().fold(innermost, |inner, n| format!("{{{set}}}.all($x{n} -> {inner})"));
        format!("check if {check};")
    });
    prop_oneof![joins, rules, patterns, closures].prop_map(|code| {
        BlockBuilder::new().code(&code).map_or_else(|_| with_block("p(1);"), |_| with_block(&code))
    })
}

/// As long as a token of ours can be, well signed.
fn long() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 2]>(), prop::collection::vec(recipe(), 4..8)).prop_map(|([rights, delegatable], recipes)| {
        let start = minted(rights, delegatable, 8);
        let token = recipes.into_iter().fold(start, |token, recipe| extend(&token, recipe).unwrap_or(token));
        token.bytes().to_vec()
    })
}

/// An authority block with as many rights as fit, and more.
fn broad() -> impl Strategy<Value = Vec<u8>> {
    (1..120_usize).prop_map(|rights| {
        with_authority(|block| {
            (0..rights).fold(block, |block, n| {
                block.merge(BlockBuilder::new().code(format!("right(\"read\", \"r{n}\");")).unwrap())
            })
        })
    })
}

/// Nothing, noise, and good tokens with bytes changed, cut, doubled, repeated.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let garbage = prop::collection::vec(any::<u8>(), 0..5000);
    let changed = (long(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8))
        .prop_map(|(mut bytes, changes)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        });
    let cut = (long(), any::<prop::sample::Index>())
        .prop_map(|(bytes, at)| bytes[..at.index(bytes.len())].to_vec());
    let repeated = (long(), 2..6_usize).prop_map(|(bytes, times)| bytes.repeat(times));
    let empty_blocks = (1..40_usize).prop_map(|blocks| {
        let start = UnverifiedBiscuit::from(token().bytes()).unwrap();
        let grown = (0..blocks.min(12)).fold(start, |token, _| token.append(BlockBuilder::new()).unwrap());
        grown.to_vec().unwrap()
    });
    prop_oneof![4 => garbage, 4 => changed, 2 => cut, 1 => repeated, 1 => empty_blocks]
}

/// What reading a token takes, at its quickest.
fn cost(bytes: &[u8]) -> Duration {
    let once = || {
        let began = Instant::now();
        let _ = std::hint::black_box(Meaning::of(std::hint::black_box(bytes), &trust(), &LIMITS));
        began.elapsed()
    };
    let first = once();
    if first <= COST_MAX / 5 { first } else { (1..READINGS).map(|_| once()).fold(first, Duration::min) }
}

#[test]
fn t_a48_no_hostile_token_costs_more_than_five_milliseconds() {
    let tokens = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let hostile = prop_oneof![3 => bomb(), 2 => long(), 1 => broad(), 4 => noise()];
    let mut runner = TestRunner::deterministic();
    let (mut worst, mut counted) = (Duration::ZERO, 0);
    for _ in 0..tokens {
        let bytes = hostile.new_tree(&mut runner).unwrap().current();
        let took = cost(&bytes);
        assert!(took <= COST_MAX, "{took:?} for {} bytes: {}", bytes.len(), hex::encode(&bytes));
        worst = worst.max(took);
        counted += usize::from(Meaning::of(&bytes, &trust(), &LIMITS).is_ok());
    }
    assert!(counted > 0, "some are good: those cost the most");
    println!("{tokens} tokens, {counted} of them good; the worst took {worst:?}");
}

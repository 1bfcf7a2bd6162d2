//! Accounting across all kinds of messages: random agents do random things through the door that programs use,
//! while datagrams are lost, links cut, agents revoked and nodes killed. At every sample the node's counters say
//! what its log says; at the end every agent's own ledger does too. Exactly once, or explicitly refused, dropped
//! or unknown.
//!
//! `TESTUDO_SEEDS=1000` tries more seeds than the usual few, `TESTUDO_SEED=17` one alone.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "ledgers/agent.rs"]
mod agent;
#[path = "ledgers/book.rs"]
mod book;
#[path = "ledgers/dice.rs"]
mod dice;
#[path = "ledgers/run.rs"]
mod run;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;
#[path = "ledgers/verdict.rs"]
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use run::Run;
use support::sim;
use verdict::Counts;

/// Seeds of one test, when nobody asks for more.
const SEEDS: u64 = 10;

fn seeds() -> Vec<u64> {
    let of = |key: &str| std::env::var(key).ok().and_then(|n| n.parse().ok());
    match of("TESTUDO_SEED") {
        Some(seed) => vec![seed],
        None => (0..of("TESTUDO_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Runs every seed; the first that fails is named.
fn every(what: &str, run: fn(u64) -> Run) -> Counts {
    let mut all = Counts::default();
    for seed in seeds() {
        let once = || {
            let (told, counts) = std::sync::mpsc::channel();
            sim(async move { told.send(run(seed).played().await).unwrap() });
            counts.recv().unwrap()
        };
        match catch_unwind(AssertUnwindSafe(once)) {
            Ok(counts) => all.merge(counts),
            Err(panic) => {
                let say = format!("{what}: seed {seed} fails; TESTUDO_SEED={seed} runs it alone");
                std::io::Write::write_all(&mut std::io::stderr(), format!("{say}\n").as_bytes()).unwrap();
                resume_unwind(panic);
            }
        }
    }
    all
}

/// That the agents did what they are there for.
fn saw(counts: &Counts, whats: &[&str]) {
    for what in whats {
        assert!(counts.0.contains_key(*what), "never: {what}; {counts:#?}");
    }
}

#[test]
fn on_good_links_everything_is_known_to_everyone() {
    let counts = every("calm", Run::calm);
    saw(
        &counts,
        &["Tell accepted", "Deliver delivered", "Post posted", "Request answered", "Publish accepted"],
    );
    saw(
        &counts,
        &["Request given up", "Request no answer", "Tell refused: poisoned", "Tell refused: unauthorised"],
    );
    assert!(
        counts.0.keys().all(|what| !what.ends_with("unknown") && !what.ends_with("no link")),
        "{counts:#?}"
    );
}

#[test]
fn on_links_that_are_renewed_everything_is_known_to_everyone() {
    let counts = every("renewing", Run::renewing);
    saw(
        &counts,
        &["Tell accepted", "Deliver delivered", "Post posted", "Request answered", "Publish accepted"],
    );
    assert!(
        counts.0.keys().all(|what| !what.ends_with("unknown") && !what.ends_with("no link")),
        "{counts:#?}"
    );
}

#[test]
fn in_a_storm_nothing_is_counted_twice_or_lost_from_the_books() {
    let counts = every("storm", Run::storm);
    saw(
        &counts,
        &["Tell accepted", "Deliver delivered", "Post posted", "Request answered", "Publish accepted"],
    );
    saw(&counts, &["Tell unknown", "Deliver unknown", "Request unknown", "Tell no link", "Request given up"]);
    saw(
        &counts,
        &["copy delivered", "copy failed: crash", "copy failed: link lost", "copy failed: receiver refused"],
    );
}

#[test]
fn whatever_a_full_queue_gives_up_its_sender_and_the_log_say_so() {
    let counts = every("flood", Run::flood);
    saw(&counts, &["Post posted", "Publish accepted", "Tell accepted", "Tell refused: overloaded"]);
    saw(&counts, &["copy dropped: expired", "copy dropped: overflow", "copy delivered"]);
}

//! Shared words of the token tests.

mod asking;
mod chains;
mod costs;
mod fold;
mod hostile;
mod making;
mod reading;
mod revocation;
mod samples;
mod shapes;
mod stock;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::test_runner::Config;
use testudo_wire::{
    AgentName, Capability, Holder, Limits, RegistrySequence, SecretKey, Timestamp, TokenFactId,
};

use super::*;

const LIMITS: Limits = Limits::standard();
const NAMES: [&str; 4] = ["ada", "bob", "cyd", "dan"];
const CAPABILITIES: [&str; 6] =
    ["read:logs", "write:logs", "publish:alerts", "read:logs/app", "right:right", "run:job-1"];

/// Key 0 is the authority's; key n + 1 is that of `NAMES[n]`.
static KEYS: LazyLock<Vec<SecretKey>> =
    LazyLock::new(|| (0..8).map(|n| SecretKey::from_seed(&[n + 1; 32])).collect());

fn authority() -> &'static SecretKey {
    &KEYS[0]
}

fn key_of(name: &str) -> &'static SecretKey {
    &KEYS[NAMES.iter().position(|known| *known == name).unwrap() + 1]
}

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn agent(text: &str) -> Holder {
    static HOLDERS: LazyLock<Vec<Holder>> = LazyLock::new(|| {
        NAMES.iter().map(|text| Holder { name: name(text), key: key_of(text).public() }).collect()
    });
    *HOLDERS.iter().find(|holder| holder.name.as_str() == text).unwrap()
}

fn capability(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

fn capabilities(text: &str) -> BTreeSet<Capability> {
    text.split_whitespace().map(capability).collect()
}

/// The capabilities whose bit is set.
fn picked(mask: u8) -> BTreeSet<Capability> {
    static ALL: LazyLock<Vec<Capability>> =
        LazyLock::new(|| CAPABILITIES.iter().map(|text| capability(text)).collect());
    ALL.iter().enumerate().filter(|(n, _)| mask & (1 << n) != 0).map(|(_, capability)| *capability).collect()
}

/// The agents whose bit is set.
fn agents(mask: u8) -> BTreeSet<AgentName> {
    NAMES.iter().enumerate().filter(|(n, _)| mask & (1 << n) != 0).map(|(_, text)| agent(text).name).collect()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn id(n: u8) -> TokenFactId {
    TokenFactId::new([n; 16])
}

fn fresh() -> Fresh {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut seed = [0xf0; 32];
    seed[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Fresh::from_random(seed)
}

fn trust() -> Trust {
    Trust::of(authority().public())
}

/// Ada may read and write logs and publish alerts, and hand on the reading and the alerts, until second 100.
fn mint() -> Mint {
    Mint {
        swarm: trust().swarm,
        id: id(1),
        holder: agent("ada"),
        rights: capabilities("read:logs write:logs publish:alerts"),
        delegatable: capabilities("read:logs publish:alerts"),
        expires: at(100),
        minted: RegistrySequence(7),
        hops: 3,
    }
}

fn token() -> Token {
    mint().sign(authority(), fresh(), &LIMITS).unwrap()
}

/// Ada hands reading to Bob, who may hand it on once, until second 50.
fn to_bob() -> Delegation {
    Delegation {
        id: id(2),
        to: agent("bob"),
        grant: capabilities("read:logs"),
        grant_on: capabilities("read:logs"),
        expires: at(50),
        hops: 1,
    }
}

fn meaning(token: &Token) -> Meaning {
    token.verify(&trust()).unwrap()
}

/// `PROPTEST_CASES` says otherwise, e.g. for a nightly run.
fn cases(usual: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    Config { cases, failure_persistence: None, ..Config::default() }
}

//! The one way in which each kind of block is written: its facts, and the checks that say the same to a
//! stock Biscuit library. Builder and reader both use it; what it does not produce is foreign.
//!
//! A stock library enforces what [`super::Meaning`] says when its authorizer holds exactly these facts,
//! with the policy `allow if true`:
//!
//! - `here(swarm)`, `sender(name, key)`, `time(now)`, `request(verb, resource)`;
//! - `destination(name)` when the destination is an agent;
//! - `delegations(n)`, the number of third-party blocks, and `delegation(i, key)` for the external key of
//!   the i-th of them, from 1. Only the verifier can say these, so a block cannot claim another signer.

use biscuit_auth::builder::{
    Binary, BlockBuilder, Check, CheckKind, Convert, Expression, Fact, Op, Predicate, Rule, Term,
};
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::convert::{token_check_to_proto_check, token_fact_to_proto_fact};
use biscuit_auth::format::schema;
use prost::Message;
use testudo_wire::{Capability, Holder, Timestamp};

use super::block::{Attenuation, Delegation, Mint};

/// Block version of Datalog 3.0, which is all that our first-party blocks use (Biscuit specification).
const FIRST_PARTY_VERSION: u32 = 3;
/// Block version of Datalog 3.2, the lowest that a third-party block may have.
const THIRD_PARTY_VERSION: u32 = 5;

/// Variables for a verb and a resource. Most variables have names that every Biscuit library knows by
/// number, which keeps blocks small.
const ASKED: [&str; 2] = ["operation", "resource"];

/// The authority block.
pub(crate) fn authority(mint: &Mint) -> BlockBuilder {
    let mut facts = vec![
        fact("swarm", vec![bytes(mint.swarm.as_bytes())]),
        fact("id", vec![bytes(mint.id.as_bytes())]),
        fact("holder", holder(&mint.holder)),
    ];
    facts.extend(capabilities("right", &mint.rights));
    facts.extend(capabilities("delegatable", &mint.delegatable));
    facts.push(fact("expires", vec![date(mint.expires)]));
    facts.push(fact("minted", vec![Term::Integer(mint.minted.0.cast_signed())]));
    facts.push(fact("hops", vec![Term::Integer(mint.hops.into())]));
    let checks = vec![
        all(&[("here", &["s"]), ("swarm", &["s"])]),
        all(&[("request", &ASKED), ("right", &ASKED)]),
        not_after(mint.expires),
        held("holder", 0),
        handed_on("delegatable", 0),
        at_most_delegations(i64::from(mint.hops)),
    ];
    block(facts, checks)
}

/// An attenuation block.
pub(crate) fn attenuation(attenuation: &Attenuation) -> BlockBuilder {
    let mut facts = Vec::new();
    let mut checks = Vec::new();
    if let Some(only) = &attenuation.only {
        facts.extend(capabilities("only", only));
        checks.push(all(&[("request", &ASKED), ("only", &ASKED)]));
    }
    if let Some(to) = &attenuation.to {
        facts.extend(to.iter().map(|name| fact("to", vec![text(name.as_str())])));
        checks.push(all(&[("destination", &["d"]), ("to", &["d"])]));
    }
    if let Some(until) = attenuation.until {
        facts.push(fact("until", vec![date(until)]));
        checks.push(not_after(until));
    }
    block(facts, checks)
}

/// The block of the `index`-th delegation, from 1.
pub(crate) fn delegation(delegation: &Delegation, index: u8) -> BlockBuilder {
    let mut facts =
        vec![fact("id", vec![bytes(delegation.id.as_bytes())]), fact("to_holder", holder(&delegation.to))];
    facts.extend(capabilities("grant", &delegation.grant));
    facts.extend(capabilities("grant_on", &delegation.grant_on));
    facts.push(fact("expires", vec![date(delegation.expires)]));
    facts.push(fact("hops", vec![Term::Integer(delegation.hops.into())]));
    let checks = vec![
        all(&[("request", &ASKED), ("grant", &ASKED)]),
        not_after(delegation.expires),
        held("to_holder", index),
        handed_on("grant_on", index),
        at_most_delegations(i64::from(index) + i64::from(delegation.hops)),
    ];
    block(facts, checks)
}

/// The bytes of a first-party block; `table` grows by the block's symbols.
pub(crate) fn encode_first_party(block: &BlockBuilder, table: &mut SymbolTable) -> Vec<u8> {
    encode(block, table, FIRST_PARTY_VERSION)
}

/// The bytes of a third-party block, which has a symbol table of its own.
pub(crate) fn encode_third_party(block: &BlockBuilder) -> Vec<u8> {
    encode(block, &mut SymbolTable::new(), THIRD_PARTY_VERSION)
}

/// The same order of interning as `BlockBuilder::build`, which is private.
fn encode(block: &BlockBuilder, table: &mut SymbolTable, version: u32) -> Vec<u8> {
    let known = table.current_offset();
    let facts = block.facts.iter().map(|fact| token_fact_to_proto_fact(&fact.convert(table))).collect();
    let checks = block.checks.iter().map(|check| token_check_to_proto_check(&check.convert(table))).collect();
    schema::Block {
        symbols: table.strings().split_off(known),
        context: None,
        version: Some(version),
        facts,
        rules: Vec::new(),
        checks,
        scope: Vec::new(),
        public_keys: Vec::new(),
    }
    .encode_to_vec()
}

fn block(facts: Vec<Fact>, checks: Vec<Check>) -> BlockBuilder {
    BlockBuilder { facts, checks, ..BlockBuilder::default() }
}

/// `check if time($time), $time <= <end>`
fn not_after(end: Timestamp) -> Check {
    check(vec![query(vec![on("time", &["time"])], vec![at_most("time", date(end))])])
}

/// `check if delegations($n), $n <= <most>`
fn at_most_delegations(most: i64) -> Check {
    check(vec![query(vec![on("delegations", &["n"])], vec![at_most("n", Term::Integer(most))])])
}

/// The holder that block `index` names is the sender, or signed the next delegation:
/// `check if delegations(i), <holder>($user, $k), sender($user, $k) or <holder>($user, $k), delegation(i + 1, $k)`
fn held(holder: &str, index: u8) -> Check {
    let next = predicate("delegation", vec![Term::Integer(i64::from(index) + 1), Term::Variable("k".into())]);
    check(vec![
        query(vec![delegations(index), on(holder, &["user", "k"]), on("sender", &["user", "k"])], vec![]),
        query(vec![on(holder, &["user", "k"]), next], vec![]),
    ])
}

/// What is exercised beyond block `index` was to be handed on by it:
/// `check if delegations(i) or request($operation, $resource), <granted>($operation, $resource)`
fn handed_on(granted: &str, index: u8) -> Check {
    check(vec![
        query(vec![delegations(index)], vec![]),
        query(vec![on("request", &ASKED), on(granted, &ASKED)], vec![]),
    ])
}

/// `check if <name>($variables), ..`
fn all(predicates: &[(&str, &[&str])]) -> Check {
    check(vec![query(predicates.iter().map(|(name, variables)| on(name, variables)).collect(), vec![])])
}

fn check(queries: Vec<Rule>) -> Check {
    Check { queries, kind: CheckKind::One }
}

fn query(body: Vec<Predicate>, expressions: Vec<Expression>) -> Rule {
    Rule::new(predicate("query", vec![]), body, expressions, vec![])
}

fn at_most(variable: &str, bound: Term) -> Expression {
    let ops =
        vec![Op::Value(Term::Variable(variable.into())), Op::Value(bound), Op::Binary(Binary::LessOrEqual)];
    Expression { ops }
}

fn delegations(exactly: u8) -> Predicate {
    predicate("delegations", vec![Term::Integer(exactly.into())])
}

fn on(name: &str, variables: &[&str]) -> Predicate {
    predicate(name, variables.iter().map(|variable| Term::Variable((*variable).into())).collect())
}

fn predicate(name: &str, terms: Vec<Term>) -> Predicate {
    Predicate { name: name.into(), terms }
}

fn fact(name: &str, terms: Vec<Term>) -> Fact {
    Fact::new(name.into(), terms)
}

fn capabilities<'a>(
    name: &'a str,
    set: impl IntoIterator<Item = &'a Capability> + 'a,
) -> impl Iterator<Item = Fact> + 'a {
    set.into_iter()
        .map(move |capability| fact(name, vec![text(capability.verb()), text(capability.resource())]))
}

fn holder(holder: &Holder) -> Vec<Term> {
    vec![text(holder.name.as_str()), bytes(holder.key.as_bytes())]
}

fn date(time: Timestamp) -> Term {
    Term::Date(time.as_secs())
}

fn bytes(bytes: &[u8]) -> Term {
    Term::Bytes(bytes.into())
}

fn text(text: &str) -> Term {
    Term::Str(text.into())
}

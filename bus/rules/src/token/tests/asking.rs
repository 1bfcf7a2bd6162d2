//! A no comes with the block and the fact that say so, and it is the no of the fold.

use proptest::prelude::*;
use testudo_wire::Refusal;

use super::fold::{any_mint, narrowing};
use super::*;
use crate::token::ask::answer;
use crate::token::block::{Chain, Narrowing};

fn ask(text: &str) -> Question {
    Question { at: at(10), holder: None, capability: Some(capability(text)), to: None }
}

/// Ada's token, narrowed to two capabilities and two receivers until 40, with reading handed to Bob until 30.
fn handed_on() -> Token {
    let narrow = Attenuation {
        only: Some(capabilities("read:logs write:logs")),
        to: Some(agents(0b110)),
        until: Some(at(40)),
    };
    let token = token().attenuate(&narrow, fresh()).unwrap();
    token.delegate(&Delegation { expires: at(30), ..to_bob() }, key_of("ada"), fresh()).unwrap()
}

#[test]
fn every_no_names_the_block_and_the_fact() {
    let token = handed_on();
    let to_cyd = |text| Question { to: Some(name("cyd")), ..ask(text) };
    let good = Question { holder: Some(name("bob")), ..to_cyd("read:logs") };
    let judged = |question: &Question| judge(token.bytes(), &trust(), &LIMITS, question);
    assert_eq!(judged(&good), Ok(meaning(&token)));
    assert_eq!(judged(&Question { holder: None, capability: None, to: None, ..good }), Ok(meaning(&token)));
    let bob = agent("bob").key.short();
    for (question, refusal, block, fact) in [
        (
            Question { holder: Some(name("ada")), ..good },
            Refusal::Unauthorised,
            3,
            format!("to_holder(bob, {bob})"),
        ),
        (Question { at: at(31), ..good }, Refusal::ExpiredToken, 3, "expires(1970-01-01T00:00:30Z)".into()),
        (Question { at: at(41), ..good }, Refusal::ExpiredToken, 2, "until(1970-01-01T00:00:40Z)".into()),
        (Question { at: at(101), ..good }, Refusal::ExpiredToken, 1, "expires(1970-01-01T00:01:40Z)".into()),
        (Question { to: Some(name("ada")), ..good }, Refusal::Unauthorised, 2, "to(bob, cyd)".into()),
        (Question { to: None, ..good }, Refusal::Unauthorised, 2, "to(bob, cyd)".into()),
        (to_cyd("run:job-1"), Refusal::Unauthorised, 1, "right(run, job-1)".into()),
        (to_cyd("publish:alerts"), Refusal::Unauthorised, 2, "only(publish, alerts)".into()),
        (to_cyd("write:logs"), Refusal::Unauthorised, 1, "delegatable(write, logs)".into()),
    ] {
        let denial = judged(&question).unwrap_err();
        assert_eq!((denial.refusal, denial.block, denial.fact.clone()), (refusal, Some(block), Some(fact)));
        assert!(denial.why.contains(&format!("block {block}")), "{denial}");
        assert!(denial.to_string().starts_with(refusal.as_str()), "{denial}");
    }
    let handed = Delegation { id: id(3), to: agent("cyd"), expires: at(30), hops: 0, ..to_bob() };
    let token = token.delegate(&handed, key_of("bob"), fresh()).unwrap();
    let denial = judge(token.bytes(), &trust(), &LIMITS, &to_cyd("write:logs")).unwrap_err();
    assert_eq!(denial.block, Some(1), "where it was lost first: {denial}");
}

#[test]
fn what_is_not_genuine_is_a_no_whatever_is_asked() {
    let token = handed_on();
    let dan = Trust { authorities: BTreeSet::from([key_of("dan").public()]), ..trust() };
    let denial = judge(token.bytes(), &dan, &LIMITS, &ask("read:logs")).unwrap_err();
    assert_eq!((denial.refusal, denial.block), (Refusal::Unauthorised, None));
    let elsewhere = Trust::of(key_of("dan").public());
    let denial = judge(token.bytes(), &elsewhere, &LIMITS, &ask("read:logs")).unwrap_err();
    assert!(denial.why.contains("another swarm"), "{denial}");
    let denial = judge(&token.bytes()[1..], &trust(), &LIMITS, &ask("read:logs")).unwrap_err();
    assert_eq!(denial.refusal, Refusal::Malformed);
    let json = serde_json::to_value(&denial).unwrap();
    assert_eq!((json["refusal"].as_str(), json["block"].is_null()), (Some("malformed"), true));
}

#[test]
fn a_block_at_fault_is_named_before_anything_is_asked() {
    for (error, block) in [
        (TokenError::Foreign { block: 2 }, Some(2)),
        (TokenError::NotByHolder { block: 3 }, Some(3)),
        (TokenError::HopsExhausted { block: 4 }, Some(4)),
        (TokenError::KeyType { block: 5 }, Some(5)),
        (TokenError::Unauthentic, None),
    ] {
        let denial = Denial::from(error);
        assert_eq!((denial.block, denial.refusal), (block, error.refusal()));
    }
}

/// What the blocks up to number `blocks` mean.
fn prefix(chain: &Chain, blocks: usize) -> Meaning {
    let narrowings = chain.narrowings.iter().take(blocks - 1).cloned().collect();
    Meaning::fold(&Chain { mint: chain.mint.clone(), narrowings }).unwrap()
}

/// Delegations by whoever holds the token then, and only as many as there are hops: a chain that holds together.
pub(super) fn sound(mint: Mint, narrowings: Vec<Narrowing>) -> Chain {
    let mut meaning = Meaning::minted_as(&mint);
    let mut chain = Chain { mint, narrowings: Vec::new() };
    for mut narrowing in narrowings {
        match &mut narrowing {
            Narrowing::Attenuated(attenuation) => meaning.attenuate(attenuation),
            Narrowing::Delegated(delegated) => {
                delegated.by = meaning.holder().key;
                if meaning.delegate(delegated, 2).is_err() {
                    continue;
                }
            }
        }
        chain.narrowings.push(narrowing);
    }
    chain
}

proptest! {
    #![proptest_config(cases(10_000))]

    /// The same no as the fold's, and the block that it names is the first that makes it one.
    #[test]
    fn a_no_is_the_folds_and_its_block_the_first_that_says_it(
        mint in any_mint(),
        narrowings in prop::collection::vec(narrowing(), 0..6),
        asked in 0..CAPABILITIES.len(),
        to in prop::option::of(0..NAMES.len()),
        now in 0_u64..20,
    ) {
        let chain = sound(Mint { hops: mint.hops + 2, ..mint }, narrowings);
        let meaning = Meaning::fold(&chain).unwrap();
        let to = to.map(|n| name(NAMES[n]));
        let question = Question { at: at(now), to, ..ask(CAPABILITIES[asked]) };
        let covers = |meaning: &Meaning| meaning.covers(&capability(CAPABILITIES[asked]), to.as_ref(), at(now));
        let denial = answer(&chain, &meaning, &question);
        prop_assert_eq!(covers(&meaning).err(), denial.as_ref().map(|denial| denial.refusal));
        if let Some(denial) = denial {
            let (block, fact) = (denial.block.unwrap(), denial.fact.unwrap());
            let before = (block > 1).then(|| prefix(&chain, block - 1));
            let with = prefix(&chain, block);
            let asked = capability(CAPABILITIES[asked]);
            // Whether what the fact is about is still there after these blocks.
            let there = |meaning: &Meaning| match fact.split('(').next().unwrap() {
                "expires" | "until" => meaning.alive(at(now)).is_ok(),
                "to" => meaning.destinations().is_none_or(|all| to.is_some_and(|to| all.contains(&to))),
                "right" | "only" | "grant" => meaning.rights().contains(&asked),
                "delegatable" | "grant_on" => meaning.delegatable().contains(&asked),
                other => panic!("{other}"),
            };
            prop_assert!(!there(&with), "{} in {:?}", fact, with);
            let lost_here = before.is_none_or(|before| there(&before));
            prop_assert!(lost_here, "{} in block {}", fact, block);
        }
    }
}

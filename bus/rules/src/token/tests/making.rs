//! What the builder makes is read back as it was meant, and what is too wide is not made.

use super::super::read::parse;
use super::*;
use crate::token::block::{Delegated, Narrowing};

#[test]
fn a_minted_token_means_what_was_minted() {
    let token = token();
    let meaning = meaning(&token);
    assert_eq!(meaning.swarm(), trust().swarm);
    assert_eq!(*meaning.holder(), agent("ada"));
    assert_eq!(*meaning.rights(), mint().rights);
    assert_eq!(*meaning.delegatable(), mint().delegatable);
    assert_eq!((meaning.expires(), meaning.hops(), meaning.minted()), (at(100), 3, RegistrySequence(7)));
    assert_eq!(meaning.destinations(), None);
    assert_eq!(meaning.chain().map(|link| link.id).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(parse(token.bytes(), &LIMITS).unwrap().chain.mint, mint());
}

#[test]
fn narrowings_are_read_back_in_order() {
    let narrow =
        Attenuation { only: Some(capabilities("read:logs")), to: Some(agents(0b110)), until: Some(at(40)) };
    let token = token().attenuate(&narrow, fresh()).unwrap();
    let delegation = Delegation { expires: at(30), ..to_bob() };
    let token = token.delegate(&delegation, key_of("ada"), fresh()).unwrap();
    let later = Attenuation { to: Some(agents(0b010)), ..Attenuation::default() };
    let token = token.attenuate(&later, fresh()).unwrap();
    let second = Delegation {
        id: id(3),
        to: agent("cyd"),
        grant_on: BTreeSet::new(),
        expires: at(20),
        hops: 0,
        ..to_bob()
    };
    let token = token.delegate(&second, key_of("bob"), fresh()).unwrap();

    let by = |name: &str, delegation: &Delegation| {
        let by = key_of(name).public();
        Narrowing::Delegated(Box::new(Delegated { by, delegation: delegation.clone() }))
    };
    assert_eq!(
        parse(token.bytes(), &LIMITS).unwrap().chain.narrowings,
        [
            Narrowing::Attenuated(narrow),
            by("ada", &delegation),
            Narrowing::Attenuated(later),
            by("bob", &second)
        ]
    );
    let meaning = meaning(&token);
    assert_eq!(*meaning.holder(), agent("cyd"));
    assert_eq!(
        meaning.chain().map(|link| link.holder.name).collect::<Vec<_>>(),
        ["ada", "bob", "cyd"].map(name)
    );
    assert_eq!((meaning.expires(), meaning.hops()), (at(20), 0));
    assert_eq!(meaning.destinations(), Some(&agents(0b010)));
    assert!(meaning.delegatable().is_empty());
    assert_eq!(meaning.covers(&capability("read:logs"), Some(&name("bob")), at(20)), Ok(()));
}

#[test]
fn seal_and_text_round_trip() {
    let token = token();
    let sealed = token.seal().unwrap();
    let (read, meant) = SealedToken::read(sealed.bytes(), &trust(), &LIMITS).unwrap();
    assert_eq!((&read, read.id()), (&sealed, testudo_wire::TokenId::of(sealed.bytes())));
    assert_eq!(meant, meaning(&token));
    assert_eq!(sealed.verify(&trust(), &LIMITS), Ok(meant));

    let text = token.to_text();
    assert_eq!(Token::from_text(&format!(" {}\n", *text), &LIMITS).unwrap().bytes(), token.bytes());
    assert_eq!(SealedToken::from_text(&sealed.to_text(), &LIMITS).unwrap(), sealed);
    assert_eq!(bytes_of_text(&sealed.to_text(), &LIMITS).unwrap(), sealed.bytes());
    assert_eq!(Token::from_text(&sealed.to_text(), &LIMITS).unwrap_err(), TokenError::Sealed);
    assert_eq!(SealedToken::from_text(&text, &LIMITS).unwrap_err(), TokenError::Unsealed);
    for bad in ["", "testudo-token:", "token:AAAA", "testudo-token:A*", "testudo-token:AB", &text[14..]] {
        assert_eq!(Token::from_text(bad, &LIMITS).unwrap_err(), TokenError::Malformed, "{bad}");
    }
    let long = format!("testudo-token:{}", "A".repeat(1_000_000));
    assert_eq!(bytes_of_text(&long, &LIMITS), Err(TokenError::TooLarge { max: 4096 }));
}

#[test]
fn debug_shows_no_secret() {
    let token = token();
    assert_eq!(format!("{token:?}"), "Token(of ada)");
    assert_eq!(format!("{:?}", fresh()), "Fresh(..)");
    assert!(format!("{:?}", token.seal().unwrap()).len() < 30);
}

#[test]
fn milliseconds_are_dropped_and_the_whole_second_counts() {
    let expires = Timestamp::from_millis(100_999);
    let meaning = meaning(&Mint { expires, ..mint() }.sign(authority(), fresh(), &LIMITS).unwrap());
    assert_eq!(meaning.expires(), at(100));
    assert_eq!(meaning.alive(Timestamp::from_millis(100_999)), Ok(()));
    assert_eq!(meaning.alive(at(101)), Err(testudo_wire::Refusal::ExpiredToken));
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let make = || {
        let seed = || Fresh::from_random([9; 32]);
        let token = mint().sign(authority(), seed(), &LIMITS).unwrap();
        token.delegate(&to_bob(), key_of("ada"), seed()).unwrap().seal().unwrap()
    };
    assert_eq!(make(), make());
}

#[test]
fn mints_that_make_no_sense_are_refused() {
    let sign = |mint: Mint| mint.sign(authority(), fresh(), &LIMITS).unwrap_err();
    let wider = Mint { delegatable: capabilities("read:logs run:job"), ..mint() };
    assert!(matches!(sign(wider), BuildError::WiderCapability(c) if c == capability("run:job")));
    let sequence = RegistrySequence(1 << 63);
    assert!(matches!(sign(Mint { minted: sequence, ..mint() }), BuildError::OutOfRange(_)));
    let rights = (0..200).map(|n| capability(&format!("read:a-rather-long-name-{n}"))).collect();
    let large = Mint { rights, delegatable: BTreeSet::new(), ..mint() };
    assert!(matches!(sign(large), BuildError::Token(TokenError::TooLarge { max: 4096 })));
}

#[test]
fn attenuations_that_widen_or_say_nothing_are_refused() {
    let narrowed =
        token().attenuate(&Attenuation { to: Some(agents(0b1)), ..Attenuation::default() }, fresh()).unwrap();
    let attenuate = |attenuation: Attenuation| narrowed.attenuate(&attenuation, fresh()).unwrap_err();
    let none = Attenuation::default();
    assert!(matches!(attenuate(none.clone()), BuildError::Empty(_)));
    assert!(matches!(
        attenuate(Attenuation { only: Some(BTreeSet::new()), ..none.clone() }),
        BuildError::Empty(_)
    ));
    assert!(matches!(
        attenuate(Attenuation { to: Some(BTreeSet::new()), ..none.clone() }),
        BuildError::Empty(_)
    ));
    let only = Some(capabilities("read:logs run:job"));
    assert!(
        matches!(attenuate(Attenuation { only, ..none.clone() }), BuildError::WiderCapability(c) if c == capability("run:job"))
    );
    let to = Some(agents(0b11));
    assert!(
        matches!(attenuate(Attenuation { to, ..none.clone() }), BuildError::WiderDestination(n) if n == name("bob"))
    );
    assert!(matches!(attenuate(Attenuation { until: Some(at(101)), ..none }), BuildError::WiderExpiry));
}

#[test]
fn delegations_that_widen_are_refused_and_name_the_capability() {
    let delegate =
        |delegation: Delegation| token().delegate(&delegation, key_of("ada"), fresh()).unwrap_err();
    assert!(matches!(delegate(Delegation { grant: BTreeSet::new(), ..to_bob() }), BuildError::Empty(_)));
    let error = delegate(Delegation { grant: capabilities("write:logs"), ..to_bob() });
    assert!(matches!(error, BuildError::NotDelegatable(c) if c == capability("write:logs")));
    let error = delegate(Delegation { grant: capabilities("run:job"), ..to_bob() });
    assert!(error.to_string().starts_with("run:job goes beyond"), "{error}");
    let error = delegate(Delegation { grant_on: capabilities("publish:alerts"), ..to_bob() });
    assert!(matches!(error, BuildError::WiderCapability(c) if c == capability("publish:alerts")));
    assert!(matches!(delegate(Delegation { expires: at(101), ..to_bob() }), BuildError::WiderExpiry));
    assert!(matches!(delegate(Delegation { hops: 3, ..to_bob() }), BuildError::WiderHops { left: 2 }));
    let error = token().delegate(&to_bob(), key_of("bob"), fresh()).unwrap_err();
    assert!(matches!(error, BuildError::NotHolder));
    let last = Mint { hops: 0, ..mint() }.sign(authority(), fresh(), &LIMITS).unwrap();
    let error = last.delegate(&to_bob(), key_of("ada"), fresh()).unwrap_err();
    assert!(matches!(error, BuildError::NoHops));
}

/// A delegation takes about 680 bytes, so the limit on bytes is met before the one on blocks.
#[test]
fn four_delegations_fit_and_a_fifth_is_refused() {
    let mut token = Mint { hops: 9, ..mint() }.sign(authority(), fresh(), &LIMITS).unwrap();
    let extend = |token: &Token, n: u8| {
        let [from, to] = [n, n + 1].map(|n| NAMES[usize::from(n) % 4]);
        let delegation = Delegation { id: id(n), to: agent(to), hops: 8 - n, ..to_bob() };
        token.delegate(&delegation, key_of(from), fresh())
    };
    for n in 0..4 {
        token = extend(&token, n).unwrap();
    }
    assert_eq!(meaning(&token).chain().count(), 5);
    assert!(token.seal().is_ok());
    let error = extend(&token, 4).unwrap_err();
    assert!(matches!(error, BuildError::Token(TokenError::TooLarge { max: 4096 })), "{error}");
}

/// A signature is longer than the secret that it replaces: what fits unsealed may not fit sealed.
#[test]
fn what_cannot_be_sealed_is_not_made() {
    let size = token().seal().unwrap().bytes().len();
    let tight = |bytes| Limits { token_bytes_max: bytes, ..LIMITS };
    assert!(mint().sign(authority(), fresh(), &tight(size)).is_ok());
    let error = mint().sign(authority(), fresh(), &tight(size - 1)).unwrap_err();
    assert!(matches!(error, BuildError::Token(TokenError::TooLarge { .. })), "{error}");
}

#[test]
fn a_token_is_explained_as_a_person_would() {
    let narrow = Attenuation { to: Some(agents(0b100)), ..Attenuation::default() };
    let token =
        token().delegate(&to_bob(), key_of("ada"), fresh()).unwrap().attenuate(&narrow, fresh()).unwrap();
    let sealed = token.seal().unwrap();
    let told = describe(sealed.bytes(), Some(&trust()), &LIMITS, at(50)).unwrap();
    let text = told.lines().join("\n");
    for part in [
        "a trusted authority vouches",
        &format!("token id {}", sealed.id()),
        "bob (key ",
        "for read:logs",
        "only towards cyd",
        "may delegate read:logs, 1 more",
        "until 1970-01-01T00:00:50Z",
        "1. minted for ada",
        "2. ada delegated to bob",
        "3. narrowed: only towards cyd",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    let json = serde_json::to_string(&told).unwrap();
    assert!(json.contains("\"step\":\"delegated\"") && json.contains("\"vouched\":\"yes\""), "{json}");

    let told = describe(token.bytes(), None, &LIMITS, at(51)).unwrap();
    assert_eq!((told.vouched.clone(), told.form, told.expired), (Vouched::NotChecked, Form::Unsealed, true));
    assert!(told.lines()[0].starts_with("NOT VERIFIED") && told.lines().join("\n").contains("EXPIRED"));
    let other = Trust { authorities: BTreeSet::from([key_of("dan").public()]), ..trust() };
    let told = describe(token.bytes(), Some(&other), &LIMITS, at(0)).unwrap();
    assert!(matches!(&told.vouched, Vouched::No(why) if why.contains("no authority")));
    assert!(told.lines()[0].starts_with("VOID"));
}

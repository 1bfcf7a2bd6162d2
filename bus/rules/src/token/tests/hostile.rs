//! Tokens that a hostile holder or authority would make with a stock Biscuit library.

use biscuit_auth::builder::BlockBuilder;
use biscuit_auth::format::schema;
use biscuit_auth::{Algorithm, BiscuitBuilder, KeyPair, UnverifiedBiscuit};
use prost::Message;
use testudo_wire::Refusal;

use super::stock::{Request, pair, stock_allows};
use super::*;
use crate::token::shape;

fn read(bytes: &[u8]) -> Result<Meaning, TokenError> {
    Meaning::of(bytes, &trust(), &LIMITS)
}

/// Anything at all as an attenuation of the usual token, well signed.
pub(super) fn with_block(code: &str) -> Vec<u8> {
    let block = BlockBuilder::new().code(code).unwrap();
    UnverifiedBiscuit::from(token().bytes()).unwrap().append(block).unwrap().to_vec().unwrap()
}

/// Anything at all as an authority block, well signed by the authority.
pub(super) fn with_authority(change: impl FnOnce(BlockBuilder) -> BlockBuilder) -> Vec<u8> {
    let block = change(shape::authority(&mint()));
    BiscuitBuilder::new().merge(block).build(&pair(authority())).unwrap().to_vec().unwrap()
}

/// A third-party block of our shape, signed by any key.
fn signed_by(key: &KeyPair, delegation: &Delegation, index: u8) -> Vec<u8> {
    let parent = UnverifiedBiscuit::from(token().bytes()).unwrap();
    let block = shape::delegation(delegation, index);
    let signed = parent.third_party_request().unwrap().create_block(&key.private(), block).unwrap();
    parent.append_third_party(&signed.serialize().unwrap()).unwrap().to_vec().unwrap()
}

/// The same token with worthless signatures: what is still refused for its shape was never verified.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut token = schema::Biscuit::decode(bytes).unwrap();
    token.authority.signature = vec![0; 64];
    for block in &mut token.blocks {
        block.signature = vec![0; 64];
    }
    token.encode_to_vec()
}

#[test]
fn t_a48_datalog_bombs_are_refused_for_their_shape_before_any_signature() {
    let facts: String = (0..50).map(|n| format!("p({n});")).collect();
    let join = |n: usize| (0..n).map(|i| format!("p($x{i})")).collect::<Vec<_>>().join(", ");
    let set = (0..120).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let bombs = [
        format!("{facts} check if {}, $x0 + $x1 + $x2 > 999;", join(3)),
        format!("{facts} q($x0, $x1, $x2, $x3) <- {};", join(4)),
        format!("check if request($v, $r), $r.matches(\"({})*$\");", "(a|aa)+".repeat(40)),
        format!("check if {{{set}}}.all($x -> {{{set}}}.any($y -> $x + $y > 1000));"),
    ];
    for bomb in bombs {
        let bytes = with_block(&bomb);
        assert!(bytes.len() <= 4096, "{} bytes: the size limit would hide the shape", bytes.len());
        assert_eq!(read(&bytes), Err(TokenError::Foreign { block: 2 }), "{bomb}");
        assert_eq!(read(&unsigned(&bytes)), Err(TokenError::Foreign { block: 2 }), "{bomb}");
    }
    assert_eq!(TokenError::Foreign { block: 2 }.refusal(), Refusal::ForeignBlock);
    assert_eq!(read(&unsigned(token().bytes())), Err(TokenError::Unauthentic));
}

#[test]
fn t_a45_facts_of_the_authority_in_a_later_block_are_foreign() {
    let key = authority().public();
    for code in [
        "right(\"run\", \"job\");".to_owned(),
        "delegatable(\"read\", \"logs\");".to_owned(),
        format!("holder(\"bob\", hex:{key});"),
        "expires(2100-01-01T00:00:00Z);".to_owned(),
        "hops(9);".to_owned(),
        "only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource); right(\"run\", \"job\");"
            .to_owned(),
    ] {
        assert_eq!(read(&with_block(&code)), Err(TokenError::Foreign { block: 2 }), "{code}");
    }
}

#[test]
fn attenuations_that_are_almost_ours_are_foreign() {
    let ours =
        "only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource);";
    assert!(read(&with_block(ours)).is_ok());
    for code in [
        // Nothing at all, facts without their check, a check without its facts.
        "",
        "only(\"read\", \"logs\");",
        "check if request($operation, $resource), only($operation, $resource);",
        // Another variable, order, kind, scope; twice the same; a rule; a name or a date of the wrong kind.
        "only(\"read\", \"logs\"); check if request($verb, $resource), only($verb, $resource);",
        "only(\"read\", \"logs\"); check if only($operation, $resource), request($operation, $resource);",
        "only(\"read\", \"logs\"); check all request($operation, $resource), only($operation, $resource);",
        "only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource) trusting authority;",
        "only(\"read\", \"logs\"); only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource);",
        "only(\"write\", \"logs\"); only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource);",
        "only(\"read\", \"logs\"); check if request($operation, $resource), only($operation, $resource); only($v, $r) <- request($v, $r);",
        "only(\"read\", \"*\"); check if request($operation, $resource), only($operation, $resource);",
        "only(\"read\"); check if request($operation, $resource), only($operation, $resource);",
        "to(\"Ada\"); check if destination($d), to($d);",
        "until(5); check if time($time), $time <= 5;",
        "until(1970-01-01T00:00:05Z); check if time($time), $time <= 1970-01-01T00:00:06Z;",
    ] {
        assert_eq!(read(&with_block(code)), Err(TokenError::Foreign { block: 2 }), "{code}");
    }
    let contextual = BlockBuilder::new().code(ours).unwrap().context("hello".to_owned());
    let bytes =
        UnverifiedBiscuit::from(token().bytes()).unwrap().append(contextual).unwrap().to_vec().unwrap();
    assert_eq!(read(&bytes), Err(TokenError::Foreign { block: 2 }));
}

#[test]
fn authority_blocks_that_are_almost_ours_are_foreign() {
    assert!(read(&with_authority(|block| block)).is_ok());
    let plus =
        |code: &'static str| with_authority(|block| block.merge(BlockBuilder::new().code(code).unwrap()));
    for code in [
        "check if time($t);",
        "right(\"read\", \"*\");",
        "admin(\"ada\");",
        "right($v, $r) <- request($v, $r);",
    ] {
        assert_eq!(read(&plus(code)), Err(TokenError::Foreign { block: 1 }), "{code}");
    }
    let without = |n: usize| {
        with_authority(|mut block| {
            block.facts.remove(n);
            block
        })
    };
    for n in 0..shape::authority(&mint()).facts.len() {
        // Facts 3 to 5 are the rights, 6 and 7 the delegatable part of them: without 5, 6 or 7 it is
        // another token, without any other it is none.
        assert_eq!(read(&without(n)).is_ok(), (5..8).contains(&n), "fact {n}");
    }
    // Well formed, but no mint would make it.
    let of =
        |mint: &Mint| BiscuitBuilder::new().merge(shape::authority(mint)).build(&pair(authority())).unwrap();
    for wrong in [
        Mint { delegatable: capabilities("run:job"), ..mint() },
        Mint { minted: RegistrySequence(u64::MAX), ..mint() },
    ] {
        assert_eq!(read(&of(&wrong).to_vec().unwrap()), Err(TokenError::Foreign { block: 1 }));
    }
}

#[test]
fn t_a55_a_wildcard_right_is_foreign() {
    for wild in ["*", "logs/*", ">", ""] {
        let bytes = with_authority(|mut block| {
            block.facts[3].predicate.terms[1] = biscuit_auth::builder::string(wild);
            block
        });
        assert_eq!(read(&bytes), Err(TokenError::Foreign { block: 1 }), "{wild}");
    }
}

/// Somebody wants to read the logs.
fn request(sender: Holder) -> Request {
    let here = trust().swarm;
    Request { here, sender, capability: capability("read:logs"), destination: None, now: at(1) }
}

#[test]
fn t_a43_a_delegation_by_anybody_but_the_holder_is_refused() {
    let thief = key_of("dan");
    let stolen = Delegation { to: agent("dan"), ..to_bob() };
    let bytes = signed_by(&pair(thief), &stolen, 1);
    assert_eq!(read(&bytes), Err(TokenError::NotByHolder { block: 2 }));
    assert_eq!(TokenError::NotByHolder { block: 2 }.refusal(), Refusal::Unauthorised);
    // A stock library refuses it too: the authority's check wants the holder's signature.
    assert!(!stock_allows(&bytes, &authority().public(), &request(agent("dan"))));
    let honest = signed_by(&pair(key_of("ada")), &to_bob(), 1);
    assert!(stock_allows(&honest, &authority().public(), &request(agent("bob"))));
    // A delegation of nothing, which no builder makes.
    let nothing = Delegation { grant: BTreeSet::new(), grant_on: BTreeSet::new(), ..to_bob() };
    assert_eq!(read(&signed_by(&pair(key_of("ada")), &nothing, 1)), Err(TokenError::Foreign { block: 2 }));
    // The checks count delegations: a block made for another place is foreign.
    let misplaced = signed_by(&pair(key_of("ada")), &to_bob(), 2);
    assert_eq!(read(&misplaced), Err(TokenError::Foreign { block: 2 }));
}

#[test]
fn t_a43_a_stolen_token_still_names_its_holder() {
    let narrow = Attenuation { until: Some(at(10)), ..Attenuation::default() };
    let narrowed = token().attenuate(&narrow, fresh()).unwrap();
    assert_eq!(*meaning(&narrowed).holder(), agent("ada"));
}

#[test]
fn r_n14_a_delegation_wider_than_its_parent_or_past_it_is_cut_down() {
    let wide =
        Delegation { grant: picked(0xff), grant_on: picked(0xff), expires: at(1_000), hops: 200, ..to_bob() };
    let meaning = read(&signed_by(&pair(key_of("ada")), &wide, 1)).unwrap();
    assert_eq!(*meaning.rights(), capabilities("read:logs publish:alerts"));
    assert_eq!(meaning.delegatable(), meaning.rights());
    assert_eq!((meaning.expires(), meaning.hops()), (at(100), 2));
    assert_eq!(meaning.covers(&capability("read:logs"), None, at(101)), Err(Refusal::ExpiredToken));
}

#[test]
fn r_n14_a_delegation_without_a_hop_left_is_refused() {
    let last = Mint { hops: 0, ..mint() }.sign(authority(), fresh(), &LIMITS).unwrap();
    let parent = UnverifiedBiscuit::from(last.bytes()).unwrap();
    let block = shape::delegation(&to_bob(), 1);
    let key = pair(key_of("ada"));
    let signed = parent.third_party_request().unwrap().create_block(&key.private(), block).unwrap();
    let bytes = parent.append_third_party(&signed.serialize().unwrap()).unwrap().to_vec().unwrap();
    assert_eq!(read(&bytes), Err(TokenError::HopsExhausted { block: 2 }));
    assert_eq!(TokenError::HopsExhausted { block: 2 }.refusal(), Refusal::Unauthorised);
    assert!(!stock_allows(&bytes, &authority().public(), &request(agent("bob"))));
}

#[test]
fn r_n14_a_delegation_cut_off_from_its_parent_is_refused() {
    let child = token().delegate(&to_bob(), key_of("ada"), fresh()).unwrap();
    let other = Mint { id: id(9), ..mint() }.sign(authority(), fresh(), &LIMITS).unwrap();
    let mut moved = schema::Biscuit::decode(child.bytes()).unwrap();
    moved.authority = schema::Biscuit::decode(other.bytes()).unwrap().authority;
    assert_eq!(read(&moved.encode_to_vec()), Err(TokenError::Unauthentic));
}

#[test]
fn t_a50_keys_that_are_not_ed25519_are_refused_in_every_place() {
    let p256 = || KeyPair::new_with_algorithm(Algorithm::Secp256r1);
    let table = biscuit_auth::datalog::SymbolTable::new;
    let authority_of = |root: &KeyPair, next: &KeyPair| {
        let builder = BiscuitBuilder::new().merge(shape::authority(&mint()));
        builder.build_with_key_pair(root, table(), next).unwrap().to_vec().unwrap()
    };
    let wrong = |block| Err(TokenError::KeyType { block });
    assert_eq!(read(&authority_of(&p256(), &KeyPair::new())), wrong(1), "the root key");
    assert_eq!(read(&authority_of(&pair(authority()), &p256())), wrong(1), "the next key");
    assert_eq!(read(&signed_by(&p256(), &to_bob(), 1)), wrong(2), "the external key");
    let attenuation = Attenuation { until: Some(at(9)), ..Attenuation::default() };
    let bytes = UnverifiedBiscuit::from(token().bytes())
        .unwrap()
        .append_with_keypair(&p256(), shape::attenuation(&attenuation))
        .unwrap();
    assert_eq!(read(&bytes.to_vec().unwrap()), wrong(2), "a later next key");
    assert_eq!(TokenError::KeyType { block: 1 }.refusal(), Refusal::ForeignBlock);
    // A key of the right length under the wrong name.
    let mut named = schema::Biscuit::decode(token().bytes()).unwrap();
    named.authority.next_key.algorithm = schema::public_key::Algorithm::Secp256r1 as i32;
    assert_eq!(read(&named.encode_to_vec()), wrong(1));
    // Ed25519 by name, but a point that anyone could sign for (threat A30).
    let mut weak = schema::Biscuit::decode(token().bytes()).unwrap();
    weak.authority.next_key.key = [&[1][..], &[0; 31]].concat();
    assert_eq!(read(&weak.encode_to_vec()), wrong(1));
}

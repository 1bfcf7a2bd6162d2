//! One token, one byte string, one set of keys: everything else is refused.

use biscuit_auth::format::schema;
use prost::Message;
use testudo_wire::{PublicKey, Refusal, SwarmId};

use super::*;

/// A token with every kind of block.
fn full() -> SealedToken {
    let narrow = Attenuation { until: Some(at(45)), ..Attenuation::default() };
    let token = token().delegate(&to_bob(), key_of("ada"), fresh()).unwrap();
    token.attenuate(&narrow, fresh()).unwrap().seal().unwrap()
}

fn read(bytes: &[u8]) -> Result<Meaning, TokenError> {
    Meaning::of(bytes, &trust(), &LIMITS)
}

/// Re-encodes the token after a change to its outer form.
fn changed(change: impl FnOnce(&mut schema::Biscuit)) -> Vec<u8> {
    let mut token = schema::Biscuit::decode(full().bytes()).unwrap();
    change(&mut token);
    token.encode_to_vec()
}

/// An unknown protobuf field put at the end of the message that `path` leads to; `path` holds field
/// numbers, of which the first match is taken.
fn grown(message: &[u8], path: &[u64]) -> Vec<u8> {
    let Some((wanted, rest)) = path.split_first() else {
        return [message, &[0x9a, 0x06, 0x01, 0x00]].concat();
    };
    let (mut out, mut at, mut found) = (Vec::new(), message, false);
    while !at.is_empty() {
        let start = at;
        let tag = prost::encoding::decode_varint(&mut at).unwrap();
        let value = prost::encoding::decode_varint(&mut at).unwrap();
        let header = start.len() - at.len();
        let body = if tag & 7 == 2 { at.split_off(..usize::try_from(value).unwrap()).unwrap() } else { &[] };
        if !found && tag >> 3 == *wanted {
            found = true;
            let body = grown(body, rest);
            prost::encoding::encode_varint(tag, &mut out);
            prost::encoding::encode_varint(body.len() as u64, &mut out);
            out.extend(body);
        } else {
            out.extend(&start[..header + body.len()]);
        }
    }
    assert!(found, "no field {wanted}");
    out
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    let token = full();
    assert!(read(token.bytes()).is_ok());
    // The token, a block, its next key, an external signature, its key, the proof.
    for path in [&[][..], &[2], &[2, 2], &[3], &[3, 2], &[3, 4], &[3, 4, 2], &[4]] {
        let bytes = grown(token.bytes(), path);
        assert!(schema::Biscuit::decode(bytes.as_slice()).is_ok(), "a stock decoder takes it: {path:?}");
        assert_eq!(read(&bytes), Err(TokenError::Malformed), "{path:?}");
    }
    // A block's contents: the block, a fact, its predicate, a term, a check, its query, body, expression.
    for (first, block) in [(2, 1), (3, 2)] {
        let paths: [&[u64]; 7] = [&[], &[4], &[4, 1], &[4, 1, 2], &[6], &[6, 1], &[6, 1, 2]];
        for path in paths {
            let bytes = grown(token.bytes(), &[&[first, 1], path].concat());
            assert_eq!(read(&bytes), Err(TokenError::Foreign { block }), "{first} {path:?}");
        }
    }
}

#[test]
fn unsigned_parts_of_the_outer_form_are_fixed() {
    assert_eq!(read(&changed(|token| token.root_key_id = Some(0))), Err(TokenError::Malformed));
    let foreign = |block| Err(TokenError::Foreign { block });
    assert_eq!(read(&changed(|token| token.authority.version = Some(0))), foreign(1));
    assert_eq!(read(&changed(|token| token.blocks[0].version = None)), foreign(2));
    let external =
        changed(|token| token.authority.external_signature = token.blocks[0].external_signature.clone());
    assert_eq!(read(&external), foreign(1));
    let short = changed(|token| {
        token.blocks[0].external_signature.as_mut().unwrap().signature.pop();
    });
    assert_eq!(read(&short), Err(TokenError::KeyType { block: 2 }));
    let proof = |content| changed(|token| token.proof.content = content);
    assert_eq!(read(&proof(None)), Err(TokenError::Malformed));
    assert_eq!(
        read(&proof(Some(schema::proof::Content::NextSecret(vec![1; 31])))),
        Err(TokenError::Malformed)
    );
    let swapped = proof(Some(schema::proof::Content::NextSecret(vec![1; 32])));
    assert_eq!(read(&swapped), Err(TokenError::Unauthentic));
}

#[test]
fn every_cut_and_every_flipped_byte_is_refused() {
    let token = full();
    let bytes = token.bytes();
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(read(&[bytes, &[0]].concat()), Err(TokenError::Malformed));
    for position in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[position] ^= 1 << (position % 8);
        assert!(read(&flipped).is_err(), "byte {position}");
    }
}

#[test]
fn t_a44_another_swarm_or_another_authority_is_refused() {
    let token = full();
    let other = key_of("dan").public();
    let read = |trust: &Trust| Meaning::of(token.bytes(), trust, &LIMITS);
    assert_eq!(read(&Trust::of(other)), Err(TokenError::WrongSwarm));
    let same_swarm =
        |authorities: &[PublicKey]| Trust { authorities: authorities.iter().copied().collect(), ..trust() };
    assert_eq!(read(&same_swarm(&[other])), Err(TokenError::Unauthentic));
    assert_eq!(read(&same_swarm(&[])), Err(TokenError::Unauthentic));
    assert!(read(&same_swarm(&[other, authority().public()])).is_ok());
    let elsewhere = Trust { swarm: SwarmId::new([0; 32]), ..trust() };
    assert_eq!(read(&elsewhere), Err(TokenError::WrongSwarm));
    assert_eq!(TokenError::WrongSwarm.refusal(), Refusal::Unauthorised);
}

#[test]
fn size_and_number_of_blocks_are_bounded() {
    let token = token();
    let small = Limits { token_bytes_max: token.bytes().len() - 1, ..LIMITS };
    let max = small.token_bytes_max;
    assert_eq!(Meaning::of(token.bytes(), &trust(), &small), Err(TokenError::TooLarge { max }));
    assert_eq!(read(&[0; 4097]), Err(TokenError::TooLarge { max: 4096 }));
    assert_eq!(read(&[0; 4096]), Err(TokenError::Malformed));

    let wide = Limits { token_blocks_max: 9, ..LIMITS };
    let narrow = Attenuation { until: Some(at(100)), ..Attenuation::default() };
    let mut nine = mint().sign(authority(), fresh(), &wide).unwrap();
    for _ in 0..8 {
        nine = nine.attenuate(&narrow, fresh()).unwrap();
    }
    assert!(nine.verify(&trust()).is_ok());
    assert_eq!(read(nine.bytes()), Err(TokenError::TooManyBlocks { max: 8 }));
    assert_eq!(TokenError::TooManyBlocks { max: 8 }.refusal(), Refusal::Oversized);
}

#[test]
fn t_a43_an_unsealed_token_is_not_shown_and_a_sealed_one_not_extended() {
    let token = token();
    let sealed = token.seal().unwrap();
    assert_eq!(SealedToken::read(token.bytes(), &trust(), &LIMITS).unwrap_err(), TokenError::Unsealed);
    assert_eq!(Token::from_bytes(sealed.bytes(), &LIMITS).unwrap_err(), TokenError::Sealed);
    assert_eq!(Meaning::of(sealed.bytes(), &trust(), &LIMITS), Meaning::of(token.bytes(), &trust(), &LIMITS));
}

#[test]
fn covering_and_expiry() {
    let narrow = Attenuation { to: Some(agents(0b10)), ..Attenuation::default() };
    let open = meaning(&token());
    let narrowed = meaning(&token().attenuate(&narrow, fresh()).unwrap());
    let read_logs = capability("read:logs");
    let [ada, bob] = ["ada", "bob"].map(name);
    assert_eq!(open.covers(&read_logs, None, at(100)), Ok(()));
    assert_eq!(open.covers(&read_logs, Some(&ada), Timestamp::from_millis(100_999)), Ok(()));
    assert_eq!(open.covers(&read_logs, Some(&ada), at(101)), Err(Refusal::ExpiredToken));
    assert_eq!(open.covers(&capability("read:log"), None, at(0)), Err(Refusal::Unauthorised));
    assert_eq!(open.covers(&capability("read:logs/app"), None, at(0)), Err(Refusal::Unauthorised));
    assert_eq!(open.covers(&capability("run:job"), None, at(101)), Err(Refusal::ExpiredToken));
    assert_eq!(narrowed.covers(&read_logs, Some(&bob), at(0)), Ok(()));
    assert_eq!(narrowed.covers(&read_logs, Some(&ada), at(0)), Err(Refusal::Unauthorised));
    assert_eq!(narrowed.covers(&read_logs, None, at(0)), Err(Refusal::Unauthorised));
}

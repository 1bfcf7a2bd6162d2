//! Every shape has one encoding, and what is cut, changed or longer is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::{AgentName, CaFingerprint, InvitationId, Purpose, SecretKey, Signature, SwarmId, Timestamp};

fn token(address: &str) -> JoinToken {
    JoinToken {
        address: address.parse().unwrap(),
        swarm: SwarmId::new([1; 32]),
        ca: CaFingerprint::of(b"certificate"),
        id: InvitationId::new([2; 16]),
        until: Timestamp::from_millis(1_767_225_600_000),
        key: SecretKey::from_seed(&[3; 32]),
    }
}

#[test]
fn a_token_comes_back_from_its_line_and_shows_no_seed() {
    for address in ["127.0.0.1:7602", "[2001:db8::1]:7602"] {
        let token = token(address);
        let text = token.to_text();
        assert!(text.len() < TOKEN_TEXT_MAX && !text.contains(char::is_whitespace));
        let read = JoinToken::parse(&format!(" {}\n", *text)).unwrap();
        assert_eq!((read.address, read.swarm, read.ca), (token.address, token.swarm, token.ca));
        assert_eq!((read.id, read.until, read.key.seed()), (token.id, token.until, token.key.seed()));
        assert!(!format!("{read:?}").contains("0303"));
    }
}

#[test]
fn a_token_that_is_cut_changed_or_longer_is_named_as_such() {
    let text = token("127.0.0.1:7602").to_text();
    for at in 1..text.len() {
        let error = JoinToken::parse(&text[..at]).unwrap_err();
        assert!(matches!(error, JoinTokenError::NotOne | JoinTokenError::Damaged), "{at}: {error}");
    }
    for other in ["", "testudo-join:", "testudo-token:AAAA", &"x".repeat(10_000)] {
        assert!(JoinToken::parse(other).is_err(), "{other}");
    }
    assert_eq!(JoinToken::parse(&format!("{}A", *text)).unwrap_err(), JoinTokenError::Damaged);
    assert_eq!(JoinToken::parse(&format!("{} {}", *text, *text)).unwrap_err(), JoinTokenError::NotOne);
    let sealed = |mut said: Vec<u8>| {
        let digest = blake3::derive_key("testudo/1 invitation checksum", &said);
        said.extend(&digest[..4]);
        JoinToken::parse(&format!("testudo-join:{}", URL_SAFE_NO_PAD.encode(said))).unwrap_err()
    };
    let said = URL_SAFE_NO_PAD.decode(&text["testudo-join:".len()..]).unwrap();
    let said = said[..said.len() - 4].to_vec();
    let with = |at: usize, byte: u8| {
        let mut said = said.clone();
        said[at] = byte;
        said
    };
    assert_eq!(sealed(with(0, 2)), JoinTokenError::Version(2));
    assert_eq!(sealed(with(1, 5)), JoinTokenError::Damaged, "no such family");
    assert_eq!(sealed(with(1, 6)), JoinTokenError::Damaged, "too short for the family");
    assert_eq!(sealed([&said[..], &[0]].concat()), JoinTokenError::Damaged, "a rest");
    assert_eq!(sealed(Vec::new()), JoinTokenError::Version(0));
}

#[test]
fn a_proof_is_for_one_connection_one_key_and_one_purpose() {
    let (token, key, other) = (
        token("127.0.0.1:1"),
        SecretKey::from_seed(&[4; 32]).public(),
        SecretKey::from_seed(&[5; 32]).public(),
    );
    let proof = token.prove(&[7; 32], &key);
    let public = token.key.public();
    assert!(public.verifies(Purpose::Join, &[&[7; 32], &spki(&key)], &proof));
    assert!(!public.verifies(Purpose::Join, &[&[8; 32], &spki(&key)], &proof));
    assert!(!public.verifies(Purpose::Join, &[&[7; 32], &spki(&other)], &proof));
    assert!(!public.verifies(Purpose::Trust, &[&[7; 32], &spki(&key)], &proof));
}

#[test]
fn a_request_is_at_most_a_kibibyte() {
    let request = |len| JoinRequest {
        id: InvitationId::new([1; 16]),
        signature: Signature::new([2; 64]),
        csr: vec![3; len],
    };
    let longest = request(REQUEST_BYTES_MAX - 81);
    let frame = longest.encode().unwrap();
    assert_eq!((frame.len(), JoinRequest::decode(&frame)), (1024, Ok(longest)));
    assert_eq!(request(REQUEST_BYTES_MAX - 80).encode(), Err(RequestError));
    assert_eq!(request(0).encode(), Err(RequestError));
    for cut in 0..=81 {
        assert_eq!(JoinRequest::decode(&frame[..cut]), Err(RequestError), "{cut}");
    }
    assert_eq!(JoinRequest::decode(&[&frame[..], &[0]].concat()), Err(RequestError));
    assert_eq!(JoinRequest::decode(&[&[2][..], &frame[1..]].concat()), Err(RequestError));
}

fn joined() -> Joined {
    Joined {
        name: AgentName::parse("ada").unwrap(),
        node: "[::1]:7600".parse().unwrap(),
        authority: SecretKey::from_seed(&[1; 32]).public(),
        ca: vec![5; 300].into(),
        chain: vec![vec![6; 400].into()],
        token: vec![7; 500].into(),
        trust: Vec::new(),
    }
}

#[test]
fn an_answer_comes_back_and_shows_no_token() {
    let answer = JoinAnswer::Joined(Box::new(joined()));
    let frame = answer.encode().unwrap();
    assert_eq!(JoinAnswer::decode(&frame), Ok(answer.clone()));
    assert!(!format!("{answer:?}").contains("7, 7"));
    for cut in 0..frame.len() {
        assert!(JoinAnswer::decode(&frame[..cut]).is_err(), "{cut}");
    }
    assert!(JoinAnswer::decode(&[&frame[..], &[0]].concat()).is_err());
    let mut long = joined();
    long.ca = vec![0; ANSWER_BYTES_MAX].into();
    assert_eq!(JoinAnswer::Joined(Box::new(long)).encode(), Err(AnswerError::Shape));
}

#[test]
fn every_refusal_has_one_code_one_name_and_says_what_to_do() {
    let mut names = std::collections::BTreeSet::new();
    for refusal in JoinRefusal::ALL {
        let frame = JoinAnswer::Refused(refusal).encode().unwrap();
        assert_eq!(frame, [1, refusal.code()]);
        assert_eq!(JoinAnswer::decode(&frame), Ok(JoinAnswer::Refused(refusal)));
        assert!(names.insert(refusal.as_str()) && refusal.to_string().contains([';', '?']), "{refusal}");
    }
    assert_eq!(JoinAnswer::decode(&[1, 0]), Err(AnswerError::Refusal(0)));
    assert_eq!(JoinAnswer::decode(&[1, 10]), Err(AnswerError::Refusal(10)));
    assert_eq!(JoinAnswer::decode(&[1, 1, 1]), Err(AnswerError::Shape));
    assert_eq!(JoinAnswer::decode(&[2, 1]), Err(AnswerError::Shape));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic_and_what_decodes_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        if let Ok(request) = JoinRequest::decode(&bytes) {
            prop_assert_eq!(request.encode().unwrap(), bytes.clone());
        }
        if let Ok(answer) = JoinAnswer::decode(&bytes) {
            prop_assert_eq!(answer.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn no_text_makes_the_token_parser_panic(text in "(testudo-join:)?[ -~é]{0,300}") {
        let _ = JoinToken::parse(&text);
    }
}

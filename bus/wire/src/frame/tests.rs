//! Frames: one encoding each, and statements that hold for their signer and content only.

use super::*;

fn node() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn agent() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

const SWARM: SwarmId = SwarmId::new([3; 32]);
const SESSION: SessionId = SessionId::new([4; 16]);

fn seen() -> Seen {
    let time = Timestamp::from_millis(5);
    Seen::sign(&node(), &SWARM, &agent().public(), SESSION, RegistrySequence(7), time)
}

fn notice() -> Notice {
    let agents = vec![(AgentName::parse("a").unwrap(), agent().public(), RegistrySequence(8))];
    Notice { registry: RegistrySequence(9), agents, tokens: vec![TokenFactId::new([5; 16])] }
}

fn every_frame() -> (Vec<FromAgent>, Vec<FromNode>) {
    let digest = Digest::new([1; 32]);
    let accepted = Accepted::sign(&node(), &SWARM, &SESSION, 1, 2, &[(0, digest)]).unwrap();
    let refused = RefusedDelivery { delivery: 3, position: 1, refusal: Refusal::Stale };
    let message = RefusedMessage {
        message: MessageId::new([6; 16]),
        refusal: Refusal::Poisoned,
        rules: vec!["rule".into()],
    };
    let quota = Quota::default();
    (
        vec![
            FromAgent::Hello(Hello { version: 1, seen: None }),
            FromAgent::Hello(Hello { version: 1, seen: Some(seen()) }),
            FromAgent::Heartbeat(Heartbeat::sign(&agent(), &SWARM, &SESSION, 1)),
            FromAgent::Present(Present { token: vec![1, 2, 3] }),
            FromAgent::Acknowledge(Acknowledge { upto: 9, refused: vec![refused] }),
            FromAgent::Goodbye,
        ],
        vec![
            FromNode::Welcome(Welcome { seen: seen(), heartbeat_ms: 30_000, window: 64, quota }),
            FromNode::Presented(Presented { token: TokenId::new([7; 32]), refusal: None }),
            FromNode::Presented(Presented {
                token: TokenId::new([7; 32]),
                refusal: Some(Refusal::ForeignBlock),
            }),
            FromNode::RefusedBundle(RefusedBundle { bundle: 1, refusal: Refusal::Malformed }),
            FromNode::RefusedMessages(vec![message]),
            FromNode::Accepted(accepted),
            FromNode::Settled(Settled { bundles: 300 }),
            FromNode::Revoked(Revoked::sign(&node(), &SWARM, notice()).unwrap()),
        ],
    )
}

#[test]
fn every_frame_has_one_encoding() {
    let limits = Limits::standard();
    let (from_agent, from_node) = every_frame();
    for frame in from_agent {
        let bytes = frame.encode().unwrap();
        assert_eq!(FromAgent::decode(&bytes, &limits), Ok(frame));
        assert!(FromNode::decode(&bytes, &limits).is_err(), "a node does not say what agents say");
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(FromAgent::decode(&longer, &limits), Err(CanonicalError::Trailing));
    }
    for frame in from_node {
        let bytes = frame.encode().unwrap();
        assert_eq!(FromNode::decode(&bytes, &limits), Ok(frame));
        assert!(FromAgent::decode(&bytes, &limits).is_err());
        for at in 0..bytes.len() {
            assert!(FromNode::decode(&bytes[..at], &limits).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_frame_in_map_form_is_refused() {
    #[derive(Serialize)]
    struct Settled {
        bundles: u64,
    }
    let map = rmp_serde::to_vec_named(&(21_u8, Settled { bundles: 1 })).unwrap();
    assert!(FromNode::decode(&map, &Limits::standard()).is_err());
}

#[test]
fn statements_hold_for_their_signer_and_content_only() {
    let (other, session) = (agent().public(), SessionId::new([9; 16]));
    let seen = seen();
    assert!(seen.is_signed_by(&node().public(), &SWARM, &agent().public()));
    assert!(!seen.is_signed_by(&other, &SWARM, &agent().public()));
    assert!(!seen.is_signed_by(&node().public(), &SWARM, &node().public()));
    let higher = Seen { registry: RegistrySequence(8), ..seen };
    assert!(!higher.is_signed_by(&node().public(), &SWARM, &agent().public()));

    let beat = Heartbeat::sign(&agent(), &SWARM, &SESSION, 1);
    assert!(beat.is_signed_by(&agent().public(), &SWARM, &SESSION));
    assert!(!beat.is_signed_by(&agent().public(), &SWARM, &session));
    assert!(!Heartbeat { counter: 2, ..beat }.is_signed_by(&agent().public(), &SWARM, &SESSION));

    let digests = [Digest::new([1; 32]), Digest::new([2; 32])];
    let accepted = Accepted::sign(&node(), &SWARM, &SESSION, 0, 5, &[(1, digests[1])]).unwrap();
    assert!(accepted.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));
    let more = Accepted { positions: vec![0, 1], ..accepted.clone() };
    assert!(!more.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));
    let beyond = Accepted { positions: vec![2], ..accepted };
    assert!(!beyond.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));

    let mut revoked = Revoked::sign(&node(), &SWARM, notice()).unwrap();
    assert!(revoked.is_signed_by(&node().public(), &SWARM));
    revoked.notice.agents.clear();
    assert!(!revoked.is_signed_by(&node().public(), &SWARM));
}

#[test]
fn annotations_have_one_encoding() {
    let annotation = Annotation {
        delivery: 1,
        alerts: vec![(0, vec!["rule".into()])],
        registry: RegistrySequence(3),
        time: Timestamp::from_millis(4),
        tokens: vec![serde_bytes::ByteBuf::from(vec![1, 2])],
    };
    let bytes = annotation.encode().unwrap();
    assert_eq!(Annotation::decode(&bytes, &Limits::standard()), Ok(annotation));
}

#[test]
fn close_reasons_have_distinct_codes() {
    for reason in CloseReason::ALL {
        assert_eq!(CloseReason::from_code(reason.code().into()), Some(reason));
    }
}

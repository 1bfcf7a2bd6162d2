//! Frames: one encoding each, and statements that hold for their signer and content only.

use super::*;
use crate::standing::Quota;
use crate::trust::{AUTHORITIES_MAX, CA_BYTES_MAX, CAS_MAX, STATEMENT_BYTES_MAX, SignedStatement, Statement};
use crate::{
    AgentName, Digest, MessageId, Refusal, RegistrySequence, Resource, SecretKey, SessionId, SwarmId,
    Timestamp, TokenFactId, TokenId,
};

fn node() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn agent() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
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
    let accepted = Accepted::sign(&node(), &SWARM, &SESSION, (1, 1), 2, &[(0, digest)]).unwrap();
    let refused = RefusedDelivery { delivery: 3, position: 1, refusal: Refusal::Stale };
    let message = RefusedMessage {
        message: MessageId::new([6; 16]),
        refusal: Refusal::Poisoned,
        rules: vec!["rule".into()],
    };
    let subscription = Subscription { topic: Resource::parse("alerts").unwrap() };
    let request = MessageId::new([8; 16]);
    let signature = sign_received(&agent(), &SWARM, &SESSION, &[digest]).unwrap();
    let quota = Quota::default();
    (
        vec![
            FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 }),
            FromAgent::Hello(Hello {
                version: 1,
                seen: Some(seen()),
                renews: Some(SessionId::new([3; 16])),
                trust: 0,
            }),
            FromAgent::Heartbeat(Heartbeat::sign(&agent(), &SWARM, &SESSION, 1)),
            FromAgent::Present(Present { token: vec![1, 2, 3] }),
            FromAgent::Acknowledge(Acknowledge { lane: 0, upto: 9, refused: vec![refused] }),
            FromAgent::Goodbye,
            FromAgent::Subscribe(subscription),
            FromAgent::Unsubscribe(subscription),
            FromAgent::Cancel(Cancel { request }),
            FromAgent::Credit(Credit { request, bytes: 70_000 }),
            FromAgent::Received(Received { session: SESSION, messages: vec![(0, 1, 2)], signature }),
            FromAgent::Whois(Whois { name: name("b") }),
            FromAgent::Failed,
            FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 7 }),
            FromAgent::Trusts(Trusts { number: 7 }),
            FromAgent::Renew(Renew { csr: None }),
            FromAgent::Renew(Renew { csr: Some(serde_bytes::ByteBuf::from(vec![1])) }),
        ],
        vec![
            FromNode::Welcome(Welcome {
                seen: seen(),
                heartbeat_ms: 30_000,
                window: 64,
                quota,
                body: 1024,
                trust: 0,
            }),
            FromNode::Welcome(Welcome {
                seen: seen(),
                heartbeat_ms: 30_000,
                window: 64,
                quota,
                body: 1024,
                trust: 7,
            }),
            FromNode::Trust(Box::new(statement())),
            FromNode::Presented(Presented { token: TokenId::new([7; 32]), refusal: None }),
            FromNode::Presented(Presented {
                token: TokenId::new([7; 32]),
                refusal: Some(Refusal::ForeignBlock),
            }),
            FromNode::RefusedBundle(RefusedBundle { lane: 0, bundle: 1, refusal: Refusal::Malformed }),
            FromNode::RefusedMessages(vec![message]),
            FromNode::Accepted(accepted),
            FromNode::Settled(Settled { lane: 1, bundles: 300 }),
            FromNode::Revoked(Revoked::sign(&node(), &SWARM, notice()).unwrap()),
            FromNode::Subscribed(Subscribed {
                topic: subscription.topic,
                refusal: Some(Refusal::Unauthorised),
            }),
            FromNode::Cancelled(Cancelled { requests: vec![request] }),
            FromNode::Credited(vec![Credit { request, bytes: 70_000 }]),
            FromNode::Delivered(Delivered { receiver: name("b"), messages: vec![request], signature }),
            FromNode::Introduced(Introduced {
                name: name("b"),
                chain: vec![serde_bytes::ByteBuf::from(vec![1])],
            }),
            FromNode::Lost(Lost { messages: vec![request] }),
            FromNode::Renewed(Renewed {
                refusal: None,
                chain: vec![serde_bytes::ByteBuf::from(vec![1])],
                token: Some(serde_bytes::ByteBuf::from(vec![2])),
            }),
            FromNode::CopiesRefused(vec![CopiesRefused {
                to: name("b"),
                refusal: Refusal::Overloaded,
                count: 3,
            }]),
        ],
    )
}

fn statement() -> SignedStatement {
    let statement = Statement {
        swarm: SWARM,
        number: 1,
        time: Timestamp::from_millis(1),
        authorities: vec![node().public()],
        cas: vec![serde_bytes::ByteBuf::from(vec![1; 300])],
    };
    statement.sign(&node()).unwrap()
}

#[test]
fn a_trust_number_of_zero_is_not_written_and_must_not_be() {
    let hello = FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 });
    let bytes = hello.encode().unwrap();
    assert_eq!(bytes, [0x92, 0x01, 0x93, 0x01, 0xc0, 0xc0]);
    let written = [0x92, 0x01, 0x94, 0x01, 0xc0, 0xc0, 0x00];
    assert!(FromAgent::decode(&written, &Limits::standard()).is_err(), "one encoding alone");
    let largest = SignedStatement {
        statement: Statement {
            authorities: vec![node().public(); AUTHORITIES_MAX],
            cas: vec![serde_bytes::ByteBuf::from(vec![1; CA_BYTES_MAX]); CAS_MAX],
            number: u64::MAX,
            time: Timestamp::from_millis(u64::MAX),
            ..statement().statement
        },
        ..statement()
    };
    let bytes = largest.encode().unwrap();
    assert!(bytes.len() <= STATEMENT_BYTES_MAX, "{}", bytes.len());
    assert_eq!(SignedStatement::decode(&bytes), Ok(largest.clone()));
    let frame = FromNode::Trust(Box::new(largest));
    assert_eq!(FromNode::decode(&frame.encode().unwrap(), &Limits::standard()), Ok(frame));
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
        lane: u8,
        bundles: u64,
    }
    let map = rmp_serde::to_vec_named(&(21_u8, Settled { lane: 0, bundles: 1 })).unwrap();
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
    let accepted = Accepted::sign(&node(), &SWARM, &SESSION, (0, 0), 5, &[(1, digests[1])]).unwrap();
    assert!(accepted.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));
    let more = Accepted { positions: vec![0, 1], ..accepted.clone() };
    assert!(!more.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));
    let beyond = Accepted { positions: vec![2], ..accepted };
    assert!(!beyond.is_signed_by(&node().public(), &SWARM, &SESSION, &digests));

    let signature = sign_received(&agent(), &SWARM, &SESSION, &digests).unwrap();
    let receiver = agent().public();
    assert!(is_received(&signature, &receiver, &SWARM, &SESSION, &digests));
    assert!(!is_received(&signature, &node().public(), &SWARM, &SESSION, &digests));
    assert!(!is_received(&signature, &receiver, &SWARM, &session, &digests));
    assert!(!is_received(&signature, &receiver, &SWARM, &SESSION, &digests[..1]));
    assert!(!is_received(&signature, &receiver, &SWARM, &SESSION, &[]));

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

//! A client against a node that does what a test says: lanes, receipts, parts, cancellation. On one paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a scripted node looks for one frame among all")]

#[path = "scripted_node/gossip.rs"]
mod gossip;
#[path = "scripted_node/honest.rs"]
mod honest;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;
#[path = "scripted_node/trust.rs"]
mod trust;

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, SendStream};
use support::swarm::{capability, grant, key_of, name};
use support::world::message;
use support::{World, sim};
use testudo_bus::client::{Client, ClientIdentity, Deliveries, SendError};
use testudo_bus::env::{Env, random};
use testudo_bus::stream::{ExactReader, FrameReader, prefix, write_frame};
use testudo_bus::tls::{self, LIFETIME, Listed, Listing, NodeCertificate};
use testudo_bus::transport;
use testudo_wire::frame::{
    Accepted, Acknowledge, Annotation, Cancel, FromAgent, FromNode, Presented, Seen, Settled, Welcome,
    is_received,
};
use testudo_wire::standing::Quota;
use testudo_wire::{
    Bundle, ContentType, CorrelationId, Destination, Envelope, Header, Holder, Limits, MessageId, Part,
    ReceiptWish, Refusal, RegistrySequence, Sequence, SessionId, SpiffeId, TokenId, Ttl,
};
use tokio::time::timeout;

const BODY_MAX: u32 = 1024 * 1024;
const MIB: usize = 1024 * 1024;

struct Everybody;

impl Listing for Everybody {
    fn look_up(&self, _: &Holder) -> Listed {
        Listed::Good
    }
}

/// The node's end of one link.
struct Scripted {
    world: World,
    connection: Connection,
    control: SendStream,
    answers: FrameReader,
    data: FrameReader,
    deliveries: SendStream,
    session: SessionId,
}

fn identity(world: &World, who: &str) -> ClientIdentity {
    let grant = grant(&["read:logs"], &["read:logs"]);
    world.swarm.identity(key_of(who), name(who), &grant, RegistrySequence(1))
}

impl Scripted {
    /// A client named `me` on a link whose other end is the test.
    async fn link() -> (Self, Client, Deliveries) {
        let world = World::new(1);
        let swarm = &world.swarm;
        let id = SpiffeId::Node(swarm.id, "n1".parse().unwrap());
        let leaf = swarm.ca.issue(&id, &swarm.node_key.public(), LIFETIME, &*swarm.env).unwrap();
        let certified = NodeCertificate::certified(vec![leaf], &swarm.node_key).unwrap();
        let certificate = Arc::new(NodeCertificate::new(certified));
        let config =
            tls::server_config(swarm.trust.clone(), Arc::new(Everybody), certificate, swarm.env.clone());
        let (address, socket) = world.net.bind();
        let server = transport::listen(config.unwrap(), socket).unwrap();
        let (me, env) = (Arc::new(identity(&world, "me")), world.swarm.env.another());
        let (_, endpoint) = world.endpoint();
        let agent = me.key.public();
        let dialling =
            tokio::spawn(async move { Client::connect(&endpoint, address, me, None, env).await.unwrap() });
        let connection = server.accept().await.unwrap().await.unwrap();
        let (mut control, answers) = connection.accept_bi().await.unwrap();
        let mut answers = FrameReader::new(answers, 64 * 1024);
        answers.next().await.unwrap().expect("a hello");
        let session = SessionId::new(random(&*world.swarm.env));
        let (key, swarm) = (&world.swarm.node_key, &world.swarm.id);
        let seen = Seen::sign(key, swarm, &agent, session, RegistrySequence(1), world.swarm.env.now());
        let (window, quota, body) = (512 * 1024, Quota::default(), BODY_MAX);
        let welcome = Welcome { seen, heartbeat_ms: 30_000, window, quota, body, trust: 0 };
        write_frame(&mut control, FromNode::Welcome(welcome).encode().unwrap()).await.unwrap();
        let mut data = connection.accept_uni().await.unwrap();
        data.read_exact(&mut [0]).await.unwrap();
        let mut deliveries = connection.open_uni().await.unwrap();
        deliveries.write_all(&[0]).await.unwrap();
        let data = FrameReader::new(data, Limits::standard().bundle_bytes_max);
        let mut node = Self { world, connection, control, answers, data, deliveries, session };
        let FromAgent::Present(shown) = node.hear().await else { panic!("no token") };
        node.say(FromNode::Presented(Presented { token: TokenId::of(&shown.token), refusal: None })).await;
        let (client, inbox) = dialling.await.unwrap();
        (node, client, inbox)
    }

    async fn say(&mut self, frame: FromNode) {
        write_frame(&mut self.control, frame.encode().unwrap()).await.unwrap();
    }

    /// The next control frame that is no heartbeat.
    async fn hear(&mut self) -> FromAgent {
        loop {
            let frame = timeout(Duration::from_secs(600), self.answers.next()).await.expect("silence");
            match FromAgent::decode(&frame.unwrap().unwrap(), &Limits::standard()).unwrap() {
                FromAgent::Heartbeat(_) => {}
                frame => return frame,
            }
        }
    }

    /// The next bundle on lane 0.
    async fn bundle(&mut self) -> Bundle {
        Bundle::decode(self.data.next().await.unwrap().unwrap(), &Limits::standard()).unwrap()
    }

    /// A delivery frame with one message of `from`.
    fn delivery(&self, from: &ClientIdentity, number: u64, header: Header, body: &[u8]) -> Vec<u8> {
        let limits = Limits::of_lanes(MIB);
        let token = from.token.seal().unwrap();
        let bundle = Bundle::sign(vec![Envelope::encode(header, body)], &from.key, &limits).unwrap();
        let annotation = Annotation {
            delivery: number,
            alerts: Vec::new(),
            registry: RegistrySequence(1),
            time: self.world.swarm.env.now(),
            tokens: vec![token.bytes().to_vec().into()],
        };
        let annotation = annotation.encode().unwrap();
        [&prefix(annotation.len())[..], &annotation, bundle.bytes()].concat()
    }

    fn header(&self, from: &ClientIdentity, lane: u8, sequence: u64) -> Header {
        let env = &*self.world.swarm.env;
        Header {
            swarm: self.world.swarm.id,
            sender: from.name,
            key: *from.key.public().as_bytes(),
            destination: Destination::Agent(name("me")),
            capability: Some(capability("read:logs")),
            message: MessageId::new(random(env)),
            timestamp: env.now(),
            session: SessionId::new([9; 16]),
            lane,
            sequence: Sequence(sequence),
            correlation: CorrelationId::new([8; 16]),
            in_reply_to: None,
            part: None,
            receipt: ReceiptWish::Delivered,
            trace: None,
            token: from.token.seal().unwrap().id(),
            ttl: Ttl::default(),
            content_type: ContentType::text(),
        }
    }

    /// One part of an answer to `request`.
    async fn part(
        &mut self,
        from: &ClientIdentity,
        request: MessageId,
        (index, last): (u32, bool),
        body: &[u8],
    ) {
        let number = u64::from(index) + 1;
        let header = Header {
            destination: Destination::Reply(name("me")),
            capability: None,
            in_reply_to: Some(request),
            part: Some(Part { index, last }),
            receipt: ReceiptWish::None,
            ..self.header(from, 0, number)
        };
        let frame = self.delivery(from, number, header, body);
        write_frame(&mut self.deliveries, frame).await.unwrap();
    }
}

#[test]
fn a_large_body_goes_on_a_lane_and_a_small_one_does_not_wait_for_it() {
    sim(async {
        let (mut node, client, _inbox) = Scripted::link().await;
        let large = message("other", "read:logs", &"x".repeat(MIB));
        let (telling, also) = (client.clone(), client.clone());
        let told = tokio::spawn(async move { telling.tell(large).await });
        let mut lane = node.connection.accept_uni().await.unwrap();
        let mut number = [0];
        lane.read_exact(&mut number).await.unwrap();
        // Nothing more of the lane is read, and yet:
        also.post(message("other", "read:logs", "small")).await.unwrap();
        assert_eq!(node.bundle().await.first().unwrap().lane, 0);
        let limits = Limits::of_lanes(MIB);
        let mut lane = ExactReader::new(lane, limits.bundle_bytes_max);
        let bundle = Bundle::decode(lane.next().await.unwrap().unwrap(), &limits).unwrap();
        let first = *bundle.first().unwrap();
        assert_eq!((first.lane, first.sequence), (number[0], Sequence(1)));
        let digest = bundle.envelopes().next().unwrap().digest();
        let (key, swarm) = (node.world.swarm.node_key.clone(), node.world.swarm.id);
        let place = (first.lane, 0);
        let word = Accepted::sign(&key, &swarm, &node.session, place, 5, &[(0, digest)]).unwrap();
        node.say(FromNode::Accepted(word)).await;
        let receipt = told.await.unwrap().unwrap();
        assert_eq!((receipt.digest, receipt.record), (digest, 5));
        node.say(FromNode::Settled(Settled { lane: first.lane, bundles: 1 })).await;
        node.say(FromNode::Settled(Settled { lane: 0, bundles: 1 })).await;
        client.flush().await;
        assert_eq!(client.unsettled(), 0);
        let larger = message("other", "read:logs", &"x".repeat(MIB + 1));
        assert_eq!(client.tell(larger).await, Err(SendError::TooLarge(MIB + 1, MIB)));
    });
}

#[test]
fn what_comes_on_a_lane_is_signed_for_and_then_acknowledged_there() {
    sim(async {
        let (mut node, client, mut inbox) = Scripted::link().await;
        let sender = identity(&node.world, "sender");
        let header = node.header(&sender, 2, 1);
        let frame = node.delivery(&sender, 1, header, &vec![b'x'; MIB]);
        let mut lane = node.connection.open_uni().await.unwrap();
        lane.write_all(&[3]).await.unwrap();
        write_frame(&mut lane, frame).await.unwrap();
        let delivery = inbox.next().await.unwrap();
        assert_eq!((delivery.body().len(), delivery.message()), (MIB, header.message));
        let FromAgent::Received(word) = node.hear().await else { panic!("no receipt first") };
        assert_eq!((word.session, &word.messages[..]), (header.session, &[(3, 1, 0)][..]));
        let (me, swarm) = (key_of("me").public(), node.world.swarm.id);
        assert!(is_received(&word.signature, &me, &swarm, &header.session, &[delivery.digest()]));
        let expected = Acknowledge { lane: 3, upto: 1, refused: Vec::new() };
        assert_eq!(node.hear().await, FromAgent::Acknowledge(expected));
        assert!(client.is_open());
        let mut again = node.connection.open_uni().await.unwrap();
        again.write_all(&[3]).await.unwrap();
        node.connection.closed().await;
        assert!(!client.is_open(), "a lane opened twice");
    });
}

#[test]
fn parts_that_are_taken_are_credited_and_a_request_given_up_is_cancelled() {
    sim(async {
        let (mut node, client, _inbox) = Scripted::link().await;
        let replier = identity(&node.world, "other");
        let mut parts = client.stream(message("other", "read:logs", "question")).await.unwrap();
        let request = parts.request();
        assert_eq!(node.bundle().await.first().unwrap().message, request);
        for index in 0..3 {
            node.part(&replier, request, (index, false), &[b'x'; 60_000]).await;
            assert_eq!(parts.next().await.unwrap().unwrap().body().len(), 60_000);
        }
        let mut credits = Vec::new();
        while let FromAgent::Credit(_) | FromAgent::Acknowledge(_) = {
            let heard = node.hear().await;
            if let FromAgent::Credit(credit) = &heard {
                credits.push(credit.bytes);
            }
            heard
        } {
            if !credits.is_empty() {
                break;
            }
        }
        assert_eq!(credits, [180_000]);
        drop(parts);
        // The node may not have the request yet, for all that the client knows: its bundle is not settled.
        node.say(FromNode::Settled(Settled { lane: 0, bundles: 1 })).await;
        loop {
            match node.hear().await {
                FromAgent::Acknowledge(_) => {}
                heard => {
                    assert_eq!(heard, FromAgent::Cancel(Cancel { request }));
                    break;
                }
            }
        }
    });
}

#[test]
fn a_part_out_of_order_is_refused_and_ends_the_answer() {
    sim(async {
        let (mut node, client, _inbox) = Scripted::link().await;
        let replier = identity(&node.world, "other");
        let mut parts = client.stream(message("other", "read:logs", "question")).await.unwrap();
        let request = parts.request();
        node.bundle().await;
        node.part(&replier, request, (0, false), b"zero").await;
        node.part(&replier, request, (2, true), b"two").await;
        assert_eq!(parts.next().await.unwrap().unwrap().body(), "zero");
        let broken = SendError::Refused { refusal: Refusal::Malformed, rules: Vec::new() };
        assert_eq!(parts.next().await.unwrap().unwrap_err(), broken);
        assert!(parts.next().await.is_none());
    });
}

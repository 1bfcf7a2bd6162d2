//! The peer that misbehaves on purpose: a real link with its streams in hand, and nobody's manners.

pub(crate) mod talk;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream, TransportConfig, VarInt};
use testudo_bus::client::{self, ClientIdentity, DialError, OpenLink};
use testudo_bus::env::random;
use testudo_bus::stream::{FrameReader, prefix, write_frame};
use testudo_bus::{tls, transport};
use testudo_rules::token::SealedToken;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Hello, Present, RefusedMessage};
use testudo_wire::{
    Bundle, ContentType, CorrelationId, Destination, Envelope, Header, Limits, MessageId, ReceiptWish,
    Refusal, Sequence, SessionId, TokenId, Ttl,
};
use tokio::time::timeout;

use super::World;
use super::swarm::{capability, name};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A link that does what a test says.
pub(crate) struct Mallory {
    pub(crate) link: OpenLink,
    pub(crate) identity: ClientIdentity,
    pub(crate) token: TokenId,
    deliveries: FrameReader,
    sequence: u64,
    endpoint: quinn::Endpoint,
    beats: u64,
}

/// A connection after TLS and nothing else.
pub(crate) async fn raw(world: &World, identity: &ClientIdentity) -> Connection {
    let (_, endpoint) = world.endpoint();
    let env = world.swarm.env.another();
    let tls = tls::client_config(identity.trust.clone(), identity.chain.clone(), &identity.key, env).unwrap();
    endpoint
        .connect_with(transport::client(tls, world.address), world.address, "testudo")
        .unwrap()
        .await
        .unwrap()
}

/// A link that grants the node so little room that its writer is soon stuck.
pub(crate) struct Narrow {
    pub(crate) connection: Connection,
    pub(crate) answers: FrameReader,
    _control: SendStream,
    deliveries: FrameReader,
}

impl Narrow {
    /// A connection whose streams take so many bytes before they are read; `None` grants no stream at all.
    pub(crate) async fn connect(
        world: &World,
        identity: &ClientIdentity,
        window: Option<u32>,
    ) -> (Connection, SendStream, FrameReader) {
        let (_, endpoint) = world.endpoint();
        let env = world.swarm.env.another();
        let (trust, chain) = (identity.trust.clone(), identity.chain.clone());
        let tls = tls::client_config(trust, chain, &identity.key, env).unwrap();
        let (mut client, mut config) = (transport::client(tls, world.address), TransportConfig::default());
        match window {
            Some(bytes) => config.stream_receive_window(VarInt::from_u32(bytes)),
            None => config.max_concurrent_uni_streams(VarInt::from_u32(0)),
        };
        client.transport_config(Arc::new(config));
        let connection = endpoint.connect_with(client, world.address, "testudo").unwrap().await.unwrap();
        let (mut control, answers) = connection.open_bi().await.unwrap();
        let hello = FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 });
        write_frame(&mut control, hello.encode().unwrap()).await.unwrap();
        let mut answers = FrameReader::new(answers, Limits::standard().control_bytes_max);
        answers.next().await.unwrap().expect("a welcome");
        (connection, control, answers)
    }

    pub(crate) async fn dial(world: &World, identity: &ClientIdentity, window: u32) -> Self {
        let (connection, control, answers) = Self::connect(world, identity, Some(window)).await;
        let stream = client::deliveries(&connection, world.address).await.unwrap();
        Self { connection, answers, _control: control, deliveries: FrameReader::new(stream, 1 << 20) }
    }

    /// The next delivery frame; nothing when none comes within a second.
    pub(crate) async fn take(&mut self) -> Option<Bytes> {
        timeout(Duration::from_secs(1), self.deliveries.next()).await.ok()?.ok()?
    }
}

/// Says hello on a connection whose streams take so many bytes before they are read, and hears nothing yet.
pub(crate) async fn greeting(
    world: &World,
    identity: &ClientIdentity,
    window: u32,
    renews: Option<SessionId>,
) -> (Connection, SendStream, RecvStream) {
    let (_, endpoint) = world.endpoint();
    let env = world.swarm.env.another();
    let (trust, chain) = (identity.trust.clone(), identity.chain.clone());
    let tls = tls::client_config(trust, chain, &identity.key, env).unwrap();
    let (mut client, mut config) = (transport::client(tls, world.address), TransportConfig::default());
    config.stream_receive_window(VarInt::from_u32(window));
    client.transport_config(Arc::new(config));
    let connection = endpoint.connect_with(client, world.address, "testudo").unwrap().await.unwrap();
    let (mut control, answers) = connection.open_bi().await.unwrap();
    let hello = FromAgent::Hello(Hello { version: 1, seen: None, renews, trust: 0 });
    write_frame(&mut control, hello.encode().unwrap()).await.unwrap();
    (connection, control, answers)
}

/// Why the node closed a connection.
pub(crate) async fn closed(connection: &Connection) -> CloseReason {
    let error = timeout(PATIENCE, connection.closed()).await.expect("still open");
    let explained = client::explain(&error, connection.remote_address());
    let DialError::Closed(reason) = explained else { panic!("closed for {explained} ({error:?})") };
    reason
}

impl Mallory {
    /// Opens a link and presents the identity's own token.
    pub(crate) async fn dial(world: &World, identity: ClientIdentity) -> Self {
        Self::dial_renewing(world, identity, None).await
    }

    /// The same on a link that renews the one of this session.
    pub(crate) async fn dial_renewing(
        world: &World,
        identity: ClientIdentity,
        renews: Option<SessionId>,
    ) -> Self {
        let (_, endpoint) = world.endpoint();
        let env = world.swarm.env.another();
        let dialled = client::dial_renewing(&endpoint, world.address, &identity, None, renews, env);
        let link = dialled.await.unwrap();
        let stream = client::deliveries(&link.connection, world.address).await.unwrap();
        let limits = Limits::standard();
        let frame_max = 4 + limits.annotation_bytes_max + limits.bundle_bytes_max;
        let deliveries = FrameReader::new(stream, frame_max);
        let token = identity.token.seal().unwrap();
        let mut mallory =
            Self { link, identity, token: token.id(), deliveries, sequence: 0, endpoint, beats: 0 };
        assert_eq!(mallory.present(&token).await, None);
        mallory
    }

    pub(crate) async fn say(&mut self, frame: FromAgent) {
        write_frame(&mut self.link.control, frame.encode().unwrap()).await.unwrap();
    }

    /// The next control frame that a test asks about.
    pub(crate) async fn hear(&mut self) -> FromNode {
        loop {
            let frame = timeout(PATIENCE, self.link.answers.next()).await.expect("silence").unwrap().unwrap();
            match FromNode::decode(&frame, &Limits::standard()).unwrap() {
                FromNode::Settled(_) | FromNode::Revoked(_) => {}
                frame @ (FromNode::Welcome(_)
                | FromNode::Presented(_)
                | FromNode::RefusedBundle(_)
                | FromNode::RefusedMessages(_)
                | FromNode::Accepted(_)
                | FromNode::Subscribed(_)
                | FromNode::Cancelled(_)
                | FromNode::Credited(_)
                | FromNode::Delivered(_)
                | FromNode::Introduced(_)
                | FromNode::Lost(_)
                | FromNode::CopiesRefused(_)
                | FromNode::Renewed(_)
                | FromNode::Trust(_)) => return frame,
            }
        }
    }

    /// Presents a token; the node's refusal, if any.
    pub(crate) async fn present(&mut self, token: &SealedToken) -> Option<Refusal> {
        self.say(FromAgent::Present(Present { token: token.bytes().to_vec() })).await;
        let heard = self.hear().await;
        let FromNode::Presented(word) = heard else { panic!("no word on the token but {heard:?}") };
        assert_eq!(word.token, token.id());
        word.refusal
    }

    /// A header that is right in everything.
    pub(crate) fn header(&mut self, to: &str, what: &str) -> Header {
        self.sequence += 1;
        let env = &*self.env();
        Header {
            swarm: self.identity.swarm(),
            sender: self.identity.name,
            key: *self.identity.key.public().as_bytes(),
            destination: Destination::Agent(name(to)),
            capability: Some(capability(what)),
            message: MessageId::new(random(env)),
            timestamp: self.link.welcome.seen.time,
            session: self.link.welcome.seen.session,
            lane: 0,
            sequence: Sequence(self.sequence),
            correlation: CorrelationId::new(random(env)),
            in_reply_to: None,
            part: None,
            receipt: ReceiptWish::Accepted,
            trace: None,
            token: self.token,
            ttl: Ttl::default(),
            content_type: ContentType::text(),
        }
    }

    fn env(&self) -> testudo_bus::env::SharedEnv {
        let mut link = [0; 8];
        link.copy_from_slice(&self.link.welcome.seen.session.as_bytes()[..8]);
        Arc::new(Counted(self.sequence, link))
    }

    /// Signs headers, each with the body "hello", with this identity's key.
    pub(crate) fn bundle(&self, headers: &[Header]) -> Bundle {
        let envelopes = headers.iter().map(|header| Envelope::encode(*header, b"hello")).collect();
        Bundle::sign(envelopes, &self.identity.key, &Limits::standard()).unwrap()
    }

    /// A bundle of one message that is right in everything.
    pub(crate) fn good(&mut self, to: &str, what: &str) -> Bundle {
        let header = self.header(to, what);
        self.bundle(&[header])
    }

    pub(crate) async fn send(&mut self, bundle: &[u8]) {
        let mut chunks = [prefix(bundle.len()), Bytes::copy_from_slice(bundle)];
        self.link.data.write_all_chunks(&mut chunks).await.unwrap();
    }

    /// Sends a bundle; the node's word on it: `None` when all of it was accepted.
    pub(crate) async fn try_send(&mut self, bundle: &[u8]) -> Option<Refusal> {
        self.send(bundle).await;
        match self.hear().await {
            FromNode::Accepted(_) => None,
            FromNode::RefusedBundle(refused) => Some(refused.refusal),
            FromNode::RefusedMessages(refused) => refused.first().map(|one: &RefusedMessage| one.refusal),
            other @ (FromNode::Welcome(_)
            | FromNode::Presented(_)
            | FromNode::Settled(_)
            | FromNode::Subscribed(_)
            | FromNode::Cancelled(_)
            | FromNode::Credited(_)
            | FromNode::Delivered(_)
            | FromNode::Introduced(_)
            | FromNode::Lost(_)
            | FromNode::CopiesRefused(_)
            | FromNode::Renewed(_)
            | FromNode::Trust(_)
            | FromNode::Revoked(_)) => panic!("no word on the bundle but {other:?}"),
        }
    }

    /// The next delivery frame, unread, unacknowledged.
    pub(crate) async fn take(&mut self) -> Option<Bytes> {
        timeout(PATIENCE, self.deliveries.next()).await.ok()?.ok()?
    }

    /// Why the node closed this link.
    pub(crate) async fn closed(&self) -> CloseReason {
        closed(&self.link.connection).await
    }

    /// Where its datagrams come from.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// Gone without a word: not even the transport says goodbye.
    pub(crate) fn vanish(self, world: &World) {
        let address = self.endpoint.local_addr().unwrap();
        world.net.cut(address, world.address);
    }
}

/// Ids that differ, by link and sequence, no more.
#[derive(Debug)]
struct Counted(u64, [u8; 8]);

impl testudo_bus::env::Env for Counted {
    fn now(&self) -> testudo_wire::Timestamp {
        testudo_wire::Timestamp::from_millis(0)
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
        bytes[..8].copy_from_slice(&self.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.1);
    }
}

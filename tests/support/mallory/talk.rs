//! What the misbehaving peer says and reads beside plain bundles: topics, requests and answers in parts, receipts,
//! lanes; deliveries as they came, acknowledged only when a test says so.

use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use testudo_bus::stream::{FrameReader, prefix};
use testudo_wire::frame::{
    Acknowledge, Annotation, FromAgent, FromNode, Heartbeat, Received, RefusedDelivery, Subscription,
    sign_received,
};
use testudo_wire::{
    Bundle, Destination, Digest, Envelope, Header, Limits, MessageId, Part, ReceiptWish, Refusal, Resource,
    SessionId,
};
use tokio::time::timeout;

use super::{Mallory, PATIENCE};

/// Bodies over 64 KiB, as the test nodes take them.
pub(crate) const LARGE: Limits = Limits::of_lanes(1024 * 1024);

/// One delivery.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) annotation: Annotation,
    pub(crate) bundle: Bundle,
}

impl Given {
    pub(crate) fn read(frame: &Bytes, limits: &Limits) -> Self {
        let len = u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize;
        let annotation = Annotation::decode(&frame[4..4 + len], limits).unwrap();
        Self { annotation, bundle: Bundle::decode(frame.slice(4 + len..), limits).unwrap() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.annotation.delivery
    }

    pub(crate) fn headers(&self) -> Vec<Header> {
        self.bundle.envelopes().map(|envelope| *envelope.header()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.headers().iter().map(|header| header.message).collect()
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.bundle.envelopes().map(Envelope::digest).collect()
    }
}

pub(crate) fn topic(text: &str) -> Resource {
    Resource::parse(text).unwrap()
}

/// One lane from the node.
pub(crate) struct LaneIn(FrameReader);

impl LaneIn {
    /// The next delivery; nothing when none comes within a few seconds.
    pub(crate) async fn given(&mut self) -> Option<Given> {
        let frame = timeout(Duration::from_secs(5), self.0.next()).await.ok()?.ok()??;
        Some(Given::read(&frame, &LARGE))
    }
}

impl Mallory {
    /// The next delivery on lane 0; nothing when none comes within a second.
    pub(crate) async fn given(&mut self) -> Option<Given> {
        let frame = timeout(Duration::from_secs(1), self.deliveries.next()).await.ok()?.ok()??;
        Some(Given::read(&frame, &Limits::standard()))
    }

    /// Everything that comes on lane 0 until nothing comes for a second, acknowledged.
    pub(crate) async fn drain(&mut self) -> Vec<Given> {
        let mut all = Vec::new();
        while let Some(given) = self.given().await {
            self.acknowledge(0, given.number()).await;
            all.push(given);
        }
        all
    }

    /// Takes and acknowledges what comes without a pause.
    pub(crate) async fn drain_quickly(&mut self) {
        let pause = Duration::from_millis(20);
        while let Ok(Ok(Some(frame))) = timeout(pause, self.deliveries.next()).await {
            self.acknowledge(0, Given::read(&frame, &Limits::standard()).number()).await;
        }
    }

    pub(crate) async fn acknowledge(&mut self, lane: u8, upto: u64) {
        self.say(FromAgent::Acknowledge(Acknowledge { lane, upto, refused: Vec::new() })).await;
    }

    /// Acknowledges everything and refuses some of it.
    pub(crate) async fn refuse(&mut self, upto: u64, refused: Vec<RefusedDelivery>) {
        self.say(FromAgent::Acknowledge(Acknowledge { lane: 0, upto, refused })).await;
    }

    /// A sign of life.
    pub(crate) async fn beat(&mut self) {
        self.beats += 1;
        let (swarm, session) = (self.identity.swarm(), self.link.welcome.seen.session);
        self.say(FromAgent::Heartbeat(Heartbeat::sign(&self.identity.key, &swarm, &session, self.beats)))
            .await;
    }

    /// The next word that a test asks about; nothing when none comes in time.
    pub(crate) async fn hear_within(&mut self, time: Duration) -> Option<FromNode> {
        timeout(time, self.hear()).await.ok()
    }

    /// Asserts that the node has nothing to say for a second.
    #[track_caller]
    pub(crate) fn silence(&mut self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let heard = self.hear_within(Duration::from_secs(1)).await;
            assert!(heard.is_none(), "heard {heard:?} at {place}");
        }
    }

    pub(crate) async fn subscribe(&mut self, text: &str) -> Option<Refusal> {
        self.say(FromAgent::Subscribe(Subscription { topic: topic(text) })).await;
        let heard = self.hear().await;
        let FromNode::Subscribed(word) = heard else { panic!("no word on the topic but {heard:?}") };
        assert_eq!(word.topic, topic(text));
        word.refusal
    }

    /// A plain message that wishes no receipt.
    pub(crate) fn plain(&mut self, to: &str, what: &str) -> Header {
        Header { receipt: ReceiptWish::None, ..self.header(to, what) }
    }

    /// A publication that wishes no receipt.
    pub(crate) fn publication(&mut self, text: &str) -> Header {
        let destination = Destination::Topic(topic(text));
        Header { destination, ..self.plain("nobody", &format!("publish:{text}")) }
    }

    /// A message for any server.
    pub(crate) fn served(&mut self, what: &str) -> Header {
        Header { destination: Destination::Service, ..self.plain("nobody", what) }
    }

    /// A request.
    pub(crate) fn request(&mut self, to: &str, what: &str) -> Header {
        Header { receipt: ReceiptWish::Reply, ..self.header(to, what) }
    }

    /// An answer to a request, or one part of it.
    pub(crate) fn answer(&mut self, request: &Header, part: Option<(u32, bool)>) -> Header {
        Header {
            destination: Destination::Reply(request.sender),
            capability: None,
            in_reply_to: Some(request.message),
            part: part.map(|(index, last)| Part { index, last }),
            correlation: request.correlation,
            ..self.plain("nobody", "reply:nobody")
        }
    }

    /// Signs one message with a body of its own.
    pub(crate) fn with_body(&self, header: Header, body: &[u8], limits: &Limits) -> Bundle {
        Bundle::sign(vec![Envelope::encode(header, body)], &self.identity.key, limits).unwrap()
    }

    /// Sends messages as one bundle and does not wait.
    pub(crate) async fn post(&mut self, headers: &[Header]) {
        let bundle = self.bundle(headers);
        self.send(bundle.bytes()).await;
    }

    /// Sends messages as one bundle; the node's word on it.
    pub(crate) async fn try_post(&mut self, headers: &[Header]) -> Option<Refusal> {
        let receipted: Vec<_> = headers
            .iter()
            .map(|header| match header.receipt {
                ReceiptWish::None => Header { receipt: ReceiptWish::Accepted, ..*header },
                ReceiptWish::Accepted | ReceiptWish::Delivered | ReceiptWish::Reply => *header,
            })
            .collect();
        let bundle = self.bundle(&receipted);
        self.try_send(bundle.bytes()).await
    }

    /// The receipt for messages of a delivery, as an honest receiver signs it.
    pub(crate) fn receipt(&self, lane: u8, given: &Given) -> Received {
        let session = given.headers()[0].session;
        self.receipt_for(lane, given, session, &given.digests())
    }

    /// A receipt that says anything.
    pub(crate) fn receipt_for(
        &self,
        lane: u8,
        given: &Given,
        session: SessionId,
        digests: &[Digest],
    ) -> Received {
        let signature = sign_received(&self.identity.key, &self.identity.swarm(), &session, digests).unwrap();
        let places = 0..u16::try_from(given.ids().len()).unwrap();
        Received { session, messages: places.map(|at| (lane, given.number(), at)).collect(), signature }
    }

    /// Opens a lane to the node.
    pub(crate) async fn lane(&mut self, lane: u8) -> SendStream {
        let mut stream = self.link.connection.open_uni().await.unwrap();
        stream.write_all(&[lane]).await.unwrap();
        stream
    }

    /// The next lane that the node opens, and its number.
    pub(crate) async fn lane_in(&mut self) -> (u8, LaneIn) {
        let opened = timeout(PATIENCE, self.link.connection.accept_uni()).await.expect("no lane");
        let mut stream: RecvStream = opened.unwrap();
        let mut lane = [0xff];
        stream.read_exact(&mut lane).await.unwrap();
        (lane[0], LaneIn(FrameReader::new(stream, 8 + 1024 * 1024 + 256 * 1024)))
    }
}

/// Writes one bundle to a lane.
pub(crate) async fn give(stream: &mut SendStream, bundle: &[u8]) {
    let mut chunks = [prefix(bundle.len()), Bytes::copy_from_slice(bundle)];
    stream.write_all_chunks(&mut chunks).await.unwrap();
}

/// A header for a lane.
pub(crate) fn on_lane(lane: u8, header: Header) -> Header {
    Header { lane, ..header }
}

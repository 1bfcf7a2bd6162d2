//! Examples of topics, services, answers in parts and receipts, for the page.

use testudo_wire::frame::{
    Accepted, Cancel, Cancelled, CopiesRefused, Credit, Delivered, FromAgent, FromNode, Hello, Introduced,
    Lost, Presented, Received, RefusedBundle, RefusedMessage, Renew, Renewed, Subscribed, Subscription,
    Trusts, Whois, is_received, sign_received,
};
use testudo_wire::trust::Statement;
use testudo_wire::{
    Capability, Destination, Envelope, Header, Limits, Part, Purpose, ReceiptWish, Refusal, Resource,
    Timestamp, TokenId, tree,
};

use super::{SESSION, TOKEN, agent, envelopes, from_agent, from_node, header, hex, id, key, swarm};

/// Headers of the other kinds of message: to a service, to a topic, a part of an answer on a lane of its own.
pub(super) fn kinds() -> Vec<(&'static str, String)> {
    let capability = |text| Some(Capability::parse(text).unwrap());
    let service = Header { destination: Destination::Service, ..header("bob", 5) };
    let topic = Destination::Topic(Resource::parse("alerts").unwrap());
    let publication = Header {
        destination: topic,
        capability: capability("publish:alerts"),
        receipt: ReceiptWish::None,
        ..header("bob", 6)
    };
    let part = Header {
        destination: Destination::Reply(agent("eve")),
        capability: None,
        in_reply_to: Some(id(0xe1)),
        part: Some(Part { index: 2, last: true }),
        receipt: ReceiptWish::None,
        lane: 3,
        ..header("eve", 7)
    };
    let read = |header: Header| {
        let envelope = Envelope::encode(header, b"");
        let bytes = envelope.bytes();
        assert_eq!(*Envelope::decode(bytes.to_vec().into(), &Limits::standard()).unwrap().header(), header);
        hex(bytes)
    };
    vec![("to-service", read(service)), ("to-topic", read(publication)), ("part", read(part))]
}

/// The receipt *delivered*: bob signs for two of ada's messages.
pub(super) fn receipts() -> Vec<(&'static str, String)> {
    let wished = |sequence| Header { receipt: ReceiptWish::Delivered, ..header("bob", sequence) };
    let digests = [8, 9].map(|sequence| Envelope::encode(wished(sequence), br#"{"n":1}"#).digest());
    let root = tree::root(&digests).unwrap();
    let preimage = [Purpose::Receipt.tag(), swarm().as_bytes(), SESSION.as_bytes(), root.as_bytes()].concat();
    let signature = sign_received(&key(4), &swarm(), &SESSION, &digests).unwrap();
    assert_eq!(signature, key(4).sign_bytes(&preimage));
    assert!(is_received(&signature, &key(4).public(), &swarm(), &SESSION, &digests));
    let messages = vec![(0, 4, 0), (0, 5, 2)];
    let received = Received { session: SESSION, messages, signature };
    let delivered = Delivered { receiver: agent("bob"), messages: vec![id(0xa8), id(0xa9)], signature };
    vec![
        ("receipt-tree", format!("leaf 0     {}\nleaf 1     {}\nroot       {root}", digests[0], digests[1])),
        ("receipt-preimage", hex(&preimage)),
        ("received", from_agent(&FromAgent::Received(received))),
        ("delivered", from_node(&FromNode::Delivered(delivered))),
    ]
}

/// What agents say besides: topics, answers in parts, who is who.
pub(super) fn words_of_agents() -> Vec<(&'static str, String)> {
    let subscription = Subscription { topic: Resource::parse("alerts").unwrap() };
    let (request, bytes) = (id(0xa1), 180_000);
    let csr = Some(serde_bytes::ByteBuf::from(vec![0x30, 0x00]));
    [
        ("subscribe", FromAgent::Subscribe(subscription)),
        ("unsubscribe", FromAgent::Unsubscribe(subscription)),
        ("cancel", FromAgent::Cancel(Cancel { request })),
        ("credit", FromAgent::Credit(Credit { request, bytes })),
        ("whois", FromAgent::Whois(Whois { name: agent("bob") })),
        ("failed", FromAgent::Failed),
        ("renew", FromAgent::Renew(Renew { csr })),
        ("trusts", FromAgent::Trusts(Trusts { number: 1 })),
        ("renew-without", FromAgent::Renew(Renew { csr: None })),
        (
            "hello-renewing",
            FromAgent::Hello(Hello { version: 1, seen: None, renews: Some(SESSION), trust: 0 }),
        ),
    ]
    .map(|(name, frame)| (name, from_agent(&frame)))
    .into()
}

/// What nodes say besides.
pub(super) fn words_of_nodes() -> Vec<(&'static str, String)> {
    let leaves: Vec<_> = envelopes().iter().map(Envelope::digest).collect();
    let (first, second) = ((1, leaves[1]), (2, leaves[2]));
    let accepted = Accepted::sign(&key(2), &swarm(), &SESSION, (0, 0), 5, &[first, second]).unwrap();
    assert!(accepted.is_signed_by(&key(2).public(), &swarm(), &SESSION, &leaves));
    let poisoned =
        RefusedMessage { message: id(0xa2), refusal: Refusal::Poisoned, rules: vec!["rule".into()] };
    let unroutable = RefusedMessage { message: id(0xa3), refusal: Refusal::Unroutable, rules: Vec::new() };
    let topic = Resource::parse("alerts").unwrap();
    let token = TOKEN.parse::<TokenId>().unwrap();
    let credit = |number, bytes| Credit { request: id(number), bytes };
    let chain = vec![serde_bytes::ByteBuf::from(vec![0x30, 0x00])];
    let token_bytes = Some(serde_bytes::ByteBuf::from(vec![1, 2, 3]));
    let renewed = Renewed { refusal: None, chain: chain.clone(), token: token_bytes };
    let statement = Statement {
        swarm: swarm(),
        number: 1,
        time: Timestamp::from_millis(1_767_225_600_000),
        authorities: vec![key(1).public(), key(5).public()],
        cas: vec![serde_bytes::ByteBuf::from(vec![0xca; 3])],
    };
    let copies = CopiesRefused { to: agent("bob"), refusal: Refusal::Overloaded, count: 300 };
    [
        ("presented", FromNode::Presented(Presented { token, refusal: Some(Refusal::ExpiredToken) })),
        (
            "refused-bundle",
            FromNode::RefusedBundle(RefusedBundle { lane: 2, bundle: 1, refusal: Refusal::OverQuota }),
        ),
        ("refused-messages", FromNode::RefusedMessages(vec![poisoned, unroutable])),
        ("accepted", FromNode::Accepted(accepted)),
        ("subscribed", FromNode::Subscribed(Subscribed { topic, refusal: None })),
        (
            "subscribed-refused",
            FromNode::Subscribed(Subscribed { topic, refusal: Some(Refusal::Unauthorised) }),
        ),
        ("cancelled", FromNode::Cancelled(Cancelled { requests: vec![id(0xa1), id(0xa2)] })),
        ("credited", FromNode::Credited(vec![credit(0xa1, 180_000), credit(0xa2, 256)])),
        ("introduced", FromNode::Introduced(Introduced { name: agent("bob"), chain })),
        ("lost", FromNode::Lost(Lost { messages: vec![id(0xa1)] })),
        ("copies-refused", FromNode::CopiesRefused(vec![copies])),
        ("renewed", FromNode::Renewed(renewed)),
        ("trust", FromNode::Trust(Box::new(statement.sign(&key(1)).unwrap()))),
    ]
    .map(|(name, frame)| (name, from_node(&frame)))
    .into()
}

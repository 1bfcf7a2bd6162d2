//! The worked example of docs/protocol.md, made anew from this crate: what the page shows must be what the
//! code writes. With `TESTUDO_REGENERATE=1` the blocks are rewritten in place.

#![expect(clippy::unwrap_used, reason = "a test of fixed inputs")]

use testudo_wire::frame::{
    Acknowledge, Annotation, CloseReason, FromAgent, FromNode, GossipFromAgent, GossipFromNode, Heartbeat,
    Hello, Notice, Present, RefusedDelivery, Revoked, Seen, Settled, Welcome,
};
use testudo_wire::standing::Quota;
use testudo_wire::{
    AgentName, Bundle, Capability, ContentType, CorrelationId, Destination, Envelope, Header, Limits,
    MessageId, NodeName, PublicKey, Purpose, ReceiptWish, Refusal, RegistrySequence, SecretKey, Sequence,
    SessionId, SpiffeId, SwarmId, Timestamp, TokenFactId, TokenId, Ttl, tree,
};

#[path = "protocol_doc/gossip.rs"]
mod gossip;
#[path = "protocol_doc/joining.rs"]
mod joining;
#[path = "protocol_doc/words.rs"]
mod words;

use gossip::gossip;
use joining::joining;
use words::{kinds, receipts, words_of_agents, words_of_nodes};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
const SESSION: SessionId = SessionId::new([0x55; 16]);
/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// The id of the page's own token example, which testudo-rules makes.
const TOKEN: &str = "0e28f526766b0cf6816f54d44b5d4c9daff9732cb766b7e09a02d61d5b20fe76";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn swarm() -> SwarmId {
    SwarmId::of(&key(1).public())
}

fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

/// Hex, 64 digits a line.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(hex::encode).collect::<Vec<_>>().join("\n")
}

fn id(number: u8) -> MessageId {
    MessageId::new([number; 16])
}

fn header(to: &str, sequence: u64) -> Header {
    let number = u8::try_from(sequence).unwrap();
    Header {
        swarm: swarm(),
        sender: agent("ada"),
        key: *key(3).public().as_bytes(),
        destination: Destination::Agent(agent(to)),
        capability: Some(Capability::parse("read:logs").unwrap()),
        message: id(0xa0 + number),
        timestamp: NOW,
        session: SESSION,
        lane: 0,
        sequence: Sequence(sequence),
        correlation: CorrelationId::new([0xc0; 16]),
        in_reply_to: None,
        part: None,
        receipt: if sequence == 1 { ReceiptWish::Reply } else { ReceiptWish::Accepted },
        trace: None,
        token: TOKEN.parse::<TokenId>().unwrap(),
        ttl: Ttl::default(),
        content_type: ContentType::json(),
    }
}

fn envelope(to: &str, sequence: u64, body: &str) -> Envelope {
    Envelope::encode(header(to, sequence), body.as_bytes())
}

fn envelopes() -> Vec<Envelope> {
    vec![envelope("bob", 1, r#"{"n":1}"#), envelope("bob", 2, r#"{"n":2}"#), envelope("cyd", 3, r#"{"n":3}"#)]
}

fn identities() -> Vec<(&'static str, String)> {
    let line = |name: &str, seed: u8| {
        format!("{name:<9} seed {}\n{name:<9} key  {}\n", hex(&[seed; 32]), key(seed).public())
    };
    let keys = [("authority", 1), ("node", 2), ("ada", 3), ("bob", 4)].map(|(name, seed)| line(name, seed));
    let ids = [
        SpiffeId::Agent(swarm(), agent("ada")),
        SpiffeId::Agent(swarm(), agent("bob")),
        SpiffeId::Node(swarm(), NodeName::parse("hub").unwrap()),
    ];
    vec![
        ("keys", format!("{}swarm id       {}", keys.concat(), swarm())),
        ("spiffe", ids.map(|id| id.to_string()).join("\n")),
    ]
}

fn bundles() -> Vec<(&'static str, String)> {
    let envelopes = envelopes();
    let first = envelopes[0].clone();
    let header = &first.bytes()[..first.bytes().len() - first.body().len()];
    let leaves: Vec<_> = envelopes.iter().map(Envelope::digest).collect();
    let whole = Bundle::sign(envelopes, &key(3), &Limits::standard()).unwrap();
    let preimage = [
        Purpose::Bundle.tag(),
        swarm().as_bytes(),
        key(3).public().as_bytes(),
        SESSION.as_bytes(),
        &3_u16.to_be_bytes(),
        whole.root().as_bytes(),
    ]
    .concat();
    assert_eq!(whole.bytes()[2..66], *key(3).sign_bytes(&preimage).as_bytes());
    let pruned = whole.prune(&|at| at == 1).unwrap();
    assert!(Bundle::decode(pruned.bytes().clone(), &Limits::standard()).unwrap().is_signed_by(&ada()));
    let left = tree::node(&leaves[0], &leaves[1]);
    vec![
        ("header", hex(header)),
        ("body", hex(&first.body())),
        ("leaf", leaves[0].to_string()),
        (
            "tree",
            format!(
                "leaf 0     {}\nleaf 1     {}\nleaf 2     {}\nnode(0, 1) {left}\nroot       {}",
                leaves[0],
                leaves[1],
                leaves[2],
                whole.root()
            ),
        ),
        ("preimage", hex(&preimage)),
        ("signature", hex(&whole.bytes()[2..66])),
        ("bundle", hex(whole.bytes())),
        ("pruned", hex(pruned.bytes())),
    ]
}

fn ada() -> PublicKey {
    key(3).public()
}

fn from_agent(frame: &FromAgent) -> String {
    let bytes = frame.encode().unwrap();
    assert_eq!(FromAgent::decode(&bytes, &Limits::standard()).as_ref(), Ok(frame));
    hex(&bytes)
}

fn from_node(frame: &FromNode) -> String {
    let bytes = frame.encode().unwrap();
    assert_eq!(FromNode::decode(&bytes, &Limits::standard()).as_ref(), Ok(frame));
    hex(&bytes)
}

fn frames() -> Vec<(&'static str, String)> {
    let seen = Seen::sign(&key(2), &swarm(), &ada(), SESSION, RegistrySequence(7), NOW);
    let refused = RefusedDelivery { delivery: 8, position: 1, refusal: Refusal::Stale };
    let whole = RefusedDelivery { delivery: 9, position: u16::MAX, refusal: Refusal::Unauthentic };
    let notice = Notice {
        registry: RegistrySequence(9),
        agents: vec![(agent("bob"), key(4).public(), RegistrySequence(9))],
        tokens: vec![TokenFactId::new([0x1d; 16])],
    };
    let annotation = Annotation {
        delivery: 1,
        alerts: vec![(0, vec!["rule".into()])],
        registry: RegistrySequence(7),
        time: NOW,
        tokens: Vec::new(),
    };
    let welcome = Welcome {
        seen,
        heartbeat_ms: 30_000,
        window: 524_288,
        quota: Quota::default(),
        body: 1_048_576,
        trust: 0,
    };
    vec![
        ("hello", from_agent(&FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 }))),
        (
            "hello-again",
            from_agent(&FromAgent::Hello(Hello { version: 1, seen: Some(seen), renews: None, trust: 0 })),
        ),
        ("heartbeat", from_agent(&FromAgent::Heartbeat(Heartbeat::sign(&key(3), &swarm(), &SESSION, 1)))),
        ("present", from_agent(&FromAgent::Present(Present { token: vec![1, 2, 3] }))),
        (
            "acknowledge",
            from_agent(&FromAgent::Acknowledge(Acknowledge {
                lane: 0,
                upto: 9,
                refused: vec![refused, whole],
            })),
        ),
        ("goodbye", from_agent(&FromAgent::Goodbye)),
        ("welcome", from_node(&FromNode::Welcome(welcome))),
        ("settled", from_node(&FromNode::Settled(Settled { lane: 0, bundles: 300 }))),
        ("revoked", from_node(&FromNode::Revoked(Revoked::sign(&key(2), &swarm(), notice).unwrap()))),
        ("annotation", hex(&annotation.encode().unwrap())),
    ]
}

fn examples() -> Vec<(&'static str, String)> {
    let links = [identities(), bundles(), kinds(), frames(), words_of_agents(), words_of_nodes(), receipts()];
    [links.concat(), gossip(), joining()].concat()
}

/// Puts `block` in the place of the one that stands after the same comment.
fn replace(page: &str, comment: &str, block: &str) -> String {
    let at = page.find(comment).unwrap_or_else(|| panic!("no place for {comment}"));
    let body = at + comment.len() + page[at + comment.len()..].find("```text").unwrap() + "```text".len();
    let end = body + page[body..].find("\n```").unwrap() + "\n```".len();
    format!("{}{block}{}", &page[..at], &page[end..])
}

#[test]
fn the_page_shows_what_the_code_writes() {
    let mut page = std::fs::read_to_string(PAGE).unwrap();
    let regenerate = std::env::var_os("TESTUDO_REGENERATE").is_some_and(|value| value == "1");
    for (name, text) in examples() {
        let comment = format!("<!-- example: {name} -->");
        let block = format!("{comment}\n```text\n{text}\n```");
        if regenerate {
            page = replace(&page, &comment, &block);
        }
        assert!(page.contains(&block), "docs/protocol.md lacks this block; see TESTUDO_REGENERATE\n{block}");
    }
    if regenerate {
        std::fs::write(PAGE, page).unwrap();
    }
}

#[test]
fn the_page_lists_every_refusal_and_close_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, codes) = page.split_once("\n## 12. Codes\n").unwrap();
    let (refusals, closing) = codes.split_once("\n**Close codes**").unwrap();
    for refusal in Refusal::ALL {
        let row = format!("\n| {} | {refusal} | ", refusal.code());
        assert!(refusals.contains(&row), "docs/protocol.md lacks {refusal}");
    }
    for reason in CloseReason::ALL {
        let code = reason.code();
        let row = if code < 16 { format!("\n| {code} | ") } else { "\n| 16 / 17 / 18 / 19 | ".to_owned() };
        assert!(closing.contains(&row), "docs/protocol.md lacks close code {code}");
    }
}

#[test]
fn the_page_lists_every_frame_and_shows_one_of_each() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let examples = examples();
    for tag in (1_u8..=14).chain(16..=31).chain(32..=35).chain(40..=42) {
        assert!(page.contains(&format!("\n| {tag} | ")), "docs/protocol.md lacks the frame {tag}");
        let head = canonical_head(tag);
        assert!(examples.iter().any(|(_, text)| text.starts_with(&head)), "no example of the frame {tag}");
    }
    // Whatever else the code takes for a frame must have a row of its own.
    for tag in [36, 39, 43] {
        for fields in [0xc0, 0x90] {
            let frame = [0x92, tag, fields];
            assert!(GossipFromAgent::decode(&frame, &Limits::standard()).is_err(), "{tag}");
            assert!(GossipFromNode::decode(&frame, &Limits::standard()).is_err(), "{tag}");
        }
    }
    for tag in [0, 15, 32] {
        for fields in [0xc0, 0x90] {
            let frame = [0x92, tag, fields];
            assert!(FromAgent::decode(&frame, &Limits::standard()).is_err(), "{tag}");
            assert!(FromNode::decode(&frame, &Limits::standard()).is_err(), "{tag}");
        }
    }
}

/// The first bytes of every control frame: an array of two, and the tag.
fn canonical_head(tag: u8) -> String {
    hex(&[0x92, tag])
}

#[test]
fn the_page_says_the_limits_of_the_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, limits) = page.split_once("\n## 11. Windows, quotas, times\n").unwrap();
    let (limits, _) = limits.split_once("\n## 12. Codes\n").unwrap();
    let of = Limits::standard();
    let large = Limits::of_lanes(0);
    for said in [
        format!("| {} / {} |", of.bundle_envelopes_max, people(of.bundle_bytes_max)),
        format!("| {} / {} bytes |", people(of.body_bytes_max), people(of.header_bytes_max)),
        format!("| {} / {} bytes |", people(of.control_bytes_max), people(of.annotation_bytes_max)),
        format!("| {} bytes / {} blocks |", people(of.token_bytes_max), of.token_blocks_max),
        format!("| {} / {} |", of.depth_max, people(of.elements_max)),
        format!("| {} bytes; ", people(of.stream_window_bytes)),
        format!("| one envelope, `body` + {} bytes;", people(large.bundle_bytes_max)),
    ] {
        assert!(limits.contains(&said), "docs/protocol.md lacks the limit {said}");
    }
}

/// A number as the page writes it: 262,144.
fn people(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

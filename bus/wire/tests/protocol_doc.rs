//! The worked example of docs/protocol.md, made again from the code: a change of a byte is a change of the wire.
//!
//! `TESTUDO_REGENERATE=1` writes the example anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;

use testudo_wire::canonical::Writer;
use testudo_wire::frame::{Acknowledge, FromAgent, Heartbeat, Hello, RefusedDelivery, Seen};
use testudo_wire::{
    AgentName, Bundle, Capability, ContentType, CorrelationId, Destination, Envelope, Header, Limits,
    MessageId, ReceiptWish, Refusal, RegistrySequence, SecretKey, Sequence, SessionId, SpiffeId, SwarmId,
    Timestamp, TokenId, Ttl,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
const START: &str = "<!-- example: from here on written by `TESTUDO_REGENERATE=1 cargo test -p testudo-wire --test protocol_doc` -->\n";
const CODES: &str = "<!-- codes: refusals -->\n";
const SESSION: SessionId = SessionId::new([4; 16]);

struct Example(String);

impl Example {
    fn hex(&mut self, what: &str, bytes: &[u8]) {
        let lines: Vec<_> = hex::encode(bytes)
            .as_bytes()
            .chunks(64)
            .map(|l| String::from_utf8_lossy(l).into_owned())
            .collect();
        write!(self.0, "\n{what} ({} bytes):\n\n```\n{}\n```\n", bytes.len(), lines.join("\n")).unwrap();
    }

    fn text(&mut self, what: &str, text: &str) {
        write!(self.0, "\n{what}: `{text}`\n").unwrap();
    }
}

fn header(swarm: SwarmId, sender: &SecretKey, sequence: u64) -> Header {
    Header {
        swarm,
        sender: AgentName::parse("asker").unwrap(),
        key: *sender.public().as_bytes(),
        destination: Destination::Agent(AgentName::parse("reader").unwrap()),
        capability: Some(Capability::parse("read:logs").unwrap()),
        message: MessageId::new([5; 16]),
        timestamp: Timestamp::from_millis(1_800_000_000_000),
        session: SESSION,
        lane: 0,
        sequence: Sequence(sequence),
        correlation: CorrelationId::new([6; 16]),
        in_reply_to: None,
        part: None,
        receipt: ReceiptWish::Reply,
        trace: None,
        token: TokenId::new([7; 32]),
        ttl: Ttl::default(),
        content_type: ContentType::json(),
    }
}

fn example() -> String {
    let [authority, node, sender] = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]));
    let swarm = SwarmId::of(&authority.public());
    let mut out = Example(String::new());
    out.hex("Authority's public key", authority.public().as_bytes());
    out.hex("Swarm id", swarm.as_bytes());
    out.hex("Sender's public key", sender.public().as_bytes());
    out.text("Sender's SPIFFE ID", &SpiffeId::Agent(swarm, AgentName::parse("asker").unwrap()).to_string());

    let envelopes: Vec<_> = (1..=3)
        .map(|n| Envelope::encode(header(swarm, &sender, n), format!("{{\"last\":{n}}}").as_bytes()))
        .collect();
    let mut head = Writer::default();
    header(swarm, &sender, 1).write(&mut head);
    out.hex("First header: a request `read:logs` from `asker` to `reader`, sequence 1", &head.into_bytes());
    out.hex("First envelope: the header and the body `{\"last\":1}`", envelopes[0].bytes());
    for (n, envelope) in (1..).zip(&envelopes) {
        out.hex(&format!("Leaf digest {n}"), envelope.digest().as_bytes());
    }
    let bundle = Bundle::sign(envelopes, &sender, &Limits::standard()).unwrap();
    let preimage = [
        b"testudo/1 bundle\0".as_slice(),
        swarm.as_bytes(),
        sender.public().as_bytes(),
        SESSION.as_bytes(),
        &[0, 3],
        bundle.root().as_bytes(),
    ]
    .concat();
    assert_eq!(sender.sign_bytes(&preimage).as_bytes(), &bundle.bytes()[2..66]);
    out.hex("Root of the three", bundle.root().as_bytes());
    out.hex("What the sender signs", &preimage);
    out.hex("The bundle", bundle.bytes());
    out.hex("The bundle pruned to its second envelope", bundle.prune(&|at| at == 1).unwrap().bytes());

    let seen = Seen::sign(
        &node,
        &swarm,
        &sender.public(),
        SESSION,
        RegistrySequence(9),
        Timestamp::from_millis(1_800_000_000_000),
    );
    out.hex(
        "Hello that shows an earlier welcome under sequence 9",
        &FromAgent::Hello(Hello { version: 1, seen: Some(seen) }).encode().unwrap(),
    );
    out.hex(
        "First heartbeat",
        &FromAgent::Heartbeat(Heartbeat::sign(&sender, &swarm, &SESSION, 1)).encode().unwrap(),
    );
    let refused = vec![RefusedDelivery { delivery: 2, position: 0, refusal: Refusal::Stale }];
    out.hex(
        "Acknowledgement up to delivery 2, whose first message was stale",
        &FromAgent::Acknowledge(Acknowledge { upto: 2, refused }).encode().unwrap(),
    );
    out.hex("Goodbye", &FromAgent::Goodbye.encode().unwrap());
    out.0
}

fn codes() -> String {
    let mut table = "\n| code | refusal | of | what to do |\n| --- | --- | --- | --- |\n".to_owned();
    for refusal in Refusal::ALL {
        let of = if refusal.is_of_bundle() { "bundle" } else { "message" };
        writeln!(table, "| {} | {refusal} | {of} | {} |", refusal.code(), refusal.advice()).unwrap();
    }
    table
}

#[test]
fn the_worked_example_and_the_codes_are_those_of_the_code() {
    let doc = std::fs::read_to_string(PATH).unwrap();
    let (text, _) = doc.split_once(START).unwrap_or((&doc, ""));
    let (before, rest) = text.split_once(CODES).unwrap();
    let after = &rest[rest.find("\nClose reasons").unwrap()..];
    let made = format!("{before}{CODES}{}{after}{START}{}", codes(), example());
    if std::env::var_os("TESTUDO_REGENERATE").is_some() {
        std::fs::write(PATH, &made).unwrap();
    }
    assert!(
        doc == made || std::env::var_os("TESTUDO_REGENERATE").is_some(),
        "docs/protocol.md is not of this code"
    );
}

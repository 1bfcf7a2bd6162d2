//! What a node's memory may grow to, measured on a real process: idle links, receivers that take nothing while they
//! are flooded, large bodies up to their budget. Holds it to 1.2 times the formula in docs/operations.md.
//! And with how many bytes a link finds out how large its datagrams may be.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testudo::bus::client::{self, Client, ClientIdentity, Deliveries, OpenLink, Outgoing};
use testudo::bus::env::random;
use testudo::bus::stream::write_frame;
use testudo::bus::transport::{self, Socket};
use testudo::env::System;
use testudo::operator::{Answer, Request};
use testudo::swarm::{Addresses, init};
use testudo::wire::frame::{FromAgent, Subscription};
use testudo::wire::{AgentName, Capability, ContentType, Grant, Resource, SecretKey, Ttl};
use testudo::{Identity, dial, join, server};
use tokio::sync::Mutex;
use tokio::time::sleep;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The formula's parts; see docs/operations.md, "Memory". A link that is open and still:
const IDLE_LINK: u64 = 72 * KIB;
/// A receiver that takes nothing: its queue of 1 MiB, and as much again for what small messages cost besides bytes.
const FULL_QUEUE: u64 = 2 * MIB;
/// A sender whose large bodies wait for room: four lanes of 256 KiB each, and half of it again for QUIC's fragments.
const WAITING_SENDER: u64 = 3 * MIB / 2;
/// The budget for large bodies in this test.
const BODIES: u64 = 16 * MIB;

/// What of it may be held, besides, by subscribers who are too slow for large publications.
const LATE_BODIES: u64 = BODIES / 4;

const IDLE: usize = 100;
const SLOW: usize = 20;
/// Subscribers that take nothing, each of a topic of its own.
const LATE: usize = 8;

/// Agents in this process whose node goes away.
const AWAY: u64 = 48;
/// One test at a time: one of them weighs its own process.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A swarm in a folder, with its node in a process.
struct Running {
    dir: tempfile::TempDir,
    node: Child,
    listen: std::net::SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn memory_of(process: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    KIB * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

fn capability(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

impl Running {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), "weighed", Addresses::default(), &System).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
        command
            .args(["node", "--json", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--config"])
            .arg(dir.path().join("testudo.toml"))
            .env("TESTUDO_NODE__BODY_MEMORY_BYTES", BODIES.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut node = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        let listen = started["listen"].as_str().unwrap().parse().unwrap();
        Self { dir, node, listen }
    }

    /// Has it end in good order.
    fn end(&mut self) {
        let ended = Command::new("kill").arg(self.node.id().to_string()).status();
        assert!(ended.unwrap().success() && self.node.wait().unwrap().success());
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn memory(&self, what: &str) -> u64 {
        memory_of(self.node.id(), what)
    }

    /// Resident now.
    fn now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most since the last time that this was forgotten.
    fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.node.id()), "5").unwrap();
    }

    async fn enrol(&self, who: &str, right: &str, serve: &str) -> Identity {
        let (name, key) = (AgentName::parse(who).unwrap(), SecretKey::from_seed(&random(&System)));
        let grant = Grant {
            right: [capability(right)].into(),
            serve: [capability(serve)].into(),
            ..Grant::default()
        };
        let request = Request::AgentAdd { name, key: key.public(), grant, csr: None };
        let Answer::Credentials(credentials) = server::ask(&self.data(), &request).await.unwrap() else {
            panic!("not enrolled")
        };
        let mut identity = Identity::issued(name, key, *credentials).unwrap();
        identity.node = self.listen;
        identity
    }

    async fn agent(&self, who: &str) -> (Client, Deliveries) {
        dial(&self.enrol(who, "read:logs", "write:nothing").await).await.unwrap()
    }

    /// A receiver that says hello and then takes nothing at all.
    async fn stone(&self, who: &str) -> OpenLink {
        let identity = self.enrol(who, "write:nothing", "read:logs").await;
        self.dial(&identity).await
    }

    /// A link that says hello and no more.
    async fn dial(&self, identity: &Identity) -> OpenLink {
        let socket = server::udp(transport::dial_from(self.listen)).unwrap();
        let endpoint = transport::dialler(Socket::Udp(socket)).unwrap();
        let identity: &ClientIdentity = &identity.client;
        client::dial(&endpoint, self.listen, identity, None, System::shared()).await.unwrap()
    }
}

fn message(to: &str, bytes: usize) -> Outgoing {
    let mut message =
        Outgoing::new(AgentName::parse(to).unwrap(), capability("read:logs"), vec![0xfe; bytes]);
    message.content_type = ContentType::parse("application/octet-stream").unwrap();
    message.ttl = Ttl::clamped(Duration::from_secs(600));
    message
}

/// For whoever looks with `--nocapture`.
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
fn say(what: &str) {
    println!("{what}");
}

#[track_caller]
fn holds(what: &str, grown: u64, formula: u64) {
    let said = format!("{what}: grown by {} KiB, the formula says {} KiB", grown / KIB, formula / KIB);
    say(&said);
    assert!(grown * 10 <= formula * 12, "{said}");
}

/// Agents whose node is away dial again and again, and grow by none of it: there may be many in a process.
#[tokio::test]
async fn agents_whose_node_is_away_do_not_grow() {
    let _alone = ALONE.lock().await;
    let mut node = Running::start();
    let mut members = Vec::new();
    for n in 0..AWAY {
        let identity = node.enrol(&format!("away{n}"), "read:logs", "write:nothing").await;
        members.push(join(&identity).await.unwrap());
    }
    let own = |what| memory_of(std::process::id(), what);
    let before = own("VmRSS:");
    node.end();
    // A first dial takes three seconds; the second ones, and the third ones of most, are under way then.
    let began = tokio::time::Instant::now();
    let mut grown = 0;
    while began.elapsed() < Duration::from_secs(8) {
        sleep(Duration::from_millis(50)).await;
        grown = grown.max(own("VmRSS:").saturating_sub(before));
    }
    assert!(members.iter().all(|(member, _)| !member.is_connected()));
    let said = format!("{AWAY} agents whose node is away: grown by {} KiB", grown / KIB);
    say(&said);
    assert!(grown < AWAY * MIB, "{said}");
}

/// Every size of datagram fits on one machine: both ends find that out with one padded datagram each instead of nine.
#[tokio::test]
async fn a_link_on_one_machine_asks_for_the_largest_datagrams_at_once() {
    const LARGEST: u16 = 6500;
    let _alone = ALONE.lock().await;
    let node = Running::start();
    let link = node.dial(&node.enrol("near", "read:logs", "write:nothing").await).await;
    let path = || link.connection.stats().path;
    let found = async {
        while path().current_mtu < LARGEST {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.unwrap();
    // A search by halves goes on after that.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(path().sent_plpmtud_probes, 1);
    let heard = link.connection.stats().udp_rx.bytes;
    assert!(heard < 4 * u64::from(LARGEST), "the node sent {heard} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_to_its_formula() {
    let _alone = ALONE.lock().await;
    let node = Running::start();
    // What only the first link makes is none of the links' cost.
    let first = node.agent("first").await;
    node.forget_peak();
    let empty = node.now();

    let mut idle = Vec::new();
    for n in 0..IDLE {
        idle.push(node.agent(&format!("idle{n}")).await);
    }
    let links = IDLE as u64;
    say(&format!("an idle link costs {} KiB", (node.now() - empty) / links / KIB));
    holds("idle links", node.peak() - empty, links * IDLE_LINK);

    let queues = SLOW as u64 * FULL_QUEUE;
    holds("receivers that take nothing, of large messages", flooded(&node, "large", 24_000).await, queues);
    holds("receivers that take nothing, of small messages", flooded(&node, "small", 100).await, queues);
    let grown = flooded(&node, "bodies", usize::try_from(MIB).unwrap()).await;
    holds("large bodies beyond their budget", grown, BODIES + 2 * SLOW as u64 * WAITING_SENDER);
    assert!(grown > BODIES / 2, "the budget was never used: {grown}");
    drop((first, idle));
}

/// In a process of its own: what others have used before is used again, and no growth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_publications_keep_to_it_however_many_subscribers_are_too_slow() {
    let node = Running::start();
    let _first = node.agent("first").await;
    let grown = published(&node).await;
    let formula = BODIES + LATE_BODIES + LATE as u64 * WAITING_SENDER;
    holds("large publications that subscribers are too slow for", grown, formula);
    assert!(grown > LATE_BODIES, "what there is for them was never used: {grown}");
}

/// How much a node grows while subscribers that take nothing are sent large publications without end, each others.
async fn published(node: &Running) -> u64 {
    let (mut stones, mut publishers) = (Vec::new(), Vec::new());
    for n in 0..LATE {
        let topic = Resource::parse(&format!("topic{n}")).unwrap();
        let stone = node.enrol(&format!("late{n}"), &format!("subscribe:{topic}"), "write:nothing").await;
        let mut stone = node.dial(&stone).await;
        let subscribe = FromAgent::Subscribe(Subscription { topic });
        write_frame(&mut stone.control, subscribe.encode().unwrap()).await.unwrap();
        stones.push(stone);
        let right = format!("publish:{topic}");
        let publisher = node.enrol(&format!("publisher{n}"), &right, "write:nothing").await;
        let (client, inbox) = dial(&publisher).await.unwrap();
        let mut message = Outgoing::topic(topic, vec![b'x'; usize::try_from(MIB).unwrap()]);
        message.content_type = ContentType::text();
        message.ttl = Ttl::clamped(Duration::from_secs(600));
        publishers.push((client, inbox, message));
    }
    grown(node, publishers, stones).await
}

/// How much a node grows while receivers that take nothing are flooded. Each queue takes half of its room from each
/// of two senders, whose windows are just that.
async fn flooded(node: &Running, what: &str, bytes: usize) -> u64 {
    let (mut stones, mut senders) = (Vec::new(), Vec::new());
    for n in 0..SLOW {
        let to = format!("stone{n}-{what}");
        for half in ["a", "b"] {
            let (client, inbox) = node.agent(&format!("sender{half}{n}-{what}")).await;
            senders.push((client, inbox, message(&to, bytes)));
        }
        stones.push(node.stone(&to).await);
    }
    grown(node, senders, stones).await
}

/// How much it grows while all of these send without end.
async fn grown(node: &Running, senders: Vec<(Client, Deliveries, Outgoing)>, stones: Vec<OpenLink>) -> u64 {
    node.forget_peak();
    let before = node.now();
    let flood = |(client, _, message): &(Client, Deliveries, Outgoing)| {
        let (client, message) = (client.clone(), message.clone());
        tokio::spawn(async move { while client.post(message.clone()).await.is_ok() {} })
    };
    let flooding: Vec<_> = senders.iter().map(flood).collect();
    // Until it grows no more.
    let (mut peak, mut still, began) = (0, 0, tokio::time::Instant::now());
    while still < 12 || began.elapsed() < Duration::from_secs(2) {
        sleep(Duration::from_millis(50)).await;
        still = if node.peak() > peak { 0 } else { still + 1 };
        peak = node.peak();
    }
    flooding.iter().for_each(tokio::task::JoinHandle::abort);
    for (client, _, _) in senders {
        client.goodbye().await;
    }
    drop(stones);
    peak - before
}

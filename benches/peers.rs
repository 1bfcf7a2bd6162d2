//! Testudo beside NATS with mutual TLS: the same work, in one run, interleaved, each part a process of its own.
//!
//! One sender to one receiver at three sizes, requests, fifty senders to one receiver, one publisher to fifty
//! subscribers, and what the bus itself pays for a message. NATS also with a signature for every message, made and
//! checked by its ends: what a user builds by hand for a part of what Testudo promises.
//!
//! `cargo bench --bench peers -- [--quick] [--json]`. Testudo runs as shipped: the real node binary, default
//! configuration, every check on, the audit log on disk. NATS needs `nats-server`; without it only Testudo's
//! figures are printed. Nothing here asserts a time.

#[path = "peers/child.rs"]
mod child;
#[path = "peers/nats.rs"]
mod nats;
#[path = "peers/output.rs"]
mod output;
#[path = "peers/role.rs"]
mod role;
#[path = "peers/stats.rs"]
mod stats;
#[path = "peers/testudo.rs"]
mod testudo_peer;

use std::process::ExitCode;

use child::Child;
use output::{Figures, Report};
use role::Latency;
use serde_json::json;
use stats::Series;

/// Why a bench cannot go on, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Done<T = ()> = Result<T, Fault>;

/// What every message carries: JSON that no content rule minds.
const PAYLOAD: &str = concat!(
    r#"{"finding":"licence-missing","path":"services/billing/src/invoice.rs","line":214,"severity":"medium","#,
    r#""note":"No licence header here, while every other file of this folder has one. Please add it, or say why "#,
    r#"this file is the only exception.","by":"reader-3"}"#,
);
const _: () = assert!(PAYLOAD.len() == 256, "both peers are compared at 256 bytes");

/// Senders of the fan-in, subscribers of the fan-out.
const CROWD: usize = 50;
/// The sizes of one sender's messages to one receiver, in bytes.
const SIZES: [usize; 3] = [256, 1024, 16 * 1024];

/// How much is done how often.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    /// Of 256 bytes; of larger ones fewer.
    messages: u32,
    requests: u32,
}

const WARM_UP: Size = Size { rounds: 1, messages: 20_000, requests: 500 };
const QUICK: Size = Size { rounds: 5, messages: 200_000, requests: 1_500 };
const FULL: Size = Size { rounds: 11, messages: 400_000, requests: 10_000 };

impl Size {
    const fn messages_of(self, bytes: usize) -> u32 {
        match bytes {
            0..=256 => self.messages,
            257..=1024 => self.messages / 2,
            _ => self.messages / 20,
        }
    }
}

/// Those who send and those who receive.
struct Pair {
    sender: Child,
    receiver: Child,
}

impl Pair {
    /// Messages per second, from the first send to the last message received by the last receiver.
    async fn one_way(&mut self, messages: u32, bytes: usize, receivers: u32) -> Done<f64> {
        self.receiver.tell(&json!({ "take": messages })).await?;
        self.sender.tell(&json!({ "post": { "count": messages, "bytes": bytes } })).await?;
        let began: u64 = serde_json::from_value(self.sender.hear().await?["began"].take())?;
        let ended: u64 = serde_json::from_value(self.receiver.hear().await?["ended"].take())?;
        let micros = ended.checked_sub(began).filter(|micros| *micros > 0);
        let received = f64::from(messages) * f64::from(receivers);
        Ok(received * 1e6 / micros.ok_or("the clock was set back during a round")? as f64)
    }

    /// Round trips, one after the other.
    async fn round_trips(&mut self, requests: u32) -> Done<Latency> {
        self.receiver.tell(&json!({ "answer": requests })).await?;
        self.sender.tell(&json!({ "ask": requests })).await?;
        let latency = serde_json::from_value(self.sender.hear().await?)?;
        self.receiver.hear().await?;
        Ok(latency)
    }

    async fn end(self) -> Done {
        self.sender.end().await?;
        self.receiver.end().await
    }
}

/// A bus that runs, and who is linked to it.
struct Peer {
    one: Pair,
    fan_in: Pair,
    fan_out: Pair,
    /// With a signature for every message.
    signed: Option<Pair>,
    bus: Child,
}

impl Peer {
    async fn end(self) -> Done {
        self.one.end().await?;
        self.fan_in.end().await?;
        self.fan_out.end().await?;
        if let Some(signed) = self.signed {
            signed.end().await?;
        }
        self.bus.end().await
    }
}

/// What was measured of one peer, a value for each round.
#[derive(Default)]
struct Measured {
    one_way: [Series; SIZES.len()],
    /// Microseconds of the bus's processor for one message of the first size.
    cpu: Series,
    signed: Series,
    fan_in: Series,
    fan_out: Series,
    p50: Series,
    p99: Series,
}

impl Measured {
    /// One round of everything.
    async fn round(&mut self, peer: &mut Peer, size: Size) -> Done {
        for (bytes, rate) in SIZES.into_iter().zip(&mut self.one_way) {
            let (messages, before) = (size.messages_of(bytes), peer.bus.cpu_us());
            rate.add(peer.one.one_way(messages, bytes, 1).await?);
            if let (Some(before), Some(after), true) = (before, peer.bus.cpu_us(), bytes == SIZES[0]) {
                self.cpu.add((after - before) / f64::from(messages));
            }
        }
        if let Some(signed) = &mut peer.signed {
            self.signed.add(signed.one_way(size.messages / 20, SIZES[0], 1).await?);
        }
        let few = size.messages / 100;
        // Each of the senders sends the same number.
        let many = CROWD as u32;
        self.fan_in.add(peer.fan_in.one_way(size.messages / 4 / many * many, SIZES[0], 1).await?);
        self.fan_out.add(peer.fan_out.one_way(few, SIZES[0], many).await?);
        let latency = peer.one.round_trips(size.requests).await?;
        self.p50.add(latency.p50_us);
        self.p99.add(latency.p99_us);
        Ok(())
    }
}

/// Both peers in turn, round for round.
async fn rounds(testudo: &mut Peer, nats: &mut Option<Peer>, size: Size) -> Done<(Measured, Measured)> {
    let (mut ours, mut theirs) = (Measured::default(), Measured::default());
    for _ in 0..size.rounds {
        ours.round(testudo, size).await?;
        if let Some(nats) = nats {
            theirs.round(nats, size).await?;
        }
    }
    Ok((ours, theirs))
}

async fn compare(size: Size) -> Done<Report> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut testudo = testudo_peer::start(folder.path()).await?;
    let mut nats = match nats::find() {
        Some(server) => Some(nats::start(&server, folder.path()).await?),
        None => {
            output::complain("SKIPPED nats: apt-get install nats-server");
            None
        }
    };
    rounds(&mut testudo, &mut nats, WARM_UP).await?;
    let (ours, theirs) = rounds(&mut testudo, &mut nats, size).await?;
    testudo.end().await?;
    if let Some(nats) = nats {
        nats.end().await?;
    }
    folder.close()?;
    Ok(Report { rows: rows(&ours, &theirs), rounds: size.rounds })
}

fn rows(ours: &Measured, theirs: &Measured) -> Vec<Figures> {
    let row = |name, unit, of: fn(&Measured) -> &Series| Figures {
        name,
        unit,
        testudo: of(ours).spread(),
        nats: of(theirs).spread(),
        signed: None,
    };
    let rate = "messages/s";
    let signed = theirs.signed.spread();
    vec![
        Figures { signed, ..row("one-way 256 B", rate, |of| &of.one_way[0]) },
        row("one-way 1 KiB", rate, |of| &of.one_way[1]),
        row("one-way 16 KiB", rate, |of| &of.one_way[2]),
        row("fan-in, 50 senders, 256 B", rate, |of| &of.fan_in),
        row("fan-out, 50 subscribers, 256 B", "deliveries/s", |of| &of.fan_out),
        row("request/reply 256 B, one in flight, p50", "us", |of| &of.p50),
        row("request/reply 256 B, one in flight, p99", "us", |of| &of.p99),
        row("CPU of the bus, one-way 256 B", "us/message", |of| &of.cpu),
    ]
}

async fn run(arguments: &[String]) -> Done {
    if let [first, rest @ ..] = arguments
        && first == role::FLAG
    {
        return match rest {
            [part, to, agents @ ..] if part == testudo_peer::SEND => {
                role::send(testudo_peer::Sending::open(to, agents).await?).await
            }
            [part, agents @ ..] if part == testudo_peer::PUBLISH => {
                role::send(testudo_peer::Sending::publish(agents).await?).await
            }
            [part, agents @ ..] if part == testudo_peer::RECEIVE => {
                role::receive(testudo_peer::Receiving::open(agents).await?).await
            }
            [part, agents @ ..] if part == testudo_peer::SUBSCRIBE => {
                role::receive(testudo_peer::Receiving::subscribe(agents).await?).await
            }
            [part, url, folder, subject, sign, many] if part == nats::SEND => {
                role::send(nats::Sending::open(url, folder.as_ref(), (subject, sign, many)).await?).await
            }
            [part, url, folder, subject, sign, many] if part == nats::RECEIVE => {
                role::receive(nats::Receiving::open(url, folder.as_ref(), (subject, sign, many)).await?).await
            }
            [part, server, folder] if part == nats::KEEP => nats::keep(server, folder.as_ref()).await,
            _ => Err("no such part".into()),
        };
    }
    // Whatever else cargo passes on, `--bench` for one, means nothing here.
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let size = if given("--quick") { QUICK } else { FULL };
    let report = tokio::select! {
        report = compare(size) => report?,
        // Processes and folder go with what is dropped here.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    if given("--json") {
        output::say(&report.json().to_string())
    } else {
        output::say(&report.text())
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(Box::pin(run(&arguments)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            output::complain(&format!("peers {}: {fault}", arguments.join(" ")));
            ExitCode::FAILURE
        }
    }
}

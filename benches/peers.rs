//! Testudo beside NATS with mutual TLS: the same work, in one run, interleaved, each part a process of its own.
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

/// How much is done how often.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    messages: u32,
    requests: u32,
}

const WARM_UP: Size = Size { rounds: 1, messages: 20_000, requests: 500 };
const QUICK: Size = Size { rounds: 7, messages: 300_000, requests: 3_000 };
const FULL: Size = Size { rounds: 11, messages: 400_000, requests: 10_000 };

/// A bus that runs, with one sender and one receiver linked to it.
struct Peer {
    sender: Child,
    receiver: Child,
    bus: Child,
}

impl Peer {
    /// Messages per second from the first send to the last message received.
    async fn one_way(&mut self, messages: u32) -> Done<f64> {
        self.receiver.tell(&json!({ "take": messages })).await?;
        self.sender.tell(&json!({ "post": messages })).await?;
        let began: u64 = serde_json::from_value(self.sender.hear().await?["began"].take())?;
        let ended: u64 = serde_json::from_value(self.receiver.hear().await?["ended"].take())?;
        let micros = ended.checked_sub(began).filter(|micros| *micros > 0);
        Ok(f64::from(messages) * 1e6 / micros.ok_or("the clock was set back during a round")? as f64)
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
        self.receiver.end().await?;
        self.bus.end().await
    }
}

/// What was measured of one peer, a value for each round.
#[derive(Default)]
struct Measured {
    rate: Series,
    p50: Series,
    p99: Series,
}

impl Measured {
    async fn one_way(&mut self, peer: &mut Peer, size: Size) -> Done {
        self.rate.add(peer.one_way(size.messages).await?);
        Ok(())
    }

    async fn round_trips(&mut self, peer: &mut Peer, size: Size) -> Done {
        let latency = peer.round_trips(size.requests).await?;
        self.p50.add(latency.p50_us);
        self.p99.add(latency.p99_us);
        Ok(())
    }
}

/// Both peers in turn, round for round.
async fn rounds(testudo: &mut Peer, nats: &mut Option<Peer>, size: Size) -> Done<(Measured, Measured)> {
    let (mut ours, mut theirs) = (Measured::default(), Measured::default());
    for _ in 0..size.rounds {
        ours.one_way(testudo, size).await?;
        if let Some(nats) = nats {
            theirs.one_way(nats, size).await?;
        }
        ours.round_trips(testudo, size).await?;
        if let Some(nats) = nats {
            theirs.round_trips(nats, size).await?;
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
    let row = |name, unit, ours: &Series, theirs: &Series| Figures {
        name,
        unit,
        testudo: ours.spread(),
        nats: theirs.spread(),
    };
    let rows = vec![
        row("one-way 256 B", "messages/s", &ours.rate, &theirs.rate),
        row("request/reply 256 B, one in flight, p50", "us", &ours.p50, &theirs.p50),
        row("request/reply 256 B, one in flight, p99", "us", &ours.p99, &theirs.p99),
    ];
    folder.close()?;
    Ok(Report { rows, rounds: size.rounds, messages: size.messages, requests: size.requests })
}

async fn run(arguments: &[String]) -> Done {
    if let [first, rest @ ..] = arguments
        && first == role::FLAG
    {
        return match rest {
            [part, at] if part == testudo_peer::SEND => {
                role::send(testudo_peer::Sending::open(at).await?).await
            }
            [part, at] if part == testudo_peer::RECEIVE => {
                role::receive(testudo_peer::Receiving::open(at).await?).await
            }
            [part, url, folder] if part == nats::SEND => {
                role::send(nats::Sending::open(url, folder.as_ref()).await?).await
            }
            [part, url, folder] if part == nats::RECEIVE => {
                role::receive(nats::Receiving::open(url, folder.as_ref()).await?).await
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

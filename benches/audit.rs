//! What the audit log costs: `cargo bench --bench audit [-- --quick] [--json]`. One record for each bundle of 64
//! messages, built, encoded, hashed and written as the guard does it; in both commit modes, beside the same sync.
//!
//! *delivering path*: the time that a bundle waits for its record before it may be handed over, for each message. In
//! the mode *receipt* that is the write; the disk works beside it. In the mode *delivery* a bundle also waits for the
//! disk, with 256 others; what is shown as throughput then includes that. Nothing here asserts a time.
//!
//! *begun*: each message begins a piece of work, whose id is its own; *carried on*: each belongs to one that another
//! message began, as answers do, and no two to the same.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testudo::bus::audit::{AuditLog, BundleRecord};
use testudo::rules::audit::{BundleHead, EnvelopeView, Origin, Verdict};
use testudo::wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, MessageId, RegistrySequence, SecretKey,
    Sequence, SessionId, Timestamp,
};

/// Why a bench cannot go on, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Messages of one bundle.
const BUNDLE: u64 = 64;
/// Bundles whose records wait for the disk at once.
const WAITING: usize = 256;
const ROUNDS: usize = 5;

/// Whose work the messages are.
#[derive(Clone, Copy)]
enum Work {
    Begun,
    CarriedOn,
}

/// What is measured, in turns: what a bundle waits for, and whose work its messages are.
const CASES: [(&str, bool, &str, Work); 4] = [
    ("receipt", false, "begun", Work::Begun),
    ("receipt", false, "carried on", Work::CarriedOn),
    ("delivery", true, "begun", Work::Begun),
    ("delivery", true, "carried on", Work::CarriedOn),
];

/// What one round took.
struct Took {
    whole: Duration,
    path: Duration,
}

/// What came of an envelope.
struct Envelope {
    message: MessageId,
    correlation: CorrelationId,
    digest: Digest,
}

/// What the guard knows of a bundle before it writes its record.
struct Bundle {
    sender: AgentName,
    /// Each envelope has its own, as it came.
    to: Vec<Destination>,
    capability: Vec<Option<Capability>>,
    key: SecretKey,
}

impl Bundle {
    fn new() -> Result<Self, Fault> {
        let name = |text: &str| AgentName::parse(text).map_err(|_| "a name");
        Ok(Self {
            sender: name("sender-1")?,
            to: vec![Destination::Agent(name("reader-1")?); BUNDLE as usize],
            capability: vec![
                Some(Capability::parse("read:logs").map_err(|_| "a capability")?);
                BUNDLE as usize
            ],
            key: SecretKey::from_seed(&[7; 32]),
        })
    }

    /// The envelopes of the n-th bundle.
    fn envelopes(n: u64, work: Work) -> Vec<Envelope> {
        let id = |message: u64, last: u8| {
            let mut id = [last; 16];
            id[..8].copy_from_slice(&(n * BUNDLE + message).to_be_bytes());
            id
        };
        let envelope = |message: u64| Envelope {
            message: MessageId::new(id(message, 0x5a)),
            correlation: CorrelationId::new(match work {
                Work::Begun => id(message, 0x5a),
                Work::CarriedOn => id(message, 0),
            }),
            digest: Digest::new([message as u8; 32]),
        };
        (0..BUNDLE).map(envelope).collect()
    }

    /// The record of the n-th bundle, as the guard makes it: from what it holds of each envelope.
    fn record(&self, n: u64, envelopes: &[Envelope]) -> Result<BundleRecord, Fault> {
        let each = envelopes.iter().zip(&self.to).zip(&self.capability).zip(n * BUNDLE..);
        let views = each.map(|(((envelope, to), capability), sequence)| EnvelopeView {
            message: envelope.message,
            digest: envelope.digest,
            sequence: Sequence(sequence),
            destination: to,
            capability: capability.as_ref(),
            correlation: envelope.correlation,
            trace: None,
            verdict: Verdict::allowed([], 1),
        });
        let head = BundleHead {
            session: SessionId::new([3; 16]),
            sender: self.sender,
            key: self.key.public(),
            lane: 0,
            root: Digest::new([9; 32]),
        };
        let at = Timestamp::from_millis(n);
        Ok(BundleRecord::encode(at, RegistrySequence(1), &head, envelopes.len(), views)?)
    }
}

fn open(dir: &Path) -> Result<Arc<AuditLog>, Fault> {
    let origin = Origin::parse("testudo/bench").ok_or("an origin")?;
    let key = SecretKey::from_seed(&[9; 32]);
    Ok(AuditLog::open(dir, origin, key, Timestamp::from_millis(1), RegistrySequence(0))?.0)
}

/// So many bundles in one of the modes.
async fn round(bundles: u64, waits: bool, work: Work) -> Result<Took, Fault> {
    let dir = tempfile::tempdir_in(".")?;
    let log = open(dir.path())?;
    let syncing = tokio::spawn(log.clone().run_sync());
    let bundle = Bundle::new()?;
    let (began, mut path, mut waiting) = (Instant::now(), Duration::ZERO, VecDeque::new());
    for n in 0..bundles {
        let envelopes = Bundle::envelopes(n, work);
        let at = Instant::now();
        let index = log.append_bundle(bundle.record(n, &envelopes)?)?.index();
        path += at.elapsed();
        if waits {
            waiting.push_back(index);
            if waiting.len() == WAITING {
                let oldest = waiting.pop_front().unwrap_or(index);
                log.wait_synced(oldest).await?;
            }
        }
    }
    if waits {
        log.wait_synced(log.records() - 1).await?;
    }
    let whole = began.elapsed();
    log.shutdown().await?;
    syncing.abort();
    Ok(Took { whole, path })
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

async fn run(bundles: u64, json: bool) -> Result<(), Fault> {
    let mut rounds = CASES.map(|_| Vec::new());
    // Interleaved, so that a busy machine slows both alike.
    for _ in 0..ROUNDS {
        for ((_, waits, _, work), rounds) in CASES.into_iter().zip(&mut rounds) {
            rounds.push(round(bundles, waits, work).await?);
        }
    }
    let messages = (bundles * BUNDLE) as f64;
    for ((mode, _, work, _), rounds) in CASES.into_iter().zip(rounds) {
        let per_second = median(rounds.iter().map(|took| messages / took.whole.as_secs_f64()).collect());
        let us = median(rounds.iter().map(|took| took.path.as_secs_f64() * 1e6 / messages).collect());
        if json {
            let line = serde_json::json!({
                "commit": mode, "work": work, "bundle": BUNDLE, "messages": messages as u64,
                "messages_per_second": per_second.round(), "path_us_per_message": (us * 1000.0).round() / 1000.0,
            });
            println!("{line}");
        } else {
            println!(
                "{mode:>9}, {work:>10}: {per_second:>10.0} messages/s, {us:.3} us a message on the delivering path"
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    let is = |flag: &str| args.iter().any(|arg| arg == flag);
    let bundles = if is("--quick") { 2_000 } else { 20_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(run(bundles, is("--json"))));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

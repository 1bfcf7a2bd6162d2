//! What one agent can cost the others: latency of small requests beside a 16 MiB body, and of 50 honest agents
//! beside a flooder, each as a multiple of the same work without it.
//!
//! `cargo bench --bench fairness -- [--quick] [--json]`. The real node binary, every check on, the audit log on
//! disk; whoever loads the node is a process of its own, at the lowest priority. Where there is a nats-server, the
//! same is done to it in the same rounds: what a load costs there is the machine's. A multiple is the median of those
//! of the rounds, each of which is measured with and without the load in turn. Nothing here asserts a time.

#[expect(dead_code, reason = "the bench of peers asks what a process cost as well")]
#[path = "peers/child.rs"]
mod child;
#[path = "fairness/crowd.rs"]
mod crowd;
#[path = "fairness/nats.rs"]
mod nats;
#[path = "fairness/role.rs"]
mod role;
#[path = "fairness/stage.rs"]
mod stage;
#[expect(dead_code, reason = "the bench of peers compares medians of different rounds")]
#[path = "peers/stats.rs"]
mod stats;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crowd::Trips;
use nats::Nats;
use serde_json::{Value, json};
use stage::Stage;
use stats::Series;

/// Why a bench cannot go on, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Done<T = ()> = Result<T, Fault>;

/// How much is done how often.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    requests: usize,
    crowd_for: Duration,
}

const QUICK: Size = Size { rounds: 5, requests: 1_000, crowd_for: Duration::from_secs(1) };
const FULL: Size = Size { rounds: 9, requests: 4_000, crowd_for: Duration::from_secs(3) };

/// One work, with and without somebody beside it, in each round.
struct Row {
    name: &'static str,
    /// The 99th percentiles, in microseconds.
    alone: Series,
    beside: Series,
    /// The second as a multiple of the first, and the same of the medians.
    times: Series,
    times_p50: Series,
    load: u64,
    unit: &'static str,
}

fn rounded(spread: Option<stats::Spread>) -> Option<f64> {
    spread.map(|spread| (spread.median * 100.0).round() / 100.0)
}

impl Row {
    fn new(name: &'static str, unit: &'static str) -> Self {
        let [alone, beside, times, times_p50] = std::array::from_fn(|_| Series::default());
        Self { name, alone, beside, times, times_p50, load: 0, unit }
    }

    fn add(&mut self, alone: Trips, beside: Trips, load: u64) {
        self.alone.add(alone.p99);
        self.beside.add(beside.p99);
        self.times.add(beside.p99 / alone.p99);
        self.times_p50.add(beside.p50 / alone.p50);
        self.load += load;
    }

    fn json(&self) -> Value {
        let (alone, beside) = (self.alone.spread(), self.beside.spread());
        json!({
            "name": self.name,
            "p99_alone_us": alone.map(|s| s.median.round()),
            "p99_beside_us": beside.map(|s| s.median.round()),
            "ratio": rounded(self.times.spread()),
            "ratio_p50": rounded(self.times_p50.spread()),
            "load": self.load,
            "load_unit": self.unit,
        })
    }

    fn text(&self) -> String {
        let of = |series: &Series| {
            let text = |s: stats::Spread| format!("{:.0} us ({:.0}..{:.0})", s.median, s.min, s.max);
            series.spread().map_or_else(|| "-".to_owned(), text)
        };
        let times = |series: &Series| {
            let text = |s: stats::Spread| format!("{:.2} ({:.2}..{:.2})", s.median, s.min, s.max);
            series.spread().map_or_else(|| "-".to_owned(), text)
        };
        let Self { name, load, unit, .. } = self;
        let (alone, beside) = (of(&self.alone), of(&self.beside));
        let (p99, p50) = (times(&self.times), times(&self.times_p50));
        format!("{name:<36} {alone:>24} {beside:>24}   p99 x {p99:<20} p50 x {p50:<20} {load} {unit}")
    }
}

/// Each with a load of its own between two measurements of the same work.
macro_rules! rounds {
    ($size:expr, $bus:expr, $bulk:expr, $flood:expr) => {{
        let alone = crowd::one(&$bus.crowd, $size.requests).await?;
        $bus.bulk.start().await?;
        let beside = crowd::one(&$bus.crowd, $size.requests).await?;
        $bulk.add(alone, beside, $bus.bulk.stop().await?);
        let alone = crowd::all(&$bus.crowd, $size.crowd_for).await?;
        $bus.flood.start().await?;
        let beside = crowd::all(&$bus.crowd, $size.crowd_for).await?;
        $flood.add(alone, beside, $bus.flood.stop().await?);
    }};
}

async fn measure(size: Size) -> Done<Vec<Row>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut stage = Stage::set(folder.path()).await?;
    let mut nats = match nats::find() {
        Some(server) => Some(Nats::set(&server, folder.path()).await?),
        None => None,
    };
    let mut bulk = Row::new("a small request beside 16 MiB bodies", "bodies of 16 MiB");
    let mut flood = Row::new("50 agents' requests beside a flooder", "messages of the flooder");
    let mut nats_bulk = Row::new("  the same through NATS", "bodies of 16 MiB");
    let mut nats_flood = Row::new("  the same through NATS", "messages of the flooder");
    let _ = crowd::one(&stage.crowd, size.requests).await?;
    for _ in 0..size.rounds {
        rounds!(size, stage, bulk, flood);
        if let Some(nats) = &mut nats {
            rounds!(size, nats, nats_bulk, nats_flood);
        }
    }
    stage.end().await?;
    let Some(nats) = nats else { return Ok(vec![bulk, flood]) };
    nats.end().await?;
    Ok(vec![bulk, nats_bulk, flood, nats_flood])
}

async fn run(arguments: &[String]) -> Done {
    if let [first, part, rest @ ..] = arguments
        && first == role::FLAG
    {
        return role::play(part, rest).await;
    }
    // Whatever else cargo passes on, `--bench` for one, means nothing here.
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let rows = tokio::select! {
        rows = measure(if given("--quick") { QUICK } else { FULL }) => rows?,
        // Processes and folder go with what is dropped here.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    let text = if given("--json") {
        json!({ "rows": rows.iter().map(Row::json).collect::<Vec<_>>() }).to_string()
    } else {
        rows.iter().map(Row::text).collect::<Vec<_>>().join("\n")
    };
    // A reader that has gone away ends nothing.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(Box::pin(run(&arguments)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "fairness {}: {fault}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

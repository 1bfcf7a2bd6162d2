//! What one agent can cost the others: latency of small requests beside a 16 MiB body, and of 50 honest agents
//! beside a flooder, each as a multiple of the same work without it.
//!
//! `cargo bench --bench fairness -- [--quick] [--json]`. The real node binary, every check on, the audit log on
//! disk; whoever loads the node is a process of its own, at the lowest priority. Nothing here asserts a time.

#[expect(dead_code, reason = "the bench of peers asks what a process cost as well")]
#[path = "peers/child.rs"]
mod child;
#[path = "fairness/role.rs"]
mod role;
#[path = "fairness/stage.rs"]
mod stage;
#[path = "peers/stats.rs"]
mod stats;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use stage::Stage;
use stats::{Series, ratio};

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

/// One work, with and without somebody beside it: its 99th percentile in each round, in microseconds.
struct Row {
    name: &'static str,
    alone: Series,
    beside: Series,
    load: u64,
    unit: &'static str,
}

impl Row {
    fn new(name: &'static str, unit: &'static str) -> Self {
        Self { name, alone: Series::default(), beside: Series::default(), load: 0, unit }
    }

    fn json(&self) -> Value {
        let (alone, beside) = (self.alone.spread(), self.beside.spread());
        json!({
            "name": self.name,
            "p99_alone_us": alone.map(|s| s.median.round()),
            "p99_beside_us": beside.map(|s| s.median.round()),
            "ratio": ratio(beside, alone).map(|ratio| (ratio * 100.0).round() / 100.0),
            "load": self.load,
            "load_unit": self.unit,
        })
    }

    fn text(&self) -> String {
        let of = |series: &Series| {
            let text = |s: stats::Spread| format!("{:.0} us ({:.0}..{:.0})", s.median, s.min, s.max);
            series.spread().map_or_else(|| "-".to_owned(), text)
        };
        let ratio = ratio(self.beside.spread(), self.alone.spread());
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let Self { name, load, unit, .. } = self;
        format!("{name:<44} {:>24} {:>24} {ratio:>6}   {load} {unit}", of(&self.alone), of(&self.beside))
    }
}

async fn measure(size: Size) -> Done<[Row; 2]> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut stage = Stage::set(folder.path()).await?;
    let mut bulk = Row::new("p99 of a small request beside 16 MiB bodies", "bodies of 16 MiB");
    let mut flood = Row::new("p99 of 50 agents' requests beside a flooder", "messages of the flooder");
    stage.round_trips(size.requests).await?;
    for _ in 0..size.rounds {
        bulk.alone.add(stage.round_trips(size.requests).await?);
        stage.bulk.start().await?;
        bulk.beside.add(stage.round_trips(size.requests).await?);
        bulk.load += stage.bulk.stop().await?;
        flood.alone.add(stage.crowd(size.crowd_for).await?);
        stage.flood.start().await?;
        flood.beside.add(stage.crowd(size.crowd_for).await?);
        flood.load += stage.flood.stop().await?;
    }
    stage.end().await?;
    Ok([bulk, flood])
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

//! Testudo beside NATS with mutual TLS and beside a relay that only carries bytes: the same work, in one run,
//! interleaved, each part a process of its own. docs/performance.md says what each row is.
//!
//! `cargo bench --bench peers -- [--quick] [--json] [--report FOLDER] [--only WORDS]`. Testudo runs as shipped: the real
//! node binary, default configuration, every check on, the audit log on disk. NATS needs `nats-server`; without it
//! its columns stay empty. NATS *signed* is what a user builds by hand for a part of what Testudo promises: a
//! signature for every message, made and checked by its ends. Nothing here asserts a time. What fails is said in its
//! row, the rest goes on, and the run ends with 1.

#[path = "peers/about.rs"]
mod about;
#[path = "peers/certs.rs"]
mod certs;
#[path = "peers/chart.rs"]
mod chart;
#[path = "peers/child.rs"]
mod child;
#[path = "revocation/core.rs"]
mod core_of_it;
#[path = "peers/crowds.rs"]
mod crowds;
#[path = "peers/limits.rs"]
mod limits;
#[path = "peers/many.rs"]
mod many;
#[path = "peers/nats.rs"]
mod nats;
#[path = "peers/output.rs"]
mod output;
#[path = "peers/parts.rs"]
mod parts;
#[path = "peers/raw.rs"]
mod raw;
#[path = "peers/raw_ends.rs"]
mod raw_ends;
#[path = "peers/revoked.rs"]
mod revoked;
#[path = "peers/role.rs"]
mod role;
#[path = "peers/sample.rs"]
mod sample;
#[path = "peers/stats.rs"]
mod stats;
#[path = "peers/testudo_many.rs"]
mod testudo_many;
#[path = "peers/testudo.rs"]
mod testudo_peer;
#[path = "peers/works.rs"]
mod works;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use output::{Column, Report, Row};
use works::{Bus, Kind, Pair, WORKS, Work};

/// Testudo beside NATS with mutual TLS and beside a relay that only carries bytes; see docs/performance.md.
#[derive(clap::Parser)]
#[command(name = "peers")]
struct Options {
    /// Fewer rounds and 500 agents instead of 2,000: under two minutes.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write benchmarks.md and benchmarks.svg to this folder, such as docs.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Only works that have a row with these words in its name.
    #[arg(long, value_name = "WORDS", default_value = "")]
    only: String,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Why a bench cannot go on, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Done<T = ()> = Result<T, Fault>;

/// What every message carries: text that no content rule minds.
const PAYLOAD: &str = concat!(
    "The nightly report is done: eleven services answered within their limits, two were slower than last week, and ",
    "nothing failed. The slower ones are billing and search; both had more work than usual. A list of the requests ",
    "is in the folder of today as always.",
);
/// The same in JSON, which costs the content guard more.
const FINDING: &str = concat!(
    r#"{"finding":"licence-missing","path":"services/billing/src/invoice.rs","line":214,"severity":"medium","#,
    r#""note":"No licence header here, while every other file of this folder has one. Please add it, or say why "#,
    r#"this file is the only exception.","by":"reader-3"}"#,
);
const _: () = assert!(PAYLOAD.len() == 256 && FINDING.len() == 256, "all peers are compared at 256 bytes");

/// Senders of the fan-in, and agents of the circle.
const CROWD: usize = 50;
/// Agents of a crowd that are enrolled, or link for the first time, at once.
const AT_ONCE: usize = 32;

/// How much is done how often.
#[derive(Clone, Copy)]
struct Size {
    works: works::Size,
    crowds: crowds::Size,
    revocations: usize,
}

const WARM_UP: works::Size = works::Size { rounds: 1, messages: 20_000, requests: 500 };
const QUICK: Size = Size {
    works: works::Size { rounds: 3, messages: 60_000, requests: 1_000 },
    crowds: crowds::Size { agents: 500, storms: 1, rounds: 3, messages: 60_000 },
    revocations: 20,
};
const FULL: Size = Size {
    works: works::Size { rounds: 11, messages: 400_000, requests: 10_000 },
    crowds: crowds::Size { agents: 2_000, storms: 3, rounds: 7, messages: 400_000 },
    revocations: 500,
};

/// Starts a bus in a folder of its own.
async fn start(column: Column, folder: PathBuf) -> Done<Bus> {
    match column {
        Column::Testudo => {
            let (swarm, child) = testudo_peer::Swarm::start(folder).await?;
            Ok(Bus { kind: Kind::Testudo(Box::new(swarm)), child })
        }
        Column::Nats | Column::NatsSigned => {
            let (server, child) = nats::Server::start(&nats::find().ok_or(nats::MISSING)?, folder).await?;
            Ok(Bus { kind: Kind::Nats(server), child })
        }
        Column::Raw => {
            let (relay, child) = raw::Relay::start(folder).await?;
            Ok(Bus { kind: Kind::Raw(relay), child })
        }
    }
}

/// The buses that run; both columns of NATS share one.
struct Buses(BTreeMap<Column, Bus>);

impl Buses {
    fn of(&self, column: Column) -> Option<&Bus> {
        let column = if column == Column::NatsSigned { Column::Nats } else { column };
        self.0.get(&column)
    }
}

/// One work, by all who can do it, in turns. What fails ends for that peer alone.
async fn compete(buses: &Buses, work: Work, size: works::Size) -> Vec<Row> {
    let mut rows: Vec<Row> = work.rows().into_iter().map(Row::new).collect();
    let mut hands: Vec<(Column, &Bus, Pair)> = Vec::new();
    for column in Column::ALL.into_iter().filter(|column| work.is_for(*column)) {
        let Some(bus) = buses.of(column) else { continue };
        match bus.hands(work, column).await {
            Ok(pair) => hands.push((column, bus, pair)),
            Err(fault) => blame(&mut rows, column, &fault),
        }
    }
    for round in 0..=size.rounds {
        let mut left = Vec::new();
        for (column, bus, mut pair) in hands {
            let size = if round == 0 { WARM_UP } else { size };
            match bus.measure(work, column, &mut pair, size).await {
                Ok(values) => {
                    let values = rows.iter_mut().zip(values).filter(|_| round > 0);
                    values
                        .for_each(|(row, value)| value.into_iter().for_each(|value| row.add(column, value)));
                    left.push((column, bus, pair));
                }
                // Its processes end with it.
                Err(fault) => blame(&mut rows, column, &fault),
            }
        }
        hands = left;
    }
    for (column, _, pair) in hands {
        if let Err(fault) = pair.end().await {
            blame(&mut rows, column, &fault);
        }
    }
    rows
}

fn blame(rows: &mut [Row], column: Column, fault: &Fault) {
    for row in rows {
        row.faults.insert(column, fault.to_string());
    }
}

/// The peers of this run: NATS only where it is installed.
fn peers() -> Vec<Column> {
    let mut peers = vec![Column::Testudo, Column::Nats, Column::Raw];
    if nats::find().is_none() {
        output::complain(&format!("SKIPPED nats: {}", nats::MISSING));
        peers.retain(|column| *column != Column::Nats);
    }
    peers
}

async fn compare(size: Size, only: &str) -> Done<Vec<Row>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let wanted = |rows: &[Row]| rows.iter().any(|row| row.name.contains(only));
    let named = |work: &Work| wanted(&work.rows().into_iter().map(Row::new).collect::<Vec<_>>());
    let works: Vec<Work> = WORKS.into_iter().filter(named).collect();
    let peers = peers();
    let mut rows = contest(&works, &peers, folder.path(), size.works).await?;
    let mut crowded = crowds::rows(size.crowds.agents);
    if wanted(&crowded) {
        for column in peers {
            output::complain(&format!("{} agents, {}", size.crowds.agents, column.name()));
            crowds::measure(column, folder.path(), size.crowds, &mut crowded).await;
        }
        rows.append(&mut crowded);
    }
    if "revocation under load".contains(only) {
        output::complain("revocation");
        rows.append(&mut revoked::measure(size.revocations).await);
    }
    folder.close()?;
    Ok(rows)
}

async fn contest(works: &[Work], peers: &[Column], folder: &Path, size: works::Size) -> Done<Vec<Row>> {
    if works.is_empty() {
        return Ok(Vec::new());
    }
    let mut buses = Buses(BTreeMap::new());
    for column in peers {
        match start(*column, folder.join(format!("{column:?}"))).await {
            Ok(bus) => drop(buses.0.insert(*column, bus)),
            Err(fault) => output::complain(&format!("{} cannot start: {fault}", column.name())),
        }
    }
    if buses.0.is_empty() {
        return Err("no peer could start".into());
    }
    let mut rows = Vec::new();
    for work in works {
        output::complain(&format!("{work:?}"));
        rows.append(&mut compete(&buses, *work, size).await);
    }
    for (column, bus) in buses.0 {
        if let Err(fault) = bus.child.end().await {
            output::complain(&format!("{}: {fault}", column.name()));
        }
    }
    Ok(rows)
}

async fn run(arguments: &[String]) -> Done {
    if let [first, rest @ ..] = arguments
        && first == role::FLAG
    {
        return parts::play(rest).await;
    }
    let given = std::iter::once("peers").chain(arguments.iter().map(String::as_str));
    let options = match Options::try_parse_from(given) {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            return Err(
                format!("{}; see --help", error.to_string().lines().next().unwrap_or_default()).into()
            );
        }
        Err(help) => {
            output::say(&help.to_string());
            return Ok(());
        }
    };
    let size = if options.quick { QUICK } else { FULL };
    if let Some(folder) = options.report.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(format!("{} is no folder", folder.display()).into());
    }
    let about = about::of_run().await?;
    let rows = tokio::select! {
        rows = compare(size, &options.only) => rows?,
        // Processes and folder go with what is dropped here.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    let report = Report { rows, rounds: size.works.rounds, command: about::command(arguments), about };
    if let Some(folder) = &options.report {
        chart::write(&report, folder)?;
    }
    output::say(&if options.json { report.json().to_string() } else { report.text() });
    let faults = report.faults().len();
    if faults > 0 { Err(format!("{faults} figures failed").into()) } else { Ok(()) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut builder = if arguments.iter().any(|argument| argument == revoked::PART) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.worker_threads(2).enable_all().build();
    match runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(Box::pin(run(&arguments)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            output::complain(&format!("peers {}: {fault}", arguments.join(" ")));
            ExitCode::FAILURE
        }
    }
}

//! What each stage of a node costs, in instructions a message: the same on a busy machine as on a quiet one.
//!
//! `cargo bench -p testudo-rules --bench counts [-- --json] [-- --against FILE]`. FILE is what `--json` printed before a
//! change: a stage that takes over a twentieth more than there ends the run with 1. Needs valgrind; without it nothing
//! is counted, loudly, and nothing fails. Valgrind's processor has AVX2 and no AVX-512: counts are for that.
//!
//! A program of this bench runs the way of a message up to a stage, so often and twice so often, each under
//! cachegrind: the difference has no start and no end in it, and from stage to stage it tells them apart.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports on standard output")]

#[path = "stages/way.rs"]
mod way;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Map, Value, json};
use way::{Fault, Way};

/// The stages, in their order; *replay* is a part of *verify* and stands by itself.
const STAGES: [&str; 7] = ["decode", "bind", "verify", "authorise", "inspect", "record", "replay"];
/// Messages of a bundle.
const BUNDLES: [u64; 2] = [64, 256];
/// Messages that the shorter run takes.
const MESSAGES: u64 = 1024;
/// The first argument of a run that is counted.
const RUN: &str = "--run";
/// What a stage may take more than before, as a share.
const MORE: f64 = 0.05;

/// The way up to a stage, so often.
fn way_to(stage: &str, messages: u64, times: u64) -> Result<(), Fault> {
    let upto = STAGES.iter().position(|name| *name == stage).ok_or("no such stage")?;
    let mut way = Way::new(messages)?;
    for _ in 0..times {
        if stage == "replay" {
            black_box(way.replay()?);
            continue;
        }
        let decoded = black_box(way.decode()?);
        if upto == 0 {
            continue;
        }
        let fresh = black_box(way.bind(decoded)?);
        if upto == 1 {
            continue;
        }
        let verified = black_box(way.verify(fresh)?);
        if upto == 2 {
            continue;
        }
        let authorised = black_box(way.authorise(verified));
        if upto == 3 {
            continue;
        }
        let inspected = black_box(way.inspect(authorised));
        if upto > 4 {
            black_box(way.record(&inspected)?);
        }
    }
    Ok(())
}

/// Instructions of one run.
fn counted(stage: &str, messages: u64, times: u64) -> Result<f64, Fault> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([RUN, stage, &messages.to_string(), &times.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{stage} under valgrind: {}", said.trim()).into());
    }
    let line = said.lines().find(|line| line.contains("refs:")).ok_or("valgrind counted nothing")?;
    let digits: String =
        line.rsplit("refs:").next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

/// Instructions for one message on the way up to a stage.
fn each(stage: &str, messages: u64) -> Result<f64, Fault> {
    let times = MESSAGES / messages;
    let difference = counted(stage, messages, 2 * times)? - counted(stage, messages, times)?;
    Ok(difference / (times * messages) as f64)
}

/// The instructions of every stage for a message, by `stage/bundle`.
fn all() -> Result<Map<String, Value>, Fault> {
    let mut counts = Map::new();
    for messages in BUNDLES {
        let mut before = 0.0;
        for stage in STAGES {
            let way = each(stage, messages)?;
            let own = if stage == "replay" { way } else { way - before };
            before = way;
            counts.insert(format!("{stage}/{messages}"), json!(own.round()));
        }
    }
    Ok(counts)
}

/// Stages that take more than they did.
fn grown(before: &Map<String, Value>, now: &Map<String, Value>) -> Vec<String> {
    let of = |counts: &Map<String, Value>, name: &str| counts.get(name).and_then(Value::as_f64);
    let more = |name: &String| {
        let (before, now) = (of(before, name)?, of(now, name)?);
        (now > before * (1.0 + MORE)).then(|| format!("{name}: {before} -> {now} instructions a message"))
    };
    now.keys().filter_map(more).collect()
}

fn run(arguments: &[String]) -> Result<(), Fault> {
    if let [first, stage, messages, times] = arguments
        && first == RUN
    {
        return way_to(stage, messages.parse()?, times.parse()?);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("valgrind").is_file()) {
        eprintln!("SKIPPED: nothing is counted without valgrind; apt-get install valgrind");
        return Ok(());
    }
    let against = arguments.iter().skip_while(|argument| *argument != "--against").nth(1);
    let before: Option<Map<String, Value>> = match against {
        Some(file) => Some(serde_json::from_str(&std::fs::read_to_string(Path::new(file))?)?),
        None => None,
    };
    let counts = all()?;
    if arguments.iter().any(|argument| argument == "--json") {
        println!("{}", Value::Object(counts.clone()));
    } else {
        println!("instructions a message of 256 bytes, by stage and messages of a bundle");
        counts.iter().for_each(|(name, count)| println!("{name:<16} {count:>8}"));
    }
    let grown = before.map_or_else(Vec::new, |before| grown(&before, &counts));
    if grown.is_empty() { Ok(()) } else { Err(grown.join("\n").into()) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

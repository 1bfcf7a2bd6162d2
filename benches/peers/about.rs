//! When, where and with what a run was made.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use tokio::process::Command;

use crate::role::wall_us;
use crate::{Done, nats};

/// The versions that this was built with.
const LOCKED: &str = include_str!("../../Cargo.lock");

/// The version of a dependency.
fn locked(name: &str) -> &'static str {
    let from = format!("name = \"{name}\"\nversion = \"");
    LOCKED.split_once(&from).and_then(|(_, rest)| rest.split_once('"')).map_or("?", |(version, _)| version)
}

async fn says(program: &str, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output().await;
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// How this was started.
pub(crate) fn command(arguments: &[String]) -> String {
    let own = arguments.iter().filter(|argument| *argument != "--bench").map(String::as_str);
    let own: Vec<_> = own.collect();
    format!("cargo bench --bench peers -- {}", own.join(" ")).trim_end_matches([' ', '-']).to_owned()
}

/// What a reader of the figures wants to know.
pub(crate) async fn of_run() -> Done<BTreeMap<&'static str, String>> {
    let date = OffsetDateTime::from_unix_timestamp(i64::try_from(wall_us()? / 1_000_000)?)?.date();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = read("/proc/loadavg").split_whitespace().next().unwrap_or("?").to_owned();
    let server = match nats::find() {
        Some(server) => says(&server.to_string_lossy(), "-v").await,
        None => "no nats-server".to_owned(),
    };
    let versions = ["quinn", "rustls", "aws-lc-rs", "ed25519-dalek", "blake3", "tokio", "async-nats"]
        .map(|name| format!("{name} {}", locked(name)));
    Ok(BTreeMap::from([
        ("date", date.to_string()),
        (
            "machine",
            format!(
                "{processors} processors ({}), Linux {}",
                model.trim_matches([':', '\t', ' ']),
                read("/proc/sys/kernel/osrelease")
            ),
        ),
        (
            "load before the run",
            format!("{load} (of {processors}; above 0.3 the figures are of a busy machine)"),
        ),
        (
            "versions",
            format!(
                "testudo {}, {server}, {}, {}",
                env!("CARGO_PKG_VERSION"),
                versions.join(", "),
                says("rustc", "--version").await
            ),
        ),
    ]))
}

//! Revocation as an operator meets it, under load: how long `revoke` takes, when the last handler starts after it has
//! returned, and that the node hands nothing over after that.
//!
//! `cargo bench --bench revocation -- [--quick] [--json]`. The real node binary, real QUIC on loopback, every check on,
//! store and log on disk. A thousand agents, one after the other, flood a reader and are revoked while they do, beside
//! others who load the node. No time is asserted; nothing handed over after the return is: anything else is a failure.

#[path = "revocation/core.rs"]
mod core_of_it;
#[path = "peers/stats.rs"]
#[expect(dead_code, reason = "each bench takes its part of the figures")]
mod stats;

use std::io::Write as _;
use std::process::ExitCode;

use core_of_it::measure;

/// Why a bench cannot go on, in words.
type Fault = Box<dyn std::error::Error + Send + Sync>;
type Done<T = ()> = Result<T, Fault>;

async fn run(arguments: &[String]) -> Done {
    // Whatever else cargo passes on, `--bench` for one, means nothing here.
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let figures = tokio::select! {
        figures = measure(if given("--quick") { 100 } else { 1_000 }) => figures?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    let json = figures.json();
    let text = if given("--json") { json.to_string() } else { serde_json::to_string_pretty(&json)? };
    // A reader that has gone away ends nothing.
    let _ = writeln!(std::io::stdout(), "{text}");
    if figures.late.is_empty() {
        return Ok(());
    }
    Err(format!("handed over after revoke had returned: {:?}", figures.late).into())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(Box::pin(run(&arguments)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "revocation {}: {fault}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

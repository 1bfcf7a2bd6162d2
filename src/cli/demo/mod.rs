//! `testudo demo`: the example swarm on a real folder, in processes of its own, with mallory among them.
//!
//! This process is the operator: it makes the swarm, starts node and agents, watches, and judges at the end.
//! Children live only as long as their standard input, which is a pipe from here: none outlives us.

mod child;
mod role;
mod show;
mod stage;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::{CliError, Done, plain, say};
use crate::triage::mallory::Attack;
use crate::triage::report::{Report, save, table};

pub(super) use role::Role;

/// Rows of the report that are printed.
const ROWS: usize = 30;
/// A demo that takes longer has failed.
const DEMO_TIME: Duration = Duration::from_secs(900);

/// Run the example swarm triage on a folder, under attack.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// The folder to examine
    #[arg(long, value_name = "DIR", default_value = ".")]
    input: PathBuf,
    /// Reader agents
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    readers: u8,
    /// Where the ranked report is saved
    #[arg(long, value_name = "FILE", default_value = "triage-report.json")]
    report: PathBuf,
    /// One JSON object on one line instead of tables
    #[arg(long)]
    json: bool,
}

/// Messages between honest agents, as their own ledgers have them. Each message, answer, part of an answer and
/// publication is sent once; each has one receiver, for the topic has one subscriber, the demo itself: the
/// numbers are equal when everything arrived exactly once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Honest {
    /// Not refused.
    sent: u64,
    delivered: u64,
    /// Refused for a file name that reads like an attack; what else was in them was sent again without it.
    refused: u64,
}

impl Honest {
    fn add(&mut self, sent: u64, delivered: u64, refused: u64) {
        self.sent += sent;
        self.delivered += delivered;
        self.refused += refused;
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
struct AuditResult {
    records: u64,
    verified: bool,
}

/// Everything that a demo found out.
#[derive(Debug, Serialize)]
struct Outcome {
    honest: Honest,
    attacks: Vec<Attack>,
    report: Report,
    /// Files that could not be read, of which nothing is known.
    unread: usize,
    audit: AuditResult,
    elapsed_ms: u128,
    /// Why it is no success, if it is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

fn interrupted() -> Done {
    Err(CliError::Failed("interrupted; all processes of the demo have ended".into()))
}

impl Demo {
    pub(super) fn run(self) -> Done {
        let root = std::fs::canonicalize(&self.input).map_err(|error| {
            CliError::Usage(format!("{}: {error}; give a folder with --input", self.input.display()))
        })?;
        if !root.is_dir() {
            return Err(CliError::Usage(format!("{} is no folder; give one with --input", root.display())));
        }
        // Before the work, not after it.
        let folder = self.report.parent().filter(|folder| !folder.as_os_str().is_empty());
        if self.report.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            let report = self.report.display();
            return Err(CliError::Usage(format!(
                "{report} cannot be a file; choose another one with --report"
            )));
        }
        plain(async {
            let began = Instant::now();
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let work = stage::play(&root, self.readers, self.json);
            let played = tokio::select! {
                // What else goes wrong in that moment goes wrong because of it.
                biased;
                _ = interrupt.recv() => return interrupted(),
                _ = terminate.recv() => return interrupted(),
                played = tokio::time::timeout(DEMO_TIME, work) => played,
            };
            let played = played.map_err(|_| CliError::Failed("the demo did not end in time".into()))??;
            self.judge(played, began)
        })
    }

    fn judge(&self, played: stage::Played, began: Instant) -> Done {
        save(&played.report, &self.report)
            .map_err(|error| CliError::Usage(format!("{error}; choose another file with --report")))?;
        let outcome = Outcome {
            faults: played.faults(),
            honest: played.honest,
            attacks: played.attacks,
            report: played.report,
            unread: played.unread,
            audit: played.audit,
            elapsed_ms: began.elapsed().as_millis(),
        };
        if self.json {
            say(&serde_json::to_string(&outcome)?);
        } else {
            self.print(&outcome);
        }
        match outcome.faults.as_slice() {
            [] => Ok(()),
            faults => Err(CliError::Failed(format!("the demo failed: {}", faults.join("; ")))),
        }
    }

    fn print(&self, outcome: &Outcome) {
        say(&table(&outcome.report, ROWS, &self.report));
        say("");
        say(&show::attacks(&outcome.attacks));
        let refused = outcome.attacks.iter().filter(|attack| attack.refused).count();
        let Honest { sent, delivered, refused: again } = outcome.honest;
        let AuditResult { records, verified } = outcome.audit;
        let log = if verified { "verified" } else { "NOT VERIFIED" };
        say(&format!("honest messages: {sent} sent, {delivered} delivered, each once"));
        if again > 0 {
            say(&format!(
                "                 {again} more refused as poisoned and told again without the name"
            ));
        }
        if outcome.unread > 0 {
            say(&format!(
                "NOT READ:        {} files could not be read; nothing is known of them",
                outcome.unread
            ));
        }
        say(&format!(
            "attacks:         {} tried, {refused} refused for their own reason",
            outcome.attacks.len()
        ));
        say(&format!("audit log:       {records} records, {log}"));
        say(&format!("report:          {} ({} ms)", self.report.display(), outcome.elapsed_ms));
    }
}

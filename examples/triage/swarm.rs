//! The honest agents of triage and the words that they exchange.
//!
//! The orchestrator lets each reader begin, by its name, with a token for `read:files`, an hour long. Then it
//! asks the service `examine:files` once for each batch: any reader may get it, takes the files under its
//! token, examines them and reports to the analyst. At the end the analyst streams the ranked report. All say
//! on a topic how far they are. No file's text ever travels.

pub(crate) mod analyst;
pub(crate) mod orchestrator;
pub(crate) mod parts;
pub(crate) mod reader;
pub(crate) mod watcher;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testudo::agents::{AgentError, Bus, Message, SendFailure, To};
use testudo::wire::{AgentName, Capability, NameError, Refusal, Resource};

use super::findings::Finding;
use super::report::Report;
use super::walk::WalkedFile;
use parts::Parts;

/// Begin to read: asked of each reader once, with a token.
pub(crate) const BEGIN: &str = "begin:reading";
/// Examine the next batch: asked of any reader.
pub(crate) const EXAMINE: &str = "examine:files";
/// The files of the next batch: asked of the orchestrator, under the token that it delegated.
pub(crate) const READ: &str = "read:files";
/// Findings: told to the analyst.
pub(crate) const REPORT: &str = "report:findings";
/// The ranked report: asked of the analyst, which streams it.
pub(crate) const RANK: &str = "rank:findings";
/// The topic on which all say how far they are.
pub(crate) const PROGRESS: &str = "triage.progress";

/// What the orchestrator is given.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Where the list of files is put for the readers.
    pub(crate) list: PathBuf,
    /// Who reads.
    pub(crate) readers: Vec<AgentName>,
    /// Who ranks.
    pub(crate) analyst: AgentName,
}

/// The first request to a reader; a token for `read:files` comes with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Begin {
    /// The folder.
    pub(crate) root: PathBuf,
    /// The list of files.
    pub(crate) list: PathBuf,
    /// The key under which lines are hashed, in hex; new for every run.
    pub(crate) key: String,
    /// Who ranks.
    pub(crate) analyst: AgentName,
}

/// Examine a batch; and ask whoever gave the token which one.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Next {}

/// Files by their place in the list; none when all are given out.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Batch {
    /// The first and one beyond the last.
    pub(crate) range: Option<(usize, usize)>,
}

/// What a reader found in a batch, or a part of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    /// Files examined, by place in the list; each is named once in all messages.
    pub(crate) examined: Vec<usize>,
    /// Of these, files that could not be read: nothing is known of them.
    pub(crate) unread: usize,
    /// What was found.
    pub(crate) findings: Vec<Finding>,
}

/// The ranked report as the analyst streams it: first the whole, then the findings, the worst first.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ranked {
    /// Everything but the findings.
    Summary {
        /// The report without its findings.
        report: Report,
        /// Files that were reported examined more than once: there must be none.
        examined_twice: usize,
        /// Files that could not be read.
        unread: usize,
    },
    /// The next findings.
    Findings(Vec<Finding>),
}

/// How far somebody is, for whoever watches.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// The folder has been listed.
    Listed {
        /// Files to examine.
        files: usize,
    },
    /// A batch has been examined.
    Examined {
        /// Files of the batch.
        files: usize,
        /// What was found in them.
        findings: usize,
    },
    /// The report is complete.
    Ranked {
        /// Findings in it.
        findings: usize,
    },
}

/// The list of files as the orchestrator saw it.
pub(crate) fn read_list(path: &Path) -> Result<Vec<WalkedFile>, AgentError> {
    let text = std::fs::read(path).map_err(AgentError::failed)?;
    serde_json::from_slice(&text).map_err(AgentError::failed)
}

/// A capability by its name.
pub(crate) fn capability(name: &str) -> Result<Capability, AgentError> {
    name.parse().map_err(|error: NameError| AgentError::failed(error))
}

/// The topic of the live view.
pub(crate) fn topic() -> Result<Resource, AgentError> {
    PROGRESS.parse().map_err(|error: NameError| AgentError::failed(error))
}

/// A message in JSON, to an agent by its name or to [`To::Service`].
pub(crate) fn message(to: impl Into<To>, asked: &str, value: &impl Serialize) -> Result<Message, AgentError> {
    Message::json(to, capability(asked)?, value).map_err(AgentError::failed)
}

/// Says how far this agent is. Nobody's work waits for who watches it.
pub(crate) async fn progress(bus: &Bus, progress: Progress) -> Result<(), AgentError> {
    if let Err(error) = bus.publish(topic()?, &progress).await {
        tracing::warn!(%error, "nobody can see how far the work is");
    }
    Ok(())
}

/// Tells the analyst of findings. File names are the one free text in them: where the content guard takes a
/// name for an attack, that finding is told without it, and all others with theirs.
pub(crate) async fn report(
    bus: &Bus,
    analyst: AgentName,
    examined: Vec<usize>,
    unread: usize,
    findings: Vec<Finding>,
) -> Result<(), AgentError> {
    let mut parts = Parts::of(findings);
    let mut counts = (examined, unread);
    while let Some(part) = parts.next() {
        let (examined, unread) = std::mem::take(&mut counts);
        let found = Found { examined, unread, findings: part };
        match bus.tell(message(analyst, REPORT, &found)?).await {
            Err(SendFailure::Refused { refusal: Refusal::Poisoned, .. }) => {
                counts = (found.examined, found.unread);
                parts.refused(found.findings)?;
            }
            told => _ = told?,
        }
    }
    Ok(())
}

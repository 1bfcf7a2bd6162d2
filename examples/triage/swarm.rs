//! The honest agents of triage and the words that they exchange.
//!
//! The orchestrator hands each reader a token for `read:files`, an hour long; under it the reader asks for one
//! batch of files after the other, examines them and reports to the analyst. No file's text ever travels.

pub(crate) mod analyst;
pub(crate) mod orchestrator;
pub(crate) mod reader;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testudo::agents::{AgentError, Message, SendFailure};
use testudo::wire::{AgentName, Capability, Holder, NameError, Refusal};

use super::findings::Finding;
use super::walk::WalkedFile;

/// Findings in one message: with the longest paths they fit one body.
pub(crate) const FINDINGS_PER_MESSAGE: usize = 100;

/// Examine files: asked of a reader once.
pub(crate) const EXAMINE: &str = "examine:files";
/// The next batch: asked of the orchestrator, under the token that it delegated.
pub(crate) const READ: &str = "read:files";
/// Findings: told to the analyst.
pub(crate) const REPORT: &str = "report:findings";
/// The ranked report: asked of the analyst.
pub(crate) const RANK: &str = "rank:findings";

/// What the orchestrator is given.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    /// The folder.
    pub(crate) root: PathBuf,
    /// Where the list of files is put for the readers.
    pub(crate) list: PathBuf,
    /// Who reads.
    pub(crate) readers: Vec<Holder>,
    /// Who ranks.
    pub(crate) analyst: AgentName,
}

/// The first request to a reader.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Begin {
    /// The folder.
    pub(crate) root: PathBuf,
    /// The list of files.
    pub(crate) list: PathBuf,
    /// The key under which lines are hashed, in hex; new for every run.
    pub(crate) key: String,
    /// The token for `read:files`, delegated to this reader.
    pub(crate) token: String,
    /// Who asks.
    pub(crate) orchestrator: AgentName,
    /// Who ranks.
    pub(crate) analyst: AgentName,
}

/// A reader asks for work.
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

/// A part of the ranked report.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RankPart {
    /// Findings to skip.
    pub(crate) from: usize,
}

/// The analyst's answer.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Ranked {
    /// Files examined, each counted once.
    pub(crate) files_examined: usize,
    /// Files that were reported examined more than once: there must be none.
    pub(crate) examined_twice: usize,
    /// Files that could not be read.
    pub(crate) unread: usize,
    /// All findings.
    pub(crate) total: usize,
    /// Those from the place that was asked for.
    pub(crate) findings: Vec<Finding>,
}

/// The list of files as the orchestrator saw it.
pub(crate) fn read_list(path: &Path) -> Result<Vec<WalkedFile>, AgentError> {
    let text = std::fs::read(path).map_err(AgentError::failed)?;
    serde_json::from_slice(&text).map_err(AgentError::failed)
}

/// A message in JSON.
pub(crate) fn message(
    to: AgentName,
    capability: &str,
    value: &impl Serialize,
) -> Result<Message, AgentError> {
    let capability =
        capability.parse::<Capability>().map_err(|error: NameError| AgentError::failed(error))?;
    Message::json(to, capability, value).map_err(AgentError::failed)
}

/// Tells the analyst of findings, in parts that fit a message. File names are the one free text in them: a
/// part whose names the content guard takes for an attack is told again without names.
pub(crate) async fn report(
    bus: &testudo::agents::Bus,
    analyst: AgentName,
    examined: Vec<usize>,
    unread: usize,
    findings: Vec<Finding>,
) -> Result<(), AgentError> {
    let mut examined = Some((examined, unread));
    let mut parts: Vec<Vec<Finding>> = findings.chunks(FINDINGS_PER_MESSAGE).map(<[_]>::to_vec).collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    for findings in parts {
        let (examined, unread) = examined.take().unwrap_or_default();
        let mut found = Found { examined, unread, findings };
        match bus.tell(message(analyst, REPORT, &found)?).await {
            Err(SendFailure::Refused { refusal: Refusal::Poisoned, .. }) => {
                for finding in &mut found.findings {
                    finding.path =
                        format!("withheld-{}", &blake3::hash(finding.path.as_bytes()).to_hex()[..16]);
                }
                bus.tell(message(analyst, REPORT, &found)?).await?;
            }
            other => {
                other?;
            }
        }
    }
    Ok(())
}

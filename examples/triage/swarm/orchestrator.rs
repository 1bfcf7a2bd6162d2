//! The orchestrator: walks the folder, hands each reader a token and batches of files, asks for the report.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use testudo::agents::{AgentError, Bus, Handlers, HandlersError, Message, Served};
use testudo::bus::env::{Env as _, random};
use testudo::env::System;
use testudo::rules::token::{Delegation, Fresh};
use testudo::wire::{Capability, Holder, TokenFactId, Ttl};
use testudo::{Identity, wire::AgentName};

use super::{Batch, Begin, EXAMINE, Job, Next, RANK, READ, RankPart, Ranked, message, report};
use crate::triage::findings::{CONTENT_BYTES_MAX, missing_licence, size_outliers};
use crate::triage::report::{Report, rank};
use crate::triage::walk::{Walk, WalkLimits, read, walk};

/// Files handed out at once.
const BATCH: usize = 25;
/// A delegated token lives an hour.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// The work that is left: one batch for whoever asks next.
#[derive(Clone, Default)]
pub(crate) struct Work(Arc<Mutex<(usize, usize)>>);

impl Work {
    fn next(&self) -> Batch {
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, end) = *work;
        let to = (from + BATCH).min(end);
        work.0 = to;
        Batch { range: (from < to).then_some((from, to)) }
    }

    fn set(&self, files: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (0, files);
    }
}

/// What the orchestrator serves: the next batch, to holders of a token for it.
pub(crate) fn serve(work: &Work) -> Result<Served, HandlersError> {
    let work = work.clone();
    Handlers::new()
        .on(READ, move |_: Next, _| {
            let batch = work.next();
            async move { Ok(batch) }
        })
        .build()
}

/// The finished triage.
pub(crate) struct Finished {
    /// The ranked report.
    pub(crate) report: Report,
    /// Files in the list.
    pub(crate) files: usize,
    /// Files that somebody reported twice.
    pub(crate) examined_twice: usize,
    /// Files that could not be read, by the walk or by a reader.
    pub(crate) unread: usize,
}

/// Runs one triage to its report.
pub(crate) async fn run(
    identity: &Identity,
    bus: &Bus,
    work: &Work,
    job: &Job,
) -> Result<Finished, AgentError> {
    let root = job.root.clone();
    let walked = tokio::task::spawn_blocking(move || walk(&root, &WalkLimits::default()));
    let walked = walked.await.map_err(AgentError::failed)?.map_err(AgentError::failed)?;
    let list = serde_json::to_vec(&walked.files).map_err(AgentError::failed)?;
    std::fs::write(&job.list, list).map_err(AgentError::failed)?;
    work.set(walked.files.len());
    report(bus, job.analyst, Vec::new(), walked.unreadable, whole_folder(&walked, job)).await?;
    let key = hex::encode(random::<32>(&System));
    try_join_all(job.readers.iter().map(|reader| examine(identity, bus, job, *reader, key.clone()))).await?;
    finish(bus, job.analyst, walked.files.len()).await
}

/// What can only be said of the folder as a whole.
fn whole_folder(walked: &Walk, job: &Job) -> Vec<crate::triage::findings::Finding> {
    let mut findings = size_outliers(&walked.files);
    findings.extend(missing_licence(walked, |name| read(&job.root, name, CONTENT_BYTES_MAX).ok()));
    findings
}

/// Hands one reader its token and waits until it finds no more work.
async fn examine(
    identity: &Identity,
    bus: &Bus,
    job: &Job,
    reader: Holder,
    key: String,
) -> Result<(), AgentError> {
    let begin = Begin {
        root: job.root.clone(),
        list: job.list.clone(),
        key,
        token: delegate(identity, reader)?,
        orchestrator: identity.client.name,
        analyst: job.analyst,
    };
    let mut ask: Message = message(reader.name, EXAMINE, &begin)?;
    ask.ttl = Ttl::MAX;
    bus.request(ask).await?;
    Ok(())
}

/// A token for `read:files` and nothing else, from the orchestrator's own.
fn delegate(identity: &Identity, to: Holder) -> Result<String, AgentError> {
    let delegation = Delegation {
        id: TokenFactId::new(random(&System)),
        to,
        grant: Capability::parse(READ).into_iter().collect(),
        grant_on: std::collections::BTreeSet::new(),
        expires: System.now().after(TOKEN_LIFE),
        hops: 0,
    };
    let own = &identity.client;
    let token = own.token.delegate(&delegation, &own.key, Fresh::from_random(random(&System)));
    Ok(token.map_err(AgentError::failed)?.to_text().to_string())
}

/// Collects the ranked report part by part.
async fn finish(bus: &Bus, analyst: AgentName, files: usize) -> Result<Finished, AgentError> {
    let mut findings = Vec::new();
    loop {
        let ask = message(analyst, RANK, &RankPart { from: findings.len() })?;
        let ranked: Ranked = bus.request(ask).await?.json().map_err(AgentError::failed)?;
        let more = ranked.findings.len();
        findings.extend(ranked.findings.iter().cloned());
        if more == 0 || findings.len() >= ranked.total {
            let report = rank(findings, ranked.files_examined);
            let Ranked { examined_twice, unread, .. } = ranked;
            return Ok(Finished { report, files, examined_twice, unread });
        }
    }
}

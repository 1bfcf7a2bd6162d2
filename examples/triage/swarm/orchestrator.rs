//! The orchestrator: walks the folder, hands each reader a token, asks whichever is free to examine a batch,
//! and takes in the report as it comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{self, TryStreamExt as _};
use testudo::agents::{AgentError, Bus, Delegate, Handlers, HandlersError, Served, To};
use testudo::bus::env::random;
use testudo::env::System;
use testudo::wire::{AgentName, Ttl};

use super::{
    BEGIN, Batch, Begin, EXAMINE, Job, Next, Progress, RANK, READ, Ranked, capability, message, progress,
    report,
};
use crate::triage::findings::{CONTENT_BYTES_MAX, Finding, missing_licence, size_outliers};
use crate::triage::report::Report;
use crate::triage::walk::{Walk, WalkLimits, read, walk};

/// Files handed out at once.
const BATCH: usize = 25;
/// Batches under way for each reader: one that it examines, one that waits for it.
const AHEAD: usize = 2;
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
pub(crate) async fn run(bus: &Bus, work: &Work, job: &Job) -> Result<Finished, AgentError> {
    let root = job.root.clone();
    let walked = tokio::task::spawn_blocking(move || walk(&root, &WalkLimits::default()));
    let walked = walked.await.map_err(AgentError::failed)?.map_err(AgentError::failed)?;
    let list = serde_json::to_vec(&walked.files).map_err(AgentError::failed)?;
    std::fs::write(&job.list, list).map_err(AgentError::failed)?;
    let files = walked.files.len();
    work.set(files);
    progress(bus, Progress::Listed { files }).await?;
    report(bus, job.analyst, Vec::new(), walked.unreadable, whole_folder(&walked, job)).await?;
    let (root, list, analyst) = (job.root.clone(), job.list.clone(), job.analyst);
    let begin = Begin { root, list, key: hex::encode(random::<32>(&System)), analyst };
    try_join_all(job.readers.iter().map(|reader| let_begin(bus, *reader, &begin))).await?;
    let batches = stream::iter((0..files.div_ceil(BATCH)).map(Ok));
    batches.try_for_each_concurrent(AHEAD * job.readers.len(), |_| examine(bus)).await?;
    let finished = finish(bus, job.analyst, files).await?;
    progress(bus, Progress::Ranked { findings: finished.report.total }).await?;
    Ok(finished)
}

/// What can only be said of the folder as a whole.
fn whole_folder(walked: &Walk, job: &Job) -> Vec<Finding> {
    let mut findings = size_outliers(&walked.files);
    findings.extend(missing_licence(walked, |name| read(&job.root, name, CONTENT_BYTES_MAX).ok()));
    findings
}

/// Hands one reader a token for `read:files` and nothing else, from the orchestrator's own.
async fn let_begin(bus: &Bus, reader: AgentName, begin: &Begin) -> Result<(), AgentError> {
    let token = bus.delegate(&Delegate::new(reader, [capability(READ)?]).lives(TOKEN_LIFE)).await?;
    bus.request(message(reader, BEGIN, begin)?.under(&token)?).await?;
    Ok(())
}

/// Has whichever reader is free examine a batch, and waits until it has.
async fn examine(bus: &Bus) -> Result<(), AgentError> {
    let mut ask = message(To::Service, EXAMINE, &Next {})?;
    ask.ttl = Ttl::MAX;
    bus.request(ask).await?;
    Ok(())
}

/// Takes in the ranked report as it comes.
async fn finish(bus: &Bus, analyst: AgentName, files: usize) -> Result<Finished, AgentError> {
    let mut parts = bus.stream(message(analyst, RANK, &Next {})?).await?;
    let Some(Ranked::Summary { mut report, examined_twice, unread }) = parts.next_json().await.transpose()?
    else {
        return Err(AgentError::failed("the report does not begin with its summary"));
    };
    while let Some(part) = parts.next_json().await.transpose()? {
        match part {
            Ranked::Findings(findings) => report.findings.extend(findings),
            Ranked::Summary { .. } => return Err(AgentError::failed("the report begins twice")),
        }
    }
    Ok(Finished { report, files, examined_twice, unread })
}

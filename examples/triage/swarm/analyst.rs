//! The analyst: takes findings from readers, streams them ranked when asked.

use std::collections::BTreeSet;

use testudo::agents::{Agent, AgentError, Context, Incoming, Outcome};

use super::parts::Parts;
use super::{Found, RANK, REPORT, Ranked};
use crate::triage::findings::Finding;
use crate::triage::report::rank;

/// What it has heard so far.
#[derive(Default)]
pub(crate) struct Analyst {
    examined: BTreeSet<usize>,
    examined_twice: usize,
    unread: usize,
    findings: Vec<Finding>,
}

impl Agent for Analyst {
    async fn handle(&mut self, incoming: Incoming, context: &Context) -> Result<Outcome, AgentError> {
        match incoming.capability.as_str() {
            REPORT => self.take(incoming.json().map_err(AgentError::bad_request)?),
            RANK => self.stream(context).await?,
            other => return Err(AgentError::bad_request(format_args!("{other} is not served here"))),
        }
        Ok(Outcome::Done)
    }
}

impl Analyst {
    fn take(&mut self, found: Found) {
        self.unread += found.unread;
        for file in found.examined {
            if !self.examined.insert(file) {
                self.examined_twice += 1;
            }
        }
        self.findings.extend(found.findings);
    }

    /// Each part waits until the asker has room for it.
    async fn stream(&self, context: &Context) -> Result<(), AgentError> {
        let mut report = rank(self.findings.clone(), self.examined.len());
        let mut findings = Parts::of(std::mem::take(&mut report.findings));
        let (examined_twice, unread) = (self.examined_twice, self.unread);
        let mut stream = context.stream()?;
        stream.send(&Ranked::Summary { report, examined_twice, unread }).await?;
        while let Some(part) = findings.next() {
            stream.send(&Ranked::Findings(part)).await?;
        }
        Ok(stream.finish().await?)
    }
}

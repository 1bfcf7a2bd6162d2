//! The analyst: takes findings from readers, ranks them when asked.

use std::collections::BTreeSet;

use testudo::agents::{Agent, AgentError, Bus, Incoming, Outcome};

use super::{FINDINGS_PER_MESSAGE, Found, RANK, REPORT, RankPart, Ranked};
use crate::triage::findings::Finding;
use crate::triage::report::{Report, rank};

/// What it has heard so far.
#[derive(Default)]
pub(crate) struct Analyst {
    examined: BTreeSet<usize>,
    examined_twice: usize,
    unread: usize,
    findings: Vec<Finding>,
    ranked: Option<Report>,
}

impl Agent for Analyst {
    async fn handle(&mut self, incoming: Incoming, _: &Bus) -> Result<Outcome, AgentError> {
        match incoming.capability.as_str() {
            REPORT => self.take(incoming.json().map_err(AgentError::bad_request)?),
            RANK => {
                let asked: RankPart = incoming.json().map_err(AgentError::bad_request)?;
                Outcome::json(&self.part(asked.from)).map_err(AgentError::failed)
            }
            other => Err(AgentError::bad_request(format_args!("{other} is not served here"))),
        }
    }
}

impl Analyst {
    fn take(&mut self, found: Found) -> Result<Outcome, AgentError> {
        self.ranked = None;
        self.unread += found.unread;
        for file in found.examined {
            if !self.examined.insert(file) {
                self.examined_twice += 1;
            }
        }
        self.findings.extend(found.findings);
        Ok(Outcome::Done)
    }

    fn part(&mut self, from: usize) -> Ranked {
        let files_examined = self.examined.len();
        let report = self.ranked.get_or_insert_with(|| rank(self.findings.clone(), files_examined));
        Ranked {
            files_examined,
            examined_twice: self.examined_twice,
            unread: self.unread,
            total: report.total,
            findings: report.findings.iter().skip(from).take(FINDINGS_PER_MESSAGE).cloned().collect(),
        }
    }
}

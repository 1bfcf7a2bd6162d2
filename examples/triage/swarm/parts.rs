//! Findings in parts that fit a message, and what to do with a part that the content guard refuses.

use testudo::agents::AgentError;

use crate::triage::findings::Finding;

#[cfg(test)]
#[path = "../tests/parts.rs"]
mod tests;

/// Findings in one part.
pub(crate) const FINDINGS_MAX: usize = 100;
/// Bytes of names in one part: escaped and with everything around them they fit a part of a stream.
const NAMES_BYTES_MAX: usize = 16 * 1024;
/// What a name begins with that is not told.
const WITHHELD: &str = "withheld-";

/// Findings, part by part; at least one part, which may be empty.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The next one stands at the end.
    waiting: Vec<Vec<Finding>>,
}

impl Parts {
    /// In their order.
    pub(crate) fn of(findings: Vec<Finding>) -> Self {
        let mut waiting = vec![Vec::new()];
        let mut names = 0;
        for finding in findings {
            names += finding.path.len();
            let full = |part: &Vec<Finding>| part.len() >= FINDINGS_MAX || names > NAMES_BYTES_MAX;
            match waiting.last_mut().filter(|part| part.is_empty() || !full(part)) {
                Some(part) => part.push(finding),
                None => {
                    names = finding.path.len();
                    waiting.push(vec![finding]);
                }
            }
        }
        waiting.reverse();
        Self { waiting }
    }

    /// The next part to tell.
    pub(crate) fn next(&mut self) -> Option<Vec<Finding>> {
        self.waiting.pop()
    }

    /// The guard took something in this part for an attack: its halves come next, and of a finding alone its
    /// name is withheld.
    pub(crate) fn refused(&mut self, mut part: Vec<Finding>) -> Result<(), AgentError> {
        let half = part.split_off(part.len() / 2);
        match half.as_slice() {
            [one] if part.is_empty() => {
                if one.path.starts_with(WITHHELD) {
                    return Err(AgentError::failed("the content guard refuses a finding without its name"));
                }
                let hash = blake3::hash(one.path.as_bytes()).to_hex();
                let path = format!("{WITHHELD}{}", &hash[..16]);
                self.waiting.push(vec![Finding { path, ..one.clone() }]);
            }
            [] => return Err(AgentError::failed("the content guard refuses a report of nothing")),
            _ => self.waiting.extend([half, part]),
        }
        Ok(())
    }
}

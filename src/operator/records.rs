//! The end of the audit log for an operator elsewhere: a bounded look, in lines. Who wants all of it has the folder, or an
//! exporter.

use std::collections::VecDeque;
use std::path::Path;

use serde::{Deserialize, Serialize};
use testudo_bus::audit::LogReader;
use testudo_rules::audit::Filter;
use testudo_wire::{AgentName, CorrelationId};

use super::ANSWER_BYTES_MAX;

/// Most lines of one answer.
pub const LINES_MAX: u32 = 1000;
/// So far back a look goes, whatever it is for.
const BACK_MAX: u64 = 100_000;
/// Bytes of an answer's lines; the rest is for what JSON escapes.
const BYTES_MAX: usize = ANSWER_BYTES_MAX / 4;

/// Which records are wanted, and how.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Wanted {
    /// The last so many; at most [`LINES_MAX`].
    pub last: u32,
    /// Only those that name this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Only those that give this reason, or one of which it is a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only those of this piece of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<CorrelationId>,
    /// JSON instead of text.
    #[serde(default)]
    pub json: bool,
}

/// The lines of these records, oldest first. Blocks on the disk.
pub(super) fn tail(dir: &Path, records: u64, wanted: Wanted) -> Result<Vec<String>, String> {
    let Wanted { last, agent, reason, correlation, json } = wanted;
    let words = |error: &dyn std::fmt::Display| format!("the audit log cannot be read: {error}");
    let oldest = LogReader::oldest(dir).map_err(|error| words(&error))?.cursor();
    let mut reader = LogReader::new(dir, oldest.max(records.saturating_sub(BACK_MAX)));
    let mut filter = Filter::new(agent, reason, correlation);
    let (most, mut bytes) = (last.clamp(1, LINES_MAX) as usize, 0);
    let mut lines: VecDeque<String> = VecDeque::new();
    while let Some((index, record)) = reader.next_record().map_err(|error| words(&error))? {
        if !filter.wants(index, &record) {
            continue;
        }
        let line = if json { record.to_json(index).to_string() } else { record.to_line(index) };
        bytes += line.len();
        lines.push_back(line);
        while lines.len() > most || bytes > BYTES_MAX {
            let Some(first) = lines.pop_front() else { break };
            bytes -= first.len();
        }
    }
    Ok(lines.into())
}

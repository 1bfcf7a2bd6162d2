//! `audit tail`: records as they come.

use clap::Args;
use testudo::bus::audit::LogReader;
use testudo::rules::audit::Filter;
use testudo::wire::{AgentName, CorrelationId};

use super::super::{At, CliError, Done, Reader, plain, say, try_say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    at: At,
    /// Only the last N records; 0 for all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    lines: u64,
    /// Only records that name this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Only records that give this reason: a refusal, a cause, a rule, or a part of it, such as poisoned
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only records of this piece of work, and what became of them
    #[arg(long, value_name = "CORRELATION_ID")]
    correlation: Option<CorrelationId>,
    /// Go on with records as they are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// How often a followed log is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

impl Tail {
    pub(super) fn run(self) -> Done {
        let log = Log::of(&self.at)?;
        // A followed log may come to be later.
        let dir = if self.follow { log.dir_to_be() } else { log.dir()? };
        let mut filter = Filter::new(self.agent, self.reason.clone(), self.correlation);
        let mut reader = LogReader::oldest(dir).map_err(|error| CliError::Failed(error.to_string()))?;
        let mut last = std::collections::VecDeque::new();
        while let Some(line) = self.next_line(&mut reader, &mut filter)? {
            last.push_back(line);
            if self.lines > 0 && last.len() as u64 > self.lines {
                last.pop_front();
            }
        }
        last.iter().for_each(|line| say(line));
        if !self.follow {
            return Ok(());
        }
        plain(async {
            loop {
                while let Some(line) = self.next_line(&mut reader, &mut filter)? {
                    if try_say(&line) == Reader::Gone {
                        return Ok(());
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    /// The next record that is wanted, as a line; `None` when there is none yet.
    fn next_line(&self, reader: &mut LogReader, filter: &mut Filter) -> Result<Option<String>, CliError> {
        loop {
            let record = reader.next_record().map_err(|error| CliError::Failed(error.to_string()))?;
            let Some((index, record)) = record else { return Ok(None) };
            if filter.wants(index, &record) {
                let json = || record.to_json(index).to_string();
                return Ok(Some(if self.json { json() } else { record.to_line(index) }));
            }
        }
    }
}

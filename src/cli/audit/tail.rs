//! `audit tail`: records as they come.

use clap::Args;
use testudo::bus::audit::LogReader;
use testudo::operator::{Answer, LINES_MAX, Request, Wanted};
use testudo::rules::audit::Filter;
use testudo::wire::{AgentName, CorrelationId};

use super::super::through::{Through, unexpected};
use super::super::{CliError, Done, Reader, plain, say, try_say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Tail {
    #[command(flatten)]
    through: Through,
    /// Only the last N records; 0 for all; with --identity the last 1000 at most
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
        if self.through.is_remote() {
            return self.asked();
        }
        let log = Log::of(self.through.at())?;
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

    /// The same of a node elsewhere: a bounded look, and no following, for each look would be on the log that is followed.
    fn asked(self) -> Done {
        if self.follow {
            let why = "--follow reads the log's folder and cannot go with --identity; have an exporter send the log";
            return Err(CliError::Usage(why.into()));
        }
        let last = if self.lines == 0 { LINES_MAX } else { u32::try_from(self.lines).unwrap_or(LINES_MAX) };
        let Self { agent, reason, correlation, json, .. } = self;
        let wanted = Wanted { last, agent, reason, correlation, json };
        let Answer::Records { lines } = self.through.ask(Request::AuditTail { wanted })? else {
            return Err(unexpected());
        };
        lines.iter().for_each(|line| say(line));
        Ok(())
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

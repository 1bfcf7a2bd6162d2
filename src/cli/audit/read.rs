//! `audit trace` and `audit stats`: the story of one piece of work, and the log in numbers.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::bus::audit::LogReader;
use testudo::rules::audit::{Record, Stats, Story};
use testudo::wire::CorrelationId;

use super::super::{At, CliError, Done, say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Trace {
    #[command(flatten)]
    at: At,
    /// The id of the piece of work: 32 hex digits, as `audit tail --json` shows it
    #[arg(value_name = "CORRELATION_ID")]
    correlation: CorrelationId,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ShowStats {
    #[command(flatten)]
    at: At,
    /// How many of the busiest agents
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Shows every record that is there.
fn each(log: &Log, mut show: impl FnMut(u64, &Record)) -> Done {
    let failed = |error: testudo::bus::audit::ReadError| CliError::Failed(error.to_string());
    for one in LogReader::oldest(log.dir()?).map_err(failed)? {
        let (index, record) = one.map_err(failed)?;
        show(index, &record);
    }
    Ok(())
}

impl Trace {
    pub(super) fn run(self) -> Done {
        let mut story = Story::of(self.correlation);
        each(&Log::of(&self.at)?, |index, record| story.take(index, record))?;
        if story.steps().is_empty() {
            return Err(CliError::Failed(format!(
                "no message of {} is on the log; see `testudo audit tail --json`",
                self.correlation
            )));
        }
        if self.json {
            say(&story.to_json().to_string());
        } else {
            story.to_lines().iter().for_each(|line| say(line));
        }
        Ok(())
    }
}

impl ShowStats {
    pub(super) fn run(self) -> Done {
        let log = Log::of(&self.at)?;
        let mut stats = Stats::default();
        each(&log, |_, record| stats.take(record))?;
        let bytes = testudo::bus::audit::size_of(log.dir()?)?;
        if self.json {
            let mut json = stats.to_json(self.top);
            json["bytes"] = bytes.into();
            say(&json.to_string());
            return Ok(());
        }
        let (mut rows, agents) = stats.to_rows(self.top);
        rows.push(("bytes on disk".to_owned(), bytes.to_string()));
        let mut table = plain_table();
        for (name, value) in &rows {
            table.add_row([name, value]);
        }
        say(&table.to_string());
        if !agents.is_empty() {
            let mut table = plain_table();
            table.set_header(["agent", "sent", "refused", "received"]);
            for row in &agents {
                table.add_row(row);
            }
            say(&table.to_string());
        }
        Ok(())
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

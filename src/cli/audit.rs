//! `testudo audit`: what the swarm did, and proof that nobody rewrote it.

use std::path::Path;

use clap::{Args, Subcommand};
use testudo::bus::audit::{LogReader, verify_dir};
use testudo::config::{Config, Overrides};
use testudo::server::{audit_dir, origin};
use testudo::swarm::{self, KeyPurpose};
use testudo::wire::AgentName;

use super::{At, CliError, Done, Reader, plain, say, try_say};

/// The audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Print records, oldest first
    Tail(Tail),
    /// Check every record and every checkpoint
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(super) struct Tail {
    #[command(flatten)]
    at: At,
    /// Only the last N records; 0 for all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    lines: u64,
    /// Only records that name this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Go on with records as they are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// How often a followed log is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// A log that is not there proves nothing.
fn must_be(dir: &Path) -> Done {
    if dir.is_dir() {
        return Ok(());
    }
    let dir = dir.display();
    Err(CliError::Usage(format!(
        "there is no audit log in {dir}; start the node once, or pass the right --config"
    )))
}

impl Audit {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Tail(tail) => tail.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Tail {
    fn run(self) -> Done {
        let config = Config::load(&self.at.config, Overrides::default())?;
        let dir = audit_dir(&config);
        if !self.follow {
            must_be(&dir)?;
        }
        let mut reader = LogReader::new(&dir, 0);
        let mut last = std::collections::VecDeque::new();
        while let Some(line) = self.next_line(&mut reader)? {
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
                while let Some(line) = self.next_line(&mut reader)? {
                    if try_say(&line) == Reader::Gone {
                        return Ok(());
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    /// The next record that is wanted, as a line; `None` when there is none yet.
    fn next_line(&self, reader: &mut LogReader) -> Result<Option<String>, CliError> {
        loop {
            let record = reader.next_record().map_err(|error| CliError::Failed(error.to_string()))?;
            let Some((index, record)) = record else { return Ok(None) };
            let json = record.to_json(index);
            let wanted = self.agent.is_none_or(|agent| {
                let fields = &json["fields"];
                ["agent", "sender", "to"].iter().any(|field| fields[*field] == agent.as_str())
            });
            if wanted {
                return Ok(Some(if self.json { json.to_string() } else { record.to_line(index) }));
            }
        }
    }
}

impl Verify {
    fn run(self) -> Done {
        let config = Config::load(&self.at.config, Overrides::default())?;
        let key = swarm::read_key(&config.node.keys, KeyPurpose::Log)?.public();
        let dir = audit_dir(&config);
        must_be(&dir)?;
        match verify_dir(&dir, &key, &origin(&config)) {
            Ok(verified) => {
                let (records, sealed) = (verified.records, verified.sealed);
                if self.json {
                    say(&serde_json::json!({"verified": true, "records": records, "sealed": sealed})
                        .to_string());
                } else {
                    say(&format!("verified: {records} records, {sealed} of them under a signed checkpoint"));
                }
                Ok(())
            }
            Err(error) => {
                if self.json {
                    say(&serde_json::json!({"verified": false, "error": error.to_string()}).to_string());
                }
                Err(CliError::Failed(error.to_string()))
            }
        }
    }
}

//! `testudo doctor`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::config::{Config, Overrides};
use testudo::doctor::{Examined, examine, worst};
use testudo::env::System;
use testudo::health::State;

use super::node::word;
use super::{At, CliError, Done, plain, say};

/// Look whether everything is in place: keys, rules, disk, addresses, and a running node's own checks; changes nothing.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> Done {
        let config = Config::load(&self.at.config, Overrides::default())?;
        plain(async {
            let found = examine(&config, &System).await;
            say(&if self.json { json(&found).to_string() } else { table(&found).to_string() });
            match worst(&found) {
                State::Healthy | State::Degraded => Ok(()),
                State::Unhealthy => Err(CliError::Failed("what is UNHEALTHY above comes first".to_owned())),
            }
        })
    }
}

fn json(found: &[Examined]) -> serde_json::Value {
    let one = |examined: &Examined| {
        let finding = &examined.finding;
        serde_json::json!({ "what": examined.what, "state": finding.state, "reason": finding.reason })
    };
    serde_json::json!({ "state": worst(found), "findings": found.iter().map(one).collect::<Vec<_>>() })
}

fn table(found: &[Examined]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    for Examined { what, finding } in found {
        let reason = finding.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        table.add_row([what.clone(), format!("{}{reason}", word(finding.state))]);
    }
    table
}

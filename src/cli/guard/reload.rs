//! `testudo guard reload`: a running node reads its packs of rules again.

use clap::Args;
use testudo::operator::{Answer, Request};

use super::super::{At, Done, agent, say};

#[derive(Args, Debug)]
pub(in crate::cli) struct Reload {
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(self) -> Done {
        let Answer::Rules(rules) = agent::operate(&self.at, Request::GuardReload)? else {
            return Err(agent::unexpected());
        };
        say(&if self.json { serde_json::to_string(&rules)? } else { format!("in use: {rules}") });
        Ok(())
    }
}

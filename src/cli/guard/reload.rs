//! `testudo guard reload`: a running node reads its packs of rules again.

use clap::Args;
use testudo::operator::{Answer, Request};

use super::super::through::{Through, unexpected};
use super::super::{Done, say};

#[derive(Args, Debug)]
pub(in crate::cli) struct Reload {
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) fn run(self) -> Done {
        let Answer::Rules(rules) = self.through.ask(Request::GuardReload)? else {
            return Err(unexpected());
        };
        say(&if self.json { serde_json::to_string(&rules)? } else { format!("in use: {rules}") });
        Ok(())
    }
}

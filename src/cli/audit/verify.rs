//! `audit verify`: every record and every checkpoint.

use clap::Args;
use testudo::bus::audit::verify_dir;

use super::super::{At, CliError, Done, say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Done {
        let log = Log::of(&self.at)?;
        let by = log.key()?;
        match verify_dir(log.dir()?, &by.key, &by.origin) {
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

//! `audit witness` and `audit cosign`: a second key that never signs two stories of one log.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use testudo::env::System;
use testudo::rules::audit::{VerifierKey, WitnessKey};
use testudo::witness::{self, Witness};
use tokio::signal::unix::{SignalKind, signal};

use super::super::{At, CliError, Done, plain, say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Watch {
    /// The witness's folder, made if it is not there; keep it on another machine than the log
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A log that it watches, as `testudo audit key` prints it; may be given several times
    #[arg(long = "log", value_name = "PUB", required = true)]
    logs: Vec<VerifierKey>,
    /// What it is called; it keeps the name
    #[arg(long, default_value = "testudo-witness")]
    name: String,
    /// TCP address; put a TLS proxy before it if others than this machine are to reach it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7610")]
    listen: SocketAddr,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Cosign {
    #[command(flatten)]
    at: At,
    /// Where the witness listens, instead of the configured one
    #[arg(long, value_name = "URL", requires = "key")]
    witness: Option<String>,
    /// The witness's key, as `testudo audit witness` prints it
    #[arg(long, value_name = "PUB", requires = "witness")]
    key: Option<WitnessKey>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(super) fn run(self) -> Done {
        let usage = |error: String| CliError::Usage(error);
        let env = System::shared();
        let watching = Witness::open(&self.dir, &self.name, self.logs.clone(), &*env);
        let watching = Arc::new(watching.map_err(|error| usage(error.to_string()))?);
        let at = self.listen;
        let listener = TcpListener::bind(at).map_err(|error| {
            usage(format!("cannot listen on {at}: {error}; choose another address with --listen"))
        })?;
        let at = listener.local_addr()?;
        let key = watching.verifier().to_string();
        plain(async move {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            // From here on a signal ends it in good order.
            if self.json {
                say(&serde_json::json!({"event": "listening", "listen": at, "key": key}).to_string());
            } else {
                say(&format!(
                    "witness {} of {} logs on http://{at}; its key: {key}",
                    self.name,
                    self.logs.len()
                ));
            }
            tokio::select! {
                served = witness::serve(watching, listener, env) => Ok(served?),
                _ = terminate.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
            }
        })
    }
}

impl Cosign {
    pub(super) fn run(self) -> Done {
        let log = Log::of(&self.at)?;
        let (dir, by) = (log.dir()?, log.key()?);
        let configured = log.config.audit.witness().map(|(url, key)| (url.to_owned(), key));
        let (url, key) = self.witness.zip(self.key).or(configured).ok_or_else(|| {
            CliError::Usage("which witness? pass --witness URL --key PUB, or set audit.witness".to_owned())
        })?;
        plain(async {
            let checkpoint = witness::submit(dir, &by, &url, &key).await;
            let checkpoint = checkpoint.map_err(|error| CliError::Failed(error.to_string()))?;
            if self.json {
                let said =
                    serde_json::json!({"cosigned": checkpoint.size, "root": checkpoint.root.to_string()});
                say(&said.to_string());
            } else {
                say(&format!("{} records are cosigned by {}", checkpoint.size, key.name));
            }
            Ok(())
        })
    }
}

//! `audit prove`, `audit check` and `audit key`: a record shown to somebody who has not the log.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use testudo::bus::audit::{ProveError, cosigned_checkpoint, find_message, prove, prove_under};
use testudo::bus::node::Bodies;
use testudo::files::{self, FileError};
use testudo::rules::audit::{Cosigned, Proof, Proven, Sent, Verdict, VerifierKey, WitnessKey};
use testudo::rules::moment::utc_millis;
use testudo::wire::{AgentName, Bundle, Limits, MessageId, Timestamp};

use super::super::{At, CliError, Done, say};
use super::Log;

#[derive(Args, Debug)]
pub(in crate::cli) struct Prove {
    #[command(flatten)]
    at: At,
    /// A record's index, or the id of a message (32 hex digits) for the record of its verdict
    #[arg(value_name = "ID")]
    id: Id,
    /// The new file for the proof
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Under a checkpoint that this witness cosigned, if one covers the record; its key, instead of the configured one
    #[arg(long, value_name = "PUB")]
    witness: Option<WitnessKey>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Check {
    /// The file with the proof
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// The log's key, as `testudo audit key` prints it; get it from its operator, not with the proof
    #[arg(long, value_name = "PUB")]
    key: VerifierKey,
    /// A bundle that an agent was given, as `Delivery::bundle` gives it: show that it is the one of the record
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Demand that this witness cosigned the checkpoint, too; its key, as `testudo audit witness` prints it
    #[arg(long, value_name = "PUB")]
    witness: Option<WitnessKey>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Key {
    #[command(flatten)]
    at: At,
}

/// What is to be proved.
#[derive(Clone, Copy, Debug)]
enum Id {
    Message(MessageId),
    Record(u64),
}

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Message(id));
        }
        // With the sign that `tail` writes before it, too.
        let index = text.strip_prefix('#').unwrap_or(text).parse();
        index
            .map(Self::Record)
            .map_err(|_| "neither the index of a record nor the 32 hex digits of a message")
    }
}

impl Prove {
    pub(super) fn run(self) -> Done {
        let log = Log::of(&self.at)?;
        let (dir, by) = (log.dir()?, log.key()?);
        let failed = |error: String| CliError::Failed(error);
        let index = match self.id {
            Id::Record(index) => index,
            Id::Message(id) => find_message(dir, id)
                .map_err(|error| failed(error.to_string()))?
                .ok_or_else(|| failed(format!("no record names message {id}")))?,
        };
        let proof = self.proof(&log, dir, index, &by).map_err(|error| failed(error.to_string()))?;
        files::write_new(&self.out, proof.to_text().as_bytes())?;
        let out = self.out.display();
        if self.json {
            let said = serde_json::json!({ "index": index, "proof": out.to_string(), "key": by.to_string() });
            say(&said.to_string());
        } else {
            say(&format!(
                "record {index} is proved in {out}; check it: testudo audit check {out} --key {by}"
            ));
        }
        Ok(())
    }
}

impl Prove {
    /// Under the last checkpoint that the configured witness cosigned, if that covers the record; else under the last
    /// one.
    fn proof(&self, log: &Log, dir: &Path, index: u64, by: &VerifierKey) -> Result<Proof, ProveError> {
        let configured = || log.config.audit.witness().map(|(_, witness)| witness);
        if let Some(witness) = self.witness.clone().or_else(configured) {
            let cosigned = cosigned_checkpoint(dir, by, &witness)?;
            if let Some(cosigned) = cosigned.filter(|(checkpoint, _)| checkpoint.size > index) {
                return prove_under(dir, index, by, cosigned);
            }
        }
        prove(dir, index, by)
    }
}

impl Check {
    pub(super) fn run(self) -> Done {
        let bytes = read(&self.proof).map_err(|error| FileError::of(&self.proof, error))?;
        let result = Proof::parse(&bytes).and_then(|proof| {
            let proven = proof.verify(&self.key)?;
            match &self.witness {
                Some(witness) => proof.cosigned(witness).map(|at| (proven, Some(at))),
                None => Ok((proven, None)),
            }
        });
        match result {
            Ok((proven, cosigned)) => {
                // Before anything is said to be proved.
                let shown = self.shown(&proven)?;
                self.tell(&proven, cosigned, shown);
                Ok(())
            }
            Err(fault) => {
                if self.json {
                    say(&serde_json::json!({ "proved": false, "error": fault.to_string() }).to_string());
                }
                Err(CliError::Failed(format!("{} proves nothing: {fault}", self.proof.display())))
            }
        }
    }

    /// What the bundle shows, if there is one.
    fn shown(&self, proven: &Proven) -> Result<Option<(AgentName, Vec<Sent>)>, CliError> {
        let Some(path) = &self.bundle else { return Ok(None) };
        let failed = |what: String| CliError::Failed(format!("{} proves nothing: {what}", path.display()));
        let limits = Limits::of_lanes(Bodies::MAX as usize);
        let bytes =
            read_up_to(path, limits.bundle_bytes_max as u64).map_err(|error| FileError::of(path, error))?;
        let bundle = Bundle::decode(bytes.into(), &limits).map_err(|error| failed(error.to_string()))?;
        let swarm = self.key.origin.as_str().strip_prefix("testudo/").and_then(|id| id.parse().ok());
        let swarm = swarm.ok_or_else(|| failed("the key is not of a swarm's log".to_owned()))?;
        proven.shows(&bundle, &swarm).map(Some).map_err(|error| failed(error.to_string()))
    }

    fn tell(&self, proven: &Proven, cosigned: Option<Cosigned>, shown: Option<(AgentName, Vec<Sent>)>) {
        let Proven { index, record, checkpoint } = proven;
        let (size, origin) = (checkpoint.size, &self.key.origin);
        if self.json {
            let said = serde_json::json!({
                "proved": true,
                "log": origin.as_str(),
                "size": size,
                "root": checkpoint.root.to_string(),
                "cosigned_at": cosigned.map(|cosigned| cosigned.at),
                "record": record.to_json(*index),
                "shown": shown.map(|(sender, sent)| serde_json::json!({
                    "sender": sender,
                    "messages": sent.iter().map(|sent| sent.message).collect::<Vec<_>>(),
                })),
            });
            say(&said.to_string());
        } else {
            let by = match (&self.witness, cosigned) {
                (Some(witness), Some(Cosigned { at })) => {
                    let at = utc_millis(Timestamp::from_millis(at.saturating_mul(1000)));
                    format!(" that {} cosigned at {at}", witness.name)
                }
                (Some(_) | None, _) => String::new(),
            };
            say(&format!("proved: record {index} of {origin}, among {size} under a signed checkpoint{by}"));
            say(&record.to_line(*index));
            let (sender, sent) = shown.map_or_else(Default::default, |(sender, sent)| (Some(sender), sent));
            for Sent { message, digest, verdict } in sent {
                let sender = sender.map(|sender| sender.to_string()).unwrap_or_default();
                let decided = match verdict {
                    Verdict::Allowed { .. } => "the node allowed it".to_owned(),
                    Verdict::Refused { refusal, .. } => format!("the node refused it: {refusal}"),
                };
                say(&format!("shown: {sender} signed message {message}, digest {digest}; {decided}"));
            }
        }
    }
}

/// At most one byte more than a proof can have, so that one that is too long is seen to be.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    read_up_to(path, Proof::BYTES_MAX as u64)
}

/// And one byte more.
fn read_up_to(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Key {
    pub(super) fn run(self) -> Done {
        say(&Log::of(&self.at)?.key()?.to_string());
        Ok(())
    }
}

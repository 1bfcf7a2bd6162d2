//! `testudo swarm`: what a swarm lives on, kept safe.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use testudo::backup::{Backup, Identities, Lock, Passphrase, Recipient, Restored, Unlock};
use testudo::config::{Config, Overrides};
use testudo::files;
use zeroize::Zeroizing;

use super::{At, CliError, Done, say};

/// Longest passphrase file.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// Keys and configuration of a swarm.
#[derive(Debug, Subcommand)]
pub(super) enum Swarm {
    /// Write keys and configuration into one encrypted file
    Backup(Take),
    /// Make a swarm's folder from a backup
    Restore(Restore),
    /// Roll over authority keys and CAs
    #[command(subcommand)]
    Trust(super::trust::Trust),
}

/// Where a passphrase comes from, when nobody can be asked.
#[derive(Args, Debug)]
struct From {
    /// Read the passphrase from a file of mode 0600, or from standard input with -
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Take {
    /// The file to write, mode 0600
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Encrypt to an age recipient instead of with a passphrase; may be repeated
    #[arg(long, value_name = "AGE1...", conflicts_with = "passphrase_file")]
    recipient: Vec<Recipient>,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    at: At,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// What `testudo swarm backup` wrote
    file: PathBuf,
    /// The swarm's folder; nothing in it is overwritten
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// An age identity file, when the backup is encrypted to a recipient
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    from: From,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Swarm {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Backup(take) => take.run(),
            Self::Restore(restore) => restore.run(),
            Self::Trust(trust) => trust.run(),
        }
    }
}

/// The first line, as people write such files.
fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}

fn from_stdin() -> Result<Zeroizing<String>, CliError> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(PASSPHRASE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(first_line(&text))
}

fn prompted(what: &str) -> Result<Zeroizing<String>, CliError> {
    Ok(Zeroizing::new(rpassword::prompt_password(format!("{what}: "))?))
}

/// How often a person is asked for a passphrase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Once,
    Twice,
}

impl From {
    fn read(&self, asked: Asked, other: &str) -> Result<Zeroizing<String>, CliError> {
        match &self.passphrase_file {
            Some(path) if path == Path::new("-") => from_stdin(),
            Some(path) => {
                let text = Zeroizing::new(files::read_private(path, PASSPHRASE_BYTES_MAX)?);
                Ok(first_line(&text))
            }
            None if !std::io::stdin().is_terminal() => Err(CliError::Usage(format!(
                "nobody can be asked for a passphrase; pass --passphrase-file FILE or {other}"
            ))),
            None => {
                let first = prompted("passphrase")?;
                if asked == Asked::Twice && *first != *prompted("the same again")? {
                    return Err(CliError::Usage("the two passphrases differ; try again".into()));
                }
                Ok(first)
            }
        }
    }
}

impl Take {
    fn lock(&self) -> Result<Lock, CliError> {
        if !self.recipient.is_empty() {
            return Ok(Lock::Recipients(self.recipient.clone()));
        }
        let text = self.from.read(Asked::Twice, "--recipient AGE1...")?;
        Ok(Lock::Passphrase(Passphrase::choose(&text)?))
    }

    fn run(self) -> Done {
        let config = Config::load(&self.at.config, Overrides::default())?;
        let backup = Backup::take(&self.at.config, &config, &testudo::env::System)?;
        // Before anybody types a passphrase for nothing.
        let place = files::Reserved::new(&self.out)?;
        place.fill(&backup.seal(&self.lock()?)?)?;
        if self.json {
            say(&serde_json::json!({"swarm": backup.swarm(), "backup": self.out}).to_string());
        } else {
            let (name, out) = (&config.swarm.name, self.out.display());
            say(&format!("keys and configuration of swarm {name} ({}) are in {out}", backup.swarm().short()));
            say("keep it away from this machine; registry and audit log are not in it");
        }
        Ok(())
    }
}

impl Restore {
    fn unlock(&self) -> Result<Unlock, CliError> {
        if let Some(path) = &self.identity {
            return Ok(Unlock::Identities(Identities::load(path)?));
        }
        let text = self.from.read(Asked::Once, "--identity FILE")?;
        Ok(Unlock::Passphrase(Passphrase::given(&text)))
    }

    fn run(self) -> Done {
        let backup = Backup::open(&self.file, &self.unlock()?, &testudo::env::System)?;
        let restored = backup.restore(&self.to)?;
        if self.json {
            say(&serde_json::to_string(&restored)?);
        } else {
            tell(&restored);
        }
        Ok(())
    }
}

fn tell(restored: &Restored) {
    let Restored { swarm, name, config, data, has_registry, .. } = restored;
    say(&format!("swarm {name} is restored: {swarm}"));
    say("compare that id with the line swarm = in an identity file of a member");
    if *has_registry {
        say(&format!(
            "the registry in {} is used on; a copy older than what members saw is refused",
            data.display()
        ));
    } else {
        say(&format!("no registry is in {}: every agent must be enrolled again", data.display()));
    }
    say(&format!("next: testudo node --config {}", config.display()));
}

//! `testudo join`: makes a key, joins by an invitation, writes the identity file.
//!
//! The key is kept beside the file until it is an identity: an invitation is good for one key alone, and an answer can
//! get lost.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use testudo::files::{self, FileError};
use testudo::joining::{JoinError, accept_with};
use testudo::wire::SecretKey;
use testudo::wire::join::{JoinToken, TOKEN_TEXT_MAX};
use zeroize::{Zeroize as _, Zeroizing};

use super::{CliError, Done, plain, say};

/// What the kept key's file starts with.
const KEPT: &str = "testudo-joining-1";

/// Join a swarm by an invitation, and write an identity file.
#[derive(Args, Debug)]
pub(super) struct Join {
    /// `-`: the invitation is read from standard input, where nobody else sees it
    invitation: String,
    /// The identity file to write, mode 0600
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl From<JoinError> for CliError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Token(_) => Self::Usage(error.to_string()),
            JoinError::Ask(_) | JoinError::Answer(_) => Self::Failed(error.to_string()),
        }
    }
}

fn invitation() -> Result<JoinToken, CliError> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().take(4 * TOKEN_TEXT_MAX as u64).read_to_string(&mut text);
    read.map_err(|error| {
        CliError::Usage(format!("standard input cannot be read: {error}; pipe the invitation in"))
    })?;
    Ok(JoinToken::parse(&text).map_err(JoinError::from)?)
}

impl Join {
    pub(super) fn run(self) -> Done {
        if self.invitation != "-" {
            let why = "arguments are seen by every user of this machine; pass `-` and give the invitation on standard \
                       input; if you have typed it out already, cancel it and make another";
            return Err(CliError::Usage(why.into()));
        }
        let token = invitation()?;
        if self.out.symlink_metadata().is_ok() {
            return Err(FileError::Exists(self.out).into());
        }
        let kept = KeptKey::of(&self.out, &token)?;
        plain(async {
            match accept_with(&token, &kept.key).await {
                Ok(identity) => {
                    identity.save(&self.out)?;
                    kept.forget();
                    self.tell(&identity);
                    Ok(())
                }
                Err(error) if error.is_final() || (kept.is_new && error.is_unheard()) => {
                    kept.forget();
                    Err(error.into())
                }
                Err(error) => {
                    let told = CliError::from(error).to_string();
                    Err(CliError::Failed(format!("{told}; the key waits in {}", kept.path.display())))
                }
            }
        })
    }

    fn tell(&self, identity: &testudo::Identity) {
        let (name, swarm, node) = (identity.client.name, identity.client.swarm(), identity.node);
        if self.json {
            let said = serde_json::json!({"agent": name, "swarm": swarm, "node": node, "identity": self.out});
            say(&said.to_string());
        } else {
            say(&format!(
                "{name} has joined swarm {} at {node}; its identity is in {}",
                swarm.short(),
                self.out.display()
            ));
        }
    }
}

/// The new key, on disk while it is nobody's identity yet.
struct KeptKey {
    path: PathBuf,
    key: SecretKey,
    /// Made in this run: no earlier question can have been about it.
    is_new: bool,
}

impl KeptKey {
    /// The key that was kept for this invitation, or a new one, kept from now on.
    fn of(out: &Path, token: &JoinToken) -> Result<Self, CliError> {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".joining");
        let path = out.with_file_name(name);
        let head = format!("{KEPT}:{}:", token.id);
        match files::read_private(&path, 1024).map(Zeroizing::new) {
            Ok(text) => {
                if let Some(key) = text.trim_end().strip_prefix(&head).and_then(key) {
                    return Ok(Self { path, key, is_new: false });
                }
                if !text.starts_with(KEPT) {
                    return Err(FileError::Exists(path).into());
                }
                // Of an invitation that is no longer meant.
            }
            Err(FileError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut seed: [u8; 32] = testudo::bus::env::random(&testudo::env::System);
        let line = Zeroizing::new(format!("{head}{}\n", *Zeroizing::new(hex::encode(seed))));
        let key = SecretKey::from_seed(&seed);
        seed.zeroize();
        files::replace(&path, line.as_bytes())?;
        Ok(Self { path, key, is_new: true })
    }

    fn forget(&self) {
        // Best effort: what stays is of mode 0600, and is asked about no more.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn key(hex_digits: &str) -> Option<SecretKey> {
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(hex_digits, &mut *seed).ok()?;
    Some(SecretKey::from_seed(&seed))
}

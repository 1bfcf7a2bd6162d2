//! Agents that a swarm with a folder has held before: their keys are kept there, and nothing else of them. What
//! runs out, certificates and tokens, is made anew at each start.
//!
//! *Invariant*: a key is in the folder before its agent is enrolled, so that no crash leaves a name to nobody.

use std::fs;
use std::path::{Path, PathBuf};

use testudo_registry::AgentView;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{AgentName, Grant, Holder, SecretKey, State};
use tokio::task::spawn_blocking;

use super::{EmbeddedError, Role, Swarm};
use crate::env::System;
use crate::files::{self, FileError};
use crate::identity::Identity;
use crate::operator::Request;
use crate::runtime::ThreadError;
use crate::swarm::{KeyPurpose, SwarmError, new_key, read_key_at, write_key_at};

/// The keys of the agents that a folder's swarm holds.
#[derive(Clone, Debug)]
pub(super) struct Kept(PathBuf);

/// An agent that this process is about to be.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) identity: Identity,
    /// It was enrolled just now.
    is_new: bool,
}

impl Kept {
    /// Beside the swarm's own keys.
    pub(super) fn of(keys: &Path) -> Self {
        Self(keys.join("agents"))
    }

    /// Where an agent's key is, and where it is until the agent is enrolled with it.
    fn paths(&self, name: AgentName) -> [PathBuf; 2] {
        ["key", "new"].map(|kind| self.0.join(format!("{name}.{kind}")))
    }

    /// The key of this agent. A crash can leave one that was to take another's place.
    fn key(&self, holder: &Holder) -> Result<Option<SecretKey>, EmbeddedError> {
        for (path, is_new) in self.paths(holder.name).into_iter().zip([false, true]) {
            match read_key_at(&path, KeyPurpose::Agent) {
                Ok(key) if key.public() == holder.key => {
                    if is_new {
                        self.end(holder.name)?;
                    }
                    return Ok(Some(key));
                }
                Ok(_) | Err(SwarmError::Gone(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Keeps the key of an agent that is to be enrolled, for good when it returns. Waits for the disk.
    fn begin(&self, name: AgentName, key: &SecretKey) -> Result<(), FileError> {
        files::private_dir(&self.0)?;
        let [_, new] = self.paths(name);
        write_key_at(&new, KeyPurpose::Agent, key)?;
        files::sync_folder(&self.0).map_err(|error| FileError::of(&self.0, error))
    }

    /// It is enrolled.
    fn end(&self, name: AgentName) -> Result<(), FileError> {
        let [kept, new] = self.paths(name);
        fs::rename(&new, &kept).map_err(|error| FileError::of(&new, error))
    }

    /// Nobody is to be this agent any more.
    fn forget(&self, name: AgentName) {
        for path in self.paths(name) {
            // One that stays belongs to nobody in the registry, and is not used.
            let _ = fs::remove_file(path);
        }
    }
}

impl Swarm {
    /// The agent of this name and role: the one that the folder has kept, with a fresh certificate and token, or a
    /// new one.
    pub(super) async fn hold(&self, name: &str, role: Role) -> Result<Held, EmbeddedError> {
        let (name, grant) = (AgentName::parse(name)?, role.grant()?);
        let Some(kept) = self.started.kept.clone() else {
            let identity = self.enrol_key(name, grant, new_key(&System)).await?;
            return Ok(Held { identity, is_new: true });
        };
        // One after the other, and each name once: a second agent under a key that is in use would only put the
        // first one out.
        let mut given = self.given.lock().await;
        if !given.contains(&name)
            && let Some(identity) = self.found(&kept, name, &grant).await?
        {
            given.insert(name);
            return Ok(Held { identity, is_new: false });
        }
        let key = new_key(&System);
        let (keeping, its) = (kept.clone(), key.clone());
        let begun = spawn_blocking(move || keeping.begin(name, &its)).await;
        begun.map_err(|_| ThreadError::Ended("blocking"))??;
        // When that fails, it may have been done all the same: the next start sees whose key this is.
        let identity = self.enrol_key(name, grant, key).await?;
        kept.end(name)?;
        given.insert(name);
        Ok(Held { identity, is_new: true })
    }

    /// The agent that an earlier start has held, if it is still the same one.
    async fn found(
        &self,
        kept: &Kept,
        name: AgentName,
        grant: &Grant,
    ) -> Result<Option<Identity>, EmbeddedError> {
        let Some(view) = self.enrolled(name).await? else { return Ok(None) };
        let Some(key) = kept.key(&view.holder)? else { return Ok(None) };
        let is_silenced = match view.state {
            // An operator's word stands: what was burnt is not used again, and whoever comes now is somebody else.
            State::Revoked(RevocationCause::Operator | RevocationCause::Compromised) => return Ok(None),
            State::Revoked(RevocationCause::Silent | RevocationCause::Failed) => true,
            State::Active | State::Enrolled | State::Offline => false,
        };
        if view.grant.as_ref() != grant {
            tracing::info!(%name, "its role is another by now: it is enrolled anew");
            self.put_out(name).await?;
            return Ok(None);
        }
        if is_silenced {
            self.ask(name, Request::AgentReinstate { name }).await?;
        }
        self.renew_key(name, key).await.map(Some)
    }

    async fn enrolled(&self, name: AgentName) -> Result<Option<AgentView>, EmbeddedError> {
        let registry = self.started.operator.office.registry.clone();
        let view = self.thread.run(move || async move { registry.get(name).await }).await?;
        view.map_err(|error| EmbeddedError::Refused(name, error.to_string()))
    }

    /// An agent that came to nothing is not to stay enrolled, unless it was before.
    pub(super) async fn or_let_go<T>(
        &self,
        held: Held,
        done: Result<T, EmbeddedError>,
    ) -> Result<T, EmbeddedError> {
        let name = held.identity.client.name;
        if done.is_ok() {
            return done;
        }
        // In this order: a key that is gone while its agent is enrolled would leave the name to nobody.
        if held.is_new
            && self.out(name).await
            && let Some(kept) = &self.started.kept
        {
            kept.forget(name);
        }
        self.let_go(name).await;
        done
    }

    /// The name may be given again.
    pub(super) async fn let_go(&self, name: AgentName) {
        self.given.lock().await.remove(&name);
    }
}

//! What an agent sees of its node's audit log outlives its process: kept beside its identity file.

use std::sync::Arc;

use testudo_bus::client::{ClientIdentity, Memory};
use testudo_rules::audit::Origin;

use super::{Identity, IdentityError};
use crate::seen;

impl Identity {
    /// The same with what an earlier run of its agent has seen.
    pub(super) fn remember(self) -> Result<Self, IdentityError> {
        let Some(path) = self.file.as_deref().map(seen::beside) else { return Ok(self) };
        let Some((log, seen)) = seen::load(&path)? else { return Ok(self) };
        // An identity of another swarm was here before.
        if log.origin != Origin::of_swarm(&self.client.swarm()) {
            return Ok(self);
        }
        let client = ClientIdentity { memory: Memory::of(Some(seen)), ..self.client.as_ref().clone() };
        Ok(Self { client: Arc::new(client), ..self })
    }

    /// Keeps what is seen from now on, in this runtime. What is made in memory keeps it there.
    pub(super) fn keep_seen(&self) {
        let Some(path) = self.file.as_deref().map(seen::beside) else { return };
        let mut seeing = self.client.memory.seen();
        let origin = Origin::of_swarm(&self.client.swarm());
        tokio::spawn(async move {
            let mut is_told = false;
            while seeing.changed().await.is_ok() {
                let Some(seen) = seeing.borrow_and_update().clone() else { continue };
                let (path, origin) = (path.clone(), origin.clone());
                let kept = tokio::task::spawn_blocking(move || seen::keep(&path, &origin, &seen)).await;
                if let Ok(Err(error)) = kept
                    && !std::mem::replace(&mut is_told, true)
                {
                    tracing::warn!(%error, "what this agent sees of its node's audit log is not kept; its next run will not know it");
                }
            }
        });
    }
}

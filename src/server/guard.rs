//! The content guard's rules of a running node: read at start, and again when an operator says so. Rules that cannot
//! be used change nothing.

use std::path::PathBuf;

use testudo_bus::node::Node;
use tokio::task::spawn_blocking;

use super::ServerError;
use crate::config::Config;
use crate::packs::{InUse, Packs, PacksError};

/// Where a node's rules come from.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    packs: Vec<PathBuf>,
    body_bytes: usize,
}

impl Rules {
    pub(super) fn of(config: &Config) -> Self {
        Self { packs: config.guard.packs.clone(), body_bytes: config.node.body_bytes as usize }
    }

    /// Reads them.
    pub(super) fn read(&self) -> Result<Packs, PacksError> {
        Ok(Packs::read(&self.packs)?.with_body_limit(self.body_bytes))
    }

    /// Has the node vet by them. What is not on record is not in use.
    pub(super) fn apply(packs: Packs, node: &Node) -> Result<InUse, ServerError> {
        let Packs { inspector, in_use: InUse { packs, digest } } = packs;
        node.set_rules(inspector, digest, packs).map_err(|_| ServerError::RulesUnrecorded)?;
        Ok(InUse { packs, digest })
    }

    /// Reads them again for a running node; what cannot be used leaves the old ones.
    pub(super) async fn reload(&self, node: &Node) -> Result<InUse, String> {
        let rules = self.clone();
        // Compiling takes milliseconds: the node goes on meanwhile.
        let read =
            spawn_blocking(move || rules.read()).await.map_err(|_| "the rules cannot be read".to_owned());
        let read = read.and_then(|read| read.map_err(|error| error.to_string()));
        let applied = read.and_then(|packs| Self::apply(packs, node).map_err(|error| error.to_string()));
        applied.map_err(|error| format!("{error}; the old rules stay in use"))
    }
}

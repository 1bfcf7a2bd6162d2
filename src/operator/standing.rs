//! How those in a token's chain stand, as the registry has it now, in words for an operator.

use serde::{Deserialize, Serialize};
use testudo_registry::Snapshot;
use testudo_rules::token::Link;
use testudo_wire::standing::Standings as _;
use testudo_wire::{AgentName, PublicKey, RegistrySequence, TokenFactId};

use super::cause_word;

/// One link of a chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkStanding {
    /// The holder.
    pub holder: AgentName,
    /// The id of the block that made it one.
    pub id: TokenFactId,
    /// Why the token is void here; nothing when it is good.
    pub void: Option<String>,
}

/// A whole chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChainStanding {
    /// The registry's latest change that this takes into account.
    pub sequence: RegistrySequence,
    /// From whom the authority gave it to the last.
    pub links: Vec<LinkStanding>,
    /// It is the own authority of an agent that acts only under delegated tokens: good for replies alone.
    pub replies_only: bool,
}

impl ChainStanding {
    /// What a registry says of a chain that was minted at `minted`.
    pub(super) fn of(chain: &[Link], minted: RegistrySequence, registry: &Snapshot) -> Self {
        let links = chain.iter().map(|link| LinkStanding {
            holder: link.holder.name,
            id: link.id,
            void: void(link, minted, registry),
        });
        Self {
            sequence: registry.sequence(),
            links: links.collect(),
            replies_only: chain.first().is_some_and(|link| registry.is_delegated_only(&link.holder.name)),
        }
    }

    /// The first link that voids the token, with its place in the chain, from 0.
    #[must_use]
    pub fn first_void(&self) -> Option<(usize, &str)> {
        self.links.iter().enumerate().find_map(|(place, link)| Some((place, link.void.as_deref()?)))
    }
}

/// Asks exactly what the pipeline asks; the rest only finds words for a no.
fn void(link: &Link, minted: RegistrySequence, registry: &Snapshot) -> Option<String> {
    let name = link.holder.name;
    if registry.is_revoked(&link.id) {
        return Some(format!("its id {} is revoked", link.id));
    }
    if registry.is_good(&link.holder, minted) {
        return None;
    }
    let Some(agent) = registry.agent(&name) else { return Some(format!("no agent {name} is enrolled")) };
    Some(match agent.revoked {
        Some(cause) => format!("{name} is revoked ({})", cause_word(cause)),
        None => stale(name, &link.holder.key, &agent.key, minted, agent.valid_from),
    })
}

fn stale(
    name: AgentName,
    held: &PublicKey,
    current: &PublicKey,
    minted: RegistrySequence,
    valid_from: RegistrySequence,
) -> String {
    if held == current {
        format!("minted at registry sequence {minted}, and {name}'s tokens count from {valid_from} on")
    } else {
        format!("{name} has another key now")
    }
}

//! Tells every link who and what is out, signed, as soon as the directory says so (promise 2).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use testudo_registry::Standing;
use testudo_wire::frame::{FromNode, Notice, Revoked};
use testudo_wire::{AgentName, PublicKey, RegistrySequence, TokenFactId};

use super::shared::Shared;

/// Entries of one notice; more become several.
const ENTRIES: usize = 500;

/// What has been told.
#[derive(Default)]
struct Told {
    agents: HashMap<AgentName, (PublicKey, RegistrySequence)>,
    tokens: HashSet<TokenFactId>,
}

type Void = (AgentName, PublicKey, RegistrySequence);

/// Since when an agent's tokens are void: every revocation and every smaller grant raises its valid-from.
fn void((name, standing): (&AgentName, &Standing)) -> Void {
    (*name, standing.key, standing.valid_from)
}

/// Whether some token of this agent is void: it is out, or came back, or its grant has changed.
const fn voids(standing: &Standing) -> bool {
    !standing.is_good() || standing.valid_from.0 > 0
}

impl Told {
    /// Whether this is news: of somebody known, or somebody of whom a token is void, also if it was enrolled and amended
    /// between two looks. A newcomer is neither.
    fn is_news(&mut self, void: &Void, voids: bool) -> bool {
        let before = self.agents.insert(void.0, (void.1, void.2));
        before != Some((void.1, void.2)) && (before.is_some() || voids)
    }
}

fn notices(shared: &Shared, agents: &[Void], tokens: &[TokenFactId]) -> Vec<FromNode> {
    let registry = shared.directory().sequence();
    let of_agents =
        agents.chunks(ENTRIES).map(|agents| Notice { registry, agents: agents.to_vec(), tokens: Vec::new() });
    let of_tokens =
        tokens.chunks(ENTRIES).map(|tokens| Notice { registry, agents: Vec::new(), tokens: tokens.to_vec() });
    of_agents
        .chain(of_tokens)
        .filter_map(|notice| Revoked::sign(&shared.key, &shared.swarm, notice).ok())
        .map(FromNode::Revoked)
        .collect()
}

/// Everything that a new link must know.
pub(crate) fn all(shared: &Shared) -> Vec<FromNode> {
    let snapshot = shared.directory().load();
    let agents: Vec<_> = snapshot.agents().filter(|(_, standing)| voids(standing)).map(void).collect();
    let tokens: Vec<_> = snapshot.revoked_tokens().copied().collect();
    notices(shared, &agents, &tokens)
}

/// Runs for as long as the node does.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.directory().changed();
    let mut told = Told::default();
    loop {
        let news = {
            let snapshot = shared.directory().load();
            let agents: Vec<_> = snapshot
                .agents()
                .map(|entry| (void(entry), voids(entry.1)))
                .filter(|(void, voids)| told.is_news(void, *voids))
                .map(|(void, _)| void)
                .collect();
            let tokens: Vec<_> =
                snapshot.revoked_tokens().filter(|id| told.tokens.insert(**id)).copied().collect();
            notices(&shared, &agents, &tokens)
        };
        for link in shared.routes().values() {
            for notice in &news {
                link.tell(notice.clone());
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use testudo_wire::{Grant, SecretKey};

    use super::*;

    #[test]
    fn who_was_enrolled_and_amended_between_two_looks_is_news_and_a_newcomer_is_not() {
        let standing = |valid_from| Standing {
            key: SecretKey::from_seed(&[1; 32]).public(),
            revoked: None,
            returns: false,
            valid_from: RegistrySequence(valid_from),
            grant: Arc::new(Grant::default()),
        };
        let mut told = Told::default();
        let mut news = |who: &str, valid_from| {
            let (name, standing) = (AgentName::parse(who).unwrap(), standing(valid_from));
            told.is_news(&void((&name, &standing)), voids(&standing))
        };
        assert_eq!([news("a", 0), news("a", 0), news("a", 3), news("a", 3)], [false, false, true, false]);
        assert_eq!([news("b", 5), news("b", 5), news("b", 6)], [true, false, true]);
    }
}

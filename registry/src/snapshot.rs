//! The directory: what everyone may know of everyone, immutable, numbered, read without a lock.
//!
//! Knows nothing of links and leases: a connect storm publishes nothing. Only the holder of the
//! [`Publisher`], which is the registry actor, makes new snapshots.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use testudo_wire::standing::{Grant, Holder, RevocationCause, Standings};
use testudo_wire::{AgentName, PublicKey, RegistrySequence, TokenFactId};
use tokio::sync::watch;

use crate::barrier::Numbered;

/// A change copies one shard, not the whole directory.
const SHARDS: usize = 64;

type Shard = HashMap<AgentName, Standing>;

/// What the directory says of one agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Its key: link peer, envelope signer and token holder at once.
    pub key: PublicKey,
    /// Why it is out, if it is.
    pub revoked: Option<RevocationCause>,
    /// Whether its next login brings it back by itself.
    pub returns: bool,
    /// Tokens minted before this number are void.
    pub valid_from: RegistrySequence,
    /// What it may do.
    pub grant: Arc<Grant>,
}

impl Standing {
    /// Whether its links and tokens are good.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.revoked.is_none()
    }
}

/// The directory at one registry sequence.
#[derive(Clone, Debug)]
pub struct Snapshot {
    sequence: RegistrySequence,
    shards: Vec<Arc<Shard>>,
    tokens: Arc<HashSet<TokenFactId>>,
    /// Whose tokens count; a handful at most.
    authorities: Arc<[PublicKey]>,
    /// The node's own agent.
    resident: Option<AgentName>,
}

/// What differs from the snapshot before.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The number of the new snapshot.
    pub sequence: RegistrySequence,
    /// New standings; all others stay.
    pub standings: Vec<(AgentName, Standing)>,
    /// Newly revoked token ids; they are never taken back.
    pub tokens: Vec<TokenFactId>,
    /// The authority keys whose tokens count from now on; else they stay.
    pub authorities: Option<Arc<[PublicKey]>>,
    /// The node's own agent, once it has one; else it stays as it is.
    pub resident: Option<AgentName>,
}

/// FNV-1a: a name that is chosen to collide makes one shard larger, nothing else.
fn shard_of(name: &AgentName) -> usize {
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % SHARDS as u64).unwrap_or(0)
}

impl Snapshot {
    fn empty() -> Self {
        let shards = vec![Arc::default(); SHARDS];
        let (tokens, authorities) = (Arc::default(), Arc::default());
        Self { sequence: RegistrySequence(0), shards, tokens, authorities, resident: None }
    }

    fn updated(&self, update: Update) -> Self {
        let mut next = self.clone();
        next.sequence = next.sequence.max(update.sequence);
        next.resident = update.resident.or(next.resident);
        if let Some(authorities) = update.authorities {
            next.authorities = authorities;
        }
        for (name, standing) in update.standings {
            Arc::make_mut(&mut next.shards[shard_of(&name)]).insert(name, standing);
        }
        if !update.tokens.is_empty() {
            Arc::make_mut(&mut next.tokens).extend(update.tokens);
        }
        next
    }

    /// The number of the last change that it holds. A verdict records it.
    #[must_use]
    pub const fn sequence(&self) -> RegistrySequence {
        self.sequence
    }

    /// What is known of an agent.
    #[must_use]
    pub fn agent(&self, name: &AgentName) -> Option<&Standing> {
        self.shards.get(shard_of(name))?.get(name)
    }

    /// Whether a proven peer may become a link: in good standing with this key, or back by its login.
    #[must_use]
    pub fn may_link(&self, holder: &Holder) -> bool {
        self.agent(&holder.name).is_some_and(|s| s.key == holder.key && (s.is_good() || s.returns))
    }

    /// Ids of revoked token blocks, in no order.
    pub fn revoked_tokens(&self) -> impl Iterator<Item = &TokenFactId> {
        self.tokens.iter()
    }

    /// Everyone, in no order.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentName, &Standing)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

impl Numbered for Guard<Arc<Snapshot>> {
    fn sequence(&self) -> RegistrySequence {
        Snapshot::sequence(self)
    }
}

impl Standings for Snapshot {
    fn is_good(&self, holder: &Holder, minted: RegistrySequence) -> bool {
        self.agent(&holder.name).is_some_and(|s| s.is_good() && s.key == holder.key && minted >= s.valid_from)
    }

    fn is_revoked(&self, id: &TokenFactId) -> bool {
        self.tokens.contains(id)
    }

    fn is_delegated_only(&self, name: &AgentName) -> bool {
        // Of a stranger nothing is known, so nothing may be done on its authority.
        self.agent(name).is_none_or(|standing| standing.grant.delegated_only)
    }

    fn is_authority(&self, key: &PublicKey) -> bool {
        self.authorities.contains(key)
    }

    fn knows(&self, name: &AgentName) -> bool {
        self.agent(name).is_some()
    }

    fn resident(&self) -> Option<AgentName> {
        self.resident
    }
}

#[derive(Debug)]
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    changed: watch::Sender<RegistrySequence>,
}

/// The reading half: cheap to clone, lock-free to read.
#[derive(Clone, Debug)]
pub struct Directory {
    shared: Arc<Shared>,
}

impl Directory {
    /// The latest snapshot. Hold it for one decision, not longer.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }

    /// The number of the latest snapshot.
    #[must_use]
    pub fn sequence(&self) -> RegistrySequence {
        self.load().sequence()
    }

    /// Tells of every new snapshot, after it can be loaded.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<RegistrySequence> {
        self.shared.changed.subscribe()
    }
}

/// The writing half; there is one.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// A publisher and its directory, with `first` in it.
    #[must_use]
    pub fn new(first: Update) -> (Self, Directory) {
        let snapshot = Snapshot::empty().updated(first);
        let (changed, _) = watch::channel(snapshot.sequence);
        let shared = Arc::new(Shared { snapshot: ArcSwap::from_pointee(snapshot), changed });
        (Self { shared: Arc::clone(&shared) }, Directory { shared })
    }

    /// Publishes the next snapshot, then tells of it.
    pub fn publish(&mut self, update: Update) {
        let next = self.shared.snapshot.load().updated(update);
        let sequence = next.sequence;
        self.shared.snapshot.store(Arc::new(next));
        self.shared.changed.send_replace(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests_support::{key, name};

    fn standing(seed: u8, valid_from: u64) -> Standing {
        let (key, grant) = (key(seed), Arc::default());
        Standing { key, revoked: None, returns: false, valid_from: RegistrySequence(valid_from), grant }
    }

    fn update(sequence: u64, standings: Vec<(AgentName, Standing)>) -> Update {
        Update { sequence: RegistrySequence(sequence), standings, ..Update::default() }
    }

    #[test]
    fn good_means_known_in_good_standing_same_key_and_minted_late_enough() {
        let (mut publisher, directory) = Publisher::new(update(3, vec![(name("a"), standing(1, 3))]));
        let a = Holder { name: name("a"), key: key(1) };
        let snapshot = directory.load();
        assert!(snapshot.is_good(&a, RegistrySequence(3)));
        assert!(!snapshot.is_good(&a, RegistrySequence(2)), "minted before its valid-from");
        assert!(!snapshot.is_good(&Holder { key: key(2), ..a }, RegistrySequence(3)), "another key");
        assert!(!snapshot.is_good(&Holder { name: name("b"), ..a }, RegistrySequence(3)), "unknown");
        let out = Standing { revoked: Some(RevocationCause::Silent), ..standing(1, 4) };
        publisher.publish(update(4, vec![(name("a"), out.clone())]));
        assert!(!directory.load().is_good(&a, RegistrySequence(9)));
        assert!(!directory.load().may_link(&a));
        publisher.publish(update(5, vec![(name("a"), Standing { returns: true, ..out })]));
        assert!(directory.load().may_link(&a), "suspended: its login brings it back");
        assert!(!directory.load().is_good(&a, RegistrySequence(9)), "but not its tokens");
        assert!(snapshot.is_good(&a, RegistrySequence(3)), "a loaded snapshot never changes");
    }

    #[test]
    fn the_grant_says_who_acts_only_under_delegated_tokens_and_a_stranger_has_no_authority() {
        let grant = Arc::new(Grant { delegated_only: true, ..Grant::default() });
        let bound = Standing { grant, ..standing(1, 1) };
        let (mut publisher, directory) =
            Publisher::new(update(1, vec![(name("a"), bound), (name("b"), standing(2, 1))]));
        let only = |text| directory.load().is_delegated_only(&name(text));
        assert_eq!(["a", "b", "stranger"].map(only), [true, false, true]);
        publisher.publish(update(2, vec![(name("a"), standing(1, 2))]));
        assert!(!directory.load().is_delegated_only(&name("a")), "a new grant counts at once");
    }

    #[test]
    fn t_a38_a_snapshot_can_be_loaded_before_anybody_hears_of_it_and_never_counts_down() {
        let (mut publisher, directory) = Publisher::new(update(7, vec![]));
        let mut changed = directory.changed();
        assert!(!changed.has_changed().unwrap());
        publisher.publish(update(8, vec![]));
        assert!(changed.has_changed().unwrap());
        assert_eq!(
            (*changed.borrow_and_update(), directory.sequence()),
            (RegistrySequence(8), RegistrySequence(8))
        );
        publisher.publish(update(2, vec![]));
        assert_eq!(directory.sequence(), RegistrySequence(8));
    }

    #[test]
    fn a_change_copies_one_shard_and_keeps_all_agents() {
        let everyone: Vec<_> = (0..500).map(|i| (name(&format!("a{i}")), standing(1, 1))).collect();
        let (mut publisher, directory) = Publisher::new(update(1, everyone));
        let before = directory.load();
        publisher.publish(update(2, vec![(name("a7"), standing(1, 2))]));
        let after = directory.load();
        let shared = before.shards.iter().zip(&after.shards).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!((shared, after.agents().count()), (SHARDS - 1, 500));
        assert!(after.shards.iter().all(|shard| shard.len() > 1), "names spread");
    }

    #[test]
    fn a_revoked_token_stays_revoked() {
        let (mut publisher, directory) = Publisher::new(Update::default());
        let id = TokenFactId::new([1; 16]);
        publisher.publish(Update { tokens: vec![id], ..update(1, vec![]) });
        publisher.publish(update(2, vec![]));
        assert!(directory.load().is_revoked(&id) && !directory.load().is_revoked(&TokenFactId::new([2; 16])));
    }
}

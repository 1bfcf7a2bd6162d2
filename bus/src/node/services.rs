//! Which live agent gets a message that any server of a capability may have: the one with the least to do, in
//! turn among equals.
//!
//! Who serves what is looked up once for each directory and table of routes; standing and grant are those of
//! the directory under which the message is judged, so a revoked or displaced server stops at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use testudo_registry::Snapshot;
use testudo_wire::{Capability, RegistrySequence};

use super::link::Link;
use super::shared::Shared;

type Servers = Arc<Vec<Arc<Link>>>;

#[derive(Debug, Default)]
struct Index {
    /// Of which directory and which table of routes.
    of: Option<(RegistrySequence, u64)>,
    servers: HashMap<Capability, Servers>,
    turn: usize,
}

/// The servers of a node by capability.
#[derive(Debug, Default)]
pub(crate) struct Services(Mutex<Index>);

/// The servers of one capability and what each has to do, while one bundle is placed.
#[derive(Debug)]
pub(crate) struct Candidates {
    servers: Vec<(Arc<Link>, usize)>,
    turn: usize,
}

impl Services {
    /// Everyone who may get messages for a capability now.
    pub(crate) fn candidates(
        &self,
        shared: &Shared,
        snapshot: &Snapshot,
        capability: &Capability,
    ) -> Candidates {
        let (servers, turn) = self.servers(shared, snapshot, capability);
        let live = servers.iter().filter(|link| link.connection.close_reason().is_none());
        Candidates { servers: live.map(|link| (link.clone(), shared.load(link))).collect(), turn }
    }

    fn servers(&self, shared: &Shared, snapshot: &Snapshot, capability: &Capability) -> (Servers, usize) {
        let now = (snapshot.sequence(), shared.routes_epoch());
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if index.of != Some(now) {
            index.servers.clear();
            index.of = Some(now);
        }
        index.turn = index.turn.wrapping_add(1);
        let turn = index.turn;
        let servers = index.servers.entry(*capability).or_insert_with(|| {
            let mut servers: Vec<_> =
                shared.routes().values().filter(|link| serves(snapshot, link, capability)).cloned().collect();
            servers.sort_by_key(|link| link.peer.holder.name);
            Arc::new(servers)
        });
        (servers.clone(), turn)
    }
}

fn serves(snapshot: &Snapshot, link: &Link, capability: &Capability) -> bool {
    let holder = &link.peer.holder;
    snapshot
        .agent(&holder.name)
        .is_some_and(|s| s.is_good() && s.key == holder.key && s.grant.serve.contains(capability))
}

impl Candidates {
    /// The next one: the least loaded, in turn among equals. It counts as given one message more.
    pub(crate) fn next(&mut self) -> Option<Arc<Link>> {
        let n = self.servers.len();
        let first = self.turn.checked_rem(n)?;
        self.turn = self.turn.wrapping_add(1);
        let least = (0..n).map(|at| (first + at) % n).min_by_key(|at| self.servers[*at].1)?;
        let (link, load) = &mut self.servers[least];
        *load += 1;
        Some(link.clone())
    }
}

//! Those whose messages an agent takes, and whose word on the log it waits for: withholding it is seen.

use std::collections::BTreeMap;

use testudo_wire::frame::{ASKED_MAX, Sighting};
use testudo_wire::{AgentName, Holder, PublicKey, SwarmId, Timestamp};

use crate::replay::fresh;

/// Senders that are watched at once; those beyond it are only counted.
pub const PEERS_MAX: usize = 2 * ASKED_MAX;
/// Asked for in vain so often, a sender is unwitnessed.
pub const VAIN_MAX: u32 = 3;

#[derive(Clone, Debug)]
struct Peer {
    key: PublicKey,
    /// The tick at which it was asked for last.
    asked: u64,
    /// How often it was asked for since it was heard of.
    vain: u32,
    /// A message of it was taken since it was asked for.
    stirred: bool,
    /// The time of its last sighting.
    last: Option<Timestamp>,
}

/// What a sighting is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// It is good and new: the head is to be looked at.
    New,
    /// It is the one that was heard before.
    Again,
    /// It says nothing: forged, old, or of somebody whom nobody asked for.
    Refused,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    peers: BTreeMap<AgentName, Peer>,
    tick: u64,
    untracked: u64,
}

impl Peers {
    /// A message of this sender was verified and taken.
    pub fn took(&mut self, sender: &Holder) {
        if let Some(peer) = self.peers.get_mut(&sender.name)
            && peer.key == sender.key
        {
            peer.stirred = true;
            return;
        }
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&sender.name) {
            let quiet = self.peers.iter().filter(|(_, peer)| !peer.stirred && peer.asked + 2 < self.tick);
            let Some(quiet) = quiet.min_by_key(|(_, peer)| peer.asked).map(|(name, _)| *name) else {
                self.untracked += 1;
                return;
            };
            self.peers.remove(&quiet);
        }
        let peer = Peer { key: sender.key, asked: 0, vain: 0, stirred: true, last: None };
        self.peers.insert(sender.name, peer);
    }

    /// One interval is over: whom to ask for now, those first who waited longest.
    pub fn ask(&mut self) -> Vec<AgentName> {
        self.tick += 1;
        let mut stirred: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.stirred)
            .map(|(name, peer)| (peer.asked, *name))
            .collect();
        stirred.sort_unstable();
        stirred.truncate(ASKED_MAX);
        let names: Vec<_> = stirred.into_iter().map(|(_, name)| name).collect();
        for name in &names {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.stirred = false;
                peer.asked = self.tick;
                peer.vain = peer.vain.saturating_add(1);
            }
        }
        names
    }

    /// What came in answer. That the log signed the head is looked at by [`super::View::shown`], and
    /// [`Peers::witnessed`] said only then.
    #[must_use]
    pub fn heard(&self, name: &AgentName, sighting: &Sighting, swarm: &SwarmId, now: Timestamp) -> Heard {
        let Some(peer) = self.peers.get(name) else { return Heard::Refused };
        match peer.last {
            Some(last) if sighting.time == last => return Heard::Again,
            Some(last) if sighting.time < last => return Heard::Refused,
            Some(_) | None => {}
        }
        if fresh(sighting.time, now).is_err() || !sighting.is_signed_by(&peer.key, swarm) {
            return Heard::Refused;
        }
        Heard::New
    }

    /// A sighting of this sender was good, and of this log.
    pub fn witnessed(&mut self, name: &AgentName, sighting: &Sighting) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.last = Some(sighting.time);
            peer.vain = 0;
        }
    }

    /// Those whose messages are taken while nothing is heard of what they are told.
    pub fn unwitnessed(&self) -> impl Iterator<Item = AgentName> + '_ {
        // What was asked for at this tick may still come.
        let vain = |peer: &Peer| peer.vain.saturating_sub(u32::from(peer.asked == self.tick));
        self.peers.iter().filter(move |(_, peer)| vain(peer) >= VAIN_MAX).map(|(name, _)| *name)
    }

    /// Messages of senders that there was no room to watch.
    #[must_use]
    pub const fn untracked(&self) -> u64 {
        self.untracked
    }
}

//! Parcels that wait for one receiver: first come, first served among those of one sender, and senders take turns.

use std::collections::{HashMap, VecDeque};

use testudo_rules::audit::Cause;
use testudo_wire::AgentName;

use super::outbox::Weed;
use super::parcel::Parcel;

/// Parcels that wait, by sender; senders take turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: VecDeque<AgentName>,
    parcels: HashMap<AgentName, VecDeque<Parcel>>,
}

impl Queue {
    pub(super) fn push(&mut self, parcel: Parcel) {
        let sender = parcel.sender.peer.holder.name;
        let parcels = self.parcels.entry(sender).or_default();
        if parcels.is_empty() {
            self.turns.push_back(sender);
        }
        parcels.push_back(parcel);
    }

    pub(super) fn peek(&self) -> Option<&Parcel> {
        self.parcels.get(self.turns.front()?)?.front()
    }

    pub(super) fn pop(&mut self) -> Option<Parcel> {
        let sender = self.turns.pop_front()?;
        let parcels = self.parcels.get_mut(&sender)?;
        let parcel = parcels.pop_front();
        if parcels.is_empty() {
            self.parcels.remove(&sender);
        } else {
            self.turns.push_back(sender);
        }
        parcel
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Parcel> {
        self.parcels.values_mut().flatten()
    }

    /// Takes out those for which there is a reason to give them up, each with that.
    pub(super) fn weed(&mut self, why: impl Fn(&Parcel) -> Option<Cause>) -> Vec<Weed> {
        let mut weeds = Vec::new();
        for parcel in self.drain() {
            match why(&parcel) {
                Some(cause) => weeds.push((parcel, cause)),
                None => self.push(parcel),
            }
        }
        weeds
    }

    pub(super) fn drain(&mut self) -> Vec<Parcel> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

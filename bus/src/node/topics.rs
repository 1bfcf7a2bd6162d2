//! Who wants which topic: exact names, one list of links for each, read by the guard for every publication.
//!
//! The lists are copied when they change and shared when they are read. Whether a subscriber still has the
//! right is asked again for every bundle, from the directory: a list only says who asked.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use testudo_registry::Snapshot;
use testudo_wire::{Capability, Refusal, Resource};

use super::link::Link;

/// Topics that one link may have at once.
pub(crate) const PER_LINK: usize = 256;
/// Subscribers of one topic: bounds what one publication costs.
const PER_TOPIC: usize = 4096;

type Subscribers = Arc<Vec<Arc<Link>>>;

/// All subscriptions of a node.
#[derive(Debug, Default)]
pub(crate) struct Topics(RwLock<HashMap<Resource, Subscribers>>);

/// Whether this link may have messages of a topic under this directory.
pub(crate) fn may(snapshot: &Snapshot, link: &Link, right: &Capability) -> bool {
    let holder = &link.peer.holder;
    snapshot
        .agent(&holder.name)
        .is_some_and(|s| s.is_good() && s.key == holder.key && s.grant.right.contains(right))
}

impl Topics {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Resource, Subscribers>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Resource, Subscribers>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a link on a topic's list. `false` when it stands there already.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when there are too many.
    pub(crate) fn subscribe(&self, topic: Resource, link: &Arc<Link>) -> Result<bool, Refusal> {
        let mut topics = self.write();
        let subscribers = topics.entry(topic).or_default();
        if subscribers.iter().any(|other| Arc::ptr_eq(other, link)) {
            return Ok(false);
        }
        if subscribers.len() >= PER_TOPIC {
            return Err(Refusal::Overloaded);
        }
        Arc::make_mut(subscribers).push(link.clone());
        Ok(true)
    }

    /// Takes a link off a topic's list; `false` when it was not on it.
    pub(crate) fn unsubscribe(&self, topic: &Resource, link: &Arc<Link>) -> bool {
        let mut topics = self.write();
        let Some(subscribers) = topics.get_mut(topic) else { return false };
        let before = subscribers.len();
        Arc::make_mut(subscribers).retain(|other| !Arc::ptr_eq(other, link));
        let after = subscribers.len();
        if after == 0 {
            topics.remove(topic);
        }
        after < before
    }

    /// Puts a link on a topic's list in the place of the one that it renewed.
    pub(crate) fn hand_on(&self, topic: &Resource, older: &Arc<Link>, newer: &Arc<Link>) {
        let mut topics = self.write();
        let Some(subscribers) = topics.get_mut(topic) else { return };
        for link in Arc::make_mut(subscribers).iter_mut().filter(|link| Arc::ptr_eq(link, older)) {
            *link = newer.clone();
        }
    }

    /// Everyone on a topic's list.
    pub(crate) fn subscribers(&self, topic: &Resource) -> Option<Subscribers> {
        self.read().get(topic).cloned()
    }

    /// Takes off every list whoever may not be on it any more.
    pub(crate) fn withdraw(&self, snapshot: &Snapshot) -> Vec<(Resource, Arc<Link>)> {
        let out = |topic: &Resource, link: &Arc<Link>| !may(snapshot, link, &Capability::subscribe(topic));
        let gone: Vec<_> = {
            let topics = self.read();
            let links = topics.iter().flat_map(|(topic, links)| links.iter().map(|link| (*topic, link)));
            links.filter(|(topic, link)| out(topic, link)).map(|(t, link)| (t, link.clone())).collect()
        };
        gone.into_iter().filter(|(topic, link)| self.unsubscribe(topic, link)).collect()
    }
}

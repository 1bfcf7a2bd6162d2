//! What agents say about topics, and what the directory says about their right to them: asked when they
//! subscribe, at every change of their grant, and once more for every publication.

use std::sync::Arc;

use testudo_rules::audit::{LinkChange, Note};
use testudo_wire::frame::{FromNode, Subscribed};
use testudo_wire::{Capability, Refusal, Resource};

use super::link::Link;
use super::shared::Shared;
use super::topics::{PER_LINK, may};

fn note(topic: &Resource) -> Note {
    Note::new(topic.as_str())
}

/// An agent wants a topic.
pub(super) fn subscribe(shared: &Shared, asked_on: &Link, topic: Resource, link: &Arc<Link>) {
    let refusal = enter(shared, link, topic).err();
    if let Some(refusal) = refusal {
        shared.note_link(link, LinkChange::SubscriptionRefused { topic: note(&topic), refusal });
    }
    asked_on.tell(FromNode::Subscribed(Subscribed { topic, refusal }));
}

fn enter(shared: &Shared, link: &Arc<Link>, topic: Resource) -> Result<(), Refusal> {
    if !may(&shared.directory().load(), link, &Capability::subscribe(&topic)) {
        return Err(Refusal::Unauthorised);
    }
    let mut topics = link.topics();
    if topics.len() >= PER_LINK && !topics.contains(&topic) {
        return Err(Refusal::Overloaded);
    }
    if shared.topics.subscribe(topic, link)? {
        topics.insert(topic);
        shared.metrics.subscribed();
        shared.note_link(link, LinkChange::Subscribed { topic: note(&topic) });
    }
    Ok(())
}

/// Whether this link has a topic.
pub(super) fn has(link: &Link, topic: &Resource) -> bool {
    link.topics().contains(topic)
}

/// An agent wants a topic no more.
pub(super) fn unsubscribe(shared: &Shared, link: &Arc<Link>, topic: &Resource) {
    if leave(shared, link, topic) {
        shared.note_link(link, LinkChange::Unsubscribed { topic: note(topic) });
    }
}

fn leave(shared: &Shared, link: &Arc<Link>, topic: &Resource) -> bool {
    let mut topics = link.topics();
    if !topics.remove(topic) {
        return false;
    }
    shared.topics.unsubscribe(topic, link);
    shared.metrics.unsubscribed(1);
    true
}

/// A link was renewed: the newer one stands on every list in its place, and no copy goes to both.
pub(super) fn hand_on(shared: &Shared, older: &Arc<Link>, newer: &Arc<Link>) {
    let topics = std::mem::take(&mut *older.topics());
    topics.iter().for_each(|topic| shared.topics.hand_on(topic, older, newer));
    *newer.topics() = topics;
}

/// A link has ended: it is on no list any more.
pub(super) fn end(shared: &Shared, link: &Arc<Link>) {
    let topics = std::mem::take(&mut *link.topics());
    topics.iter().for_each(|topic| _ = shared.topics.unsubscribe(topic, link));
    shared.metrics.unsubscribed(topics.len());
}

/// Runs for as long as the node does: withdraws subscriptions whose right has gone.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.directory().changed();
    while changed.changed().await.is_ok() {
        let gone = shared.topics.withdraw(&shared.directory().load());
        for (topic, link) in gone {
            link.topics().remove(&topic);
            shared.metrics.unsubscribed(1);
            shared.note_link(&link, LinkChange::SubscriptionWithdrawn { topic: note(&topic) });
            let refusal = Some(Refusal::Unauthorised);
            link.tell(FromNode::Subscribed(Subscribed { topic, refusal }));
        }
    }
}

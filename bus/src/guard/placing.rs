//! Where the messages of one bundle go: receivers found, room taken in their queues, parcels made.
//!
//! A bundle is forwarded as it came to everyone who gets all of it, and cut once for everyone who gets the same
//! part of it: a publication is never encoded again for each subscriber.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use testudo_registry::Snapshot;
use testudo_rules::audit::{Cause, Outcome, OutcomeOf};
use testudo_rules::pipeline::Inspected;
use testudo_wire::{
    AgentName, Capability, Destination, Envelope, Header, Item, MessageId, ReceiptWish, Refusal, Resource,
    SessionId,
};
use tokio::time::Instant;

use super::cut::Cut;
use super::judge::Case;
use super::looked::Looked;
use crate::audit::Appended;
use crate::node::{Candidates, Ended, Link, Outbox, Parcel, Permit, Request, Shared, may_subscribe, outbox};
use crate::traced::{Handing, Traced};

/// The messages of a bundle that go to one receiver.
struct Group {
    receiver: Arc<Link>,
    outbox: Arc<Outbox>,
    permit: Permit,
    /// Copies of publications: these two never share a parcel with messages that are meant for the receiver alone.
    is_copy: bool,
    positions: Vec<usize>,
    /// Copies for which there was no room.
    missed: Vec<usize>,
}

/// All receivers of one bundle.
#[derive(Default)]
pub(super) struct Placed {
    groups: Vec<Group>,
    /// To how many receivers each message goes, by position.
    copies: Vec<u32>,
    /// Requests that are answered to the end with this bundle, once it is recorded.
    answered: Vec<(MessageId, Request)>,
}

struct Placing<'a> {
    shared: &'a Arc<Shared>,
    snapshot: &'a Snapshot,
    case: &'a Case,
    groups: Vec<Group>,
    by_link: HashMap<(SessionId, bool), usize>,
    by_topic: HashMap<Resource, Vec<usize>>,
    services: HashMap<Capability, Candidates>,
    looked: Looked,
    /// The requests among the messages placed so far.
    requests: HashSet<MessageId>,
    answered: Vec<(MessageId, Request)>,
}

/// Finds the receivers of every allowed message and takes room in their queues.
pub(super) fn place(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    case: &Case,
    inspected: &mut Inspected,
) -> Placed {
    let mut placing = Placing {
        shared,
        snapshot,
        case,
        groups: Vec::new(),
        by_link: HashMap::new(),
        by_topic: HashMap::new(),
        services: HashMap::new(),
        looked: Looked::default(),
        requests: HashSet::new(),
        answered: Vec::new(),
    };
    let mut refusals = Vec::new();
    let mut copies = vec![0; inspected.verdicts().len()];
    for (position, envelope) in inspected.allowed() {
        match placing.place(position, envelope) {
            Ok(n) => copies[position] = n,
            Err(refusal) => refusals.push((position, refusal)),
        }
    }
    refusals.into_iter().for_each(|(position, refusal)| inspected.refuse(position, refusal));
    let (mut groups, answered) = (placing.groups, placing.answered);
    groups.retain(|group| !(group.positions.is_empty() && group.missed.is_empty()));
    Placed { groups, copies, answered }
}

impl Placing<'_> {
    /// Places one message; to how many receivers it goes.
    fn place(&mut self, position: usize, envelope: &Envelope) -> Result<u32, Refusal> {
        let (header, bytes) = (envelope.header(), envelope.bytes().len());
        let is_request = header.receipt == ReceiptWish::Reply;
        if is_request {
            self.may_ask(header)?;
        }
        let group = match (&header.destination, &header.capability) {
            (Destination::Topic(topic), _) => return Ok(self.publish(position, bytes, *topic)),
            (Destination::Agent(name), Some(capability)) => self.server_named(name, capability)?,
            (Destination::Service, Some(capability)) => {
                let receiver = self.server(capability).ok_or(Refusal::Unroutable)?;
                self.group(receiver, false)?
            }
            (Destination::Reply(name), _) => {
                let good = self.snapshot.agent(name).is_some_and(testudo_registry::Standing::is_good);
                if good { self.named(name)? } else { return Err(Refusal::Unroutable) }
            }
            (Destination::Agent(_) | Destination::Service, None) => return Err(Refusal::Unroutable),
        };
        self.groups[group].permit.grow(bytes)?;
        if let (Destination::Reply(_), Some(request)) = (&header.destination, &header.in_reply_to) {
            let answered = self.shared.requests.answer(request, &self.case.link, header.part)?;
            self.answered.extend(answered.map(|answered| (*request, answered)));
        }
        self.groups[group].positions.push(position);
        if is_request {
            self.requests.insert(header.message);
        }
        Ok(1)
    }

    /// Room for one more request, under an id of its own: one that is open already could never be answered, nor
    /// would whoever answers it hear that nobody waits.
    fn may_ask(&self, header: &Header) -> Result<(), Refusal> {
        if self.requests.contains(&header.message) || self.shared.requests.is_known(&header.message) {
            return Err(Refusal::Replayed);
        }
        let has_room = self.shared.requests.has_room(&header.sender, self.requests.len() + 1);
        if has_room { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    /// An agent that serves what it is asked for.
    fn server_named(&mut self, name: &AgentName, capability: &Capability) -> Result<usize, Refusal> {
        if let Some(group) = self.looked.get(name, capability) {
            return Ok(group);
        }
        let standing = self.snapshot.agent(name).filter(|standing| standing.is_good());
        if !standing.is_some_and(|standing| standing.grant.serve.contains(capability)) {
            return Err(Refusal::Unroutable);
        }
        let group = self.named(name)?;
        self.looked.put(name, capability, group);
        Ok(group)
    }

    fn named(&mut self, name: &AgentName) -> Result<usize, Refusal> {
        let receiver = self.shared.routes().get(name).cloned().ok_or(Refusal::Unroutable)?;
        self.group(receiver, false)
    }

    fn server(&mut self, capability: &Capability) -> Option<Arc<Link>> {
        let (shared, snapshot) = (self.shared, self.snapshot);
        let candidates = || shared.services.candidates(shared, snapshot, capability);
        self.services.entry(*capability).or_insert_with(candidates).next()
    }

    /// A copy for every subscriber. Who has no room for it misses it; the others do not wait.
    fn publish(&mut self, position: usize, bytes: usize, topic: Resource) -> u32 {
        let groups = match self.by_topic.remove(&topic) {
            Some(groups) => groups,
            None => self.subscribers(&topic),
        };
        let mut copies = 0;
        for at in &groups {
            let group = &mut self.groups[*at];
            match group.permit.grow(bytes) {
                Ok(()) => group.positions.push(position),
                // Its link is about to end: it is no subscriber any more.
                Err(Refusal::Unroutable) => continue,
                Err(_) => group.missed.push(position),
            }
            copies += 1;
        }
        self.by_topic.insert(topic, groups);
        copies
    }

    fn subscribers(&mut self, topic: &Resource) -> Vec<usize> {
        let right = Capability::subscribe(topic);
        let subscribers = self.shared.topics.subscribers(topic);
        let subscribers = subscribers.iter().flat_map(|links| links.iter());
        let may = subscribers.filter(|link| may_subscribe(self.snapshot, link, &right)).cloned();
        let may: Vec<_> = may.collect();
        may.into_iter().filter_map(|link| self.group(link, true).ok()).collect()
    }

    fn group(&mut self, receiver: Arc<Link>, is_copy: bool) -> Result<usize, Refusal> {
        let key = (receiver.peer.session, is_copy);
        if let Some(group) = self.by_link.get(&key) {
            return Ok(*group);
        }
        let outbox = outbox(self.shared, &receiver, self.case.lane).ok_or(Refusal::Unroutable)?;
        let permit = outbox.permit(self.case.link.peer.holder.name);
        let (positions, missed) = (Vec::new(), Vec::new());
        self.groups.push(Group { receiver, outbox, permit, is_copy, positions, missed });
        self.by_link.insert(key, self.groups.len() - 1);
        Ok(self.groups.len() - 1)
    }
}

impl Placed {
    /// Nothing of it goes out: whoever waits for an answer that was in it hears so.
    pub(super) fn give_up(self, refusal: Refusal) {
        for (request, answered) in self.answered {
            answered.unanswered(request, refusal);
        }
    }

    /// To how many receivers a message goes.
    pub(super) fn copies(&self, position: usize) -> u32 {
        self.copies.get(position).copied().unwrap_or_default()
    }

    /// Whether nothing of a bundle is left that anything could become of.
    pub(super) fn goes_nowhere(&self, inspected: &Inspected) -> bool {
        self.groups.is_empty() && inspected.allowed().next().is_none()
    }

    /// Messages, each counted once for every receiver, and once without one.
    pub(super) fn submitted(&self, inspected: &Inspected) -> usize {
        let of = |position: usize| self.copies(position).max(1) as usize;
        (0..inspected.verdicts().len()).map(of).sum()
    }

    /// Publications that nobody has subscribed to.
    pub(super) fn without_receiver(&self, inspected: &Inspected) -> usize {
        inspected.allowed().filter(|(position, _)| self.copies(*position) == 0).count()
    }

    /// Opens requests and gives every parcel to its receiver's queue.
    pub(super) fn hand_over(
        self,
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        case: &Case,
        inspected: &Inspected,
        recorded: &Appended,
        traced: Option<&Traced>,
    ) {
        let Ok(judging) = case.link.judging.lock() else { return };
        let (mut cuts, mut pruner) = (Vec::<Cut>::new(), None);
        for (nth, group) in self.groups.into_iter().enumerate() {
            group.miss(shared, case, recorded);
            if group.positions.is_empty() {
                continue;
            }
            let at = match cuts.iter().position(|cut| cut.positions == group.positions) {
                Some(at) => at,
                None => {
                    // A whole bundle can be cut at any place. Should it ever not be, nothing goes out for it.
                    let cut = Cut::of(&judging, inspected, &group.positions, &mut pruner);
                    let Some(cut) = cut else { continue };
                    cuts.push(cut);
                    cuts.len() - 1
                }
            };
            open(shared, case, &group, inspected);
            let traced = traced.and_then(|traced| traced.part(&group.positions, nth));
            group.send(shared, snapshot, case, &cuts[at], recorded, traced);
        }
        let asked = inspected.allowed().map(|(_, envelope)| envelope.header());
        let asked = asked.filter(|header| header.receipt == ReceiptWish::Reply);
        shared.requests.end_given_up(asked.map(|header| header.message), &case.link);
    }
}

impl Group {
    /// Accounts for copies that found no room.
    fn miss(&self, shared: &Shared, case: &Case, recorded: &Appended) {
        if self.missed.is_empty() {
            return;
        }
        let outcome = Outcome::Dropped(Cause::Overflow);
        let of =
            |position: &usize| OutcomeOf { position: u16::try_from(*position).unwrap_or(u16::MAX), outcome };
        let (record, to) = (recorded.index(), self.receiver.peer.holder.name);
        let ended = Ended { record, to, outcomes: self.missed.iter().map(of).collect() };
        shared.drop_copies(&case.link, ended);
    }

    fn send(
        self,
        shared: &Arc<Shared>,
        snapshot: &Snapshot,
        case: &Case,
        cut: &Cut,
        recorded: &Appended,
        traced: Option<Box<Handing>>,
    ) {
        let now = Instant::now();
        let waits =
            if self.is_copy { self.outbox.holds_publishers(now) } else { self.outbox.holds_senders(now) };
        let mut parcel = Parcel {
            bundle: cut.bundle.clone(),
            sender: case.link.clone(),
            to: self.receiver.peer.holder.name,
            is_copy: self.is_copy,
            tokens: cut.tokens.clone(),
            needs: cut.needs.clone(),
            judged: snapshot.sequence(),
            alerts: cut.alerts.clone(),
            places: cut.places.clone(),
            record: recorded.index(),
            since: now,
            expires: now + cut.ttl.duration(),
            ticket: Some(case.ticket.clone()),
            memory: case.ticket.reservation(),
            traced,
            _permit: self.permit,
        };
        shared.metrics.queued(parcel.places.len());
        if cut.is_void {
            return shared.drop_parcel(&parcel, Cause::Revoked);
        }
        // Nobody waits for it, and there is no memory for it without its sender.
        if !waits && !parcel.let_go() && parcel.is_copy {
            return shared.drop_parcel(&parcel, Cause::Overflow);
        }
        let Err(parcel) = self.outbox.hand_over(recorded, parcel) else { return };
        // Its link has ended; unless it was renewed just now.
        let newer = self.receiver.line.newer.get().and_then(|newer| outbox(shared, newer, case.lane));
        let handed = match newer {
            Some(newer) => newer.hand_over(recorded, *parcel),
            None => Err(parcel),
        };
        if let Err(parcel) = handed {
            shared.drop_parcel(&parcel, Cause::LinkLost);
        }
    }
}

/// Opens the requests among a group's messages, to the link that gets them.
fn open(shared: &Shared, case: &Case, group: &Group, inspected: &Inspected) {
    for position in &group.positions {
        let Some(Item::Envelope(envelope)) = inspected.bundle().items().get(*position) else { continue };
        let Header { receipt, message, capability, ttl, .. } = envelope.header();
        if let (ReceiptWish::Reply, Some(capability)) = (receipt, capability) {
            let (message, capability): (MessageId, Capability) = (*message, *capability);
            // An id that is open already was refused when it was placed.
            let _ = shared.requests.open(message, &case.link, &group.receiver, capability, ttl.duration());
        }
    }
}

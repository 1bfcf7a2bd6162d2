//! The way of a bundle, on one page and with one exit: decide, reserve, record, hand over.

use std::sync::Arc;

use bytes::Bytes;
use testudo_registry::Snapshot;
use testudo_rules::audit::{EnvelopeRecord, Event, TraceId, Verdict as Written, Verdicts};
use testudo_rules::inspect::{Alert, Inspector};
use testudo_rules::pipeline::{Decoded, Inspected, Verdict};
use testudo_wire::frame::{CloseReason, FromNode, RefusedBundle, RefusedMessage};
use testudo_wire::{AgentName, Bundle, Destination, Digest, Envelope, Header, Item, ReceiptWish, Refusal};
use tokio::time::Instant;

use crate::audit::Appended;
use crate::node::{Held, Judging, Link, Parcel, Pending, Permit, Place, Shared, Ticket};

/// Judges one bundle to the end.
pub(super) fn judge(
    shared: &Arc<Shared>,
    inspector: &Inspector,
    link: &Arc<Link>,
    bundle: u64,
    bytes: Bytes,
    ticket: &Arc<Ticket>,
) {
    let size = bytes.len();
    let snapshot = shared.directory().load();
    // A poisoned lock: a panic left this link's windows half changed. Nothing of it passes any more.
    let Ok(mut judging) = link.judging.lock() else {
        return refuse_bundle(shared, link, bundle, Refusal::GuardFault, size, 0);
    };
    let mut inspected = match decide(shared, inspector, link, &mut judging, &snapshot, bytes) {
        Ok(inspected) => inspected,
        Err((refusal, messages)) => {
            charge(shared, link, &mut judging, refusal, size);
            return refuse_bundle(shared, link, bundle, refusal, size, messages);
        }
    };
    let mut groups = reserve(shared, &snapshot, &mut inspected);
    if groups.is_empty() && is_flood(shared, link, &inspected, size) {
        shared.metrics.submitted(inspected.bundle().items().len());
        return tell_refused(shared, link, &inspected);
    }
    let recorded = shared.audit.append(&shared.record(Event::Verdicts(verdicts(link, &inspected))));
    // Not before: had one of the steps above panicked, nothing would ever be said of these messages.
    shared.metrics.submitted(inspected.bundle().items().len());
    match recorded {
        Ok(recorded) => {
            tell_refused(shared, link, &inspected);
            promise(shared, link, bundle, &recorded, &inspected);
            for group in groups {
                let parcel = group.parcel(link, &judging, &snapshot, &inspected, &recorded, ticket);
                hand_over(shared, &recorded, parcel, &inspected);
            }
        }
        Err(error) => {
            tracing::error!(%error, "no record, no delivery");
            groups.clear();
            let allowed: Vec<_> = inspected.allowed().map(|(position, _)| position).collect();
            allowed.into_iter().for_each(|position| inspected.refuse(position, Refusal::AuditUnavailable));
            tell_refused(shared, link, &inspected);
        }
    }
}

/// The pure stages. The error says how many messages a refused bundle held, if it could be decoded.
fn decide(
    shared: &Shared,
    inspector: &Inspector,
    link: &Link,
    judging: &mut Judging,
    snapshot: &Snapshot,
    bytes: Bytes,
) -> Result<Inspected, (Refusal, usize)> {
    let now = shared.env.now();
    let decoded = Decoded::of(bytes, &shared.limits).map_err(|refusal| (refusal, 0))?;
    let messages = decoded.messages();
    let refused = |refusal| (refusal, messages);
    let fresh = decoded
        .bind(&link.peer, snapshot)
        .and_then(|bound| bound.admit(&mut judging.bucket, shared.monotonic()))
        .map_err(refused)?
        .fresh(now);
    let verified = fresh.verify(&link.peer, &mut judging.windows).map_err(refused)?;
    Ok(verified.authorise(&link.peer, &judging.tokens, &shared.requests, snapshot, now).inspect(inspector))
}

/// What was refused before the quota pays for it all the same: nobody may send rubbish faster than messages.
fn charge(shared: &Shared, link: &Link, judging: &mut Judging, refusal: Refusal, bytes: usize) {
    let unpaid = matches!(
        refusal,
        Refusal::Malformed
            | Refusal::Oversized
            | Refusal::WrongPeer
            | Refusal::WrongSession
            | Refusal::Revoked
    );
    if unpaid && judging.bucket.take(bytes, shared.monotonic()).is_err() {
        link.close(CloseReason::Protocol);
    }
}

/// The messages of a bundle that go to one receiver.
struct Group {
    to: AgentName,
    receiver: Arc<Link>,
    permit: Permit,
    positions: Vec<usize>,
}

/// Finds the receiver of every allowed message and takes room in its queue.
fn reserve(shared: &Shared, snapshot: &Snapshot, inspected: &mut Inspected) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut refusals = Vec::new();
    let mut requests = 0;
    for (position, envelope) in inspected.allowed() {
        match place(shared, snapshot, &mut groups, envelope, &mut requests) {
            Ok(group) => groups[group].positions.push(position),
            Err(refusal) => refusals.push((position, refusal)),
        }
    }
    refusals.into_iter().for_each(|(position, refusal)| inspected.refuse(position, refusal));
    groups.retain(|group| !group.positions.is_empty());
    groups
}

/// The group of one message, with room taken for it.
fn place(
    shared: &Shared,
    snapshot: &Snapshot,
    groups: &mut Vec<Group>,
    envelope: &Envelope,
    requests: &mut usize,
) -> Result<usize, Refusal> {
    let header = envelope.header();
    let to = receiver(snapshot, header)?;
    if header.receipt == ReceiptWish::Reply {
        if !shared.requests.has_room(&header.sender, *requests + 1) {
            return Err(Refusal::Overloaded);
        }
        *requests += 1;
    }
    let group = match groups.iter().position(|group| group.to == to) {
        Some(group) => group,
        None => {
            let receiver = shared.routes().get(&to).cloned().ok_or(Refusal::Unroutable)?;
            let permit = receiver.outbox.permit(header.sender);
            groups.push(Group { to, receiver, permit, positions: Vec::new() });
            groups.len() - 1
        }
    };
    groups[group].permit.grow(envelope.bytes().len())?;
    Ok(group)
}

/// Who receives it, if the registry lets it.
fn receiver(snapshot: &Snapshot, header: &Header) -> Result<AgentName, Refusal> {
    match (&header.destination, &header.capability) {
        (Destination::Agent(name), Some(capability)) => {
            let standing = snapshot.agent(name).filter(|standing| standing.is_good());
            let serves = standing.is_some_and(|standing| standing.grant.serve.contains(capability));
            if serves { Ok(*name) } else { Err(Refusal::Unroutable) }
        }
        (Destination::Reply(name), _) => {
            let good = snapshot.agent(name).is_some_and(testudo_registry::Standing::is_good);
            if good { Ok(*name) } else { Err(Refusal::Unroutable) }
        }
        (Destination::Agent(_), None) | (Destination::Service | Destination::Topic(_), _) => {
            Err(Refusal::Unroutable)
        }
    }
}

/// Rules that travel with one message: annotations and refusals must fit their frames whatever a sender
/// provokes. The gravest come first.
const RULES_TOLD: usize = 4;

fn rules(alerts: &[Alert]) -> impl Iterator<Item = &str> {
    alerts.iter().map(|alert| alert.rule.as_str())
}

fn told(alerts: &[Alert]) -> Vec<String> {
    rules(alerts).take(RULES_TOLD).map(str::to_owned).collect()
}

/// What the audit log keeps of a judged bundle.
fn verdicts(link: &Link, inspected: &Inspected) -> Verdicts {
    let envelopes = inspected.bundle().envelopes().zip(inspected.verdicts()).map(|(envelope, verdict)| {
        let header = envelope.header();
        EnvelopeRecord {
            message: header.message,
            digest: envelope.digest(),
            sequence: header.sequence,
            destination: EnvelopeRecord::destination_note(&header.destination),
            capability: header.capability,
            correlation: header.correlation,
            trace: header.trace.map(|trace| TraceId::new(trace.trace_id())),
            verdict: match verdict {
                Verdict::Allowed { alerts } => Written::allowed(rules(alerts)),
                Verdict::Refused { refusal, alerts } => Written::refused(*refusal, rules(alerts)),
            },
        }
    });
    Verdicts {
        session: link.peer.session,
        sender: link.peer.holder.name,
        key: link.peer.holder.key,
        lane: 0,
        root: inspected.bundle().root(),
        envelopes: envelopes.collect(),
    }
}

/// Whether a bundle of which nothing is left is one of many such: the first of a kind is recorded whole, those
/// of the next second are counted into one record.
fn is_flood(shared: &Shared, link: &Link, inspected: &Inspected, bytes: usize) -> bool {
    let refused = inspected.verdicts().iter().find_map(|verdict| match verdict {
        Verdict::Allowed { .. } => None,
        Verdict::Refused { refusal, .. } => Some(*refusal),
    });
    refused.is_some_and(|refusal| shared.is_flood(link, refusal, bytes))
}

/// Every refusal is counted and its sender hears of it.
fn tell_refused(shared: &Shared, link: &Link, inspected: &Inspected) {
    let judged = inspected.bundle().envelopes().zip(inspected.verdicts());
    let refused: Vec<_> = judged
        .filter_map(|(envelope, verdict)| match verdict {
            Verdict::Allowed { .. } => None,
            Verdict::Refused { refusal, alerts } => Some(RefusedMessage {
                message: envelope.header().message,
                refusal: *refusal,
                rules: told(alerts),
            }),
        })
        .collect();
    if !refused.is_empty() {
        refused.iter().for_each(|one| shared.metrics.refused(one.refusal));
        link.tell(FromNode::RefusedMessages(refused));
    }
}

/// Queues the receipt for those that wish one.
fn promise(shared: &Shared, link: &Arc<Link>, bundle: u64, recorded: &Appended, inspected: &Inspected) {
    let accepted: Vec<(u16, Digest)> = inspected
        .allowed()
        .filter(|(_, envelope)| envelope.header().receipt == ReceiptWish::Accepted)
        .filter_map(|(position, envelope)| Some((u16::try_from(position).ok()?, envelope.digest())))
        .collect();
    if !accepted.is_empty() {
        let (link, record) = (Arc::downgrade(link), recorded.index());
        shared.receipts.push(Pending { link, bundle, record, accepted });
    }
}

impl Group {
    /// The parcel of this group: the bundle as it came when all of it goes here, pruned otherwise.
    fn parcel(
        self,
        link: &Arc<Link>,
        judging: &Judging,
        snapshot: &Snapshot,
        inspected: &Inspected,
        recorded: &Appended,
        ticket: &Arc<Ticket>,
    ) -> (Arc<Link>, Option<Parcel>) {
        let Self { receiver, permit, positions, .. } = self;
        let Some(bundle) = cut(inspected.bundle(), &positions) else { return (receiver, None) };
        let of = |position: &usize| match &inspected.bundle().items()[*position] {
            Item::Envelope(envelope) => Some((*position, envelope.header())),
            Item::Pruned { .. } => None,
        };
        let headers: Vec<_> = positions.iter().filter_map(of).collect();
        let ttl = headers.iter().map(|(_, header)| header.ttl).min().unwrap_or_default();
        let parcel = Parcel {
            bundle,
            sender: link.clone(),
            tokens: tokens(judging, &headers),
            judged: snapshot.sequence(),
            alerts: alerts(inspected, &positions),
            places: headers
                .iter()
                .map(|(position, header)| Place {
                    position: u16::try_from(*position).unwrap_or(u16::MAX),
                    message: header.message,
                })
                .collect(),
            record: recorded.index(),
            expires: Instant::now() + ttl.duration(),
            _permit: permit,
            _ticket: ticket.clone(),
        };
        (receiver, Some(parcel))
    }
}

fn cut(bundle: &Bundle, positions: &[usize]) -> Option<Bytes> {
    if positions.len() == bundle.items().len() {
        return Some(bundle.bytes().clone());
    }
    let pruned = bundle.prune(&|at| positions.binary_search(&at).is_ok()).ok()?;
    Some(pruned.bytes().clone())
}

/// The distinct tokens of these messages.
fn tokens(judging: &Judging, headers: &[(usize, &Header)]) -> Vec<crate::node::Carried> {
    let mut carried: Vec<crate::node::Carried> = Vec::new();
    for (_, header) in headers {
        if carried.iter().any(|(id, _, _)| *id == header.token) {
            continue;
        }
        if let Some(Held { sealed, meaning }) = judging.tokens.get(&header.token) {
            carried.push((header.token, sealed.clone(), meaning.clone()));
        }
    }
    carried
}

/// Alerts by position among the envelopes that the parcel carries.
fn alerts(inspected: &Inspected, positions: &[usize]) -> Vec<(u16, Vec<String>)> {
    let of = |(at, position): (u16, &usize)| match &inspected.verdicts()[*position] {
        Verdict::Allowed { alerts } if !alerts.is_empty() => Some((at, told(alerts))),
        Verdict::Allowed { .. } | Verdict::Refused { .. } => None,
    };
    (0_u16..).zip(positions).filter_map(of).collect()
}

/// Opens and closes requests, and gives the parcel to its receiver's queue.
fn hand_over(
    shared: &Shared,
    recorded: &Appended,
    (receiver, parcel): (Arc<Link>, Option<Parcel>),
    inspected: &Inspected,
) {
    let Some(parcel) = parcel else { return };
    for place in &parcel.places {
        let Item::Envelope(envelope) = &inspected.bundle().items()[usize::from(place.position)] else {
            continue;
        };
        let header = envelope.header();
        match (header.receipt, &header.destination, &header.in_reply_to) {
            (ReceiptWish::Reply, Destination::Agent(to), _) => {
                let deadline = Instant::now() + header.ttl.duration();
                // An id that is open already keeps its first replier; the second answer finds it closed.
                let _ = shared.requests.open(header.message, header.sender, *to, deadline);
            }
            (_, Destination::Reply(_), Some(request)) if header.part.is_none_or(|part| part.last) => {
                shared.requests.close(request);
            }
            _ => {}
        }
    }
    shared.metrics.queued(parcel.places.len());
    if let Err(parcel) = receiver.outbox.hand_over(recorded, parcel) {
        shared.drop_parcel(&parcel, testudo_rules::audit::Cause::LinkLost);
    }
}

/// A bundle refused whole: counted, recorded, told.
pub(super) fn refuse_bundle(
    shared: &Shared,
    link: &Link,
    bundle: u64,
    refusal: Refusal,
    bytes: usize,
    messages: usize,
) {
    shared.metrics.submitted(messages);
    shared.metrics.bundle_refused(refusal, messages);
    shared.note_refused_bundle(link, refusal, bytes);
    link.tell(FromNode::RefusedBundle(RefusedBundle { bundle, refusal }));
}

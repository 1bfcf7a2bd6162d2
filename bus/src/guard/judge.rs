//! The way of a bundle, on one page and with one exit: decide, reserve, record, hand over.

use std::sync::Arc;

use testudo_registry::Snapshot;
use testudo_rules::audit::{BundleHead, Cause, EnvelopeView, TraceId, Verdict as Written};
use testudo_rules::inspect::Alert;
use testudo_rules::pipeline::{Authorised, Decoded, Inspected, Verdict};
use testudo_wire::frame::{CloseReason, FromNode, RefusedBundle, RefusedMessage};
use testudo_wire::{Destination, Digest, ReceiptWish, Refusal, RegistrySequence};
use tokio::time::Instant;

use super::commit::Commit;
use super::placing::{Placed, place};
use crate::audit::{AppendError, Appended, BundleRecord};
use crate::metrics::Stage;
use crate::node::{Judging, Link, Pending, Shared, Ticket};
use crate::traced::{Steps, Traced};

/// Which bundle of which link.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) link: Arc<Link>,
    pub(super) lane: u8,
    pub(super) bundle: u64,
    /// Its bytes.
    pub(super) size: usize,
    pub(super) ticket: Arc<Ticket>,
}

/// The pure stages before the content. What they refuse whole is told here.
pub(super) fn assess(
    shared: &Shared,
    case: &Case,
    steps: &mut Steps,
    decoded: Result<Decoded, Refusal>,
) -> Option<Authorised> {
    let snapshot = shared.directory().load();
    // A poisoned lock: a panic left this link's windows half changed. Nothing of it passes any more.
    let Ok(mut judging) = case.link.judging.lock() else {
        refuse_bundle(shared, case, Refusal::GuardFault, 0);
        return None;
    };
    let began = Instant::now();
    // Its grant may have changed since it linked.
    if let Some(standing) = snapshot.agent(&case.link.peer.holder.name) {
        judging.bucket.go_by(standing.grant.quota);
    }
    let decided = decide(shared, case, &mut judging, &snapshot, decoded);
    steps.assessed = Instant::now();
    shared.metrics.took(Stage::Assess, steps.assessed.saturating_duration_since(began));
    match decided {
        Ok(authorised) => Some(authorised),
        Err((refusal, messages)) => {
            charge(shared, case, &mut judging, refusal);
            refuse_bundle(shared, case, refusal, messages);
            None
        }
    }
}

/// The error says how many messages a refused bundle held, if it could be decoded.
fn decide(
    shared: &Shared,
    case: &Case,
    judging: &mut Judging,
    snapshot: &Snapshot,
    decoded: Result<Decoded, Refusal>,
) -> Result<Authorised, (Refusal, usize)> {
    let ((now, also), peer) = (shared.env.times(), &case.link.peer);
    let decoded = decoded.map_err(|refusal| (refusal, 0))?;
    let messages = decoded.messages();
    let refused = |refusal| (refusal, messages);
    let fresh = decoded
        .bind(peer, case.lane, snapshot)
        .and_then(|bound| bound.admit(&mut judging.bucket, shared.monotonic()))
        .map_err(refused)?
        .fresh(now, also);
    let verified = fresh.verify(peer, &mut judging.windows).map_err(refused)?;
    Ok(verified.authorise(peer, &judging.tokens, &shared.requests, snapshot, now))
}

/// What was refused before the quota pays for it all the same: nobody may send rubbish faster than messages.
fn charge(shared: &Shared, case: &Case, judging: &mut Judging, refusal: Refusal) {
    let unpaid = matches!(
        refusal,
        Refusal::Malformed
            | Refusal::Oversized
            | Refusal::WrongPeer
            | Refusal::WrongSession
            | Refusal::Revoked
    );
    if unpaid && judging.bucket.take(case.size, shared.monotonic()).is_err() {
        case.link.close(CloseReason::Protocol);
    }
}

/// Everything after the content: room, record, hand-over.
pub(super) fn conclude(shared: &Arc<Shared>, case: &Case, mut steps: Steps, mut inspected: Inspected) {
    let link = &case.link;
    let snapshot = shared.directory().load();
    let began = Instant::now();
    let placed = place(shared, &snapshot, case, &mut inspected);
    steps.placed = Instant::now();
    shared.metrics.took(Stage::Reserve, steps.placed.saturating_duration_since(began));
    if placed.goes_nowhere(&inspected) && is_flood(shared, case, &inspected) {
        shared.metrics.submitted(inspected.verdicts().len());
        return tell_refused(shared, link, &inspected);
    }
    let traced = shared.tracing.follow(&link.peer.holder.name, &inspected);
    steps.recording = Instant::now();
    let recorded = record(shared, case, &inspected, &placed, snapshot.sequence())
        .and_then(|record| shared.audit.append_bundle(record));
    steps.recorded = Instant::now();
    shared.metrics.took(Stage::Record, steps.recorded.saturating_duration_since(steps.recording));
    match recorded {
        Ok(recorded) => {
            let (case, snapshot) = (case.clone(), Arc::clone(&snapshot));
            Recorded { case, inspected, placed, snapshot, recorded, steps, traced }.commit(shared);
        }
        Err(error) => {
            tracing::debug!(%error, "no record, no delivery");
            refuse_all(shared, case, inspected, placed, (&steps, traced));
        }
    }
}

/// A bundle whose verdicts are written: all that is left to do is to act on them.
pub(crate) struct Recorded {
    case: Case,
    inspected: Inspected,
    placed: Placed,
    snapshot: Arc<Snapshot>,
    recorded: Appended,
    steps: Steps,
    traced: Option<Traced>,
}

impl Recorded {
    /// Acts on the verdicts now, or once they are durable.
    fn commit(self, shared: &Arc<Shared>) {
        match shared.commit {
            Commit::Receipt => self.act(shared),
            Commit::Delivery => shared.commits.push(self),
        }
    }

    /// The index of the record.
    pub(super) const fn index(&self) -> u64 {
        self.recorded.index()
    }

    /// The link that it came on.
    pub(super) fn link(&self) -> Arc<Link> {
        self.case.link.clone()
    }

    /// Tells, promises, hands over.
    pub(super) fn act(self, shared: &Arc<Shared>) {
        let Self { case, inspected, placed, snapshot, recorded, steps, traced } = self;
        // Not before: had one of the steps above panicked, nothing would ever be said of these messages.
        let began = Instant::now();
        shared.metrics.submitted(placed.submitted(&inspected));
        let allowed = inspected.allowed().count();
        shared.metrics.allowed(allowed);
        case.link.line.tally.allowed(allowed);
        shared.metrics.dropped_at_once(Cause::NoReceiver, placed.without_receiver(&inspected));
        tell_refused(shared, &case.link, &inspected);
        promise(shared, &case, &recorded, &inspected);
        placed.hand_over(shared, &snapshot, &case, &inspected, &recorded, traced.as_ref());
        let ended = Instant::now();
        shared.metrics.took(Stage::HandOver, ended.saturating_duration_since(began));
        if let Some(traced) = traced {
            let waited = (shared.commit == Commit::Delivery).then_some(began);
            traced.routed(&steps, &inspected, Some(recorded.index()), waited, ended);
        }
    }

    /// The record will never be durable: nothing of it is handed over. The next start finds its verdicts without an
    /// outcome.
    pub(super) fn refuse(self, shared: &Shared) {
        refuse_all(shared, &self.case, self.inspected, self.placed, (&self.steps, self.traced));
    }
}

/// No record, no delivery.
fn refuse_all(
    shared: &Shared,
    case: &Case,
    mut inspected: Inspected,
    placed: Placed,
    (steps, traced): (&Steps, Option<Traced>),
) {
    placed.give_up(Refusal::AuditUnavailable);
    let allowed: Vec<_> = inspected.allowed().map(|(position, _)| position).collect();
    allowed.into_iter().for_each(|position| inspected.refuse(position, Refusal::AuditUnavailable));
    shared.metrics.submitted(inspected.verdicts().len());
    tell_refused(shared, &case.link, &inspected);
    if let Some(traced) = traced {
        traced.routed(steps, &inspected, None, None, Instant::now());
    }
}

/// Rules that travel with one message: annotations and refusals must fit their frames whatever a sender
/// provokes. The gravest come first.
const RULES_TOLD: usize = 4;

fn rules(alerts: &[Alert]) -> impl Iterator<Item = &str> {
    alerts.iter().map(|alert| alert.rule.as_str())
}

pub(super) fn told(alerts: &[Alert]) -> Vec<String> {
    rules(alerts).take(RULES_TOLD).map(str::to_owned).collect()
}

/// What the audit log keeps of a judged bundle, written down from where it is; `registry` is what it was judged under, not
/// what has changed since.
fn record(
    shared: &Shared,
    case: &Case,
    inspected: &Inspected,
    placed: &Placed,
    registry: RegistrySequence,
) -> Result<BundleRecord, AppendError> {
    let judged = inspected.bundle().envelopes().zip(inspected.verdicts()).enumerate();
    let envelopes = judged.map(|(position, (envelope, verdict))| {
        let header = envelope.header();
        EnvelopeView {
            message: header.message,
            digest: envelope.digest(),
            sequence: header.sequence,
            destination: &header.destination,
            capability: header.capability.as_ref(),
            correlation: header.correlation,
            trace: header.trace.map(|trace| TraceId::new(trace.trace_id())),
            verdict: match verdict {
                Verdict::Allowed { alerts } => Written::allowed(rules(alerts), placed.copies(position)),
                Verdict::Refused { refusal, alerts } => Written::refused(*refusal, rules(alerts)),
            },
        }
    });
    let peer = &case.link.peer;
    let head = BundleHead {
        session: peer.session,
        sender: peer.holder.name,
        key: peer.holder.key,
        lane: case.lane,
        root: inspected.bundle().root(),
    };
    BundleRecord::encode(shared.env.now(), registry, &head, inspected.verdicts().len(), envelopes)
}

/// Whether a bundle of which nothing is left is one of many such: the first of a kind is recorded whole, those
/// of the next second are counted into one record.
fn is_flood(shared: &Shared, case: &Case, inspected: &Inspected) -> bool {
    let refused = inspected.verdicts().iter().find_map(|verdict| match verdict {
        Verdict::Allowed { .. } => None,
        Verdict::Refused { refusal, .. } => Some(*refusal),
    });
    refused.is_some_and(|refusal| shared.is_flood(&case.link, refusal, case.size))
}

/// Every refusal is counted and its sender hears of it; so does whoever waits for an answer that was refused.
fn tell_refused(shared: &Shared, link: &Link, inspected: &Inspected) {
    let judged = || inspected.bundle().envelopes().zip(inspected.verdicts());
    for (envelope, verdict) in judged() {
        let header = envelope.header();
        if let (Verdict::Refused { refusal, .. }, Destination::Reply(_), Some(request)) =
            (verdict, &header.destination, &header.in_reply_to)
        {
            shared.requests.fail(request, link, *refusal);
        }
    }
    let refused: Vec<_> = judged()
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
        link.line.tally.refused(refused.len());
        link.tell(FromNode::RefusedMessages(refused));
    }
}

/// Queues the receipt for those that wish one.
fn promise(shared: &Shared, case: &Case, recorded: &Appended, inspected: &Inspected) {
    let accepted: Vec<(u16, Digest)> = inspected
        .allowed()
        .filter(|(_, envelope)| envelope.header().receipt == ReceiptWish::Accepted)
        .filter_map(|(position, envelope)| Some((u16::try_from(position).ok()?, envelope.digest())))
        .collect();
    if !accepted.is_empty() {
        let (link, record) = (Arc::downgrade(&case.link), recorded.index());
        shared.receipts.push(Pending {
            link,
            lane: case.lane,
            bundle: case.bundle,
            record,
            accepted,
            _ticket: case.ticket.clone(),
        });
    }
}

/// A bundle refused whole: counted, recorded, told.
pub(super) fn refuse_bundle(shared: &Shared, case: &Case, refusal: Refusal, messages: usize) {
    let Case { link, lane, bundle, size, .. } = case;
    shared.refuse_bundle(link, RefusedBundle { lane: *lane, bundle: *bundle, refusal }, messages, *size);
}

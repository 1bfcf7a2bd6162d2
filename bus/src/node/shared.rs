//! What all parts of a running node hold together: keys, doors, tables, counters. No behaviour of its own but
//! the accounting of outcomes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use testudo_registry::{Directory, RegistryDoor};
use testudo_rules::audit::{
    BundleRefused, Cause, Event, LinkChange, LinkEvent, Note, Outcome, OutcomeOf, Outcomes, Record,
};
use testudo_rules::quota::Bucket;
use testudo_wire::frame::{FromNode, RefusedMessage};
use testudo_wire::standing::Quota;
use testudo_wire::{AgentName, Limits, Refusal, SecretKey, SwarmId};
use tokio::time::Instant;

use super::floods::Counted;
use super::link::Link;
use super::outbox::{Ended, Parcel, Remains};
use super::receipts::Receipts;
use super::requests::Requests;
use crate::audit::AuditLog;
use crate::capability::CapabilityDoor;
use crate::env::SharedEnv;
use crate::metrics::Metrics;

/// Records that strangers can cause in a second: beyond it they are only counted, or anyone who can send a
/// datagram could fill the disk.
const STRANGERS: Quota = Quota { bundles_per_second: 10, bytes_per_second: 0 };

/// Everything that links, guard and tasks of one node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) swarm: SwarmId,
    pub(crate) key: SecretKey,
    pub(crate) env: SharedEnv,
    pub(crate) limits: Limits,
    pub(crate) heartbeat: Duration,
    pub(crate) window: u32,
    pub(crate) started: Instant,
    pub(crate) registry: RegistryDoor,
    pub(crate) capability: CapabilityDoor,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) metrics: Metrics,
    pub(crate) requests: Requests,
    pub(crate) receipts: Receipts,
    strangers: Mutex<Bucket>,
    /// What agents without a link have left of their quota: a new link is no new quota.
    spent: Mutex<HashMap<AgentName, Bucket>>,
    routes: RwLock<HashMap<AgentName, Arc<Link>>>,
}

/// The parts of [`Shared`] that are given.
pub(crate) struct Given {
    pub(crate) swarm: SwarmId,
    pub(crate) key: SecretKey,
    pub(crate) env: SharedEnv,
    pub(crate) heartbeat: Duration,
    pub(crate) window: u32,
    pub(crate) registry: RegistryDoor,
    pub(crate) capability: CapabilityDoor,
    pub(crate) audit: Arc<AuditLog>,
}

impl Shared {
    pub(crate) fn new(given: Given) -> Self {
        Self {
            swarm: given.swarm,
            key: given.key,
            env: given.env,
            limits: Limits::standard(),
            heartbeat: given.heartbeat,
            window: given.window,
            started: Instant::now(),
            registry: given.registry,
            capability: given.capability,
            audit: given.audit,
            metrics: Metrics::default(),
            requests: Requests::default(),
            receipts: Receipts::default(),
            strangers: Mutex::new(Bucket::new(STRANGERS, Duration::ZERO)),
            spent: Mutex::default(),
            routes: RwLock::default(),
        }
    }

    pub(crate) const fn directory(&self) -> &Directory {
        self.registry.directory()
    }

    /// Time since the node started; never goes back.
    pub(crate) fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, HashMap<AgentName, Arc<Link>>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes_mut(&self) -> RwLockWriteGuard<'_, HashMap<AgentName, Arc<Link>>> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket of an agent that comes back.
    pub(crate) fn bucket(&self, name: &AgentName, quota: Quota) -> Bucket {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        spent.map_or_else(|| Bucket::new(quota, self.monotonic()), |bucket| bucket.under(quota))
    }

    /// Keeps the bucket of an agent whose link has ended. Bounded by the registry's table.
    pub(crate) fn keep_bucket(&self, link: &Link) {
        if let Ok(judging) = link.judging.lock() {
            let bucket = judging.bucket.clone();
            drop(judging);
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.insert(link.peer.holder.name, bucket);
        }
    }

    /// A record of now.
    pub(crate) fn record(&self, event: Event) -> Record {
        Record { at: self.env.now(), registry: self.directory().sequence(), event }
    }

    /// Records what needs no proof. A log that cannot be written stops deliveries by itself.
    pub(crate) fn note(&self, event: Event) {
        if let Err(error) = self.audit.append(&self.record(event)) {
            tracing::warn!(%error, "an event could not be recorded");
        }
    }

    pub(crate) fn note_link(&self, link: &Link, what: LinkChange) {
        self.note(Event::Link(LinkEvent {
            agent: Some(link.peer.holder.name),
            session: Some(link.peer.session),
            remote: Note::new(&link.remote.to_string()),
            what,
        }));
    }

    /// Something refused as a whole: recorded at once, or counted when it is one of many.
    pub(crate) fn note_refused_bundle(&self, link: &Link, refusal: Refusal, bytes: usize) {
        if let Some(counted) = link.floods.count(refusal, bytes, Instant::now()) {
            self.note_counted(link, refusal, counted);
        }
    }

    /// Whether a refused bundle is one of many of its kind. Their counted record is written here.
    pub(crate) fn is_flood(&self, link: &Link, refusal: Refusal, bytes: usize) -> bool {
        match link.floods.count(refusal, bytes, Instant::now()) {
            Some(Counted { count: 1, .. }) => false,
            Some(counted) => {
                self.note_counted(link, refusal, counted);
                true
            }
            None => true,
        }
    }

    /// Counted refusals of a link that has ended.
    pub(crate) fn note_rest(&self, link: &Link) {
        for (refusal, counted) in link.floods.rest() {
            self.note_counted(link, refusal, counted);
        }
    }

    fn note_counted(&self, link: &Link, refusal: Refusal, Counted { count, bytes }: Counted) {
        let (agent, session) = (Some(link.peer.holder.name), Some(link.peer.session));
        self.note(Event::BundleRefused(BundleRefused { agent, session, refusal, bytes, count }));
    }

    /// A connection that became no link.
    pub(crate) fn note_turned_away(&self, remote: SocketAddr, reason: &str) {
        self.metrics.handshake_refused();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.take(0, self.monotonic()).is_ok() {
            let what = LinkChange::Refused { reason: Note::new(reason) };
            let remote = Note::new(&remote.to_string());
            self.note(Event::Link(LinkEvent { agent: None, session: None, remote, what }));
        }
    }

    fn note_ended(&self, ended: Ended) {
        if !ended.outcomes.is_empty() {
            self.note(Event::Outcomes(Outcomes { of: ended.record, outcomes: ended.outcomes }));
        }
    }

    /// Messages given up before hand-over: counted, recorded, and their sender hears of it.
    pub(crate) fn drop_parcel(&self, parcel: &Parcel, cause: Cause) {
        self.metrics.dropped(parcel.places.len());
        self.note_ended(parcel.all(Outcome::Dropped(cause)));
        let refusal = match cause {
            Cause::Expired => Refusal::Expired,
            Cause::Revoked => Refusal::Revoked,
            Cause::AuditUnavailable
            | Cause::Crash
            | Cause::HandlerFailed
            | Cause::LinkLost
            | Cause::NoReceiver
            | Cause::Overflow
            | Cause::ReceiverRefused(_)
            | Cause::Shutdown => Refusal::Unroutable,
        };
        let refused = |message| RefusedMessage { message, refusal, rules: Vec::new() };
        let refused = parcel.places.iter().map(|place| refused(place.message)).collect();
        parcel.sender.tell(FromNode::RefusedMessages(refused));
    }

    /// Messages handed over whose receiver never answered: nobody can know what became of them.
    pub(crate) fn fail_parcel(&self, parcel: &Parcel, cause: Cause) {
        self.metrics.failed(parcel.places.len());
        self.note_ended(parcel.all(Outcome::Failed(cause)));
    }

    /// The receiver's word on each message of a parcel.
    pub(crate) fn finish_parcel(&self, parcel: &Parcel, verdicts: &[Option<Refusal>]) {
        let mut refused = Vec::new();
        let outcomes = parcel.places.iter().zip(verdicts).map(|(place, verdict)| {
            let outcome = verdict.map_or(Outcome::Delivered, |refusal| {
                refused.push(RefusedMessage { message: place.message, refusal, rules: Vec::new() });
                Outcome::Failed(Cause::ReceiverRefused(refusal))
            });
            OutcomeOf { position: place.position, outcome }
        });
        let ended = Ended { record: parcel.record, outcomes: outcomes.collect() };
        self.metrics.failed(refused.len());
        self.metrics.delivered(ended.outcomes.len() - refused.len());
        self.note_ended(ended);
        if !refused.is_empty() {
            parcel.sender.tell(FromNode::RefusedMessages(refused));
        }
    }

    /// What a link leaves behind.
    pub(crate) fn bury(&self, remains: &Remains, cause: Cause) {
        for parcel in &remains.queued {
            self.drop_parcel(parcel, cause);
        }
        for parcel in &remains.in_flight {
            self.fail_parcel(parcel, cause);
        }
    }
}

//! What all parts of a running node hold together: keys, doors, tables, counters. No behaviour of its own
//! but what it takes to record something.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use testudo_registry::{Directory, RegistryDoor};
use testudo_rules::audit::{BundleRefused, Event, LinkChange, LinkEvent, Note, Record};
use testudo_rules::quota::Bucket;
use testudo_wire::frame::{CloseReason, FromNode, RefusedBundle};
use testudo_wire::join::JoinRefusal;
use testudo_wire::standing::Quota;
use testudo_wire::{AgentName, Limits, Refusal, SecretKey, SessionId, SwarmId};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::allowance::Allowances;
use super::bodies::Bodies;
use super::certifier::Certifier;
use super::floods::Counted;
use super::gossip::Gossip;
use super::link::Link;
use super::receipts::Receipts;
use super::requests::Requests;
use super::services::Services;
use super::topics::Topics;
use crate::audit::AuditLog;
use crate::capability::CapabilityDoor;
use crate::env::SharedEnv;
use crate::guard::{Commit, Commits};
use crate::join::Ended as Newcomer;
use crate::metrics::Metrics;
use crate::roots::Roots;
use crate::traced::Tracing;

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
    /// The limits of lanes 1 to 4.
    pub(crate) large_limits: Limits,
    /// The part of it, in KiB, that one link may have.
    pub(crate) reserve_kib: usize,
    /// Room, in KiB, for bodies on lanes of their own, of all links.
    pub(crate) large: Arc<Semaphore>,
    /// Room, in KiB, for those that only subscribers hold who are too slow for them.
    pub(crate) late: Arc<Semaphore>,
    pub(crate) heartbeat: Duration,
    pub(crate) window: u32,
    pub(crate) started: Instant,
    pub(crate) registry: RegistryDoor,
    pub(crate) capability: CapabilityDoor,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) commit: Commit,
    pub(crate) commits: Commits,
    pub(crate) metrics: Metrics,
    pub(crate) requests: Requests,
    pub(crate) receipts: Receipts,
    pub(crate) body_threads: usize,
    pub(crate) services: Services,
    pub(crate) topics: Topics,
    pub(crate) allowances: Allowances,
    pub(crate) certifier: Certifier,
    pub(crate) tracing: Tracing,
    pub(crate) roots: Arc<Roots>,
    pub(crate) gossip: Gossip,
    strangers: Mutex<Bucket>,
    /// What agents without a link have left of their quota: a new link is no new quota.
    spent: Mutex<HashMap<AgentName, Bucket>>,
    routes: RwLock<HashMap<AgentName, Arc<Link>>>,
    /// Every open link, those that were renewed and still drain among them: no route leads to these.
    links: Mutex<HashMap<SessionId, Arc<Link>>>,
    /// Rises with every change of the routes.
    routes_epoch: AtomicU64,
    draining: watch::Sender<bool>,
}

/// The parts of [`Shared`] that are given.
pub(crate) struct Given {
    pub(crate) swarm: SwarmId,
    pub(crate) roots: Arc<Roots>,
    pub(crate) key: SecretKey,
    pub(crate) env: SharedEnv,
    pub(crate) heartbeat: Duration,
    pub(crate) window: u32,
    pub(crate) bodies: Bodies,
    pub(crate) registry: RegistryDoor,
    pub(crate) capability: CapabilityDoor,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) commit: Commit,
    pub(crate) tracing: Tracing,
    pub(crate) certifier: Certifier,
}

impl Shared {
    pub(crate) fn new(given: Given) -> Self {
        Self {
            swarm: given.swarm,
            key: given.key,
            env: given.env,
            limits: Limits::standard(),
            large_limits: Limits::of_lanes(given.bodies.bytes_max as usize),
            reserve_kib: given.bodies.kib_of_link(),
            large: Arc::new(Semaphore::new(given.bodies.kib())),
            late: Arc::new(Semaphore::new(given.bodies.kib_of_late())),
            heartbeat: given.heartbeat,
            window: given.window,
            started: Instant::now(),
            registry: given.registry,
            capability: given.capability,
            gossip: Gossip::new(&given.audit),
            audit: given.audit,
            commit: given.commit,
            commits: Commits::default(),
            metrics: Metrics::default(),
            requests: Requests::default(),
            receipts: Receipts::default(),
            body_threads: given.bodies.threads.max(1),
            services: Services::default(),
            topics: Topics::default(),
            allowances: Allowances::default(),
            certifier: given.certifier,
            tracing: given.tracing,
            roots: given.roots,
            strangers: Mutex::new(Bucket::new(STRANGERS, Duration::ZERO)),
            spent: Mutex::default(),
            routes: RwLock::default(),
            links: Mutex::default(),
            routes_epoch: AtomicU64::new(0),
            draining: watch::Sender::new(false),
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
        let routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        self.routes_epoch.fetch_add(1, Ordering::Relaxed);
        routes
    }

    /// A link is open.
    pub(crate) fn opened(&self, link: &Arc<Link>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.insert(link.peer.session, link.clone());
    }

    /// It is no more.
    pub(crate) fn ended(&self, link: &Link) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&link.peer.session);
    }

    /// Every open link, those that were renewed and still drain among them.
    pub(crate) fn open_links(&self) -> Vec<Arc<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Closes every open link, one that another renews, too; what was under way on them is theirs to account for.
    pub(crate) fn close_all(&self, reason: CloseReason) -> Vec<Arc<Link>> {
        let links = self.open_links();
        links.iter().for_each(|link| link.close(reason));
        links
    }

    /// From now on no bundle is taken in; what was taken in goes on to its end.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Returns when no bundle is to be taken in any more.
    pub(crate) async fn drains(&self) {
        // The sender lives as long as the node: there is nothing else to wait for.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// Differs whenever the routes may differ.
    pub(crate) fn routes_epoch(&self) -> u64 {
        self.routes_epoch.load(Ordering::Relaxed)
    }

    /// What an agent has to do: messages that it has not acknowledged, and answers that it owes.
    pub(crate) fn load(&self, link: &Link) -> usize {
        link.outboxes.load() + self.requests.owed(link)
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

    /// Records what needs no proof. A log that cannot be written stops deliveries by itself, and writes this later.
    pub(crate) fn note(&self, event: Event) {
        if let Err(error) = self.audit.keep(self.record(event)) {
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

    /// A bundle refused whole: counted, recorded, told. Of one that could not be read nobody knows its messages.
    pub(crate) fn refuse_bundle(&self, link: &Link, refused: RefusedBundle, messages: usize, bytes: usize) {
        self.metrics.submitted(messages);
        self.metrics.bundle_refused(refused.refusal, messages);
        link.line.tally.refused(messages.max(1));
        self.note_refused_bundle(link, refused.refusal, bytes);
        link.tell(FromNode::RefusedBundle(refused));
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
        self.note_metered(None, remote, reason);
    }

    fn note_metered(&self, agent: Option<AgentName>, remote: SocketAddr, reason: &str) {
        self.metrics.handshake_refused();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.take(0, self.monotonic()).is_ok() {
            self.note_stranger(agent, remote, reason);
        }
    }

    /// Somebody did not come in at the join port. A wrong signature always stands on the log: an invitation
    /// takes but a few of them.
    pub(crate) fn note_turned_away_newcomer(&self, remote: SocketAddr, ended: &Newcomer) {
        match ended {
            Newcomer::Refused(turned) if turned.refusal == JoinRefusal::WrongSignature => {
                self.metrics.handshake_refused();
                self.note_stranger(turned.agent, remote, &format!("join: {}", turned.why));
            }
            Newcomer::Refused(turned) => {
                self.note_metered(turned.agent, remote, &format!("join: {}", turned.why));
            }
            Newcomer::Silent(why) => self.note_turned_away(remote, &format!("join: {why}")),
        }
    }

    fn note_stranger(&self, agent: Option<AgentName>, remote: SocketAddr, reason: &str) {
        let what = LinkChange::Refused { reason: Note::new(reason) };
        let remote = Note::new(&remote.to_string());
        self.note(Event::Link(LinkEvent { agent, session: None, remote, what }));
    }
}

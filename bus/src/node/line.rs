//! Links that renewed one another: to everybody else they are one.
//!
//! A link renews another when its certificate is the one that was issued on that other link: nobody else can have
//! it, whoever knows the session and has a copy of the key. Then everything that others reach the agent by is moved
//! at once, and the older link only ends what is under way on it: what it was given is acknowledged there, what was
//! sent on it is judged and settled there, and what becomes of that is told on the newer one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use testudo_rules::audit::Cause;
use testudo_wire::header::LANES;
use testudo_wire::standing::Quota;
use testudo_wire::{AgentName, Digest, Holder, RegistrySequence, SessionId, tree};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::bounds::slowest;
use super::control::LAST_WORDS;
use super::lanes;
use super::link::Link;
use super::shared::Shared;
use super::subscriptions;
use super::tally::Tally;

/// What was under way on a link that was renewed has so long to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Between two looks at what is under way.
const LOOK: Duration = Duration::from_millis(2);
/// An agent gets a certificate at most so often.
const AGAIN: Duration = Duration::from_secs(60);

/// A link's place among those that renewed one another.
#[derive(Debug)]
pub(crate) struct Line {
    /// The session of the first of them.
    pub(crate) first: SessionId,
    /// It is not the first.
    renews: bool,
    /// The one that renewed this link.
    pub(crate) newer: OnceLock<Arc<Link>>,
    /// Of all of them.
    pub(crate) tally: Arc<Tally>,
    /// The certificate that was issued on this link and not used yet.
    issued: Mutex<Option<Digest>>,
    /// The agent has nothing more to say here.
    parting: watch::Sender<bool>,
    /// Its data stream was read to the end.
    read: watch::Sender<bool>,
    /// The same of the link that this one renewed.
    older_read: watch::Receiver<bool>,
    /// Another link has renewed this one.
    over: watch::Sender<bool>,
    /// Whatever it is still to hear goes out now.
    pub(crate) hush: Notify,
    /// It has heard that.
    pub(crate) hushed: Notify,
}

impl Line {
    /// A link that renews nothing.
    pub(crate) fn new(session: SessionId) -> Self {
        Self::after(session, false, Arc::default(), watch::channel(true).1)
    }

    /// A link that renews this one.
    pub(crate) fn renewing(older: &Link) -> Self {
        let Self { first, tally, read, .. } = &older.line;
        Self::after(*first, true, tally.clone(), read.subscribe())
    }

    fn after(first: SessionId, renews: bool, tally: Arc<Tally>, older_read: watch::Receiver<bool>) -> Self {
        Self {
            first,
            renews,
            newer: OnceLock::new(),
            tally,
            issued: Mutex::default(),
            parting: watch::Sender::new(false),
            read: watch::Sender::new(false),
            older_read,
            over: watch::Sender::new(false),
            hush: Notify::new(),
            hushed: Notify::new(),
        }
    }

    /// Whether the link renews another.
    pub(crate) fn is_renewal(&self) -> bool {
        self.renews
    }

    /// This leaf was issued on the link.
    pub(crate) fn issued(&self, leaf: &CertificateDer<'_>) {
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner) = Some(tree::leaf(leaf));
    }

    fn has_issued(&self, leaf: &CertificateDer<'_>) -> bool {
        *self.issued.lock().unwrap_or_else(PoisonError::into_inner) == Some(tree::leaf(leaf))
    }

    /// Whether the link was renewed.
    pub(crate) fn is_over(&self) -> bool {
        self.newer.get().is_some()
    }

    /// The link that this one goes on as: itself, unless it was renewed.
    pub(crate) fn newest(own: &Arc<Link>) -> Arc<Link> {
        let mut link = own;
        while let Some(newer) = link.line.newer.get() {
            link = newer;
        }
        link.clone()
    }

    /// The agent has nothing more to say on this link.
    pub(crate) fn part(&self) {
        self.parting.send_replace(true);
    }

    /// The data stream was read to its end, or nothing of it will be read any more.
    pub(crate) fn has_read(&self) {
        self.read.send_replace(true);
    }

    /// Returns when nothing more comes on the data stream of the link before: what an agent sends on two links one
    /// after the other keeps its order.
    pub(crate) async fn older_is_read(&self) {
        // A link that is gone sends nothing either.
        let _ = self.older_read.clone().wait_for(|read| *read).await;
    }
}

/// The link that this holder renews: its present one, when it shows the certificate that was issued on it.
pub(super) fn renewed_by(
    shared: &Shared,
    holder: &Holder,
    leaf: &CertificateDer<'_>,
    renews: SessionId,
) -> Option<Arc<Link>> {
    let older = shared.routes().get(&holder.name).cloned()?;
    let is_its = older.peer.holder == *holder && older.peer.session == renews;
    (is_its && older.line.has_issued(leaf) && !older.line.is_over()).then_some(older)
}

/// Everything by which others reach an agent goes from the older link to the newer one. `false` when the older one
/// has ended: then nothing is left to move.
pub(super) fn succeed(shared: &Arc<Shared>, older: &Arc<Link>, newer: &Arc<Link>, quota: Quota) -> bool {
    let name = older.peer.holder.name;
    {
        let mut routes = shared.routes_mut();
        let is_present = routes.get(&name).is_some_and(|present| Arc::ptr_eq(present, older));
        let both_stand = [older, newer].iter().all(|link| link.connection.close_reason().is_none());
        if !is_present || !both_stand || older.line.newer.set(newer.clone()).is_err() {
            return false;
        }
        routes.insert(name, newer.clone());
    }
    if let (Ok(old), Ok(mut new)) = (older.judging.lock(), newer.judging.lock()) {
        new.tokens.inherit(&old.tokens);
        // A newer link is no new quota.
        new.bucket = old.bucket.clone().under(quota);
    }
    subscriptions::hand_on(shared, older, newer);
    newer.news.absorb(&older.news);
    for lane in (0_u8..).take(LANES) {
        let Some(outbox) = older.outboxes.get(lane) else { continue };
        for parcel in outbox.seal() {
            match lanes::outbox(shared, newer, lane) {
                Some(outbox) => outbox.take_over(parcel),
                None => shared.drop_parcel(&parcel.given_up(), Cause::LinkLost),
            }
        }
    }
    older.line.over.send_replace(true);
    true
}

/// Returns when a link that was renewed has ended what was under way on it, or has had its time for that; of one
/// that is not renewed it never returns.
pub(super) async fn drained(link: &Link, body_bytes_max: usize) {
    let line = &link.line;
    let (mut over, mut parting) = (line.over.subscribe(), line.parting.subscribe());
    // The sender is the link's: there is nothing else to wait for.
    let _ = over.wait_for(|over| *over).await;
    let done = async {
        let _ = parting.wait_for(|parting| *parting).await;
        while !link.outboxes.is_done() {
            sleep(LOOK).await;
        }
    };
    if timeout(DRAIN, done).await.is_err() {
        // A large body on its way has the time that the slowest line needs for it.
        let bodies = async {
            while link.outboxes.carries_bodies() || link.settling[1..].iter().any(|lane| lane.is_open()) {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(slowest(body_bytes_max), bodies).await;
    }
    line.hush.notify_one();
    let _ = timeout(LAST_WORDS, line.hushed.notified()).await;
}

/// When each agent was last given a certificate, and since when its tokens counted then. Bounded by the registry's table.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<HashMap<AgentName, (Instant, RegistrySequence)>>);

impl Lately {
    /// Whether an agent may be given one now; notes it if so. What was void by another change of its grant counts not.
    pub(crate) fn may(&self, name: AgentName, valid_from: RegistrySequence) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Asking too often does not put it off for ever.
        let may = lately
            .get(&name)
            .is_none_or(|(at, then)| *then != valid_from || now.duration_since(*at) >= AGAIN);
        if may {
            lately.insert(name, (now, valid_from));
        }
        may
    }
}

//! The one writer of a lane of a receiver's link: takes parcels from its outbox, checks standing in the same step,
//! and gives bytes to the stream. What it acknowledges at the registry's barrier holds from then on.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quinn::SendStream;
use testudo_registry::WriterSlot;
use testudo_rules::audit::Cause;
use testudo_wire::frame::{Annotation, CloseReason};
use testudo_wire::{RegistrySequence, TokenId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::outbox::{Outbox, Weed};
use super::pace::Pace;
use super::parcel::Parcel;
use super::shared::Shared;
use crate::stream::prefix;

/// Bytes that go to the stream together.
const BATCH_BYTES: usize = 64 * 1024;
/// Tokens introduced before they are introduced again; receivers keep at least twice as many.
const INTRODUCED_MAX: usize = 256;

/// Parcels that are in no queue any more and not yet in flight: should the writer fail over one of them, each is
/// accounted for all the same.
struct Taken(VecDeque<(u64, Parcel)>, Arc<Shared>);

impl Drop for Taken {
    fn drop(&mut self) {
        for (_, parcel) in &self.0 {
            // It may be on the way out of a panic, and a second one would end the process.
            let dropped = catch_unwind(AssertUnwindSafe(|| self.1.drop_parcel(parcel, Cause::LinkLost)));
            if dropped.is_err() {
                tracing::error!("a message could not be accounted for");
            }
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    link: Arc<Link>,
    outbox: Arc<Outbox>,
    stream: SendStream,
    slot: WriterSlot,
    changed: watch::Receiver<RegistrySequence>,
    introduced: HashSet<TokenId>,
    weeded: Option<RegistrySequence>,
    /// How the receiver keeps up, since there was nothing to write.
    pace: Option<Pace>,
}

/// Runs until the link ends.
pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>, outbox: Arc<Outbox>, stream: SendStream) {
    let changed = shared.directory().changed();
    let closing = link.clone();
    let slot = shared.registry.barrier().register(
        link.peer.holder.name,
        RegistrySequence(0),
        Arc::new(move || closing.close(CloseReason::Lagging)),
    );
    let introduced = HashSet::new();
    let (weeded, pace) = (None, None);
    let mut writer = Writer { shared, link, outbox, stream, slot, changed, introduced, weeded, pace };
    while writer.step().await.is_some() {}
}

impl Writer {
    /// One round: weed, acknowledge, write what there is, or wait. `None` when the link has ended.
    async fn step(&mut self) -> Option<()> {
        let mut parcels = self.catch_up();
        if parcels.0.is_empty() && self.outbox.is_sealed() {
            // Everything else goes over the link that renewed this one; the agent sees where this one's part ends.
            let _ = self.stream.finish();
            return None;
        }
        if parcels.0.is_empty() {
            self.pace = None;
            tokio::select! {
                () = self.outbox.ready() => {}
                changed = self.changed.changed() => changed.ok()?,
                _ = self.link.connection.closed() => return None,
            }
            return Some(());
        }
        let first = parcels.0.front().map(|(number, _)| *number)?;
        let mut chunks = Vec::with_capacity(parcels.0.len() * 2);
        let mut ended = false;
        while let Some((number, parcel)) = parcels.0.front() {
            let (messages, bundle) = (parcel.places.len(), parcel.bundle.clone());
            let head = self.head(*number, parcel);
            let Some((number, parcel)) = parcels.0.pop_front() else { break };
            let Some(head) = head else {
                // What fits its limits can be annotated; should it ever not, the link ends rather than
                // leave a delivery number that nobody will acknowledge.
                self.shared.drop_parcel(&parcel, Cause::Overflow);
                ended = true;
                continue;
            };
            if let Err(parcel) = self.outbox.in_flight(number, parcel) {
                self.shared.drop_parcel(&parcel, Cause::LinkLost);
                ended = true;
                continue;
            }
            self.shared.metrics.handed_over(messages);
            chunks.extend([head, bundle]);
        }
        if ended { None } else { self.write(first, &mut chunks).await }
    }

    /// Brings the queue under the latest directory, says so, and takes what is good under it.
    fn catch_up(&mut self) -> Taken {
        let (directory, outbox, now) = (self.shared.directory(), &self.outbox, Instant::now());
        let weeded = &mut self.weeded;
        let mut weeds = Vec::new();
        let (parcels, late) = self.slot.catch_up(
            || directory.load(),
            |snapshot| {
                if weeded.replace(snapshot.sequence()) != Some(snapshot.sequence()) {
                    weeds = outbox.weed(snapshot, now);
                }
            },
            |snapshot| outbox.take(BATCH_BYTES, snapshot, now),
        );
        let parcels = Taken(parcels.into(), self.shared.clone());
        self.give_up(weeds);
        self.give_up(late);
        parcels
    }

    fn give_up(&self, weeds: Vec<Weed>) {
        for (parcel, cause) in weeds {
            self.shared.drop_parcel(&parcel, cause);
        }
    }

    /// Length, annotation length, annotation: what goes before the bundle.
    fn head(&mut self, number: u64, parcel: &Parcel) -> Option<Bytes> {
        if self.introduced.len() + parcel.tokens.len() > INTRODUCED_MAX {
            self.introduced.clear();
        }
        let new = parcel.tokens.iter().filter(|(id, _, _)| self.introduced.insert(*id));
        let tokens = new.map(|(_, sealed, _)| serde_bytes::ByteBuf::from(sealed.to_vec())).collect();
        let annotation = Annotation {
            delivery: number,
            alerts: parcel.alerts.clone(),
            registry: parcel.judged,
            time: self.shared.env.now(),
            tokens,
        };
        let annotation = annotation.encode().ok()?;
        let head =
            [prefix(4 + annotation.len() + parcel.bundle.len()), prefix(annotation.len()), annotation.into()];
        Some(head.concat().into())
    }

    /// Writes the parcels from number `first` on, watching the directory. A revocation that touches one of
    /// them while the receiver is too slow to take them ends the link: bytes cannot be taken back.
    async fn write(&mut self, first: u64, chunks: &mut [Bytes]) -> Option<()> {
        let chunks_all = chunks.len();
        let mut rest = chunks;
        let link = self.link.clone();
        let taken = || link.taken.load(Ordering::Relaxed);
        // One batch after the other is one flow: a new one is no new time.
        let mut pace = self.pace.take().unwrap_or_else(|| Pace::new(Instant::now(), taken()));
        while !rest.is_empty() {
            let written = tokio::select! {
                biased;
                changed = self.changed.changed() => {
                    changed.ok()?;
                    let (directory, outbox) = (self.shared.directory(), &self.outbox);
                    let goes_on = self
                        .slot
                        .look_again(|| directory.load(), |snapshot| outbox.is_good_from(first, snapshot));
                    if !goes_on {
                        self.link.close(CloseReason::Lagging);
                        return None;
                    }
                    continue;
                }
                written = timeout_at(pace.until(), self.stream.write_chunks(rest)) => written,
            };
            match written {
                Ok(Ok(written)) => {
                    link.taken.fetch_add(written.bytes as u64, Ordering::Relaxed);
                    pace.took(Instant::now(), taken());
                    rest = &mut rest[written.chunks..];
                    // Every parcel is two chunks: its head and its bundle.
                    let whole = u64::try_from((chunks_all - rest.len()) / 2).unwrap_or_default();
                    self.outbox.written(first.saturating_add(whole).saturating_sub(1));
                }
                Ok(Err(_)) => {
                    // The link has ended; or the receiver stopped the stream, and then it ends now: what waits
                    // for the stream has no other writer.
                    self.link.close(CloseReason::Protocol);
                    return None;
                }
                Err(_) => {
                    let now = Instant::now();
                    pace.took(now, taken());
                    if pace.until() <= now {
                        link.close(CloseReason::Lagging);
                        return None;
                    }
                }
            }
        }
        self.pace = Some(pace);
        Some(())
    }
}

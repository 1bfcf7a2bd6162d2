//! The queues of one receiver: one for small messages, and one for each lane of large bodies once something
//! goes there.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::allowance::{Allowance, Both};
use super::bounds::Bounds;
use super::outbox::{Outbox, Remains};
use super::patience::Relief;

/// Lanes besides the data stream.
const LARGE: usize = testudo_wire::header::LANES - 1;

type Lanes = [Option<Arc<Outbox>>; LARGE];

/// See the module.
#[derive(Debug)]
pub(crate) struct Outboxes {
    small: Arc<Outbox>,
    bodies: Bounds,
    allowance: Arc<Allowance>,
    /// `None` once the link has ended.
    large: Mutex<Option<Lanes>>,
}

impl Outboxes {
    /// Of a node where a sender may have `window` bytes unsettled.
    pub(crate) fn new(window: u32, body_bytes_max: usize, allowances: Both) -> Self {
        Self {
            small: Arc::new(Outbox::new(Bounds::of_window(window), allowances.small)),
            allowance: allowances.bodies,
            bodies: Bounds::of_bodies(body_bytes_max),
            large: Mutex::new(Some(Lanes::default())),
        }
    }

    /// The queue of small messages.
    pub(crate) const fn small(&self) -> &Arc<Outbox> {
        &self.small
    }

    /// The queue of a lane, if it was ever used.
    pub(crate) fn get(&self, lane: u8) -> Option<Arc<Outbox>> {
        match usize::from(lane).checked_sub(1) {
            None => Some(self.small.clone()),
            Some(at) => {
                let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
                large.as_ref()?.get(at)?.clone()
            }
        }
    }

    /// The queue of a lane; `open` starts the writer of a new one. `None` when the link has ended.
    pub(crate) fn get_or_open(&self, lane: u8, open: impl FnOnce(Arc<Outbox>)) -> Option<Arc<Outbox>> {
        let Some(at) = usize::from(lane).checked_sub(1) else { return Some(self.small.clone()) };
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let outbox = large.as_mut()?.get_mut(at)?;
        if let Some(outbox) = outbox {
            return Some(outbox.clone());
        }
        let opened = Arc::new(Outbox::new(self.bodies, self.allowance.clone()));
        *outbox = Some(opened.clone());
        drop(large);
        open(opened.clone());
        Some(opened)
    }

    /// The queues of large bodies, looked at under their lock: four times a second for every link.
    fn bodies<T>(&self, start: T, look: impl Fn(T, &Outbox) -> T) -> T {
        let large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        large.iter().flatten().flatten().fold(start, |so_far, outbox| look(so_far, outbox))
    }

    /// Messages that are queued or unacknowledged.
    pub(crate) fn load(&self) -> usize {
        self.small.load() + self.bodies(0, |sum, outbox| sum + outbox.load())
    }

    /// Bytes of these.
    pub(crate) fn bytes(&self) -> usize {
        self.small.bytes() + self.bodies(0, |sum, outbox| sum + outbox.bytes())
    }

    /// Whether nothing is queued and everything acknowledged, on every lane.
    pub(crate) fn is_done(&self) -> bool {
        self.small.is_done() && !self.carries_bodies()
    }

    /// Whether a large body is queued or unacknowledged.
    pub(crate) fn carries_bodies(&self) -> bool {
        self.bodies(false, |any, outbox| any || !outbox.is_done())
    }

    /// Whether the receiver reads too slowly on any lane.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        self.small.is_stuck(now) || self.bodies(false, |any, outbox| any || outbox.is_stuck(now))
    }

    /// Lets senders go on that this receiver has held up for too long.
    pub(crate) fn let_senders_go(&self, now: Instant) -> Relief {
        let small = self.small.let_senders_go(now);
        self.bodies(small, |mut all, outbox| {
            let Relief { given_up, is_in_the_way } = outbox.let_senders_go(now);
            all.given_up.extend(given_up);
            all.is_in_the_way |= is_in_the_way;
            all
        })
    }

    /// Closes every queue; nothing goes in any more.
    pub(crate) fn close(&self) -> Vec<Remains> {
        let mut remains = vec![self.small.close()];
        let lanes = self.large.lock().unwrap_or_else(PoisonError::into_inner).take();
        remains.extend(lanes.into_iter().flatten().flatten().map(|outbox| outbox.close()));
        remains
    }
}

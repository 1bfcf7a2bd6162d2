//! What arrives for a member, over all its links: one link after the other, nothing copied.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::client::{Deliveries, Delivery};

/// Links that have ended and still hold messages nobody has taken. Beyond it there is no new link: an agent
/// that takes nothing has no use for one.
const HELD_MAX: usize = 4;

#[derive(Debug, Default)]
struct Held {
    links: VecDeque<Deliveries>,
    ended: bool,
    /// Nobody takes anything any more.
    unwanted: bool,
}

/// Where links wait for the one who takes their messages.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: Mutex<Held>,
    changed: Notify,
}

impl Shelf {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another link.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let mut held = self.held();
                held.links.retain(|link| !link.is_done());
                if held.links.len() < HELD_MAX {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Puts a new link at the end. When nobody takes its messages they are dropped as they come: the answers
    /// between them must go on.
    pub(super) fn put(&self, mut link: Deliveries) {
        let mut held = self.held();
        if held.unwanted {
            drop(held);
            // Without a runtime there is no link either.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move { while link.next().await.is_some() {} });
            }
            return;
        }
        held.links.push_back(link);
        drop(held);
        self.changed.notify_waiters();
    }

    /// No link will come any more.
    pub(super) fn end(&self) {
        self.held().ended = true;
        self.changed.notify_waiters();
    }
}

/// Verified messages for a member, link after link, each in the order of arrival.
#[derive(Debug)]
pub struct Arrivals {
    shelf: Arc<Shelf>,
    current: Option<Deliveries>,
}

impl Arrivals {
    /// Takes from this shelf.
    pub(super) const fn of(shelf: Arc<Shelf>) -> Self {
        Self { shelf, current: None }
    }

    /// The next message; `None` when the member has ended for good. Dropping the call loses nothing.
    pub async fn next(&mut self) -> Option<Delivery> {
        let shelf = self.shelf.clone();
        loop {
            if let Some(current) = &mut self.current {
                if let Some(delivery) = current.next().await {
                    return Some(delivery);
                }
                self.current = None;
            }
            let changed = shelf.changed.notified();
            {
                let mut held = shelf.held();
                self.current = held.links.pop_front();
                if self.current.is_none() && held.ended {
                    return None;
                }
            }
            match self.current {
                Some(_) => shelf.changed.notify_waiters(),
                None => changed.await,
            }
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let mut held = self.shelf.held();
        held.unwanted = true;
        let links = std::mem::take(&mut held.links);
        drop(held);
        for link in self.current.take().into_iter().chain(links) {
            self.shelf.put(link);
        }
        self.shelf.changed.notify_waiters();
    }
}

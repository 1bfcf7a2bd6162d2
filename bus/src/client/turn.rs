//! Whose turn it is, of a link and the one that renews it: what is sent goes over from the older to the newer in
//! order, and what comes on the newer is taken in after what came on the older.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::outgoing::Baton;

/// How far a link has come with what the node delivers to it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// More may come.
    #[default]
    Reading,
    /// Nothing more comes, and answers are with who waits for them.
    Read,
    /// Everything else is with the handler, too.
    Handed,
}

/// Nothing is ever sent on it: it is there to be dropped.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    _held: mpsc::Sender<()>,
}

/// One link's turn.
#[derive(Debug)]
pub(super) struct Turn {
    handing: watch::Sender<bool>,
    stage: watch::Sender<Stage>,
    baton: Mutex<Option<oneshot::Receiver<Baton>>>,
    busy: Mutex<Option<Busy>>,
    idle: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Default for Turn {
    fn default() -> Self {
        let (held, idle) = mpsc::channel(1);
        Self {
            handing: watch::Sender::new(false),
            stage: watch::Sender::new(Stage::Reading),
            baton: Mutex::default(),
            busy: Mutex::new(Some(Busy { _held: held })),
            idle: Mutex::new(Some(idle)),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turn {
    /// The newer link takes over: nothing new goes out on this one.
    pub(super) fn hand_over(&self) {
        locked(&self.busy).take();
        self.handing.send_replace(true);
    }

    /// Whether nothing new goes out on this link.
    pub(super) fn is_handing(&self) -> bool {
        *self.handing.borrow()
    }

    /// Returns when nothing new is to go out on this link.
    pub(super) async fn handing(&self) {
        // The sender is held here: there is nothing else to wait for.
        let _ = self.handing.subscribe().wait_for(|handing| *handing).await;
    }

    /// Held by each task that sends.
    pub(super) fn busy(&self) -> Option<Busy> {
        locked(&self.busy).clone()
    }

    /// Returns when no task sends any more, once the newer link has taken over.
    pub(super) async fn idle(&self) {
        let idle = locked(&self.idle).take();
        if let Some(mut idle) = idle {
            let _ = idle.recv().await;
        }
    }

    /// Where the queue of this link will be found when it has been handed over.
    pub(super) fn baton(&self, baton: oneshot::Receiver<Baton>) {
        *locked(&self.baton) = Some(baton);
    }

    /// The queue, for whoever sends on; `None` when there is none to be had.
    pub(super) fn take_baton(&self) -> Option<oneshot::Receiver<Baton>> {
        locked(&self.baton).take()
    }

    /// How far this link has come.
    pub(super) fn reached(&self, stage: Stage) {
        self.stage.send_if_modified(|now| {
            let is_later = stage > *now;
            *now = stage.max(*now);
            is_later
        });
    }

    /// Returns when this link has come so far.
    pub(super) async fn has_reached(&self, stage: Stage) {
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }
}

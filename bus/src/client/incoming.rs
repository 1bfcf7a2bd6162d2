//! From the wire to the handler: lane 0 is read, and what comes is handed on and acknowledged.

use std::future::pending;
use std::sync::Arc;

use quinn::RecvStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;

use super::Delivery;
use super::arrival::{Arrival, Turn};
use super::backlog::Backlog;
use super::shared::Shared;
use super::turn::Stage;
use crate::stream::FrameReader;

/// A verified message before its handler; a large one holds its room.
pub(super) type Handed = (Delivery, Option<OwnedSemaphorePermit>);

/// The way to the handler.
#[derive(Clone, Debug)]
pub(super) struct Inbox(pub(super) mpsc::Sender<Handed>);

impl Inbox {
    /// Waits for room among the large ones too.
    pub(super) async fn put_large(&self, shared: &Shared, delivery: Delivery) -> Option<()> {
        let room = shared.large.clone().acquire_owned().await.ok()?;
        self.0.send((delivery, Some(room))).await.ok()
    }
}

/// Runs lane 0 in its turn: after the one of the link that this one renews, and before that of one that renews it.
pub(super) async fn run(shared: Arc<Shared>, stream: RecvStream, inbox: Inbox, older: Option<Arc<Shared>>) {
    if let Some(older) = &older {
        older.turn.has_reached(Stage::Read).await;
    }
    let rest = take_in(&shared, stream, &inbox, older.as_deref()).await;
    shared.turn.reached(Stage::Read);
    for delivery in rest {
        if inbox.0.send((delivery, None)).await.is_err() {
            break;
        }
    }
    shared.turn.reached(Stage::Handed);
}

/// Returns when the messages of an older link are all with the handler: these come after them.
async fn handed(older: Option<&Shared>) {
    match older {
        Some(older) => older.turn.has_reached(Stage::Handed).await,
        None => pending().await,
    }
}

/// Takes in what comes until the link ends: reads, verifies, hands on, acknowledges what the handler has room for. A full
/// inbox never stops the reading: the handler may wait for an answer that is still on its way.
///
/// When the node ends the stream, everything is acknowledged; what the handler has no room for is returned.
async fn take_in(
    shared: &Arc<Shared>,
    stream: RecvStream,
    inbox: &Inbox,
    older: Option<&Shared>,
) -> Vec<Delivery> {
    let mut mine = older.is_none();
    let limits = shared.limits;
    let frame_max = 4 + limits.annotation_bytes_max + limits.bundle_bytes_max;
    let mut reader = FrameReader::new(stream, frame_max);
    let mut backlog = Backlog::default();
    loop {
        let mut room = None;
        let frame = tokio::select! {
            biased;
            () = handed(older), if !mine => {
                mine = true;
                None
            }
            free = inbox.0.reserve(), if mine && !backlog.is_empty() => {
                let Ok(free) = free else { return Vec::new() };
                room = Some(free);
                None
            }
            () = late(&backlog) => {
                for delivery in backlog.give_up() {
                    shared.line.answers().close(&delivery.message());
                }
                None
            }
            frame = reader.next() => match frame {
                Ok(Some(frame)) => Some(frame),
                Ok(None) => return end(shared, backlog).await,
                Err(_) => return Vec::new(),
            },
        };
        if let Some(frame) = frame {
            let mut turn = Turn::new(0);
            let mut handled = Vec::new();
            let mut next = Some(frame);
            while let Some(frame) = next {
                let Some(arrival) = Arrival::read(&frame, &limits) else {
                    shared.fail("the node sent a delivery that cannot be read");
                    return Vec::new();
                };
                handled.extend(turn.take(shared, arrival));
                next = reader.buffered().unwrap_or(None);
            }
            backlog.push(turn, handled);
            if backlog.is_too_long() {
                shared.fail("the node sent more than was acknowledged");
                return Vec::new();
            }
        }
        while mine
            && !backlog.is_empty()
            && let Some(room) = room.take().or_else(|| inbox.0.try_reserve().ok())
        {
            if let Some(delivery) = backlog.pop() {
                room.send((delivery, None));
            }
        }
        while let Some(turn) = backlog.done() {
            if turn.end(shared).await.is_none() {
                return Vec::new();
            }
        }
    }
}

/// Nothing more comes on this link, which another one renews: it acknowledges what waits for the handler, too, and
/// its messages go to the handler before those of the newer link.
async fn end(shared: &Shared, mut backlog: Backlog) -> Vec<Delivery> {
    let rest = std::iter::from_fn(|| backlog.pop()).collect();
    while let Some(turn) = backlog.done() {
        if turn.end(shared).await.is_none() {
            break;
        }
    }
    rest
}

/// Returns when the oldest messages have waited too long for their handler.
async fn late(backlog: &Backlog) {
    match backlog.patience() {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}

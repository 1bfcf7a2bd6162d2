//! Bodies over 64 KiB, each way, on lanes of their own: a large one never stands before a small one.
//!
//! One task for each lane and way; a stream opens with its first body. Encoding, decoding and hashing run
//! beside the runtime.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use testudo_wire::header::LANES;
use testudo_wire::{Limits, Sequence};
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::arrival::{Arrival, Turn};
use super::incoming::Inbox;
use super::outgoing::{Queued, SealedBundle, seal, wanted};
use super::shared::Shared;
use crate::stream::{ExactReader, FrameError, prefix};

/// How long a large body waits for its handler. Nothing after it is read meanwhile, and a node takes who reads
/// nothing for five seconds for dead.
const PATIENCE: Duration = Duration::from_secs(3);
/// A stream that the node has opened says within this which lane it is.
const LANE_TIME: Duration = Duration::from_secs(5);

/// Large messages that wait for a lane.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Queued>>>;

/// The numbers of the lanes.
pub(super) fn numbers() -> impl Iterator<Item = u8> {
    (1_u8..).take(LANES - 1)
}

/// Sends on one lane until the link ends, every sender is gone, or another link takes over.
pub(super) async fn send(shared: Arc<Shared>, limits: Limits, queue: Queue, lane: u8) {
    let _busy = shared.turn.busy();
    let (mut stream, mut next, mut bundles) = (None, Sequence(1), 0);
    while !shared.turn.is_handing() {
        let queued = tokio::select! {
            biased;
            () = shared.turn.handing() => break,
            queued = async { queue.lock().await.recv().await } => queued,
        };
        let Some(queued) = queued else { break };
        let sealed = seal_one(&shared, limits, queued, lane, next).await;
        let Some((bytes, messages)) = sealed else {
            shared.line.unqueue(1);
            continue;
        };
        next.0 += 1;
        shared.pace.wait(bytes.len()).await;
        let place = (shared.number, lane, bundles);
        shared.line.waiting().sent(place, shared.session(), bytes.len(), messages);
        shared.line.unqueue(1);
        bundles += 1;
        if write(&shared, &mut stream, lane, bytes).await.is_none() {
            break;
        }
        // One at a time: the node has reserved for no more.
        shared.all_settled(lane).await;
    }
    if let Some(mut stream) = stream {
        let _ = stream.finish();
    }
}

/// Encodes, hashes and signs beside the runtime. `None` for what was given up, or cannot be sealed.
async fn seal_one(
    shared: &Arc<Shared>,
    limits: Limits,
    queued: Queued,
    lane: u8,
    next: Sequence,
) -> Option<SealedBundle> {
    let shared = shared.clone();
    let work = move || {
        let taken = wanted(&shared, vec![queued]);
        let mut next = next;
        seal(&shared, taken, lane, &mut next, &limits)
    };
    spawn_blocking(work).await.ok().flatten()
}

async fn write(shared: &Shared, stream: &mut Option<SendStream>, lane: u8, bytes: Bytes) -> Option<()> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let mut opened = shared.connection.open_uni().await.ok()?;
            // After whatever is small.
            let _ = opened.set_priority(-1);
            opened.write_all(&[lane]).await.ok()?;
            stream.insert(opened)
        }
    };
    stream.write_all_chunks(&mut [prefix(bytes.len()), bytes]).await.ok()
}

/// Takes the lanes that the node opens, until the link ends.
pub(super) async fn accept(shared: Arc<Shared>, limits: Limits, inbox: Inbox) {
    let mut free: Vec<_> = numbers().collect();
    while let Ok(mut stream) = shared.connection.accept_uni().await {
        let mut lane = [0];
        if !matches!(timeout(LANE_TIME, stream.read_exact(&mut lane)).await, Ok(Ok(()))) {
            return shared.fail("the node opened a stream and did not say which");
        }
        let Some(at) = free.iter().position(|free| *free == lane[0]) else {
            return shared.fail("the node opened an unknown lane, or one twice");
        };
        tokio::spawn(receive(shared.clone(), limits, free.swap_remove(at), stream, inbox.clone()));
    }
}

/// Receives on one lane until the link ends.
async fn receive(shared: Arc<Shared>, limits: Limits, lane: u8, stream: RecvStream, inbox: Inbox) {
    let frame_max = 4 + limits.annotation_bytes_max + limits.bundle_bytes_max;
    let mut reader = ExactReader::new(stream, frame_max);
    let mut patience = PATIENCE;
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Stream(_)) => return,
            Err(_) => return shared.fail("the node sent a large delivery too long or too slow"),
        };
        let read = spawn_blocking(move || Arrival::read(&frame, &limits)).await;
        let Ok(Some(arrival)) = read else {
            return shared.fail("the node sent a delivery that cannot be read");
        };
        let mut turn = Turn::new(lane);
        let taken = turn.take(&shared, arrival);
        for (at, delivery) in taken {
            let message = delivery.message();
            match timeout(patience, inbox.put_large(&shared, delivery)).await {
                Ok(Some(())) => patience = PATIENCE,
                Ok(None) => return,
                Err(_) => {
                    // Those behind it have waited as long: one after the other would be too long for the last.
                    patience = Duration::ZERO;
                    turn.give_up(at);
                    shared.line.answers().close(&message);
                }
            }
        }
        if turn.end(&shared).await.is_none() {
            return;
        }
    }
}

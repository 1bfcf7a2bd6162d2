//! Lanes 1 to 4: bodies over 64 KiB, one stream each, one envelope a bundle.
//!
//! Memory is set aside before a byte is read, of the link and of the node; what is expensive about a large body
//! (hashing, inspection) runs on a bounded pool, so that small messages never wait for it. The decisions are
//! the guard's, as for every message.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{ReadExactError, RecvStream, SendStream};
use testudo_wire::Limits;
use testudo_wire::frame::CloseReason;
use tokio::sync::AcquireError;
use tokio::time::timeout;

use super::Listener;
use super::bounds::slowest;
use super::control::Left;
use super::intake;
use super::link::{Bound, Link};
use super::outbox::Outbox;
use super::settle::Reservation;
use super::shared::Shared;
use super::writer;
use crate::guard::Large;

/// Unit in which memory is set aside.
const KIB: usize = 1024;
/// For the length of a frame once it has begun; and for the rest, beside what its bytes may take.
const FRAME_TIME: Duration = Duration::from_secs(5);
/// Until a peer has granted a stream.
const OPEN_TIME: Duration = Duration::from_secs(3);

/// What one frame of a lane may need, in KiB.
pub(crate) const fn reserve_kib(body_bytes_max: usize) -> usize {
    Limits::of_lanes(body_bytes_max).bundle_bytes_max.div_ceil(KIB)
}

/// How the reading of a frame ended.
enum Unread {
    /// The stream has ended, or the link.
    End,
    /// Beyond the limit.
    TooLong(usize),
    /// Not within its time.
    Slow,
}

impl From<ReadExactError> for Unread {
    fn from(_: ReadExactError) -> Self {
        Self::End
    }
}

impl From<AcquireError> for Unread {
    fn from(_: AcquireError) -> Self {
        Self::End
    }
}

/// Takes bundles off one lane until it ends; each is judged, and its memory free, before the next is read.
pub(super) async fn take(listener: Arc<Listener>, link: Arc<Link>, lane: u8, mut stream: RecvStream) -> Left {
    let shared = &listener.shared;
    for bundle in 0_u64.. {
        let settling = &link.settling[usize::from(lane)];
        // One at a time: whoever sends ahead waits here.
        settling.room(1, 0).await;
        match frame(shared, &link, &mut stream).await {
            Ok((bytes, reservation)) => {
                let large = Large { lane, bundle, bytes, reservation };
                if !listener.guard.judge_large(shared, &link, large).await {
                    return Left::Broken("the guard is gone");
                }
            }
            // The agent has nothing more to send on this lane; it may still receive.
            Err(Unread::End) => return std::future::pending().await,
            Err(Unread::TooLong(bytes)) => {
                return intake::oversized(shared, &link, (lane, bundle), bytes).await;
            }
            Err(Unread::Slow) => return Left::Broken("a bundle that does not end"),
        }
    }
    Left::Lost
}

/// One frame, read into memory that was set aside for it.
async fn frame(
    shared: &Shared,
    link: &Link,
    stream: &mut RecvStream,
) -> Result<(Bytes, Reservation), Unread> {
    let mut prefix = [0; 4];
    let (first, rest) = prefix.split_at_mut(1);
    stream.read_exact(first).await?;
    timeout(FRAME_TIME, stream.read_exact(rest)).await.map_err(|_| Unread::Slow)??;
    let len = u32::from_be_bytes(prefix) as usize;
    if len > shared.large_limits.bundle_bytes_max {
        return Err(Unread::TooLong(len));
    }
    let reservation = reserve(shared, link, len).await?;
    let reading = async {
        let mut bytes = BytesMut::zeroed(len);
        stream.read_exact(&mut bytes).await?;
        Ok::<_, Unread>(bytes.freeze())
    };
    let bytes = timeout(FRAME_TIME + slowest(len), reading).await.map_err(|_| Unread::Slow)?;
    Ok((bytes?, reservation))
}

/// Sets memory aside: first the link's own, so that one link's lanes do not queue for the node's together.
async fn reserve(shared: &Shared, link: &Link, bytes: usize) -> Result<Reservation, AcquireError> {
    let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
    let of_link = link.reserve.clone().acquire_many_owned(kib).await?;
    let of_node = shared.large.clone().acquire_many_owned(kib).await?;
    Ok(Reservation::new(kib, of_link, of_node, shared.late.clone()))
}

/// The queue of a receiver for one lane, with its writer.
pub(crate) fn outbox(shared: &Arc<Shared>, link: &Arc<Link>, lane: u8) -> Option<Arc<Outbox>> {
    link.outboxes.get_or_open(lane, |outbox| {
        tokio::spawn(deliver(shared.clone(), link.clone(), lane, outbox));
    })
}

/// Opens the stream of a lane towards a receiver and writes to it. A peer that grants no stream has no use for a
/// link.
pub(super) async fn deliver(shared: Arc<Shared>, link: Arc<Link>, lane: u8, outbox: Arc<Outbox>) {
    let _bound = Bound(link.clone());
    match timeout(OPEN_TIME, open(&link, lane)).await {
        Ok(Some(stream)) => writer::run(shared, link, outbox, stream).await,
        Ok(None) => {}
        Err(_) => link.close(CloseReason::Protocol),
    }
}

async fn open(link: &Link, lane: u8) -> Option<SendStream> {
    let mut stream = link.connection.open_uni().await.ok()?;
    // Bulk must never be in the way of small messages, nor these of control (design section 4).
    let _ = stream.set_priority(if lane == 0 { 0 } else { -1 });
    stream.write_all(&[lane]).await.ok()?;
    Some(stream)
}

//! What an agent sends on its streams: the data stream, and lanes of their own for large bodies.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use quinn::RecvStream;
use testudo_wire::Refusal;
use testudo_wire::frame::RefusedBundle;
use testudo_wire::header::LANES;
use tokio::time::timeout;

use super::control::Left;
use super::greet::HELLO_TIME;
use super::link::Link;
use super::shared::Shared;
use super::{Listener, lanes};
use crate::stream::{FrameError, FrameReader};

/// Everything that the agent sends: the data stream, and lanes of their own for large bodies as it opens them.
pub(super) async fn run(listener: &Arc<Listener>, link: &Arc<Link>) -> Left {
    let shared = &listener.shared;
    let mut opened = [false; LANES];
    let (mut opening, mut taking) = (FuturesUnordered::new(), FuturesUnordered::new());
    let draining = shared.drains();
    tokio::pin!(draining);
    loop {
        // A stream whose lane is still on its way holds up no other: QUIC opens it with any later one.
        let named = tokio::select! {
            // What is not taken in is not lost: its sender hears that the node is gone.
            () = &mut draining => std::future::pending().await,
            Some(left) = taking.next() => return left,
            Some(named) = opening.next() => named,
            stream = link.connection.accept_uni() => match stream {
                Ok(stream) => {
                    opening.push(lane(stream));
                    continue;
                }
                Err(_) => return Left::Lost,
            },
        };
        let (lane, stream) = match named {
            Ok(named) => named,
            Err(left) => return left,
        };
        match opened.get_mut(usize::from(lane)) {
            Some(opened) if !*opened => *opened = true,
            Some(_) => return Left::Broken("a lane that is open already"),
            None => return Left::Broken("an unknown lane"),
        }
        taking.push(if lane == 0 {
            take_bundles(listener.clone(), link.clone(), stream).boxed()
        } else {
            lanes::take(listener.clone(), link.clone(), lane, stream).boxed()
        });
    }
}

/// The first byte of a stream.
async fn lane(mut stream: RecvStream) -> Result<(u8, RecvStream), Left> {
    let mut lane = [0xff];
    match timeout(HELLO_TIME, stream.read_exact(&mut lane)).await {
        Ok(Ok(())) => Ok((lane[0], stream)),
        Ok(Err(_)) => Err(Left::Lost),
        Err(_) => Err(Left::Broken("no lane")),
    }
}

/// The agent's data stream: whole bundles, one after the other, each to the guard.
async fn take_bundles(listener: Arc<Listener>, link: Arc<Link>, stream: RecvStream) -> Left {
    let shared = &listener.shared;
    let mut frames = FrameReader::new(stream, shared.limits.bundle_bytes_max);
    let mut bundle = 0;
    link.line.older_is_read().await;
    loop {
        match frames.next().await {
            Ok(Some(bytes)) => {
                let arrived = shared.tracing.now();
                link.settling[0].room(bytes.len(), shared.window as usize).await;
                if !listener.guard.judge(&link, bundle, bytes, arrived).await {
                    return Left::Broken("the guard is gone");
                }
                bundle += 1;
            }
            // The agent has nothing more to send; it may still receive.
            Ok(None) => {
                link.line.has_read();
                std::future::pending().await
            }
            Err(FrameError::TooLong(bytes)) => return oversized(shared, &link, (0, bundle), bytes).await,
            Err(FrameError::Slow) => return Left::Broken("a bundle that does not end"),
            Err(FrameError::Cut | FrameError::Stream(_)) => return Left::Lost,
        }
    }
}

/// A frame beyond the limit is never read: the sender hears why, and then the link ends, for nobody knows
/// where the next frame would begin.
pub(super) async fn oversized(
    shared: &Shared,
    link: &Arc<Link>,
    (lane, bundle): (u8, u64),
    bytes: usize,
) -> Left {
    shared.refuse_bundle(link, RefusedBundle { lane, bundle, refusal: Refusal::Oversized }, 0, bytes);
    // Long enough for the refusal to go out on the control stream.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Left::Broken("a frame beyond the limit")
}

//! The node's side of a control stream: what an agent is told, in order, for as long as it listens.

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use testudo_wire::frame::{CloseReason, FromNode, Settled};
use testudo_wire::header::LANES;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::control::LAST_WORDS;
use super::link::{Bound, Link};
use crate::stream::write_frame;

/// An agent that reads no control frame for so long loses its link: what it does not hear must be kept for it.
const STALL: Duration = Duration::from_secs(5);

/// Writes control frames, news, and how far bundles are settled, until the link ends.
pub(super) async fn write(
    link: Arc<Link>,
    mut frames: mpsc::Receiver<Box<FromNode>>,
    mut stream: SendStream,
) {
    let _bound = Bound(link.clone());
    let mut told = [0; LANES];
    loop {
        let told = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => vec![*frame],
                None => return,
            },
            () = link.line.hush.notified() => {
                last_words(&link, &mut frames, &mut told, &mut stream).await;
                return link.line.hushed.notify_one();
            }
            () = link.stirred.notified() => {
                // First whatever can run now: an answer that is about to go is not held up by the word that its
                // request is settled, and what more is settled meanwhile goes with it.
                tokio::task::yield_now().await;
                stirred(&link, &mut told)
            }
            _ = link.connection.closed() => return,
        };
        for frame in told {
            // A link on which nothing more is said is none.
            let Ok(bytes) = frame.encode() else { return link.close(CloseReason::Protocol) };
            match timeout(STALL, write_frame(&mut stream, bytes)).await {
                Ok(Ok(())) => {}
                // Nor is one whose agent listens no more, unless it goes on as another.
                Ok(Err(_)) if link.line.is_over() => return,
                Ok(Err(_)) => return link.close(CloseReason::Protocol),
                Err(_) => return link.close(CloseReason::Lagging),
            }
        }
    }
}

/// Tells all that there is, and waits until the agent has it: what is not received is lost when a link is closed.
async fn last_words(
    link: &Link,
    frames: &mut mpsc::Receiver<Box<FromNode>>,
    told: &mut [u64; LANES],
    stream: &mut SendStream,
) {
    let mut last: Vec<_> = std::iter::from_fn(|| frames.try_recv().ok().map(|frame| *frame)).collect();
    last.extend(stirred(link, told));
    let telling = async {
        for frame in last {
            let Ok(bytes) = frame.encode() else { return };
            if write_frame(stream, bytes).await.is_err() {
                return;
            }
        }
        if stream.finish().is_ok() {
            let _ = stream.stopped().await;
        }
    };
    let _ = timeout(LAST_WORDS, telling).await;
}

/// What has moved and what is new. What is said of a message goes before the word that its bundle is settled.
fn stirred(link: &Link, told: &mut [u64; LANES]) -> Vec<FromNode> {
    let settled = (0_u8..).zip(&link.settling).zip(told).filter_map(|((lane, settling), told)| {
        let bundles = settling.upto();
        (std::mem::replace(told, bundles) != bundles).then_some(FromNode::Settled(Settled { lane, bundles }))
    });
    let settled: Vec<_> = settled.collect();
    link.news.take().into_iter().chain(settled).collect()
}

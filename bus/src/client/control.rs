//! The control stream of a link: heartbeats, tokens and acknowledgements out; refusals, receipts and
//! revocations in.

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use testudo_wire::frame::{FromAgent, FromNode, Heartbeat};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Shared;
use crate::stream::{FrameError, FrameReader, write_frame};

/// Writes control frames until the link ends, and a heartbeat at every interval.
pub(super) async fn write(
    shared: Arc<Shared>,
    mut frames: mpsc::Receiver<FromAgent>,
    mut stream: SendStream,
) {
    let every = Duration::from_millis(u64::from(shared.welcome.heartbeat_ms.max(1)));
    let mut beats = interval_at(Instant::now() + every, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counter = 0;
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => break,
            },
            _ = beats.tick() => {
                counter += 1;
                let session = &shared.welcome.seen.session;
                FromAgent::Heartbeat(Heartbeat::sign(
                    &shared.identity.key, &shared.identity.swarm(), session, counter,
                ))
            }
        };
        let Ok(bytes) = frame.encode() else { break };
        if write_frame(&mut stream, bytes).await.is_err() {
            break;
        }
    }
    let _ = stream.finish();
}

/// Reads control frames until the link ends.
pub(super) async fn read(shared: Arc<Shared>, mut frames: FrameReader) {
    loop {
        let frame = match frames.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Stream(_)) => return,
            // Not a frame: whatever comes after it would be lost in silence.
            Err(_) => return shared.fail("the node sent a control frame too long or too slow"),
        };
        match FromNode::decode(&frame, &shared.limits) {
            Ok(frame) => take(&shared, frame),
            Err(_) => return shared.fail("the node sent a control frame that cannot be read"),
        }
    }
}

fn take(shared: &Shared, frame: FromNode) {
    match frame {
        FromNode::Welcome(_) => shared.fail("the node welcomed twice"),
        FromNode::Presented(word) => shared.waiting().presented(word.token, word.refusal),
        FromNode::RefusedBundle(refused) => {
            tracing::debug!(refusal = %refused.refusal, "bundle refused");
            shared.waiting().refused_bundle(refused.bundle, refused.refusal);
        }
        FromNode::RefusedMessages(refused) => {
            for one in refused {
                tracing::debug!(refusal = %one.refusal, message = one.message.short(), "message refused");
                shared.waiting().refused_message(one.message, one.refusal, one.rules);
            }
        }
        FromNode::Accepted(accepted) => {
            let (swarm, session) = (shared.identity.swarm(), shared.welcome.seen.session);
            let mut waiting = shared.waiting();
            let signed = waiting
                .digests(accepted.bundle)
                .is_some_and(|sent| accepted.is_signed_by(&shared.node, &swarm, &session, sent));
            if signed {
                waiting.accepted(accepted.bundle, &accepted.positions, accepted.record);
            }
        }
        FromNode::Settled(settled) => {
            shared.waiting().settled(settled.bundles);
            shared.settled.notify_waiters();
        }
        FromNode::Revoked(revoked) => {
            let signed = revoked.is_signed_by(&shared.node, &shared.identity.swarm());
            if signed && !shared.known_mut().add(&revoked.notice) {
                shared.fail("the node revokes more than a swarm can have");
            }
        }
    }
}

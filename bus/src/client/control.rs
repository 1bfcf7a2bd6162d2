//! The control stream of a link: heartbeats, tokens, subscriptions and acknowledgements out; refusals,
//! receipts, introductions and revocations in.

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use rustls::pki_types::UnixTime;
use testudo_wire::frame::{Accepted, Delivered, FromAgent, FromNode, Heartbeat, Introduced, RefusedMessage};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::names;
use super::shared::Shared;
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
    let (mut counter, mut handing) = (0, false);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => {
                    // First whatever can run now: the answer to what is acknowledged goes with the word.
                    if matches!(frame, FromAgent::Acknowledge(_)) {
                        yield_now().await;
                    }
                    frame
                }
                None => break,
            },
            // From then on it is the newer link that says these.
            () = shared.turn.handing(), if !handing => {
                handing = true;
                continue;
            }
            () = shared.line.board.posted(), if !handing => match post(&shared, &mut stream).await {
                Some(()) => continue,
                None => break,
            },
            _ = beats.tick() => {
                counter += 1;
                FromAgent::Heartbeat(Heartbeat::sign(
                    &shared.identity.key, &shared.identity.swarm(), &shared.session(), counter,
                ))
            }
            _ = shared.connection.closed() => break,
        };
        if write_one(&mut stream, &frame).await.is_none() {
            break;
        }
    }
    let _ = stream.finish();
}

async fn write_one(stream: &mut SendStream, frame: &FromAgent) -> Option<()> {
    write_frame(stream, frame.encode().ok()?).await.ok()
}

/// Writes what stands on the board.
async fn post(shared: &Shared, stream: &mut SendStream) -> Option<()> {
    while let Some(frame) = shared.line.board.take() {
        write_one(stream, &frame).await?;
    }
    Some(())
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
        FromNode::Presented(word) => shared.desk().presented(word.token, word.refusal),
        FromNode::RefusedBundle(refused) => {
            tracing::debug!(refusal = %refused.refusal, lane = refused.lane, "bundle refused");
            let place = (shared.number, refused.lane, refused.bundle);
            shared.line.waiting().refused_bundle(place, refused.refusal);
        }
        FromNode::RefusedMessages(refused) => {
            refused.into_iter().for_each(|one| refused_message(shared, one));
        }
        FromNode::Accepted(word) => accepted(shared, &word),
        FromNode::Settled(settled) => shared.settled(settled.lane, settled.bundles),
        FromNode::Subscribed(word) => {
            if let Some(refusal) = word.refusal {
                tracing::debug!(%refusal, topic = %word.topic, "not subscribed");
            }
            shared.line.waiting().subscribed(word.topic, word.refusal);
            shared.desk().subscribed(word.topic, word.refusal);
        }
        FromNode::Cancelled(word) => {
            let mut answers = shared.line.answers();
            word.requests.iter().for_each(|request| answers.close(request));
        }
        FromNode::Credited(words) => {
            let answers = shared.line.answers();
            words.iter().for_each(|word| answers.credited(&word.request, word.bytes));
        }
        FromNode::CopiesRefused(words) => {
            let mut waiting = shared.line.waiting();
            words.iter().for_each(|word| waiting.refused_copies(word.refusal, word.count));
        }
        FromNode::Renewed(word) => shared.desk().renewed(word),
        FromNode::Delivered(word) => delivered(shared, &word),
        FromNode::Introduced(word) => introduced(shared, &word),
        FromNode::Lost(lost) => {
            let mut waiting = shared.line.waiting();
            lost.messages.iter().for_each(|message| waiting.lost(message));
        }
        FromNode::Trust(signed) => shared.learn(&signed),
        FromNode::Revoked(revoked) => {
            if !revoked.is_signed_by(&shared.node, &shared.identity.swarm()) {
                return;
            }
            if !shared.line.known_mut().add(&revoked.notice) {
                shared.fail("the node revokes more than a swarm can have");
            }
            if revoked.notice.agents.iter().any(|(_, key, _)| *key == shared.key) {
                shared.line.voided.notify_one();
            }
        }
    }
}

fn refused_message(shared: &Shared, one: RefusedMessage) {
    tracing::debug!(refusal = %one.refusal, message = one.message.short(), "message refused");
    shared.line.waiting().refused_message(&one.message, one.refusal, one.rules);
}

fn accepted(shared: &Shared, word: &Accepted) {
    let (swarm, session) = (shared.identity.swarm(), shared.session());
    let mut waiting = shared.line.waiting();
    let place = (shared.number, word.lane, word.bundle);
    let sent = waiting.bundles.digests(place);
    if sent.is_some_and(|sent| word.is_signed_by(&shared.node, &swarm, &session, sent)) {
        waiting.bundles.accepted(place, &word.positions, word.record);
        drop(waiting);
        shared.line.settled.notify_waiters();
    }
}

fn delivered(shared: &Shared, word: &Delivered) {
    let swarm = shared.identity.swarm();
    let receiver = shared.desk().names.get(&word.receiver);
    let mut waiting = shared.line.waiting();
    let counts = receiver.is_some_and(|receiver| waiting.receipts.delivered(word, &receiver, &swarm));
    if !counts {
        tracing::debug!(receiver = %word.receiver, "a receipt that counts for nothing");
    }
}

fn introduced(shared: &Shared, word: &Introduced) {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(shared.env.now().as_secs()));
    let checked = names::check(word, &shared.identity.tls(), now);
    if let Err(refusal) = checked {
        tracing::debug!(%refusal, name = %word.name, "not introduced");
    }
    shared.desk().names.introduced(word.name, checked);
}

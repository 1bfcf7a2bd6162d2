//! From the queue to the wire: whatever is queued when the signer is free becomes one bundle. No timer.
//!
//! The one place that numbers and signs this link's envelopes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::SendStream;
use testudo_rules::quota::Bucket;
use testudo_wire::header::TraceParent;
use testudo_wire::standing::Quota;
use testudo_wire::{
    Bundle, Capability, ContentType, CorrelationId, Destination, Header, Limits, MessageId, Part,
    ReceiptWish, Sealer, Sequence, TokenId, Ttl,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::shared::Shared;
use super::waiting::Waiter;
use crate::stream::prefix;

/// What is said about one envelope besides its body, at most.
const HEADER_ROOM: usize = 640;

/// A message before it has a number.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) destination: Destination,
    pub(super) capability: Option<Capability>,
    pub(super) message: MessageId,
    pub(super) correlation: CorrelationId,
    pub(super) in_reply_to: Option<MessageId>,
    pub(super) part: Option<Part>,
    pub(super) receipt: ReceiptWish,
    pub(super) trace: Option<TraceParent>,
    pub(super) token: TokenId,
    pub(super) ttl: Ttl,
    pub(super) content_type: ContentType,
    pub(super) body: Bytes,
}

/// A draft and who waits for its fate.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) draft: Draft,
    pub(super) waiter: Waiter,
}

/// What is still to be sent, as it goes from link to link.
#[derive(Debug)]
pub(super) struct Baton {
    pub(super) queue: mpsc::Receiver<Queued>,
    /// Taken from the queue and not sent.
    pub(super) waiting: Vec<Queued>,
}

const fn slower(quota: Quota) -> Quota {
    Quota {
        bundles_per_second: quota.bundles_per_second - quota.bundles_per_second / 10,
        bytes_per_second: quota.bytes_per_second - quota.bytes_per_second / 10,
    }
}

/// Paces a sender a little below its quota, so that an honest one never meets the refusal.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Mutex<Bucket>,
    quota: Quota,
    bytes_per_second: u64,
    started: Instant,
}

impl Pace {
    /// A little below this quota.
    pub(super) fn new(quota: Quota) -> Self {
        let slower = slower(quota);
        let bucket = Mutex::new(Bucket::new(slower, Duration::ZERO));
        Self { bucket, quota, bytes_per_second: slower.bytes_per_second, started: Instant::now() }
    }

    /// The same pace, or what is left of it under another quota.
    pub(super) fn under(self: Arc<Self>, quota: Quota) -> Arc<Self> {
        if quota == self.quota {
            return self;
        }
        let slower = slower(quota);
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone().under(slower);
        let (bucket, started) = (Mutex::new(bucket), self.started);
        Arc::new(Self { bucket, quota, bytes_per_second: slower.bytes_per_second, started })
    }

    /// Waits until a bundle of so many bytes may go. One that never may goes at once: the node refuses it by
    /// name, which is better than silence.
    pub(super) async fn wait(&self, bytes: usize) {
        let take = || {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(bytes, self.started.elapsed()).is_ok()
        };
        while bytes as u64 <= self.bytes_per_second && !take() {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Runs lane 0 until the link ends, every sender is gone, or another link takes over; what is left is for that one.
pub(super) async fn run(shared: Arc<Shared>, baton: Baton, mut stream: SendStream) -> Baton {
    let limits = shared.limits;
    let mut next = Sequence(1);
    let mut bundles = 0;
    let Baton { mut queue, mut waiting } = baton;
    let envelopes_max = usize::from(limits.bundle_envelopes_max);
    while !shared.turn.is_handing() {
        if waiting.is_empty() {
            let taken = tokio::select! {
                biased;
                () = shared.turn.handing() => break,
                taken = queue.recv_many(&mut waiting, envelopes_max) => taken,
            };
            if taken == 0 {
                break;
            }
        }
        while waiting.len() < envelopes_max
            && let Ok(more) = queue.try_recv()
        {
            waiting.push(more);
        }
        let fitting = fits(&waiting, limits.bundle_bytes_max);
        let rest = if fitting < waiting.len() {
            waiting.split_off(fitting)
        } else {
            // The next bundle will be of about as many. Room for the most that it may be would be over 100 KB, given back
            // to the system and taken from it again for each.
            Vec::with_capacity(waiting.len())
        };
        let taken = std::mem::replace(&mut waiting, rest);
        let count = taken.len();
        let wanted = wanted(&shared, taken);
        shared.line.unqueue(count - wanted.len());
        let count = wanted.len();
        let Some((bytes, messages)) = seal(&shared, wanted, 0, &mut next, &limits) else {
            shared.line.unqueue(count);
            continue;
        };
        let may_go = async {
            shared.room(bytes.len()).await;
            shared.pace.wait(bytes.len()).await;
        };
        tokio::select! {
            biased;
            () = may_go => {}
            // It was numbered and signed for this link: the newer one does that anew.
            () = shared.turn.handing() => {
                waiting.splice(0..0, unsealed(bytes, &limits, messages));
                break;
            }
        }
        shared.line.waiting().sent((shared.number, 0, bundles), shared.session(), bytes.len(), messages);
        shared.line.unqueue(count);
        bundles += 1;
        if stream.write_all_chunks(&mut [prefix(bytes.len()), bytes]).await.is_err() {
            break;
        }
    }
    let _ = stream.finish();
    Baton { queue, waiting }
}

/// The drafts of a bundle that did not go.
fn unsealed(
    bytes: Bytes,
    limits: &Limits,
    messages: Vec<(MessageId, testudo_wire::Digest, Waiter)>,
) -> Vec<Queued> {
    // What was sealed a moment ago reads back; should it ever not, its senders hear *unknown*.
    let Ok(bundle) = Bundle::decode(bytes, limits) else { return Vec::new() };
    let drafts = bundle.envelopes().zip(messages).map(|(envelope, (_, _, waiter))| {
        let header = envelope.header();
        let draft = Draft {
            destination: header.destination,
            capability: header.capability,
            message: header.message,
            correlation: header.correlation,
            in_reply_to: header.in_reply_to,
            part: header.part,
            receipt: header.receipt,
            trace: header.trace,
            token: header.token,
            ttl: header.ttl,
            content_type: header.content_type,
            body: envelope.body(),
        };
        Queued { draft, waiter }
    });
    drafts.collect()
}

/// Without the requests that were given up while they were queued.
pub(super) fn wanted(shared: &Shared, mut taken: Vec<Queued>) -> Vec<Queued> {
    if taken.iter().any(|queued| matches!(queued.waiter, Waiter::Reply)) {
        let waiting = shared.line.waiting();
        taken.retain(|queued| {
            !matches!(queued.waiter, Waiter::Reply) || waiting.requests.is_open(&queued.draft.message)
        });
    }
    taken
}

/// How many from the front fit one bundle; at least one. What goes to a receiver in one bundle ends together, with
/// the first of it that may wait no longer: so a bundle has one time to live.
fn fits(queued: &[Queued], bytes_max: usize) -> usize {
    let mut size = 66;
    let ttl = queued.first().map(|first| first.draft.ttl);
    let count = queued.iter().take_while(|queued| {
        size += 4 + HEADER_ROOM + queued.draft.body.len();
        size <= bytes_max && Some(queued.draft.ttl) == ttl
    });
    count.count().max(1)
}

/// A signed bundle, and who waits for each of its messages.
pub(super) type SealedBundle = (Bytes, Vec<(MessageId, testudo_wire::Digest, Waiter)>);

/// Numbers, encodes and signs. `None` for nothing.
pub(super) fn seal(
    shared: &Shared,
    taken: Vec<Queued>,
    lane: u8,
    next: &mut Sequence,
    limits: &Limits,
) -> Option<SealedBundle> {
    let first = taken.first()?;
    let bytes = taken.iter().map(|queued| 4 + HEADER_ROOM + queued.draft.body.len()).sum::<usize>();
    let mut sealer = Sealer::with_capacity(bytes);
    let mut header = template(shared, lane, &first.draft);
    for Queued { draft, .. } in &taken {
        header.sequence = *next;
        draft.say(&mut header);
        sealer.push(&header, &draft.body);
        next.0 += 1;
    }
    let sealed = sealer.sign(&shared.identity.key, limits).ok()?;
    let of = |(queued, digest): (Queued, _)| (queued.draft.message, digest, queued.waiter);
    Some((sealed.bytes, taken.into_iter().zip(sealed.digests).map(of).collect()))
}

/// What all headers of a bundle have in common.
fn template(shared: &Shared, lane: u8, draft: &Draft) -> Header {
    Header {
        swarm: shared.identity.swarm(),
        sender: shared.identity.name,
        key: *shared.key.as_bytes(),
        destination: draft.destination,
        capability: draft.capability,
        message: draft.message,
        timestamp: shared.env.now(),
        session: shared.session(),
        lane,
        sequence: Sequence(0),
        correlation: draft.correlation,
        in_reply_to: draft.in_reply_to,
        part: draft.part,
        receipt: draft.receipt,
        trace: draft.trace,
        token: draft.token,
        ttl: draft.ttl,
        content_type: draft.content_type,
    }
}

impl Draft {
    /// Puts everything that is this message's own into a header.
    fn say(&self, header: &mut Header) {
        header.destination = self.destination;
        header.capability = self.capability;
        header.message = self.message;
        header.correlation = self.correlation;
        header.in_reply_to = self.in_reply_to;
        header.part = self.part;
        header.receipt = self.receipt;
        header.trace = self.trace;
        header.token = self.token;
        header.ttl = self.ttl;
        header.content_type = self.content_type;
    }
}

//! From the wire to the handler: every delivery is verified again before anyone sees it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use quinn::RecvStream;
use testudo_rules::receive::{Receiver, Vetted};
use testudo_rules::token::Meaning;
use testudo_wire::frame::{
    Acknowledge, Annotation, DeliveredAt, FromAgent, Received, RefusedDelivery, sign_received,
};
use testudo_wire::{
    AgentName, Bundle, Destination, Digest, Limits, MessageId, ReceiptWish, Refusal, SessionId, TokenId,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;

use super::Delivery;
use super::backlog::{Backlog, Placed};
use super::requests::Piece;
use super::shared::Shared;
use super::turn::Stage;
use crate::stream::FrameReader;

/// Messages in one signed receipt.
const RECEIVED_MAX: usize = 1024;
/// The position that means all of a delivery.
const ALL: u16 = u16::MAX;

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
        let frame = tokio::select! {
            biased;
            () = handed(older), if !mine => {
                mine = true;
                None
            }
            room = inbox.0.reserve(), if mine && !backlog.is_empty() => {
                let Ok(room) = room else { return Vec::new() };
                if let Some(delivery) = backlog.pop() {
                    room.send((delivery, None));
                }
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
            && let Ok(room) = inbox.0.try_reserve()
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

/// One delivery frame, decoded: `annotation length (u32) || annotation || bundle`.
#[derive(Debug)]
pub(super) struct Arrival {
    annotation: Annotation,
    bundle: Result<Bundle, Refusal>,
    limits: Limits,
}

impl Arrival {
    /// `None` for what no node sends.
    pub(super) fn read(frame: &Bytes, limits: &Limits) -> Option<Self> {
        let len = u32::from_be_bytes(*frame.first_chunk::<4>()?) as usize;
        let annotation = Annotation::decode(frame.get(4..4_usize.checked_add(len)?)?, limits).ok()?;
        let bundle = Bundle::decode(frame.slice(4 + len..), limits).map_err(|_| Refusal::Malformed);
        Some(Self { annotation, bundle, limits: *limits })
    }

    /// Verifies it. One entry for each envelope it carries.
    fn verify(&self, shared: &Shared, lane: u8) -> Result<Vec<Result<Delivery, Refusal>>, Refusal> {
        let bundle = self.bundle.as_ref().map_err(|refusal| *refusal)?;
        let mut tokens = shared.tokens(lane);
        if !self.annotation.tokens.is_empty() {
            // Under the lock: what a trust statement voids is taken out after this, or not put in.
            let trust = shared.identity.tokens();
            for token in &self.annotation.tokens {
                // A token that does not read leaves its messages without one: they are refused below.
                let _ = tokens.read(token, &trust, &shared.limits);
            }
        }
        let known = shared.line.known();
        let waiting = shared.line.waiting();
        let receiver = Receiver {
            swarm: shared.identity.swarm(),
            name: shared.identity.name,
            tokens: &*tokens,
            standings: &*known,
            awaits: &|request, from| waiting.requests.awaits(request, from),
            limits: self.limits,
        };
        let now = shared.env.now();
        let verified =
            shared.identity.memory.with(now, |windows| receiver.verify_decoded(bundle, windows, now))?;
        let mut last: Option<(TokenId, Arc<Meaning>)> = None;
        let delivery = |(position, vetted): (u16, Result<Vetted, Refusal>)| {
            let vetted = vetted?;
            let token = vetted.envelope().header().token;
            let meaning = match &last {
                Some((of, meaning)) if *of == token => meaning.clone(),
                Some(_) | None => tokens.get(&token).ok_or(Refusal::Unauthorised)?,
            };
            last = Some((token, meaning.clone()));
            Ok(Delivery::new(vetted, self.alerts(position), meaning, self.annotation.time))
        };
        Ok((0..).zip(verified).map(delivery).collect())
    }

    fn alerts(&self, position: u16) -> Vec<String> {
        let of = self.annotation.alerts.iter().find(|(at, _)| *at == position);
        of.map(|(_, rules)| rules.clone()).unwrap_or_default()
    }
}

/// Deliveries of one lane that were read at once and are acknowledged at once.
#[derive(Debug)]
pub(super) struct Turn {
    lane: u8,
    upto: Option<u64>,
    refused: Vec<RefusedDelivery>,
    /// What is to be signed for, by its sender's session.
    signed: BTreeMap<SessionId, (Vec<DeliveredAt>, Vec<Digest>)>,
}

impl Turn {
    /// Nothing yet.
    pub(super) const fn new(lane: u8) -> Self {
        Self { lane, upto: None, refused: Vec::new(), signed: BTreeMap::new() }
    }

    /// Verifies a delivery: answers go to who waits for them, the rest comes back for the handler.
    pub(super) fn take(&mut self, shared: &Shared, arrival: Arrival) -> Vec<Placed> {
        let number = arrival.annotation.delivery;
        self.upto = Some(number);
        let results = match arrival.verify(shared, self.lane) {
            Ok(results) => results,
            Err(refusal) => {
                // Whatever it carried, all of it: the node has the count.
                self.refused.push(RefusedDelivery { delivery: number, position: ALL, refusal });
                return Vec::new();
            }
        };
        let mut handled = Vec::new();
        for (position, result) in (0_u16..).zip(results) {
            let wish = result.as_ref().ok().map(Wish::of);
            match result.and_then(|delivery| shared.sort(delivery)) {
                Ok(delivery) => {
                    let at = (self.lane, number, position);
                    self.sign_for(wish, at);
                    handled.extend(delivery.map(|delivery| (at, delivery)));
                }
                Err(refusal) => self.refused.push(RefusedDelivery { delivery: number, position, refusal }),
            }
        }
        handled
    }

    /// A message of this turn that its handler had no room for: nobody signs for it.
    pub(super) fn give_up(&mut self, at: DeliveredAt) {
        for (places, digests) in self.signed.values_mut() {
            if let Some(signed) = places.iter().position(|place| *place == at) {
                places.remove(signed);
                digests.remove(signed);
            }
        }
        let (_, delivery, position) = at;
        self.refused.push(RefusedDelivery { delivery, position, refusal: Refusal::Overloaded });
    }

    fn sign_for(&mut self, wish: Option<Wish>, at: DeliveredAt) {
        if let Some(Wish { session, digest, receipt: ReceiptWish::Delivered }) = wish {
            let (places, digests) = self.signed.entry(session).or_default();
            places.push(at);
            digests.push(digest);
        }
    }

    /// Signs for what asked for it, and then acknowledges. `None` when the link has ended.
    pub(super) async fn end(self, shared: &Shared) -> Option<()> {
        for (session, (places, digests)) in &self.signed {
            let (key, swarm) = (&shared.identity.key, shared.identity.swarm());
            for (places, digests) in places.chunks(RECEIVED_MAX).zip(digests.chunks(RECEIVED_MAX)) {
                let signature = sign_received(key, &swarm, session, digests)?;
                let word = Received { session: *session, messages: places.to_vec(), signature };
                shared.control.send(FromAgent::Received(word)).await.ok()?;
            }
        }
        let Some(upto) = self.upto else { return Some(()) };
        let word = Acknowledge { lane: self.lane, upto, refused: self.refused };
        shared.control.send(FromAgent::Acknowledge(word)).await.ok()
    }
}

/// What a receipt for a message needs.
#[derive(Clone, Copy, Debug)]
struct Wish {
    session: SessionId,
    digest: Digest,
    receipt: ReceiptWish,
}

impl Wish {
    fn of(delivery: &Delivery) -> Self {
        let header = delivery.header();
        Self { session: header.session, digest: delivery.digest(), receipt: header.receipt }
    }
}

impl Shared {
    /// Gives an answer to whoever waits for it; hands anything else back, entered as a request if it is one.
    fn sort(&self, mut delivery: Delivery) -> Result<Option<Delivery>, Refusal> {
        let header = delivery.header();
        match (&header.destination, header.in_reply_to) {
            (Destination::Reply(_), Some(request)) => self.answer(&request, delivery).map(|()| None),
            (
                Destination::Agent(_) | Destination::Reply(_) | Destination::Service | Destination::Topic(_),
                _,
            ) => {
                if header.receipt == ReceiptWish::Reply {
                    let window = self.limits.stream_window_bytes;
                    delivery.answered_by(self.line.answers().open(
                        header.message,
                        self.line.first,
                        window,
                    )?);
                }
                Ok(Some(delivery))
            }
        }
    }

    fn answer(&self, request: &MessageId, delivery: Delivery) -> Result<(), Refusal> {
        let (from, part): (AgentName, _) = (delivery.sender().name, delivery.header().part);
        let piece = Piece { from, part, body: delivery.body_len(), item: delivery };
        let answered = self.line.waiting().requests.answered(request, piece);
        answered.map_err(|(refusal, ended)| {
            if ended {
                self.line.board.cancel(*request);
            }
            refusal
        })
    }
}

//! Deliveries as they arrive: every one is verified again before anyone sees it, signed for where that was wished, and
//! acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use testudo_rules::receive::{Receiver, Vetted};
use testudo_rules::token::Meaning;
use testudo_wire::frame::{
    Acknowledge, Annotation, DeliveredAt, FromAgent, Received, RefusedDelivery, sign_received,
};
use testudo_wire::{
    AgentName, Bundle, Destination, Digest, Limits, MessageId, ReceiptWish, Refusal, SessionId, TokenId,
};

use super::backlog::Placed;
use super::requests::Piece;
use super::seen;
use super::shared::Shared;
use super::{Delivery, alike};
use crate::spin;

/// Messages in one signed receipt.
const RECEIVED_MAX: usize = 1024;
/// The position that means all of a delivery.
const ALL: u16 = u16::MAX;

/// One delivery frame, decoded: `annotation length (u32) || annotation || bundle`.
#[derive(Debug)]
pub(super) struct Arrival {
    annotation: Annotation,
    bundle: Result<Arc<Bundle>, Refusal>,
    limits: Limits,
}

impl Arrival {
    /// `None` for what no node sends.
    pub(super) fn read(frame: &Bytes, limits: &Limits) -> Option<Self> {
        let len = u32::from_be_bytes(*frame.first_chunk::<4>()?) as usize;
        let annotation = Annotation::decode(frame.get(4..4_usize.checked_add(len)?)?, limits).ok()?;
        let bundle = alike::decode(frame.slice(4 + len..), limits).map_err(|_| Refusal::Malformed);
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
        let verified = shared
            .identity
            .memory
            .with(now, |windows| receiver.verify_decoded(bundle, &seen::is_signed, windows, now))?;
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
        if let Some(delivery) = results.iter().flatten().next() {
            // All of a bundle is of one sender.
            shared.identity.memory.log().took(delivery.sender());
        }
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
                    let mut answers = self.line.answers();
                    spin::expect(answers.len() + 1);
                    delivery.answered_by(answers.open(header.message, self.line.first, window)?);
                }
                Ok(Some(delivery))
            }
        }
    }

    fn answer(&self, request: &MessageId, delivery: Delivery) -> Result<(), Refusal> {
        let (from, part): (AgentName, _) = (delivery.sender().name, delivery.header().part);
        let piece = Piece { from, part, body: delivery.body_len(), item: delivery };
        let mut waiting = self.line.waiting();
        spin::expect(waiting.requests.len());
        let answered = waiting.requests.answered(request, piece);
        drop(waiting);
        answered.map_err(|(refusal, ended)| {
            if ended {
                self.line.board.cancel(*request);
            }
            refusal
        })
    }
}

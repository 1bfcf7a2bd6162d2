//! From the wire to the handler: every delivery is verified again before anyone sees it.

use std::sync::Arc;

use bytes::Bytes;
use quinn::RecvStream;
use testudo_rules::receive::{Receiver, Vetted};
use testudo_rules::token::Meaning;
use testudo_wire::frame::{Acknowledge, Annotation, FromAgent, RefusedDelivery};
use testudo_wire::{
    Capability, ContentType, CorrelationId, Destination, Digest, Header, Holder, MessageId, ReceiptWish,
    Refusal,
};
use tokio::sync::mpsc;

use super::Shared;
use crate::stream::FrameReader;

/// A message that this agent has verified.
#[derive(Clone, Debug)]
pub struct Delivery {
    vetted: Vetted,
    alerts: Vec<String>,
    meaning: Arc<Meaning>,
}

impl Delivery {
    /// Who sent it, as the token proves.
    #[must_use]
    pub const fn sender(&self) -> &Holder {
        self.vetted.sender()
    }

    /// What is asked; `None` in an answer.
    #[must_use]
    pub const fn capability(&self) -> Option<Capability> {
        self.header().capability
    }

    /// The whole header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        self.vetted.envelope().header()
    }

    /// The id of this message.
    #[must_use]
    pub const fn message(&self) -> MessageId {
        self.header().message
    }

    /// The piece of work it belongs to.
    #[must_use]
    pub const fn correlation(&self) -> CorrelationId {
        self.header().correlation
    }

    /// Media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        self.header().content_type
    }

    /// The leaf digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.vetted.envelope().digest()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.vetted.envelope().body()
    }

    /// Whether the sender waits for an answer.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.header().receipt == ReceiptWish::Reply
    }

    /// Rules of the content guard that alerted without blocking.
    #[must_use]
    pub fn alerts(&self) -> &[String] {
        &self.alerts
    }

    /// What the token under which it came lets its sender do.
    #[must_use]
    pub fn token(&self) -> &Meaning {
        &self.meaning
    }
}

/// Runs until the link ends: reads, verifies, hands on, acknowledges.
pub(super) async fn run(shared: Arc<Shared>, stream: RecvStream, handler: mpsc::Sender<Delivery>) {
    let limits = shared.limits;
    let frame_max = 4 + limits.annotation_bytes_max + limits.bundle_bytes_max;
    let mut reader = FrameReader::new(stream, frame_max);
    let mut refused = Vec::new();
    while let Ok(Some(frame)) = reader.next().await {
        let mut next = Some(frame);
        let mut upto = None;
        while let Some(frame) = next {
            let Some((number, results)) = receive(&shared, &frame) else {
                return shared.fail("the node sent a delivery that cannot be read");
            };
            let refuse = |position, refusal| RefusedDelivery { delivery: number, position, refusal };
            match results {
                Ok(results) => {
                    for (position, result) in (0_u16..).zip(results) {
                        match result {
                            Ok(delivery) => {
                                if let Some(delivery) = shared.take_answer(delivery)
                                    && handler.send(delivery).await.is_err()
                                {
                                    return;
                                }
                            }
                            Err(refusal) => refused.push(refuse(position, refusal)),
                        }
                    }
                }
                Err(refusal) => refused.push(refuse(u16::MAX, refusal)),
            }
            upto = Some(number);
            next = reader.buffered().unwrap_or(None);
        }
        if let Some(upto) = upto {
            let refused = std::mem::take(&mut refused);
            let frame = FromAgent::Acknowledge(Acknowledge { upto, refused });
            if shared.control.send(frame).await.is_err() {
                return;
            }
        }
    }
}

type Received = (u64, Result<Vec<Result<Delivery, Refusal>>, Refusal>);

/// One delivery frame: `annotation length (u32) || annotation || bundle`. `None` for what no node sends.
fn receive(shared: &Shared, frame: &Bytes) -> Option<Received> {
    let len = u32::from_be_bytes(*frame.first_chunk::<4>()?) as usize;
    let annotation = Annotation::decode(frame.get(4..4_usize.checked_add(len)?)?, &shared.limits).ok()?;
    let bundle = frame.slice(4 + len..);
    let mut tokens = shared.tokens();
    for token in &annotation.tokens {
        // A token that does not read leaves its messages without one: they are refused below.
        let _ = tokens.read(token, &shared.identity.authority, &shared.limits);
    }
    let known = shared.known();
    let waiting = shared.waiting();
    let receiver = Receiver {
        swarm: shared.identity.swarm(),
        name: shared.identity.name,
        tokens: &*tokens,
        standings: &*known,
        awaits: &|request, from| waiting.awaits(request, from),
        limits: shared.limits,
    };
    let now = shared.env.now();
    let verified = shared.identity.memory.with(now, |windows| receiver.verify(bundle, windows, now));
    let results = match verified {
        Ok(results) => results,
        // Whatever it carried, all of it: the node has the count.
        Err(refusal) => return Some((annotation.delivery, Err(refusal))),
    };
    let alerts = |position: u16| {
        let of = annotation.alerts.iter().find(|(at, _)| *at == position);
        of.map(|(_, rules)| rules.clone()).unwrap_or_default()
    };
    let results = (0..).zip(results).map(|(position, result)| {
        let vetted = result?;
        let token = vetted.envelope().header().token;
        let meaning = tokens.get(&token).ok_or(Refusal::Unauthorised)?;
        Ok(Delivery { vetted, alerts: alerts(position), meaning })
    });
    Some((annotation.delivery, Ok(results.collect())))
}

impl Shared {
    /// Gives an answer to whoever waits for it; hands anything else back.
    fn take_answer(&self, delivery: Delivery) -> Option<Delivery> {
        match (delivery.header().destination, delivery.header().in_reply_to) {
            (Destination::Reply(_), Some(request)) => {
                self.waiting().answered(&request, delivery);
                None
            }
            (
                Destination::Agent(_) | Destination::Reply(_) | Destination::Service | Destination::Topic(_),
                _,
            ) => Some(delivery),
        }
    }
}

//! Hosts agents of `testudo-agents` on a link of `testudo-bus`: the one place where the two meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use testudo_agents::{Answer, Arrived, Inbox, Incoming, Message, Receipt, SendFailure, Transport};
use testudo_bus::client::{Client, Deliveries, Delivery, Outgoing, SendError};
use testudo_wire::ContentType;

/// Messages that one agent has sent and received, as it sees it.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
}

impl Ledger {
    /// Messages sent and not refused.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Verified messages received, answers included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn count<T>(&self, result: &Result<T, SendError>) {
        match result {
            Err(SendError::Refused { .. } | SendError::TooLarge(..)) => &self.refused,
            // Without an answer it was sent all the same.
            Ok(_) | Err(SendError::NoAnswer(_) | SendError::Unknown) => &self.sent,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn arrived(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }
}

/// A link as agents use it.
#[derive(Clone, Debug)]
pub struct Carrier {
    client: Client,
    ledger: Arc<Ledger>,
}

/// What arrives on a link, as hosts take it.
#[derive(Debug)]
pub struct Mail {
    deliveries: Deliveries,
    ledger: Arc<Ledger>,
}

/// A link for a host: the way out, the way in, and what went over them.
#[must_use]
pub fn carrier(client: Client, deliveries: Deliveries) -> (Carrier, Mail, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    (Carrier { client, ledger: ledger.clone() }, Mail { deliveries, ledger: ledger.clone() }, ledger)
}

fn outgoing(message: Message) -> Outgoing {
    Outgoing {
        to: message.to,
        capability: message.capability,
        content_type: message.content_type,
        body: message.body,
        ttl: message.ttl,
        correlation: message.correlation,
        trace: message.trace,
        token: message.token,
    }
}

fn failure(error: SendError) -> SendFailure {
    match error {
        SendError::Refused { refusal, rules } => SendFailure::Refused { refusal, rules },
        SendError::NoAnswer(after_ms) => SendFailure::NoAnswer { after_ms },
        SendError::Unknown => SendFailure::Unknown,
        SendError::TooLarge(bytes, max) => SendFailure::TooLarge { bytes, max },
    }
}

fn incoming(delivery: &Delivery) -> Option<Incoming> {
    Some(Incoming {
        message: delivery.message(),
        sender: *delivery.sender(),
        capability: delivery.capability()?,
        correlation: delivery.correlation(),
        content_type: delivery.content_type(),
        body: delivery.body(),
        wants_reply: delivery.wants_reply(),
        alerts: delivery.alerts().to_vec(),
        trace: delivery.header().trace,
    })
}

impl Transport for Carrier {
    type Origin = Delivery;

    async fn tell(&self, message: Message) -> Result<Receipt, SendFailure> {
        let receipt = self.client.tell(outgoing(message)).await;
        self.ledger.count(&receipt);
        let receipt = receipt.map_err(failure)?;
        Ok(Receipt { message: receipt.message, digest: receipt.digest, record: receipt.record })
    }

    async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let answer = self.client.request(outgoing(message)).await;
        self.ledger.count(&answer);
        let answer = answer.map_err(failure)?;
        self.ledger.arrived();
        Ok(Answer {
            message: answer.message(),
            sender: *answer.sender(),
            correlation: answer.correlation(),
            content_type: answer.content_type(),
            body: answer.body(),
            alerts: answer.alerts().to_vec(),
        })
    }

    async fn reply(&self, to: &Delivery, content_type: ContentType, body: Bytes) -> Result<(), SendFailure> {
        let sent = self.client.reply(to, content_type, body).await;
        self.ledger.count(&sent);
        sent.map_err(failure)
    }

    async fn goodbye(&self) {
        self.client.goodbye().await;
    }
}

impl Inbox for Mail {
    type Origin = Delivery;

    async fn next(&mut self) -> Option<Arrived<Delivery>> {
        loop {
            let delivery = self.deliveries.next().await?;
            // Only an answer has no capability, and answers go to whoever asked.
            if let Some(incoming) = incoming(&delivery) {
                self.ledger.arrived();
                return Some(Arrived { incoming, origin: delivery });
            }
        }
    }
}

//! Everything that a client sends of its own accord, and how it waits for what becomes of it.

use std::sync::Arc;

use testudo_wire::{CorrelationId, MessageId, ReceiptWish, Refusal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::line::Line;
use super::outgoing::{Draft, Queued};
use super::parts::Parts;
use super::receipts::Delivered;
use super::waiting::Waiter;
use super::{Client, Delivery, GRACE, Outgoing, Receipt, SendError, To};

/// Takes a wish for a receipt back when nobody waits for it any more.
struct Wished(Arc<Line>, MessageId);

impl Drop for Wished {
    fn drop(&mut self) {
        self.0.waiting().receipts.abandon(&self.1);
    }
}

impl Client {
    /// Sends a message and waits until its verdict is durable on the node's audit log.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn tell(&self, message: Outgoing) -> Result<Receipt, SendError> {
        let (answer, word) = oneshot::channel();
        self.enqueue(message, self.draw(), ReceiptWish::Accepted, Waiter::Receipt(answer)).await?;
        word.await.map_err(|_| SendError::Unknown)?
    }

    /// Sends a message and waits until its receiver has signed that it verified it. The receiver is who its
    /// certificate says; the node's word is not enough.
    ///
    /// # Errors
    /// [`SendError`]; a topic has no such receipt.
    pub async fn deliver(&self, message: Outgoing) -> Result<Delivered, SendError> {
        not_a_topic(&message)?;
        let (answer, word) = oneshot::channel();
        let (from, ttl, id) = (message.to.only(), message.ttl, self.draw());
        let _wished = Wished(self.link().line.clone(), id);
        self.enqueue(message, id, ReceiptWish::Delivered, Waiter::Delivered(from, answer)).await?;
        match timeout(ttl.duration() + GRACE, word).await {
            Ok(word) => word.map_err(|_| SendError::Unknown)?,
            Err(_) => Err(SendError::NoAnswer(ttl.as_millis())),
        }
    }

    /// Sends a message and waits for nothing but room in the queue. Refusals are counted, see
    /// [`Client::refused`].
    ///
    /// # Errors
    /// [`SendError`] when it cannot even be queued.
    pub async fn post(&self, message: Outgoing) -> Result<MessageId, SendError> {
        let id = self.draw();
        self.push(self.queued(message, id, ReceiptWish::None, Waiter::Nothing)).await.map(|()| id)
    }

    /// Sends a message and waits for its answer. One that comes in parts is collected: the last part, with the
    /// bodies of all. Dropping the call cancels the request.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn request(&self, message: Outgoing) -> Result<Delivery, SendError> {
        let parts = self.stream(message).await?;
        parts.collect(self.body_max()).await
    }

    /// Sends a message and gives its answer as it comes, part by part; a whole answer is one part. Dropping
    /// the parts cancels the request.
    ///
    /// # Errors
    /// [`SendError`] when it cannot even be queued.
    pub async fn stream(&self, message: Outgoing) -> Result<Parts, SendError> {
        not_a_topic(&message)?;
        let (from, ttl, id) = (message.to.only(), message.ttl, self.draw());
        // Open before it is queued: dropped from here on, it will not go.
        let parts = Parts::open(&self.link(), id, from, ttl);
        self.enqueue(message, id, ReceiptWish::Reply, Waiter::Reply).await?;
        Ok(parts)
    }

    pub(super) fn draw(&self) -> MessageId {
        MessageId::new(self.link().dice.draw(&*self.link().env))
    }

    async fn enqueue(
        &self,
        message: Outgoing,
        id: MessageId,
        receipt: ReceiptWish,
        waiter: Waiter,
    ) -> Result<(), SendError> {
        self.push(self.queued(message, id, receipt, waiter)).await
    }

    fn queued(&self, message: Outgoing, id: MessageId, receipt: ReceiptWish, waiter: Waiter) -> Queued {
        let draft = Draft {
            destination: message.to.into(),
            capability: Some(message.capability),
            message: id,
            // The message that begins a piece of work names it: an id less to draw, and to write down.
            correlation: message.correlation.unwrap_or_else(|| CorrelationId::new(*id.as_bytes())),
            in_reply_to: None,
            part: None,
            receipt,
            trace: message.trace,
            token: message.token.unwrap_or_else(|| self.link().token),
            ttl: message.ttl,
            content_type: message.content_type,
            body: message.body,
        };
        Queued { draft, waiter }
    }

    /// Queues a message for lane 0, or for a lane of its own if it is large.
    pub(super) async fn push(&self, queued: Queued) -> Result<(), SendError> {
        let (len, max) = (queued.draft.body.len(), self.body_max());
        if len > max {
            return Err(SendError::TooLarge(len, max));
        }
        let small = len <= self.link().limits.body_bytes_max;
        let queue = if small { &self.queue } else { &self.large };
        // Mostly there is room, and then there is nothing to wait for.
        let place = match queue.try_reserve() {
            Ok(place) => place,
            Err(_) => queue.reserve().await.map_err(|_| SendError::Unknown)?,
        };
        self.link().line.queue();
        place.send(queued);
        Ok(())
    }
}

/// Nobody knows of how many receivers a topic's receipt or answer would have to be.
pub(super) fn not_a_topic(message: &Outgoing) -> Result<(), SendError> {
    match message.to {
        To::Topic(_) => Err(SendError::refused(Refusal::Malformed)),
        To::Agent(_) | To::Service => Ok(()),
    }
}

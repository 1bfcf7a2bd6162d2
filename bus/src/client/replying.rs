//! Answers to requests: whole or in parts, for as long as somebody waits for them.

use std::future::pending;

use bytes::Bytes;
use testudo_wire::{ContentType, Destination, MessageId, Part, ReceiptWish};

use super::inflow::weight;
use super::outgoing::{Draft, Queued};
use super::waiting::Waiter;
use super::{Client, Delivery, SendError};

/// Whether nobody waits for the answer any more.
pub(super) fn is_over(request: &Delivery) -> bool {
    request.answering().is_some_and(|answering| answering.is_over())
}

/// See [`Client::cancelled`]; it needs no link.
pub(super) async fn cancelled(request: &Delivery) {
    match request.answering() {
        Some(answering) => answering.ended().await,
        None => pending().await,
    }
}

impl Client {
    /// Answers a request; waits for nothing but room in the queue. A refusal of the answer is counted.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reply(
        &self,
        to: &Delivery,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let body = body.into();
        self.waited_for(to)?;
        self.push(self.answer(to, None, content_type, body)).await?;
        self.link().line.answers().close(&to.message());
        Ok(())
    }

    /// Answers a request in parts: index from zero, the last one marked. Waits until the requester has taken in
    /// enough of those before, and for room in the queue. An answer in parts is not mixed with a whole one.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Cancelled`] when nobody waits for more, [`SendError::TooLarge`] beyond
    /// 64 KiB, so that parts keep their order.
    pub async fn reply_part(
        &self,
        to: &Delivery,
        part: Part,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let body = body.into();
        let max = self.link().limits.body_bytes_max;
        if body.len() > max {
            return Err(SendError::TooLarge(body.len(), max));
        }
        self.waited_for(to)?;
        if let Some(answering) = to.answering() {
            answering.room(weight(body.len())).await?;
        }
        self.push(self.answer(to, Some(part), content_type, body)).await?;
        if part.last {
            self.link().line.answers().close(&to.message());
        }
        Ok(())
    }

    /// Returns when nobody waits for the answer to this request any more: given up, expired, answered to the
    /// end, or the link has ended. Of a message that asks for no answer it never returns.
    pub async fn cancelled(&self, request: &Delivery) {
        cancelled(request).await;
    }

    /// Whether somebody waits for the answer, on this link.
    fn waited_for(&self, to: &Delivery) -> Result<(), SendError> {
        match to.answering() {
            Some(_) if is_over(to) => Err(SendError::Cancelled),
            Some(answering) if answering.session() != self.line() => Err(SendError::Unknown),
            // The node says what it thinks of an answer that nobody asked for.
            Some(_) | None => Ok(()),
        }
    }

    fn answer(&self, to: &Delivery, part: Option<Part>, content_type: ContentType, body: Bytes) -> Queued {
        let draft = Draft {
            destination: Destination::Reply(to.sender().name),
            capability: None,
            message: MessageId::new(self.link().dice.draw(&*self.link().env)),
            correlation: to.correlation(),
            in_reply_to: Some(to.message()),
            part,
            receipt: ReceiptWish::None,
            trace: to.trace(),
            token: self.link().token,
            ttl: to.header().ttl,
            content_type,
            body,
        };
        Queued { draft, waiter: Waiter::Nothing }
    }
}

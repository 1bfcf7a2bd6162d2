//! What a handler may know and do about the message it handles.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use testudo_wire::{ContentType, Holder};

use crate::answering::Answering;
use crate::bus::Bus;
use crate::failure::{JsonError, ReplyError, SendFailure};
use crate::incoming::Incoming;
use crate::stream::ReplyStream;
use crate::token::{Delegate, TokenText};

/// The message being handled and the ways to act on it. Cheap to clone; a clone may outlive its handler, but
/// the answer is the handler's: what has none when the handler ends gets what the handler returns.
#[derive(Clone, Debug)]
pub struct Context {
    incoming: Arc<Incoming>,
    bus: Bus,
    answering: Arc<Answering>,
}

impl Context {
    pub(crate) fn new(incoming: Incoming, bus: &Bus, answering: Arc<Answering>) -> Self {
        let bus = bus.about(&incoming);
        Self { incoming: Arc::new(incoming), bus, answering }
    }

    /// The way to other agents; carries the correlation id and the trace of this message on.
    #[must_use]
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Who asks, as proved.
    #[must_use]
    pub fn sender(&self) -> &Holder {
        &self.incoming.sender
    }

    /// The whole message.
    #[must_use]
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// Answers now, in JSON, and lets the handler go on. After that its result is ignored, an error logged.
    /// Does nothing when nobody waits. An answer that is not sent because it is too large leaves the message
    /// open.
    ///
    /// # Errors
    /// [`ReplyError`], [`ReplyError::Answered`] the second time.
    pub async fn reply(&self, value: &(impl Serialize + Sync)) -> Result<(), ReplyError> {
        let body = serde_json::to_vec(value).map_err(JsonError::from)?;
        self.reply_with(ContentType::json(), body).await
    }

    /// As [`Context::reply`], with any content type.
    ///
    /// # Errors
    /// As [`Context::reply`].
    pub async fn reply_with(
        &self,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), ReplyError> {
        self.answering.reply(content_type, body.into()).await
    }

    /// Answers in parts. After that the handler's result is ignored, but for an error that ends an unfinished
    /// stream. When nobody waits, each part is [`SendFailure::Cancelled`].
    ///
    /// # Errors
    /// [`ReplyError::Answered`] unless nothing was said yet.
    pub fn stream(&self) -> Result<ReplyStream, ReplyError> {
        ReplyStream::open(&self.answering)
    }

    /// A bus whose messages go under the token that came with this request.
    ///
    /// # Errors
    /// [`SendFailure::NoToken`] if none came, or why it was not taken.
    pub async fn on_behalf(&self) -> Result<Bus, SendFailure> {
        let token = self.incoming.delegated.as_ref().ok_or(SendFailure::NoToken)?;
        self.bus.on_behalf(token).await
    }

    /// Makes a token for another agent: from the one that came with this request if there is one, or else
    /// from the agent's own. [`Message::under`](crate::Message::under) sends it along.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn delegate(&self, delegate: &Delegate) -> Result<TokenText, SendFailure> {
        self.bus.delegate_from(self.incoming.delegated.as_ref(), delegate).await
    }

    /// Waits until the asker has cancelled or is gone; for ever, if nobody waits for an answer anyway.
    pub async fn cancelled(&self) {
        self.answering.cancelled().await;
    }
}

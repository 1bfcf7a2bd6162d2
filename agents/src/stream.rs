//! An answer in parts, from the side that gives it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use testudo_wire::{ContentType, Part};

use crate::answering::Answering;
use crate::failure::{JsonError, ReplyError, SendFailure};

/// Sends an answer part by part, each when the asker has room for it.
///
/// It may outlive its handler: moved into a task, it goes on while the agent handles other messages. Dropped
/// before [`ReplyStream::finish`] it ends with an error: that of the handler if it returns one, `agent-fault`
/// after a panic, or else that the answer was left unfinished.
#[must_use = "a stream that is dropped ends with an error"]
#[derive(Debug)]
pub struct ReplyStream {
    answering: Arc<Answering>,
    next: u32,
    /// Why there is no more to send.
    over: Option<SendFailure>,
    finished: bool,
}

impl ReplyStream {
    pub(crate) fn open(answering: &Arc<Answering>) -> Result<Self, ReplyError> {
        answering.open_stream()?;
        Ok(Self { answering: answering.clone(), next: 0, over: None, finished: false })
    }

    /// Sends a part in JSON and waits until the asker has room.
    ///
    /// # Errors
    /// [`ReplyError::Send`] of [`SendFailure::Cancelled`] when the asker no longer waits.
    pub async fn send(&mut self, value: &(impl Serialize + Sync)) -> Result<(), ReplyError> {
        let body = serde_json::to_vec(value).map_err(JsonError::from)?;
        self.send_bytes(ContentType::json(), body).await
    }

    /// Sends a part in plain text, as [`ReplyStream::send`].
    ///
    /// # Errors
    /// As [`ReplyStream::send`].
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), ReplyError> {
        self.send_bytes(ContentType::text(), text.into()).await
    }

    /// Sends a part of any content type, as [`ReplyStream::send`].
    ///
    /// # Errors
    /// As [`ReplyStream::send`].
    pub async fn send_bytes(
        &mut self,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), ReplyError> {
        Ok(self.put(false, content_type, body.into()).await?)
    }

    /// Ends the answer in good order.
    ///
    /// # Errors
    /// As [`ReplyStream::send`].
    pub async fn finish(mut self) -> Result<(), ReplyError> {
        Ok(self.put(true, ContentType::default(), Bytes::new()).await?)
    }

    /// Ends the answer with a last part in JSON.
    ///
    /// # Errors
    /// As [`ReplyStream::send`].
    pub async fn finish_with(mut self, value: &(impl Serialize + Sync)) -> Result<(), ReplyError> {
        let body = serde_json::to_vec(value).map_err(JsonError::from)?;
        Ok(self.put(true, ContentType::json(), body.into()).await?)
    }

    async fn put(&mut self, last: bool, content_type: ContentType, body: Bytes) -> Result<(), SendFailure> {
        if let Some(failure) = &self.over {
            return Err(failure.clone());
        }
        let part = Part { index: self.next, last };
        match self.answering.part(part, content_type, body).await {
            Ok(()) => {
                self.finished = last;
                // After four thousand million parts the node refuses the next one.
                self.next = self.next.saturating_add(1);
                Ok(())
            }
            Err(failure) => {
                if failure.ends_request() {
                    self.over = Some(failure.clone());
                }
                Err(failure)
            }
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        if self.finished || self.over.is_some() {
            self.answering.close_stream();
        } else {
            self.answering.drop_stream(self.next);
        }
    }
}

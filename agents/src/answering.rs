//! What has become of one message's answer: who may still say something, and that somebody does.
//!
//! Handler, reply stream and keeper share it. Knows no transport but the [`Line`] back to whoever asked.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use testudo_wire::{ContentType, Part};

use crate::agent::Outcome;
use crate::error::{AgentError, ErrorCode, error_content_type};
use crate::failure::{ReplyError, SendFailure};
use crate::transport::Transport;

/// The way back to whoever asked, whatever the transport.
trait Line: Send + Sync {
    fn reply(&self, content_type: ContentType, body: Bytes) -> BoxFuture<'_, Result<(), SendFailure>>;
    fn part(
        &self,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(), SendFailure>>;
    fn cancelled(&self) -> BoxFuture<'_, ()>;
}

struct Wired<T: Transport> {
    transport: T,
    origin: T::Origin,
}

impl<T: Transport> Line for Wired<T> {
    fn reply(&self, content_type: ContentType, body: Bytes) -> BoxFuture<'_, Result<(), SendFailure>> {
        Box::pin(self.transport.reply(&self.origin, content_type, body))
    }

    fn part(
        &self,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(), SendFailure>> {
        Box::pin(self.transport.reply_part(&self.origin, part, content_type, body))
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.transport.cancelled(&self.origin))
    }
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing is said.
    Open,
    /// The handler is saying it.
    Replying,
    /// A stream is open.
    Streaming,
    /// A stream was dropped before its end; this part must end it.
    Dropped(u32),
    /// All is said.
    Over,
}

#[derive(Debug)]
struct Progress {
    state: State,
    /// The handler has ended: who leaves a stream open from here on ends it.
    turn_over: bool,
}

/// See the module.
pub(crate) struct Answering {
    line: Box<dyn Line>,
    wanted: bool,
    progress: Mutex<Progress>,
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answering").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Answering {
    pub(crate) fn new<T: Transport>(transport: T, origin: T::Origin, wanted: bool) -> Arc<Self> {
        let progress = Mutex::new(Progress { state: State::Open, turn_over: false });
        Arc::new(Self { line: Box::new(Wired { transport, origin }), wanted, progress })
    }

    fn with<R>(&self, change: impl FnOnce(&mut Progress) -> R) -> R {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, state: State) {
        self.with(|progress| progress.state = state);
    }

    /// Takes the one right to answer.
    fn claim(&self, state: State) -> Result<(), ReplyError> {
        self.with(|progress| match progress.state {
            State::Open => {
                progress.state = state;
                Ok(())
            }
            State::Replying | State::Streaming | State::Dropped(_) | State::Over => Err(ReplyError::Answered),
        })
    }

    /// The handler's own answer, in its middle.
    pub(crate) async fn reply(&self, content_type: ContentType, body: Bytes) -> Result<(), ReplyError> {
        /// An answer that was not sent leaves the message open.
        struct Claim<'a>(&'a Answering, State);
        impl Drop for Claim<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        self.claim(State::Replying)?;
        let mut claim = Claim(self, State::Open);
        let sent = if self.wanted { self.line.reply(content_type, body).await } else { Ok(()) };
        if sent.as_ref().map_or_else(SendFailure::ends_request, |()| true) {
            claim.1 = State::Over;
        }
        Ok(sent?)
    }

    /// Opens the one stream.
    pub(crate) fn open_stream(&self) -> Result<(), ReplyError> {
        self.claim(State::Streaming)
    }

    /// Sends a part of the open stream. Nobody to hear it is an error: there is no point in going on.
    pub(crate) async fn part(
        &self,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> Result<(), SendFailure> {
        if !self.wanted {
            return Err(SendFailure::Cancelled);
        }
        self.line.part(part, content_type, body).await
    }

    /// The open stream is at its end.
    pub(crate) fn close_stream(&self) {
        self.set(State::Over);
    }

    /// The open stream was dropped before this part. The keeper ends it, or, after the keeper's time, a task.
    pub(crate) fn drop_stream(self: &Arc<Self>, next: u32) {
        let turn_over = self.with(|progress| {
            progress.state = if progress.turn_over { State::Over } else { State::Dropped(next) };
            progress.turn_over
        });
        if !turn_over {
            return;
        }
        let error = if std::thread::panicking() { fault_error() } else { unfinished_error() };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let answering = self.clone();
            runtime.spawn(async move { answering.end_stream(next, &error).await });
        }
    }

    /// Ready when nobody waits any more; never, if nobody did from the start.
    pub(crate) async fn cancelled(&self) {
        if self.wanted {
            self.line.cancelled().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// The handler has ended: says what is left to say.
    pub(crate) async fn conclude(&self, result: Result<Outcome, AgentError>) {
        let state = self.with(|progress| {
            progress.turn_over = true;
            let state = progress.state;
            progress.state = match state {
                State::Open | State::Dropped(_) | State::Over => State::Over,
                // Somebody else has it in hand.
                State::Replying | State::Streaming => state,
            };
            state
        });
        match (state, result) {
            (State::Open, result) => self.answer(result).await,
            (State::Dropped(next), Err(error)) => self.end_stream(next, &error).await,
            (State::Dropped(next), Ok(_)) => self.end_stream(next, &unfinished_error()).await,
            // That nobody waits any more is no news.
            (State::Replying | State::Streaming | State::Over, Err(error))
                if *error.code() != ErrorCode::CANCELLED =>
            {
                tracing::warn!(code = %error.code(), reason = error.message(), "failed after its answer");
            }
            (State::Replying | State::Streaming | State::Over, _) => {}
        }
    }

    async fn answer(&self, result: Result<Outcome, AgentError>) {
        if !self.wanted {
            if let Err(error) = result {
                tracing::debug!(code = %error.code(), "failed, and nobody waits to hear it");
            }
            return;
        }
        let (content_type, body) = match result {
            Ok(Outcome::Reply { content_type, body }) => (content_type, body),
            Ok(Outcome::Done) => (ContentType::default(), Bytes::new()),
            Err(error) => {
                // The asker hears a bounded part of it; whoever runs this agent hears why.
                tracing::warn!(code = %error.code(), reason = error.message(), "answered with an error");
                (error_content_type(), error.to_body())
            }
        };
        let mut sent = self.line.reply(content_type, body).await;
        if let Err(failure @ SendFailure::TooLarge { .. }) = sent {
            let error = AgentError::from(ReplyError::Send(failure));
            sent = self.line.reply(error_content_type(), error.to_body()).await;
        }
        if let Err(failure) = sent {
            tracing::warn!(%failure, "an answer was not sent");
        }
    }

    /// Ends a stream in the place of whoever did not.
    async fn end_stream(&self, index: u32, error: &AgentError) {
        tracing::warn!(code = %error.code(), reason = error.message(), "a stream ends with an error");
        let sent = self.part(Part { index, last: true }, error_content_type(), error.to_body()).await;
        if let Err(failure) = sent {
            tracing::debug!(%failure, "nobody hears it");
        }
    }
}

/// The handler panicked.
pub(crate) fn fault_error() -> AgentError {
    AgentError::new(ErrorCode::AGENT_FAULT, "the agent failed on this message and was built anew")
}

/// The host ends before the handler.
pub(crate) fn stopped_error() -> AgentError {
    AgentError::new(ErrorCode::AGENT_STOPPED, "the agent stops; this message was not handled to its end")
}

fn unfinished_error() -> AgentError {
    AgentError::failed("the agent left its answer unfinished")
}

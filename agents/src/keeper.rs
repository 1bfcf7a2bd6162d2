//! Keeps one agent: gives it one message at a time, contains its panics, builds it anew, gives up when that
//! happens too often. Knows no actors.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use testudo_wire::ContentType;
use tokio::time::Instant;
use tracing::Instrument;

use crate::agent::{Agent, Outcome};
use crate::bus::Bus;
use crate::error::{AgentError, ErrorCode, SendFailure, error_content_type};
use crate::host::Stopped;
use crate::intensity::{Intensity, Verdict};
use crate::message::Incoming;
use crate::signals::{Phase, Signals};
use crate::transport::{Arrived, Transport};

/// What became of the agent's turn.
enum Turn<R> {
    Ended(R),
    Panicked,
    Abandoned,
}

/// See the module.
pub(crate) struct Keeper<T, F, A> {
    transport: T,
    bus: Bus,
    factory: F,
    /// `None` before the start, after giving up and after the end.
    agent: Option<A>,
    intensity: Intensity,
    signals: Arc<Signals>,
}

impl<T: Transport, F: Fn() -> A, A: Agent> Keeper<T, F, A> {
    pub(crate) fn new(transport: T, factory: F, intensity: Intensity, signals: Arc<Signals>) -> Self {
        let bus = Bus::new(transport.clone());
        Self { transport, bus, factory, agent: None, intensity, signals }
    }

    /// Builds the agent, again and again if it fails to start, until it stands or has failed too often.
    pub(crate) async fn start(&mut self) {
        while self.agent.is_none() && self.signals.is_open() {
            let built = async {
                let mut agent = (self.factory)();
                agent.on_start(&self.bus).await.map(|()| agent)
            };
            match turn(&self.signals, built).await {
                Turn::Ended(Ok(agent)) => self.agent = Some(agent),
                Turn::Ended(Err(error)) => {
                    tracing::warn!(code = %error.code(), "an agent failed to start");
                    self.fault();
                }
                Turn::Panicked => self.fault(),
                Turn::Abandoned => {}
            }
        }
    }

    /// Handles one message to its end, answer included.
    pub(crate) async fn handle(&mut self, arrived: Arrived<T::Origin>) {
        let Arrived { incoming, origin } = arrived;
        let span = tracing::debug_span!(
            "handle",
            message = %incoming.message.short(),
            correlation = %incoming.correlation.short(),
            capability = %incoming.capability
        );
        let wants_reply = incoming.wants_reply;
        async {
            let turn = self.give(incoming).await;
            let panicked = matches!(turn, Turn::Panicked);
            let result = match turn {
                Turn::Ended(result) => result,
                Turn::Panicked => Err(fault_error()),
                Turn::Abandoned => Err(stopped_error()),
            };
            if panicked {
                self.throw_away();
            }
            if wants_reply {
                self.answer(&origin, result).await;
            } else if let Err(error) = result {
                tracing::debug!(code = %error.code(), "failed, and nobody waits to hear it");
            }
            if panicked {
                self.fault();
                self.start().await;
            }
        }
        .instrument(span)
        .await;
    }

    /// The agent's last word.
    pub(crate) async fn stop(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let bus = &self.bus;
        if matches!(turn(&self.signals, async { agent.on_stop(bus).await }).await, Turn::Panicked) {
            tracing::warn!("an agent panicked while it stopped");
        }
        self.throw_away();
    }

    /// Gives the agent its turn, unless it has had its last one.
    async fn give(&mut self, incoming: Incoming) -> Turn<Result<Outcome, AgentError>> {
        let Some(agent) = self.agent.as_mut().filter(|_| self.signals.is_open()) else {
            return Turn::Abandoned;
        };
        let bus = self.bus.about(&incoming);
        let turn = turn(&self.signals, async { agent.handle(incoming, &bus).await }).await;
        if matches!(turn, Turn::Abandoned) {
            // It was stopped in the middle of something: its state is not to be trusted.
            self.throw_away();
        }
        turn
    }

    async fn answer(&self, origin: &T::Origin, result: Result<Outcome, AgentError>) {
        let (content_type, body) = match result {
            Ok(Outcome::Reply { content_type, body }) => (content_type, body),
            Ok(Outcome::Done) => (ContentType::default(), Bytes::new()),
            Err(error) => {
                // The asker hears a bounded part of it; whoever runs this agent hears why.
                tracing::warn!(code = %error.code(), reason = error.message(), "answered with an error");
                (error_content_type(), error.to_body())
            }
        };
        let mut sent = self.transport.reply(origin, content_type, body).await;
        if matches!(sent, Err(SendFailure::TooLarge { .. })) {
            let error = AgentError::failed("the answer is larger than the bus carries");
            sent = self.transport.reply(origin, error_content_type(), error.to_body()).await;
        }
        if let Err(failure) = sent {
            tracing::warn!(%failure, "an answer was not sent");
        }
    }

    fn fault(&mut self) {
        self.signals.count_fault();
        match self.intensity.fault(Instant::now()) {
            Verdict::Rebuild => tracing::warn!("an agent failed and is built anew"),
            Verdict::GiveUp => {
                tracing::error!("an agent failed too often; its host stops");
                self.signals.advance(Phase::Closing(Stopped::TooManyFaults));
            }
        }
    }

    fn throw_away(&mut self) {
        discard(self.agent.take());
    }
}

/// Runs a future of the agent's until it ends, panics, or the host is out of patience.
async fn turn<R>(signals: &Signals, work: impl Future<Output = R>) -> Turn<R> {
    // What a panic leaves behind is thrown away by the caller, so that nobody sees it torn.
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        biased;
        () = signals.abandoned() => Turn::Abandoned,
        result = work => match result {
            Ok(result) => Turn::Ended(result),
            Err(panic) => {
                discard::<Box<dyn Any + Send>>(panic);
                Turn::Panicked
            }
        },
    }
}

/// Drops a value that may panic even as it is dropped.
fn discard<D>(value: D) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // Whoever panics with a value that panics loses it: a leak is the lesser harm.
        std::mem::forget(panic);
    }
}

fn fault_error() -> AgentError {
    AgentError::new(ErrorCode::AGENT_FAULT, "the agent failed on this message and was built anew")
}

fn stopped_error() -> AgentError {
    AgentError::new(ErrorCode::AGENT_STOPPED, "the agent stops; this message was not handled to its end")
}

//! Keeps one agent: gives it one message at a time, contains its panics, builds it anew, gives up when that
//! happens too often. Knows no actors.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use testudo_wire::Resource;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::agent::{Agent, Outcome};
use crate::answering::{Answering, fault_error, stopped_error};
use crate::bus::Bus;
use crate::context::Context;
use crate::delegated;
use crate::error::AgentError;
use crate::failure::SendFailure;
use crate::host::Stopped;
use crate::incoming::Incoming;
use crate::intensity::{Intensity, Verdict};
use crate::signals::{Phase, Signals};
use crate::traced::Traced;
use crate::transport::{Arrived, Transport};

/// Before a topic is asked for again that no link brought a word on.
const AGAIN: Duration = Duration::from_millis(100);

/// What became of the agent's turn.
enum Turn<R> {
    Ended(R),
    Panicked,
    Abandoned,
}

/// Why a new agent does not stand.
enum Unbuilt {
    Topic(Resource, SendFailure),
    Start(AgentError),
}

/// What the keepers of one host have in common.
pub(crate) struct Shared<F> {
    factory: F,
    intensity: RefCell<Intensity>,
    /// Topics subscribed to. Locked while subscribing, so that no agent starts before.
    topics: Mutex<BTreeSet<Resource>>,
    signals: Arc<Signals>,
}

impl<F> Shared<F> {
    pub(crate) fn new(factory: F, intensity: Intensity, signals: Arc<Signals>) -> Rc<Self> {
        Rc::new(Self { factory, intensity: RefCell::new(intensity), topics: Mutex::default(), signals })
    }
}

/// See the module.
pub(crate) struct Keeper<T, F, A> {
    transport: T,
    bus: Bus,
    shared: Rc<Shared<F>>,
    /// `None` before the start, after giving up and after the end.
    agent: Option<A>,
}

impl<T: Transport, F: Fn() -> A, A: Agent> Keeper<T, F, A> {
    pub(crate) fn new(transport: T, shared: Rc<Shared<F>>) -> Self {
        let bus = Bus::new(transport.clone());
        Self { transport, bus, shared, agent: None }
    }

    /// Builds the agent, again and again if it fails to start, until it stands or has failed too often.
    pub(crate) async fn start(&mut self) {
        while self.agent.is_none() && self.shared.signals.is_open() {
            match turn(&self.shared.signals, self.built()).await {
                Turn::Ended(Ok(agent)) => {
                    self.agent = Some(agent);
                    self.shared.signals.stands();
                }
                Turn::Ended(Err(Unbuilt::Topic(topic, failure))) => {
                    tracing::error!(%topic, %failure, "an agent cannot hear its topic; its host stops");
                    self.shared.signals.advance(Phase::Closing(Stopped::NotSubscribed(topic)));
                }
                Turn::Ended(Err(Unbuilt::Start(error))) => {
                    tracing::warn!(code = %error.code(), "an agent failed to start");
                    self.fault();
                }
                Turn::Panicked => self.fault(),
                Turn::Abandoned => {}
            }
        }
    }

    /// A new agent, subscribed and started.
    async fn built(&self) -> Result<A, Unbuilt> {
        let mut agent = (self.shared.factory)();
        let mut subscribed = self.shared.topics.lock().await;
        for topic in agent.topics() {
            if !subscribed.contains(&topic) {
                self.subscribe(topic).await.map_err(|failure| Unbuilt::Topic(topic, failure))?;
                subscribed.insert(topic);
            }
        }
        drop(subscribed);
        agent.on_start(&self.bus).await.map_err(Unbuilt::Start)?;
        Ok(agent)
    }

    /// Subscribes, over as many links as it takes: that one ended in the middle of it is no word on the topic.
    async fn subscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        loop {
            match self.bus.subscribe(topic).await {
                Err(SendFailure::NoAnswer { .. } | SendFailure::NoLink | SendFailure::Unknown)
                    if self.shared.signals.is_open() =>
                {
                    sleep(AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Handles one message to its end, answer included.
    pub(crate) async fn handle(&mut self, mut arrived: Arrived<T::Origin>) {
        let traced = Traced::begin(&self.transport, &mut arrived);
        let Arrived { incoming, origin } = arrived;
        let span = tracing::debug_span!(
            "handle",
            message = %incoming.message.short(),
            correlation = %incoming.correlation.short(),
            capability = %incoming.capability,
            traceparent = tracing::field::Empty
        );
        if let Some(trace) = incoming.trace {
            span.record("traceparent", tracing::field::display(trace));
        }
        let answering = Answering::new(self.transport.clone(), origin, incoming.wants_reply);
        async {
            match delegated::open(incoming) {
                Ok(incoming) => self.work(incoming, answering, traced).await,
                Err(error) => {
                    let error = AgentError::bad_request(error);
                    end(traced, Some(&error));
                    answering.conclude(Err(error)).await;
                }
            }
        }
        .instrument(span)
        .await;
    }

    async fn work(&mut self, incoming: Incoming, answering: Arc<Answering>, traced: Option<Traced>) {
        let given = self.give(incoming, &answering).await;
        match &given {
            Turn::Ended(result) => end(traced, result.as_ref().err()),
            Turn::Abandoned => end(traced, Some(&stopped_error())),
            Turn::Panicked => end(traced, Some(&fault_error())),
        }
        match given {
            Turn::Ended(result) => answering.conclude(result).await,
            Turn::Abandoned => answering.conclude(Err(stopped_error())).await,
            Turn::Panicked => {
                self.throw_away();
                // A slow asker must not keep the agent from being rebuilt.
                tokio::join!(answering.conclude(Err(fault_error())), async {
                    self.fault();
                    self.start().await;
                });
            }
        }
    }

    /// The agent's last word.
    pub(crate) async fn stop(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let bus = &self.bus;
        if matches!(turn(&self.shared.signals, async { agent.on_stop(bus).await }).await, Turn::Panicked) {
            tracing::warn!("an agent panicked while it stopped");
        }
        self.throw_away();
    }

    /// Gives the agent its turn, unless it has had its last one.
    async fn give(
        &mut self,
        incoming: Incoming,
        answering: &Arc<Answering>,
    ) -> Turn<Result<Outcome, AgentError>> {
        let signals = &self.shared.signals;
        let Some(agent) = self.agent.as_mut().filter(|_| signals.is_open()) else {
            return Turn::Abandoned;
        };
        let context = Context::new(incoming.clone(), &self.bus, answering.clone());
        let turn = turn(signals, async { agent.handle(incoming, &context).await }).await;
        if matches!(turn, Turn::Abandoned) {
            // It was stopped in the middle of something: its state is not to be trusted.
            self.throw_away();
        }
        turn
    }

    fn fault(&self) {
        self.shared.signals.count_fault();
        match self.shared.intensity.borrow_mut().fault(Instant::now()) {
            Verdict::Rebuild => tracing::warn!("an agent failed and is built anew"),
            Verdict::GiveUp => {
                tracing::error!("an agent failed too often; its host stops");
                self.shared.signals.advance(Phase::Closing(Stopped::TooManyFaults));
            }
        }
    }

    fn throw_away(&mut self) {
        discard(self.agent.take());
    }
}

/// The handler's work has ended; of an error the trace gets the code alone.
fn end(traced: Option<Traced>, error: Option<&AgentError>) {
    if let Some(traced) = traced {
        traced.end(error.map(|error| error.code().to_string()));
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

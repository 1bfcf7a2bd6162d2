//! Agents made of closures, one per capability, with JSON in and out.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testudo_wire::{Capability, NameError, Resource};

use crate::agent::{Agent, Outcome};
use crate::context::Context;
use crate::error::{AgentError, ErrorCode};
use crate::incoming::Incoming;
use crate::message::To;
use crate::stream::ReplyStream;

type Handler = Arc<dyn Fn(Context) -> BoxFuture<'static, Result<Outcome, AgentError>> + Send + Sync>;

/// Why handlers make no agent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandlersError {
    /// The name of a capability or a topic breaks the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A capability has two handlers.
    #[error("two handlers for {0}")]
    Twice(Capability),
    /// A topic has two handlers.
    #[error("two handlers for the topic {0}")]
    TopicTwice(Resource),
}

/// Which handler gets what.
#[derive(Clone, Default)]
struct Table {
    capabilities: BTreeMap<Capability, Handler>,
    topics: BTreeMap<Resource, Handler>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("capabilities", &self.capabilities.keys())
            .field("topics", &self.topics.keys())
            .finish()
    }
}

/// Collects handlers; [`Handlers::build`] makes the agent.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Handlers {
    table: Table,
    wrong: Option<HandlersError>,
}

impl Handlers {
    /// No handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a capability, e.g. `read:logs`: the body is read as a JSON `Req`, the result answered as JSON.
    /// A body that does not read is answered `bad-request`. What is wrong with the name shows in
    /// [`Handlers::build`].
    pub fn on<Req, Resp, F, Fut>(self, capability: &str, handler: F) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        Resp: Serialize,
        F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, AgentError>> + Send + 'static,
    {
        self.serve(
            capability,
            Arc::new(move |context| {
                let work = read(&context).map(|request| handler(request, context));
                Box::pin(async move {
                    let response = work?.await?;
                    Outcome::json(&response)
                        .map_err(|_| AgentError::failed("the answer cannot be written as json"))
                })
            }),
        )
    }

    /// Serves a capability with an answer in parts, as [`Handlers::on`]. The handler ends the stream with
    /// [`ReplyStream::finish`]; an error that it returns before is the last part.
    pub fn on_stream<Req, F, Fut>(self, capability: &str, handler: F) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        F: Fn(Req, Context, ReplyStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), AgentError>> + Send + 'static,
    {
        self.serve(
            capability,
            Arc::new(move |context| {
                let work = read(&context).and_then(|request| {
                    let stream = context.stream()?;
                    Ok(handler(request, context, stream))
                });
                Box::pin(async move { work?.await.map(|()| Outcome::Done) })
            }),
        )
    }

    /// Hears a topic, e.g. `alerts`: the body is read as a JSON `Event`. One that does not read is dropped
    /// and logged, as is an error of the handler: nobody waits to hear it.
    pub fn on_topic<Event, F, Fut>(mut self, topic: &str, handler: F) -> Self
    where
        Event: DeserializeOwned + Send + 'static,
        F: Fn(Event, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), AgentError>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |context| {
            let work = read(&context).map(|event| handler(event, context));
            Box::pin(async move { work?.await.map(|()| Outcome::Done) })
        });
        let wrong = match Resource::parse(topic) {
            Ok(topic) => self.table.topics.insert(topic, handler).map(|_| HandlersError::TopicTwice(topic)),
            Err(error) => Some(error.into()),
        };
        self.wrong = self.wrong.or(wrong);
        self
    }

    fn serve(mut self, capability: &str, handler: Handler) -> Self {
        let wrong = match Capability::parse(capability) {
            Ok(capability) => {
                self.table.capabilities.insert(capability, handler).map(|_| HandlersError::Twice(capability))
            }
            Err(error) => Some(error.into()),
        };
        self.wrong = self.wrong.or(wrong);
        self
    }

    /// The agent. Its clones share the closures, so a factory may be `move || served.clone()`; state that
    /// must be fresh after a fault belongs in an [`Agent`] of its own.
    ///
    /// # Errors
    /// [`HandlersError`], the first one.
    pub fn build(self) -> Result<Served, HandlersError> {
        self.wrong.map_or_else(|| Ok(Served { table: Arc::new(self.table) }), Err)
    }
}

/// An agent made of [`Handlers`]. What it does not serve is answered `not-served`.
#[derive(Clone, Debug)]
pub struct Served {
    table: Arc<Table>,
}

impl Served {
    /// What it serves.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        self.table.capabilities.keys().copied()
    }
}

impl Agent for Served {
    fn topics(&self) -> Vec<Resource> {
        self.table.topics.keys().copied().collect()
    }

    async fn handle(&mut self, incoming: Incoming, context: &Context) -> Result<Outcome, AgentError> {
        let handler = match incoming.to {
            To::Topic(topic) => self.table.topics.get(&topic),
            To::Agent(_) | To::Service => self.table.capabilities.get(&incoming.capability),
        };
        let Some(handler) = handler else {
            let message = format!("{} is not served here", incoming.capability);
            return Err(AgentError::new(ErrorCode::NOT_SERVED, message));
        };
        handler(context.clone()).await
    }
}

fn read<Req: DeserializeOwned>(context: &Context) -> Result<Req, AgentError> {
    context.incoming().json().map_err(AgentError::bad_request)
}

//! Agents made of closures, one per capability, with JSON in and out.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testudo_wire::{Capability, Holder, NameError};

use crate::agent::{Agent, Outcome};
use crate::bus::Bus;
use crate::error::{AgentError, ErrorCode};
use crate::message::Incoming;

type Handler = Arc<dyn Fn(Incoming, Bus) -> BoxFuture<'static, Result<Outcome, AgentError>> + Send + Sync>;

/// What a handler may know beside its request.
#[derive(Clone, Debug)]
pub struct Context {
    incoming: Incoming,
    bus: Bus,
}

impl Context {
    /// The way to other agents; carries the correlation id of this message on.
    #[must_use]
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Who asks, as proved.
    #[must_use]
    pub const fn sender(&self) -> &Holder {
        &self.incoming.sender
    }

    /// The whole message.
    #[must_use]
    pub const fn incoming(&self) -> &Incoming {
        &self.incoming
    }
}

/// Why handlers make no agent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandlersError {
    /// The name of a capability breaks the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A capability has two handlers.
    #[error("two handlers for {0}")]
    Twice(Capability),
}

/// Collects handlers; [`Handlers::build`] makes the agent.
#[must_use]
#[derive(Clone, Default)]
pub struct Handlers {
    handlers: BTreeMap<Capability, Handler>,
    wrong: Option<HandlersError>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("capabilities", &self.handlers.keys())
            .field("wrong", &self.wrong)
            .finish()
    }
}

impl Handlers {
    /// No handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a capability, e.g. `read:logs`: the body is read as a JSON `Req`, the result answered as JSON.
    /// A body that does not read is answered `bad-request`. What is wrong with the name shows in
    /// [`Handlers::build`].
    pub fn on<Req, Resp, F, Fut>(mut self, capability: &str, handler: F) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        Resp: Serialize,
        F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Resp, AgentError>> + Send + 'static,
    {
        let wrong = match Capability::parse(capability) {
            Ok(capability) => {
                self.handlers.insert(capability, typed(handler)).map(|_| HandlersError::Twice(capability))
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
        self.wrong.map_or_else(|| Ok(Served { handlers: Arc::new(self.handlers) }), Err)
    }
}

/// An agent made of [`Handlers`]. What it does not serve is answered `not-served`.
#[derive(Clone)]
pub struct Served {
    handlers: Arc<BTreeMap<Capability, Handler>>,
}

impl Served {
    /// What it serves.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        self.handlers.keys().copied()
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("capabilities", &self.handlers.keys()).finish()
    }
}

impl Agent for Served {
    async fn handle(&mut self, incoming: Incoming, bus: &Bus) -> Result<Outcome, AgentError> {
        let capability = incoming.capability;
        let Some(handler) = self.handlers.get(&capability) else {
            return Err(AgentError::new(
                ErrorCode::NOT_SERVED,
                format_args!("{capability} is not served here"),
            ));
        };
        handler(incoming, bus.clone()).await
    }
}

fn typed<Req, Resp, F, Fut>(handler: F) -> Handler
where
    Req: DeserializeOwned + Send + 'static,
    Resp: Serialize,
    F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp, AgentError>> + Send + 'static,
{
    Arc::new(move |incoming, bus| {
        let answer = incoming
            .json()
            .map_err(AgentError::bad_request)
            .map(|request| handler(request, Context { incoming, bus }));
        Box::pin(async move {
            let response = answer?.await?;
            Outcome::json(&response).map_err(|_| AgentError::failed("the answer cannot be written as json"))
        })
    })
}

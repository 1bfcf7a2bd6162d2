//! The handle by which an agent speaks. It hides which transport is below, so that agents need not be
//! generic.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testudo_wire::header::TraceParent;
use testudo_wire::{AgentName, Capability, CorrelationId};

use crate::error::{AgentError, AskError, SendFailure, error_content_type};
use crate::message::{Answer, Incoming, Message, Receipt};
use crate::transport::Transport;

/// Sends messages under the agent's identity. Cheap to clone; a clone may outlive the handler it came from.
///
/// While a message is handled its correlation id and trace context are carried on by default.
#[derive(Clone)]
pub struct Bus {
    carrier: Arc<dyn Carrier>,
    correlation: Option<CorrelationId>,
    trace: Option<TraceParent>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("correlation", &self.correlation).finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus over a transport, about no message in particular.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        Self { carrier: Arc::new(transport), correlation: None, trace: None }
    }

    /// The same bus, about this message.
    pub(crate) fn about(&self, incoming: &Incoming) -> Self {
        Self { carrier: self.carrier.clone(), correlation: Some(incoming.correlation), trace: incoming.trace }
    }

    /// The piece of work that is carried on by default.
    #[must_use]
    pub const fn correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// Sends a message and waits for the durable word that it was accepted.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn tell(&self, message: Message) -> Result<Receipt, SendFailure> {
        self.carrier.tell(self.carry_on(message)).await
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// [`SendFailure`]; an error of the other side is [`SendFailure::Remote`].
    pub async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let answer = self.carrier.request(self.carry_on(message)).await?;
        if answer.content_type == error_content_type() {
            let error = AgentError::from_body(&answer.body);
            let message = error.message().to_owned();
            return Err(SendFailure::Remote { code: error.code().clone(), message });
        }
        Ok(answer)
    }

    /// Asks in JSON and waits for an answer in JSON, with the default time to live. For anything else:
    /// [`Message::json`], [`Bus::request`], [`Answer::json`].
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<Req, Resp>(
        &self,
        to: AgentName,
        capability: Capability,
        question: &Req,
    ) -> Result<Resp, AskError>
    where
        Req: Serialize + Sync,
        Resp: DeserializeOwned,
    {
        let message = Message::json(to, capability, question).map_err(AskError::Question)?;
        self.request(message).await?.json().map_err(AskError::Answer)
    }

    fn carry_on(&self, mut message: Message) -> Message {
        message.correlation = message.correlation.or(self.correlation);
        message.trace = message.trace.or(self.trace);
        message
    }
}

/// [`Transport`] as an object: what an agent may do with it.
trait Carrier: Send + Sync {
    fn tell(&self, message: Message) -> BoxFuture<'_, Result<Receipt, SendFailure>>;
    fn request(&self, message: Message) -> BoxFuture<'_, Result<Answer, SendFailure>>;
}

impl<T: Transport> Carrier for T {
    fn tell(&self, message: Message) -> BoxFuture<'_, Result<Receipt, SendFailure>> {
        Box::pin(Transport::tell(self, message))
    }

    fn request(&self, message: Message) -> BoxFuture<'_, Result<Answer, SendFailure>> {
        Box::pin(Transport::request(self, message))
    }
}

//! The handle by which an agent speaks. It hides which transport is below, so that agents need not be
//! generic.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testudo_wire::header::TraceParent;
use testudo_wire::{Capability, CorrelationId, MessageId, Resource, TokenId};

use crate::carrier::Carrier;
use crate::error::{AgentError, error_content_type};
use crate::failure::{AskError, SendFailure};
use crate::incoming::{Answer, Incoming, Receipt};
use crate::message::{Message, To};
use crate::parts::AnswerParts;
use crate::token::{Delegate, TokenText};
use crate::transport::{Transport, Wish};

/// Sends messages under the agent's identity. Cheap to clone; a clone may outlive the handler it came from.
///
/// While a message is handled its correlation id and trace context are carried on by default.
#[derive(Clone)]
pub struct Bus {
    carrier: Arc<dyn Carrier>,
    correlation: Option<CorrelationId>,
    trace: Option<TraceParent>,
    under: Option<Arc<Presented>>,
}

/// A token that messages go under.
struct Presented {
    text: TokenText,
    id: TokenId,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("correlation", &self.correlation)
            .field("under", &self.under.as_ref().map(|token| token.id))
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus over a transport, about no message in particular.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        Self { carrier: Arc::new(transport), correlation: None, trace: None, under: None }
    }

    /// The same bus, about this message.
    pub(crate) fn about(&self, incoming: &Incoming) -> Self {
        Self { correlation: Some(incoming.correlation), trace: incoming.trace, ..self.clone() }
    }

    /// The same bus, as part of this trace: what goes over it is recorded by those who trace, if the context is sampled.
    #[must_use]
    pub fn under_trace(&self, trace: TraceParent) -> Self {
        Self { trace: Some(trace), ..self.clone() }
    }

    /// The trace that is carried on by default.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// The piece of work that is carried on by default.
    #[must_use]
    pub const fn correlation(&self) -> Option<CorrelationId> {
        self.correlation
    }

    /// Sends a message: `bus.tell(message).await` waits for the durable word that it was accepted,
    /// `bus.tell(message).receipt(Wish::Delivered).await` for the receiver's own.
    pub fn tell(&self, message: Message) -> Tell {
        Tell { carrier: self.carrier.clone(), message: self.carry_on(message), wish: Wish::Accepted }
    }

    /// Sends a message and waits for nothing but room to send it.
    ///
    /// # Errors
    /// [`SendFailure`], as far as it shows at once.
    pub async fn post(&self, message: Message) -> Result<MessageId, SendFailure> {
        self.carrier.post(self.carry_on(message)).await
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// [`SendFailure`]; an error of the other side is [`SendFailure::Remote`], an answer in several parts
    /// [`SendFailure::InParts`].
    pub async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let answer = not_an_error(self.carrier.request(self.carry_on(message)).await?)?;
        if answer.part.is_some_and(|part| part.index > 0 || !part.last) {
            return Err(SendFailure::InParts);
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
        to: impl Into<To> + Send,
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

    /// Sends a message whose answer may come in parts.
    ///
    /// # Errors
    /// [`SendFailure`], as far as it shows at once; the rest comes in place of a part.
    pub async fn stream(&self, message: Message) -> Result<AnswerParts, SendFailure> {
        self.carrier.stream(self.carry_on(message)).await.map(AnswerParts::new)
    }

    /// Sends a value in JSON to all subscribers of a topic, without a receipt. For one: [`Bus::tell`] of
    /// [`Message::topic`].
    ///
    /// # Errors
    /// [`AskError::Question`] when the value cannot be written as JSON, or [`AskError::Send`].
    pub async fn publish(
        &self,
        topic: Resource,
        value: &(impl Serialize + Sync),
    ) -> Result<MessageId, AskError> {
        let message = Message::topic_json(topic, value).map_err(AskError::Question)?;
        Ok(self.post(message).await?)
    }

    /// Subscribes to a topic. Topics that an agent always wants are said in [`crate::Agent::topics`].
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn subscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        self.carrier.subscribe(topic).await
    }

    /// Ends a subscription; one that is none has ended.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn unsubscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        self.carrier.unsubscribe(topic).await
    }

    /// The same bus, under a token that this agent holds.
    ///
    /// # Errors
    /// [`SendFailure`] when the token is not taken.
    pub async fn on_behalf(&self, token: &TokenText) -> Result<Self, SendFailure> {
        let id = self.carrier.present(token).await?;
        Ok(Self { under: Some(Arc::new(Presented { text: token.clone(), id })), ..self.clone() })
    }

    /// Makes a token for another agent, from the token that this bus goes under.
    /// [`Message::under`] sends it along.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn delegate(&self, delegate: &Delegate) -> Result<TokenText, SendFailure> {
        self.delegate_from(self.under.as_ref().map(|token| &token.text), delegate).await
    }

    pub(crate) async fn delegate_from(
        &self,
        from: Option<&TokenText>,
        delegate: &Delegate,
    ) -> Result<TokenText, SendFailure> {
        self.carrier.delegate(from, delegate).await
    }

    fn carry_on(&self, mut message: Message) -> Message {
        message.correlation = message.correlation.or(self.correlation);
        message.trace = message.trace.or(self.trace);
        message.token = message.token.or_else(|| self.under.as_ref().map(|token| token.id));
        message
    }
}

/// A message about to be told; awaiting it sends it.
#[must_use = "nothing is sent before it is awaited"]
pub struct Tell {
    carrier: Arc<dyn Carrier>,
    message: Message,
    wish: Wish,
}

impl Tell {
    /// What to wait for; [`Wish::Accepted`] when nothing is said.
    pub const fn receipt(mut self, wish: Wish) -> Self {
        self.wish = wish;
        self
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell")
            .field("message", &self.message)
            .field("wish", &self.wish)
            .finish_non_exhaustive()
    }
}

impl IntoFuture for Tell {
    type Output = Result<Receipt, SendFailure>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.carrier.tell(self.message, self.wish).await })
    }
}

/// Tells an answer from an error of the other side.
pub(crate) fn not_an_error(answer: Answer) -> Result<Answer, SendFailure> {
    if answer.content_type != error_content_type() {
        return Ok(answer);
    }
    let error = AgentError::from_body(&answer.body);
    Err(SendFailure::Remote { code: error.code().clone(), message: error.message().to_owned() })
}

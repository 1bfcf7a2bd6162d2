//! What a host needs of whatever carries its messages.
//!
//! The root crate implements these traits over a link of the bus; tests do so in memory.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use testudo_wire::{ContentType, MessageId, Part, Resource, Spans, TokenId, TraceParent};
use tokio::time::Instant;

use crate::failure::SendFailure;
use crate::incoming::{Answer, Incoming, Receipt};
use crate::message::Message;
use crate::token::{Delegate, TokenText};

/// What to wait for when a message is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wish {
    /// The node's word that the verdict is durable.
    #[default]
    Accepted,
    /// The receiver's signed word that the message arrived.
    Delivered,
}

/// Carries the words of one agent. Clones are the same link, over all its reconnects.
///
/// A message that finds no link within its time to live is [`SendFailure::NoLink`]; what a lost link leaves
/// open is [`SendFailure::Unknown`] and never sent again.
pub trait Transport: Clone + Send + Sync + 'static {
    /// What [`Transport::reply`] needs of the message it answers, such as the delivery itself.
    type Origin: Send + Sync + 'static;
    /// The parts of an answer.
    type Parts: Parts;

    /// Sends a message and waits for the word that is wished for.
    fn tell(&self, message: Message, wish: Wish)
    -> impl Future<Output = Result<Receipt, SendFailure>> + Send;

    /// Sends a message and waits for nothing but room.
    fn post(&self, message: Message) -> impl Future<Output = Result<MessageId, SendFailure>> + Send;

    /// Sends a message and waits for its answer, at most its time to live and a little. An answer that is
    /// an error is an answer here; [`crate::Bus`] tells them apart. Of an answer in parts it is the first
    /// one, and the rest is cancelled. Dropping the future cancels the request.
    fn request(&self, message: Message) -> impl Future<Output = Result<Answer, SendFailure>> + Send;

    /// Sends a message whose answer may come in parts. Ready when it is sent; what goes wrong later comes
    /// instead of a part.
    fn stream(&self, message: Message) -> impl Future<Output = Result<Self::Parts, SendFailure>> + Send;

    /// Subscribes to a topic, also on each later link; waits for one if there is none. An error is final.
    fn subscribe(&self, topic: Resource) -> impl Future<Output = Result<(), SendFailure>> + Send;

    /// Ends a subscription; one that is none has ended.
    fn unsubscribe(&self, topic: Resource) -> impl Future<Output = Result<(), SendFailure>> + Send;

    /// Answers a request. Cancel safe: a future that is dropped before it was ready has sent nothing.
    fn reply(
        &self,
        to: &Self::Origin,
        content_type: ContentType,
        body: Bytes,
    ) -> impl Future<Output = Result<(), SendFailure>> + Send;

    /// Sends a part of an answer; waits for credit, and that is the back-pressure. Cancel safe, as
    /// [`Transport::reply`]. [`SendFailure::Cancelled`] when the requester no longer waits, also in the
    /// middle of waiting.
    fn reply_part(
        &self,
        to: &Self::Origin,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> impl Future<Output = Result<(), SendFailure>> + Send;

    /// Ready when the requester has cancelled or is gone.
    fn cancelled(&self, to: &Self::Origin) -> impl Future<Output = ()> + Send;

    /// Presents a token that this agent holds, on this and each later link, so that messages may go under
    /// it. Presenting it again costs nothing.
    fn present(&self, token: &TokenText) -> impl Future<Output = Result<TokenId, SendFailure>> + Send;

    /// Makes a token for another agent: looks up its key, signs with this agent's. From the identity's own
    /// token when `from` is `None`.
    fn delegate(
        &self,
        from: Option<&TokenText>,
        delegate: &Delegate,
    ) -> impl Future<Output = Result<TokenText, SendFailure>> + Send;

    /// Who takes the spans of traced messages; nobody, unless a transport says so.
    fn spans(&self) -> Option<Arc<dyn Spans>> {
        None
    }

    /// When a traced message came in, as far as the transport knows.
    fn arrived(&self, _: &Self::Origin) -> Option<Instant> {
        None
    }

    /// From here on the trace of a message goes on under this context, in its answer, too.
    fn carry_on(&self, _: &mut Self::Origin, _: TraceParent) {}

    /// The agent failed too often: asks the node to revoke and report it. Said at most once, right before
    /// [`Transport::goodbye`]. Also called when the link has ended already.
    fn failed(&self) -> impl Future<Output = ()> + Send;

    /// Leaves in good order. Also called when the link has ended already.
    fn goodbye(&self) -> impl Future<Output = ()> + Send;
}

/// The parts of an answer in their order. Dropping it before the end cancels the request.
pub trait Parts: Send + 'static {
    /// The next part, or the whole answer if it came in one; `None` after the last. Must be cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<Result<Answer, SendFailure>>> + Send;
}

/// A message and what it takes to answer it.
#[derive(Clone, Debug)]
pub struct Arrived<O> {
    /// The message.
    pub incoming: Incoming,
    /// For [`Transport::reply`].
    pub origin: O,
}

/// Verified messages in the order of arrival. Bounded by whoever fills it: the host takes no more than its
/// queue holds and lets the rest wait.
pub trait Inbox: Send + 'static {
    /// The same as the transport's.
    type Origin;

    /// The next message; `None` when the link has ended for good. Must be cancel safe: a future that is
    /// dropped before it was ready has taken no message.
    fn next(&mut self) -> impl Future<Output = Option<Arrived<Self::Origin>>> + Send;
}

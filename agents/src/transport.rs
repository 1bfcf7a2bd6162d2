//! What a host needs of whatever carries its messages.
//!
//! The root crate implements both traits over a link of the bus; tests do so in memory.

use std::future::Future;

use bytes::Bytes;
use testudo_wire::ContentType;

use crate::error::SendFailure;
use crate::message::{Answer, Incoming, Message, Receipt};

/// Carries the words of one agent. Clones are the same link.
pub trait Transport: Clone + Send + Sync + 'static {
    /// What [`Transport::reply`] needs of the message it answers, such as the delivery itself.
    type Origin: Send + Sync + 'static;

    /// Sends a message and waits for the durable word that it was accepted.
    fn tell(&self, message: Message) -> impl Future<Output = Result<Receipt, SendFailure>> + Send;

    /// Sends a message and waits for its answer, at most its time to live and a little. An answer that is
    /// an error is an answer here; [`crate::Bus`] tells them apart.
    fn request(&self, message: Message) -> impl Future<Output = Result<Answer, SendFailure>> + Send;

    /// Answers a request.
    fn reply(
        &self,
        to: &Self::Origin,
        content_type: ContentType,
        body: Bytes,
    ) -> impl Future<Output = Result<(), SendFailure>> + Send;

    /// Leaves in good order. Also called when the link has ended already.
    fn goodbye(&self) -> impl Future<Output = ()> + Send;
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

    /// The next message; `None` when the link has ended. Must be cancel safe: a future that is dropped
    /// before it was ready has taken no message.
    fn next(&mut self) -> impl Future<Output = Option<Arrived<Self::Origin>>> + Send;
}

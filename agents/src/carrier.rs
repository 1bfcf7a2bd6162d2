//! [`Transport`] as an object: what an agent may do with it, so that agents need not be generic.

use futures_util::future::{BoxFuture, FutureExt};
use testudo_wire::{MessageId, Resource, TokenId};

use crate::failure::SendFailure;
use crate::incoming::{Answer, Receipt};
use crate::message::Message;
use crate::token::{Delegate, TokenText};
use crate::transport::{Parts, Transport, Wish};

type Sent<'a, R> = BoxFuture<'a, Result<R, SendFailure>>;

pub(crate) trait Carrier: Send + Sync {
    fn tell(&self, message: Message, wish: Wish) -> Sent<'_, Receipt>;
    fn post(&self, message: Message) -> Sent<'_, MessageId>;
    fn request(&self, message: Message) -> Sent<'_, Answer>;
    fn stream(&self, message: Message) -> Sent<'_, Box<dyn Coming>>;
    fn subscribe(&self, topic: Resource) -> Sent<'_, ()>;
    fn unsubscribe(&self, topic: Resource) -> Sent<'_, ()>;
    fn present<'a>(&'a self, token: &'a TokenText) -> Sent<'a, TokenId>;
    fn delegate<'a>(&'a self, from: Option<&'a TokenText>, delegate: &'a Delegate) -> Sent<'a, TokenText>;
}

impl<T: Transport> Carrier for T {
    fn tell(&self, message: Message, wish: Wish) -> Sent<'_, Receipt> {
        Transport::tell(self, message, wish).boxed()
    }

    fn post(&self, message: Message) -> Sent<'_, MessageId> {
        Transport::post(self, message).boxed()
    }

    fn request(&self, message: Message) -> Sent<'_, Answer> {
        Transport::request(self, message).boxed()
    }

    fn stream(&self, message: Message) -> Sent<'_, Box<dyn Coming>> {
        let parts = Transport::stream(self, message);
        async move { Ok(Box::new(parts.await?) as Box<dyn Coming>) }.boxed()
    }

    fn subscribe(&self, topic: Resource) -> Sent<'_, ()> {
        Transport::subscribe(self, topic).boxed()
    }

    fn unsubscribe(&self, topic: Resource) -> Sent<'_, ()> {
        Transport::unsubscribe(self, topic).boxed()
    }

    fn present<'a>(&'a self, token: &'a TokenText) -> Sent<'a, TokenId> {
        Transport::present(self, token).boxed()
    }

    fn delegate<'a>(&'a self, from: Option<&'a TokenText>, delegate: &'a Delegate) -> Sent<'a, TokenText> {
        Transport::delegate(self, from, delegate).boxed()
    }
}

/// [`Parts`] as an object.
pub(crate) trait Coming: Send {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Answer, SendFailure>>>;
}

impl<P: Parts> Coming for P {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Answer, SendFailure>>> {
        Parts::next(self).boxed()
    }
}

//! The one file that knows actix: a generic actor around a [`Keeper`], and its door.
//!
//! actix's mailbox capacity is no bound, so a permit travels inside each message and comes back when the
//! message is handled. The keeper is lent to a future on which the context waits: one message at a time.

use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::agent::Agent;
use crate::host::Stopped;
use crate::keeper::Keeper;
use crate::signals::{Phase, Signals};
use crate::transport::{Arrived, Transport};

type Kept<T, F, A> = Box<Keeper<T, F, A>>;

struct Shell<T, F, A> {
    /// `None` while it is lent to the future that works.
    keeper: Option<Kept<T, F, A>>,
    signals: Arc<Signals>,
}

impl<T, F, A> Drop for Shell<T, F, A> {
    /// An end that nobody asked for must not pass for an idle agent.
    fn drop(&mut self) {
        self.signals.advance(Phase::Closing(Stopped::Crashed));
    }
}

impl<T, F, A> Shell<T, F, A>
where
    T: Transport,
    F: Fn() -> A + Send + 'static,
    A: Agent,
{
    /// Lends the keeper to a piece of work; no other message is looked at before it ends.
    fn lend<W>(&mut self, context: &mut Context<Self>, work: impl FnOnce(Kept<T, F, A>) -> W)
    where
        W: Future<Output = Kept<T, F, A>> + 'static,
    {
        if let Some(keeper) = self.keeper.take() {
            context.wait(work(keeper).into_actor(self).map(|keeper, shell, _| shell.keeper = Some(keeper)));
        }
    }
}

impl<T, F, A> Actor for Shell<T, F, A>
where
    T: Transport,
    F: Fn() -> A + Send + 'static,
    A: Agent,
{
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.lend(context, |mut keeper| async move {
            keeper.start().await;
            keeper
        });
    }
}

struct Deliver<O> {
    arrived: Arrived<O>,
    place: Place,
}

impl<O> Message for Deliver<O> {
    type Result = ();
}

impl<T, F, A> Handler<Deliver<T::Origin>> for Shell<T, F, A>
where
    T: Transport,
    F: Fn() -> A + Send + 'static,
    A: Agent,
{
    type Result = ();

    fn handle(&mut self, message: Deliver<T::Origin>, context: &mut Context<Self>) {
        let Deliver { arrived, place } = message;
        self.lend(context, |mut keeper| async move {
            keeper.handle(arrived).await;
            drop(place);
            keeper
        });
    }
}

/// The last message; the answer is its being dropped.
struct Close(oneshot::Sender<()>);

impl Message for Close {
    type Result = ();
}

impl<T, F, A> Handler<Close> for Shell<T, F, A>
where
    T: Transport,
    F: Fn() -> A + Send + 'static,
    A: Agent,
{
    type Result = ();

    fn handle(&mut self, Close(closed): Close, context: &mut Context<Self>) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let work = async move {
            keeper.stop().await;
            drop(closed);
        };
        context.wait(work.into_actor(self).map(|(), _, context| context.stop()));
    }
}

/// The actor is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// Room for one message, given back when it is handled.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// The way to the actor.
pub(crate) struct Door<O: Send + 'static> {
    deliver: Recipient<Deliver<O>>,
    close: Recipient<Close>,
    places: Arc<Semaphore>,
    queue: u16,
}

impl<O: Send + 'static> Door<O> {
    /// Starts the actor on the current arbiter.
    pub(crate) fn open<T, F, A>(keeper: Keeper<T, F, A>, signals: Arc<Signals>, queue: u16) -> Self
    where
        T: Transport<Origin = O>,
        F: Fn() -> A + Send + 'static,
        A: Agent,
    {
        let actor = Shell::create(|context| {
            // Permits bound the mailbox; its own capacity must only never be in their way.
            context.set_mailbox_capacity(usize::from(queue) + 2);
            Shell { keeper: Some(Box::new(keeper)), signals }
        });
        let places = Arc::new(Semaphore::new(usize::from(queue)));
        Self { deliver: actor.clone().recipient(), close: actor.recipient(), places, queue }
    }

    /// Waits for room. Cancel safe.
    pub(crate) async fn place(&self) -> Result<Place, Gone> {
        self.places.clone().acquire_owned().await.map(Place).map_err(|_| Gone)
    }

    /// Hands a message over; never waits.
    pub(crate) fn put(&self, arrived: Arrived<O>, place: Place) -> Result<(), Gone> {
        self.deliver.try_send(Deliver { arrived, place }).map_err(|_| Gone)
    }

    /// Waits until every message that was put is handled.
    pub(crate) async fn drained(&self) {
        let _ = self.places.acquire_many(u32::from(self.queue)).await;
    }

    /// Lets the agent say its last word and ends the actor.
    pub(crate) async fn close(&self) {
        let (closed, word) = oneshot::channel();
        if self.close.try_send(Close(closed)).is_ok() {
            let _ = word.await;
        }
    }
}

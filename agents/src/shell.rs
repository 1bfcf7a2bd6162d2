//! The one file that knows actix: a generic actor around a [`Keeper`], and the door to it.
//!
//! actix's mailbox capacity is no bound, so a permit travels inside each message and comes back when the
//! message is handled. The keeper is lent to a future on which the context waits: one message at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use futures_util::future::join_all;
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

/// The actor for which there is room, once for each message that it may hold.
type Slots = Arc<Mutex<VecDeque<usize>>>;

/// Room for one message with one actor, given back when it is handled.
#[derive(Debug)]
pub(crate) struct Place {
    actor: usize,
    slots: Slots,
    /// Released after the slot is back.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.actor);
    }
}

/// The way to one actor.
struct Way<O: Send + 'static> {
    deliver: Recipient<Deliver<O>>,
    close: Recipient<Close>,
}

/// The way to the actors of one host.
pub(crate) struct Door<O: Send + 'static> {
    ways: Vec<Way<O>>,
    slots: Slots,
    permits: Arc<Semaphore>,
    places: u32,
}

impl<O: Send + 'static> Door<O> {
    /// Starts an actor for each keeper on the current arbiter. One alone has `queue` places; several have one
    /// each, so that nothing waits behind a long message while another is idle.
    pub(crate) fn open<T, F, A>(keepers: Vec<Keeper<T, F, A>>, signals: &Arc<Signals>, queue: u16) -> Self
    where
        T: Transport<Origin = O>,
        F: Fn() -> A + Send + 'static,
        A: Agent,
    {
        let slots: VecDeque<usize> =
            if keepers.len() > 1 { (0..keepers.len()).collect() } else { vec![0; usize::from(queue)].into() };
        let ways = keepers.into_iter().map(|keeper| {
            let actor = Shell::create(|context| {
                // Permits bound the mailbox; its own capacity must only never be in their way.
                context.set_mailbox_capacity(usize::from(queue) + 2);
                Shell { keeper: Some(Box::new(keeper)), signals: signals.clone() }
            });
            Way { deliver: actor.clone().recipient(), close: actor.recipient() }
        });
        let ways = ways.collect();
        let permits = Arc::new(Semaphore::new(slots.len()));
        let places = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        Self { ways, slots: Arc::new(Mutex::new(slots)), permits, places }
    }

    /// Waits for room. Cancel safe.
    pub(crate) async fn place(&self) -> Result<Place, Gone> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Gone)?;
        // There are as many slots as permits, and each comes back before its permit.
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let actor = slot.ok_or(Gone)?;
        Ok(Place { actor, slots: self.slots.clone(), _permit: permit })
    }

    /// Hands a message over; never waits.
    pub(crate) fn put(&self, arrived: Arrived<O>, place: Place) -> Result<(), Gone> {
        let way = self.ways.get(place.actor).ok_or(Gone)?;
        way.deliver.try_send(Deliver { arrived, place }).map_err(|_| Gone)
    }

    /// Waits until every message that was put is handled.
    pub(crate) async fn drained(&self) {
        let _ = self.permits.acquire_many(self.places).await;
    }

    /// Lets the agents say their last word and ends the actors.
    pub(crate) async fn close(&self) {
        let words = self.ways.iter().map(|way| async {
            let (closed, word) = oneshot::channel();
            if way.close.try_send(Close(closed)).is_ok() {
                let _ = word.await;
            }
        });
        join_all(words).await;
    }
}

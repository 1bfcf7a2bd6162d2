//! The actix shell around the keeper: one verb at a time, and ticks.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, Message, WrapFuture,
};
use testudo_wire::Timestamp;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::door::{RegistryDoor, Shared};
use super::keeper::{Keeper, Links};
use super::vault::{Durability, Vault};
use super::{RegistryParts, StartError};
use crate::barrier::WriterBarrier;
use crate::book::{Book, Trusted};
use crate::snapshot::{Directory, Publisher, Update};
use crate::store::{Batch, Store};

/// The registry actor, ready to be launched.
pub struct Registry {
    keeper: Arc<Mutex<Keeper>>,
    shared: Arc<Shared>,
    directory: Directory,
    barrier: WriterBarrier,
    invited: watch::Receiver<Option<Timestamp>>,
    /// Between two ticks.
    tick: Duration,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("sequence", &self.directory.sequence()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads the store and publishes the first directory. Blocks on the disk; needs a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]: nothing is served from a store that cannot be trusted.
    pub fn open(parts: RegistryParts) -> Result<Self, StartError> {
        let RegistryParts { mut store, journal, clock, rules, witnessed, trusted, barrier } = parts;
        let contents = store.load()?;
        if contents.sequence < witnessed {
            return Err(StartError::RolledBack { stored: contents.sequence, witnessed });
        }
        let shared = Arc::new(Shared::new(rules.agents_max));
        let mut book = Book::restore(contents, rules, shared.now())?;
        take_up(&mut book, &mut *store, trusted, clock())?;
        let (publisher, directory) = Publisher::new(Update {
            sequence: book.sequence(),
            standings: book.standings().collect(),
            tokens: book.revoked_tokens().collect(),
            authorities: Some(book.trusted().authorities.clone()),
            resident: None,
        });
        let (invited, until) = watch::channel(book.invited_until(clock()));
        let vault = Vault::new(store, journal, Arc::clone(&clock));
        let keeper = Keeper {
            book,
            vault,
            publisher,
            barrier: barrier.clone(),
            links: Links::default(),
            clock,
            shared: Arc::clone(&shared),
            ticked: Instant::now(),
            invited,
        };
        let (keeper, tick) = (Arc::new(Mutex::new(keeper)), rules.tick());
        Ok(Self { keeper, shared, directory, barrier, invited: until, tick })
    }

    /// Starts the actor in the current actix system and returns its door.
    #[must_use]
    pub fn launch(self) -> RegistryDoor {
        let (shared, directory, barrier) =
            (Arc::clone(&self.shared), self.directory.clone(), self.barrier.clone());
        let invited = self.invited.clone();
        RegistryDoor::new(self.start(), shared, directory, barrier, invited)
    }

    /// The next tick's time begins when this one has ended: after a pause there is one, not a burst.
    fn arm(&self, ctx: &mut Context<Self>) {
        ctx.run_later(self.tick, |registry, ctx| {
            let keeper = Arc::clone(&registry.keeper);
            let tick = async move { keeper.lock().await.tick().await };
            ctx.wait(tick.into_actor(registry).map(|(), registry, ctx| registry.arm(ctx)));
        });
    }
}

/// The keys may be ahead: a crash came before their statement was taken up. Behind they must not be.
fn take_up(
    book: &mut Book,
    store: &mut dyn Store,
    trusted: Trusted,
    at: Timestamp,
) -> Result<(), StartError> {
    let Some(change) = book.take_up(trusted.clone(), at)? else {
        book.go_by(trusted);
        return Ok(());
    };
    store.commit(&Batch { sequence: change.sequence, trust: trusted.mark, ..Batch::default() })?;
    book.apply(&change);
    Ok(())
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.arm(ctx);
    }
}

/// Something that can be asked of the keeper.
pub(super) trait Verb: Send + 'static {
    type Answer: Send + 'static;

    fn run(self, keeper: &mut Keeper) -> impl Future<Output = Self::Answer>;
}

/// A verb in the mailbox. The permit is the bound: an actix mailbox has none that holds.
pub(super) struct Ask<V> {
    pub(super) verb: V,
    pub(super) permit: OwnedSemaphorePermit,
}

impl<V: Verb> Message for Ask<V> {
    type Result = V::Answer;
}

impl<V: Verb> Handler<Ask<V>> for Registry {
    type Result = AtomicResponse<Self, V::Answer>;

    fn handle(&mut self, ask: Ask<V>, _: &mut Self::Context) -> Self::Result {
        let keeper = Arc::clone(&self.keeper);
        let work = async move {
            let mut keeper = keeper.lock().await;
            keeper.catch_up().await;
            let answer = ask.verb.run(&mut keeper).await;
            drop(ask.permit);
            answer
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// Ends the actor; the answer is sent before.
pub(super) struct ShutDown;

impl Message for ShutDown {
    type Result = Durability;
}

impl Handler<ShutDown> for Registry {
    type Result = AtomicResponse<Self, Durability>;

    fn handle(&mut self, _: ShutDown, _: &mut Self::Context) -> Self::Result {
        let keeper = Arc::clone(&self.keeper);
        let work = async move { keeper.lock().await.shut_down().await };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(|durability, _, ctx| {
            ctx.stop();
            durability
        })))
    }
}

//! Hosts an agent: feeds it from its inbox, stops it in good order. Knows no actors; the door is all it sees.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use testudo_wire::Resource;
use tokio::time::{Instant, timeout_at};

use crate::agent::Agent;
use crate::intensity::Intensity;
use crate::keeper::{Keeper, Shared};
use crate::shell::Door;
use crate::signals::{Phase, Signals};
use crate::transport::{Inbox, Transport};

/// How an agent is hosted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostOptions {
    /// Messages in the host at once, the one being handled included; more wait in the inbox. Bounds what a
    /// flood costs in memory.
    pub queue: NonZeroU16,
    /// So many agents of the factory share the inbox, each with one message at a time and a state of its own;
    /// `queue` counts for one agent alone. More than one suits agents that share their state, as those of
    /// [`crate::Handlers`] do, and lets long answers not hold up short ones; messages then overtake each
    /// other.
    pub concurrency: NonZeroU16,
    /// So many faults are answered with a new agent ...
    pub rebuilds: u16,
    /// ... within this time; one more stops the host. Bounds what a stream of poison costs.
    pub within: Duration,
    /// A stop takes no longer; the last fifth is for turning away what waits and for the goodbye.
    pub stop_within: Duration,
}

impl Default for HostOptions {
    /// 64 messages, one at a time, 5 rebuilds in 10 s, 5 s to stop.
    fn default() -> Self {
        Self {
            queue: NonZeroU16::new(64).unwrap_or(NonZeroU16::MIN),
            concurrency: NonZeroU16::MIN,
            rebuilds: 5,
            within: Duration::from_secs(10),
            stop_within: Duration::from_secs(5),
        }
    }
}

/// Why a host ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stopped {
    /// [`HostHandle::stop`] was called.
    #[error("it was asked to")]
    Asked,
    /// The inbox has ended: the link is gone.
    #[error("its link ended")]
    LinkEnded,
    /// The agent failed more often than its options allow; the node was asked to revoke and report it.
    #[error("its agent failed too often")]
    TooManyFaults,
    /// The agent may not hear a topic that it wants; see its error in the log.
    #[error("it may not subscribe to {0}")]
    NotSubscribed(Resource),
    /// The host itself failed, or its runtime was shut down under it.
    #[error("the host crashed")]
    Crashed,
}

/// A running host. Dropping it leaves the host running.
#[derive(Clone, Debug)]
pub struct HostHandle {
    signals: Arc<Signals>,
}

impl HostHandle {
    /// Asks the host to stop: what runs may finish, what waits is answered `agent-stopped`, then goodbye.
    pub fn stop(&self) {
        self.signals.advance(Phase::Closing(Stopped::Asked));
    }

    /// Waits until the agent has subscribed to its topics and started, for the first time.
    ///
    /// # Errors
    /// Why the host stops without that.
    pub async fn ready(&self) -> Result<(), Stopped> {
        self.signals.ready().await
    }

    /// Waits until the host has ended.
    pub async fn stopped(&self) -> Stopped {
        self.signals.ended().await
    }

    /// Times that the agent panicked or failed to start.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.signals.faults()
    }
}

/// Hosts an agent on the current arbiter. `factory` makes the agent, and makes it anew after a fault.
///
/// # Panics
/// Outside of an actix `System`.
pub fn host<T, I, F, A>(transport: T, inbox: I, factory: F, options: HostOptions) -> HostHandle
where
    T: Transport,
    I: Inbox<Origin = T::Origin>,
    F: Fn() -> A + Send + 'static,
    A: Agent,
{
    let signals = Signals::new();
    let intensity = Intensity::new(options.rebuilds, options.within);
    let shared = Shared::new(factory, intensity, signals.clone());
    let keeper = |_| Keeper::new(transport.clone(), shared.clone());
    let keepers = (0..options.concurrency.get()).map(keeper).collect();
    let door = Door::open(keepers, &signals, options.queue.get());
    tokio::spawn(conduct(transport, inbox, door, Ending(signals.clone()), options.stop_within));
    HostHandle { signals }
}

/// Says that the host has ended, however it ends.
struct Ending(Arc<Signals>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.advance(Phase::Ended(Stopped::Crashed));
    }
}

/// The life of a host.
async fn conduct<T, I>(
    transport: T,
    mut inbox: I,
    door: Door<T::Origin>,
    ending: Ending,
    stop_within: Duration,
) where
    T: Transport,
    I: Inbox<Origin = T::Origin>,
{
    let signals = &ending.0;
    let why = tokio::select! {
        biased;
        why = signals.closing() => why,
        why = feed(&mut inbox, &door) => why,
    };
    let end = Instant::now() + stop_within;
    let orderly = async {
        door.drained().await;
        signals.advance(Phase::Closing(why));
        door.close().await;
    };
    tokio::pin!(orderly);
    if timeout_at(end - stop_within / 5, &mut orderly).await.is_err() {
        tracing::warn!("an agent did not finish in time and is dropped");
        signals.advance(Phase::Abandoned(why));
        let _ = timeout_at(end, orderly).await;
    }
    if signals.closing().await == Stopped::TooManyFaults {
        // What is left of the time is for the goodbye.
        let _ = timeout_at(end - stop_within / 10, transport.failed()).await;
    }
    let _ = timeout_at(end, transport.goodbye()).await;
    // The inbox is kept to here: what still runs may wait for answers that come the same way.
    drop(inbox);
    signals.advance(Phase::Ended(why));
}

/// Moves messages from the inbox through the door; takes none for which there is no room.
async fn feed<I>(inbox: &mut I, door: &Door<I::Origin>) -> Stopped
where
    I: Inbox,
    I::Origin: Send + 'static,
{
    loop {
        let Ok(place) = door.place().await else { return Stopped::Crashed };
        let Some(arrived) = inbox.next().await else { return Stopped::LinkEnded };
        if door.put(arrived, place).is_err() {
            return Stopped::Crashed;
        }
    }
}

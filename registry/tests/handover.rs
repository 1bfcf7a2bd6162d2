//! The hand-over path against revocation, under random interleavings (threats A37, A38; promise 1): this compiles
//! `src/barrier.rs` itself with shuttle's primitives. A registry publishes, waits at the barrier and returns; writers
//! come, catch up, hand over piece by piece, look again, hang and go. After the registry has returned, no writer hands
//! over anything of a revoked sender. Mutants of the same writers must be caught, or the model would prove nothing.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unreachable_pub, reason = "a test, and a file of the crate within it")]

#[path = "../src/barrier.rs"]
#[expect(dead_code, reason = "a test takes its part of the barrier")]
mod barrier;

/// As `lib.rs` has it, but of the model checker.
mod sync {
    pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use barrier::{Closer, Numbered, WriterBarrier, WriterSlot};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;
use sync::{Arc, Mutex};
use testudo_wire::{AgentName, RegistrySequence};
use tokio::sync::oneshot;

/// Senders; sequence n revokes sender n - 1.
const SENDERS: usize = 3;
/// Pieces that a writer takes at once, and then gives to its stream one by one.
const BATCH: usize = 2;

/// What a mutant does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mutant {
    None,
    /// Acknowledges a directory while it still hands over what it took under the one before.
    AcknowledgesTooSoon,
    /// Closes nothing when it is told to.
    StaysOpen,
    /// Takes under a directory that it loaded before it stood at the barrier, and says that it holds the latest.
    RegistersLate,
    /// Takes what waits without asking the directory.
    DoesNotAsk,
    /// The registry waits before it publishes.
    WaitsFirst,
}

/// A directory: how many senders are revoked, in their order.
#[derive(Clone, Copy)]
struct Directory(u64);

impl Numbered for Directory {
    fn sequence(&self) -> RegistrySequence {
        RegistrySequence(self.0)
    }
}

impl Directory {
    fn allows(self, sender: usize) -> bool {
        sender as u64 >= self.0
    }
}

/// What the registry has published, and of which it has returned.
#[derive(Default)]
struct World {
    published: Mutex<u64>,
    returned: Mutex<u64>,
    barrier: WriterBarrier,
}

impl World {
    fn load(&self) -> Directory {
        Directory(*self.published.lock().unwrap())
    }
}

/// A link's stream: bytes go in until it is closed.
#[derive(Default)]
struct Stream {
    is_closed: Mutex<bool>,
}

impl Stream {
    /// Gives a piece of a sender to the transport: the promise is checked in the same step.
    fn give(&self, world: &World, sender: usize) -> bool {
        let is_closed = self.is_closed.lock().unwrap();
        if !*is_closed {
            let returned = *world.returned.lock().unwrap();
            assert!(Directory(returned).allows(sender), "handed over after revoke returned");
        }
        !*is_closed
    }
}

/// The registry's verb, as its keeper does it.
fn revoke(world: &World, sequence: u64, mutant: Mutant) {
    let publish = || *world.published.lock().unwrap() = sequence;
    if mutant != Mutant::WaitsFirst {
        publish();
    }
    // The time-out comes whenever the scheduler likes.
    let (ring, rings) = oneshot::channel::<()>();
    let clock = thread::spawn(move || _ = ring.send(()));
    let deadline = async { _ = rings.await };
    shuttle::future::block_on(world.barrier.wait_until(RegistrySequence(sequence), deadline));
    if mutant == Mutant::WaitsFirst {
        publish();
    }
    *world.returned.lock().unwrap() = sequence;
    clock.join().unwrap();
}

/// A writer in the order of `bus/src/node/writer.rs`.
fn write(world: &World, mutant: Mutant, rounds: usize) {
    let stream = Arc::new(Stream::default());
    let closing = stream.clone();
    let close: Closer = std::sync::Arc::new(move || {
        if mutant != Mutant::StaysOpen {
            *closing.is_closed.lock().unwrap() = true;
        }
    });
    let name = AgentName::parse("reader").unwrap();
    let early = (mutant == Mutant::RegistersLate).then(|| world.load());
    let holds = if early.is_some() { *world.published.lock().unwrap() } else { 0 };
    let slot = world.barrier.register(name, RegistrySequence(holds), close);
    for round in 0..rounds {
        // What waits in the outbox: anybody's.
        let waiting: Vec<usize> = (0..BATCH).map(|_| thread_rng().gen_range(0..SENDERS)).collect();
        let allowed = |directory: &Directory| -> Vec<usize> {
            let asks = mutant != Mutant::DoesNotAsk;
            waiting.iter().copied().filter(|sender| !asks || directory.allows(*sender)).collect()
        };
        let load = || early.filter(|_| round == 0).unwrap_or_else(|| world.load());
        let taken = slot.catch_up(load, |_| (), allowed);
        if !hand_over(world, &slot, &stream, &taken, mutant) {
            return;
        }
    }
}

fn hand_over(world: &World, slot: &WriterSlot, stream: &Stream, taken: &[usize], mutant: Mutant) -> bool {
    for (at, sender) in taken.iter().enumerate() {
        if mutant == Mutant::AcknowledgesTooSoon {
            slot.acknowledge(world.load().sequence());
        } else if thread_rng().gen_bool(0.5) {
            // The directory has changed while the stream took no more.
            let rest = &taken[at..];
            let is_good = |directory: &Directory| rest.iter().all(|sender| directory.allows(*sender));
            if !slot.look_again(|| world.load(), is_good) {
                return false;
            }
        }
        if !stream.give(world, *sender) {
            return false;
        }
    }
    true
}

/// Two writers from the start, one that comes at any time, and a registry that revokes two of three.
fn scene(mutant: Mutant) {
    let world = Arc::new(World::default());
    let writers: Vec<_> = [3, 2, 2]
        .into_iter()
        .map(|rounds| {
            let world = world.clone();
            thread::spawn(move || write(&world, mutant, rounds))
        })
        .collect();
    for sequence in 1..SENDERS as u64 {
        revoke(&world, sequence, mutant);
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(world.barrier.is_empty(), "who ends leaves the barrier");
}

/// `TESTUDO_MODEL_RUNS` says otherwise, e.g. for a nightly run.
fn runs() -> usize {
    std::env::var("TESTUDO_MODEL_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

#[test]
fn t_a37_nothing_is_handed_over_after_revoke_returned_in_any_interleaving() {
    shuttle::check_random(|| scene(Mutant::None), runs());
    shuttle::check_pct(|| scene(Mutant::None), runs(), 3);
    println!("{} random and {} prioritised interleavings", runs(), runs());
}

#[test]
fn t_a37_the_model_catches_writers_and_registries_that_are_wrong() {
    let wrong = [
        Mutant::AcknowledgesTooSoon,
        Mutant::StaysOpen,
        Mutant::RegistersLate,
        Mutant::DoesNotAsk,
        Mutant::WaitsFirst,
    ];
    let missed: Vec<_> = wrong
        .into_iter()
        .filter(|mutant| {
            let mutant = *mutant;
            std::panic::catch_unwind(|| shuttle::check_random(move || scene(mutant), 10_000)).is_ok()
        })
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

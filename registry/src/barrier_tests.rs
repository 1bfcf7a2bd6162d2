//! The barrier in virtual time. Beside `barrier.rs`, which `tests/handover.rs` compiles on its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testudo_wire::RegistrySequence;
use tokio::time::Instant;

use crate::barrier::{Closer, Laggard, WriterBarrier};
use crate::book::tests_support::name;

const LIMIT: Duration = Duration::from_millis(50);

fn counted() -> (Closer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&count);
    (Arc::new(move || _ = inner.fetch_add(1, Ordering::SeqCst)), count)
}

#[tokio::test(start_paused = true)]
async fn t_a38_waits_for_every_writer_and_not_longer() {
    let barrier = WriterBarrier::new();
    let (close, closed) = counted();
    let slot = barrier.register(name("a"), RegistrySequence(1), close);
    let started = Instant::now();
    assert_eq!(barrier.wait(RegistrySequence(1), LIMIT).await, vec![], "it holds that snapshot");
    let waiter = tokio::spawn({
        let barrier = barrier.clone();
        async move { barrier.wait(RegistrySequence(2), LIMIT).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiter.is_finished());
    slot.acknowledge(RegistrySequence(1));
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished(), "an older sequence does not count");
    slot.acknowledge(RegistrySequence(2));
    assert_eq!(waiter.await.unwrap(), vec![]);
    assert_eq!((started.elapsed().as_millis(), closed.load(Ordering::SeqCst)), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn t_a37_a_laggard_is_closed_at_the_limit_and_only_once() {
    let barrier = WriterBarrier::new();
    let (close, closed) = counted();
    let slow = barrier.register(name("slow"), RegistrySequence(0), close);
    let (never, closed_never) = counted();
    let good = barrier.register(name("good"), RegistrySequence(5), never);
    let started = Instant::now();
    let late = barrier.wait(RegistrySequence(5), LIMIT).await;
    assert_eq!(late, vec![Laggard { name: name("slow"), writer: slow.id() }]);
    assert_eq!(started.elapsed(), LIMIT);
    assert_eq!(barrier.wait(RegistrySequence(5), LIMIT).await, vec![], "it is off the barrier");
    assert_eq!((closed.load(Ordering::SeqCst), closed_never.load(Ordering::SeqCst)), (1, 0));
    drop((slow, good));
    assert!(barrier.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_ends_holds_nobody_up_and_a_closer_may_drop_its_slot() {
    let barrier = WriterBarrier::new();
    let (close, _) = counted();
    let slot = barrier.register(name("a"), RegistrySequence(0), close);
    let waiter = tokio::spawn({
        let barrier = barrier.clone();
        async move { barrier.wait(RegistrySequence(1), LIMIT).await }
    });
    tokio::task::yield_now().await;
    drop(slot);
    assert_eq!(waiter.await.unwrap(), vec![]);

    let cell = Arc::new(Mutex::new(None));
    let inner = Arc::clone(&cell);
    let close: Closer = Arc::new(move || drop(inner.lock().unwrap().take()));
    *cell.lock().unwrap() = Some(barrier.register(name("b"), RegistrySequence(0), close));
    assert_eq!(barrier.wait(RegistrySequence(1), LIMIT).await.len(), 1);
}

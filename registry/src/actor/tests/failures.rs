//! Disks and audit logs that fail, hang or panic (threats F11, A42): nobody is let in, everybody can be put
//! out.

use super::*;

#[test]
fn t_f11_with_the_store_down_a_revocation_takes_effect_at_once_and_is_stored_later() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.store.failures.store(5, Ordering::SeqCst);
        let answer = world.door.revoke(name("a"), OPERATOR).await;
        assert_eq!(answer, Err(VerbError::NotYetDurable { sequence: RegistrySequence(3) }));
        assert!(!world.is_good(&holder("a", 1)) && link.closed() == [LinkClose::Revoked(OPERATOR)]);
        let health = world.door.health();
        assert_eq!((health.backlog, health.failing_since), (1, Some(Timestamp::from_millis(1_000))));
        for refused in [
            world.door.enrol(holder("c", 3), grant(&[])).await.is_err(),
            world.door.regrant(name("b"), grant(&[])).await.is_err(),
        ] {
            assert!(refused, "nothing gives authority while the store is down");
        }
        world.link(holder("b", 2), 2).await.unwrap();
        assert!(world.door.revoke(name("a"), OPERATOR).await.is_err(), "asked again, still not durable");
        sleep(secs(10)).await;
        assert!(matches!(world.stored("a").unwrap().condition, crate::Condition::Revoked { .. }));
        assert_eq!(world.door.health(), Health::default());
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked"]);
        world.door.enrol(holder("c", 3), grant(&[])).await.unwrap();
        world.door.revoke(name("a"), OPERATOR).await.unwrap();
    });
}

#[test]
fn t_a42_a_store_that_fails_for_ten_minutes_loses_no_revocation() {
    run(async {
        let world = World::of_two().await;
        world.store.failures.store(usize::MAX, Ordering::SeqCst);
        assert!(world.door.revoke(name("a"), RevocationCause::Compromised).await.is_err());
        sleep(secs(600)).await;
        assert_eq!(world.door.health().backlog, 1);
        world.store.failures.store(0, Ordering::SeqCst);
        sleep(secs(2)).await;
        assert_eq!(world.door.health(), Health::default());
        let again = World::open(world.store.clone(), BookRules::default(), 3).unwrap();
        assert_eq!(again.state("a").await, State::Revoked(RevocationCause::Compromised));
        assert_eq!(
            again.door.enrol(holder("c", 1), grant(&[])).await,
            Err(VerbError::Refused(EnrolError::BurntKey))
        );
    });
}

#[test]
fn a_failing_audit_log_holds_no_revocation_up_and_lets_nobody_in() {
    run(async {
        let world = World::of_two().await;
        world.log.failures.store(1, Ordering::SeqCst);
        let answer = world.door.revoke(name("a"), OPERATOR).await;
        assert_eq!(answer, Err(VerbError::NotYetDurable { sequence: RegistrySequence(3) }));
        assert!(!world.is_good(&holder("a", 1)));
        sleep(secs(2)).await;
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "revoked"]);

        world.log.failures.store(1, Ordering::SeqCst);
        assert_eq!(world.door.enrol(holder("c", 3), grant(&[])).await, Err(VerbError::Unavailable));
        assert!(!world.is_good(&holder("c", 3)));
        sleep(secs(2)).await;
        assert_eq!(world.stored("c"), None, "the row that was written already is taken back");
        assert_eq!(world.log.kinds().last(), Some(&"withdrawn"));
        let sequence = world.door.enrol(holder("c", 3), grant(&[])).await.unwrap();
        assert_eq!(sequence, RegistrySequence(6), "no number is used twice");
    });
}

#[test]
fn a_store_that_hangs_holds_a_revocation_up_for_a_second_at_most() {
    run(async {
        let world = World::of_two().await;
        let (release, gate) = std::sync::mpsc::channel();
        *world.store.gate.lock().unwrap() = Some(gate);
        let (door, started) = (world.door.clone(), Instant::now());
        let revoked = tokio::spawn(async move { door.revoke(name("a"), OPERATOR).await });
        // A clock that is paused does not move by itself while the disk is being waited for.
        while !revoked.is_finished() {
            tokio::time::advance(Duration::from_millis(100)).await;
            assert!(started.elapsed() < secs(2));
        }
        assert!(matches!(revoked.await.unwrap(), Err(VerbError::NotYetDurable { .. })));
        assert!(!world.is_good(&holder("a", 1)));
        let second = world.door.revoke(name("b"), OPERATOR).await;
        assert!(second.is_err() && !world.is_good(&holder("b", 2)), "the next one does not wait at all");
        assert_eq!(world.door.enrol(holder("c", 3), grant(&[])).await, Err(VerbError::Unavailable));
        let before = world.store.commits.load(Ordering::SeqCst);
        drop(release);
        sleep(secs(3)).await;
        assert_eq!(
            world.store.commits.load(Ordering::SeqCst) - before,
            2,
            "what was slow is not written again"
        );
        assert_eq!(world.door.health(), Health::default());
        for out in ["a", "b"] {
            assert!(matches!(world.stored(out).unwrap().condition, crate::Condition::Revoked { .. }));
        }
    });
}

#[test]
fn an_enrolment_that_was_refused_is_taken_back_when_a_slow_store_wrote_it_after_all() {
    run(async {
        let world = World::of_two().await;
        let (release, gate) = std::sync::mpsc::channel();
        *world.store.gate.lock().unwrap() = Some(gate);
        let door = world.door.clone();
        let enrolled = tokio::spawn(async move { door.enrol(holder("c", 3), grant(&[])).await });
        while !enrolled.is_finished() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(enrolled.await.unwrap(), Err(VerbError::Unavailable));
        drop(release);
        sleep(secs(3)).await;
        assert_eq!((world.stored("c"), world.door.health()), (None, Health::default()));
        assert_eq!(world.log.kinds(), ["enrolled", "enrolled", "withdrawn"]);
        world.door.enrol(holder("c", 3), grant(&[])).await.unwrap();
    });
}

#[test]
fn a_registry_that_panics_leaves_nobody_connected() {
    run(async {
        let world = World::of_two().await;
        let link = world.link(holder("a", 1), 1).await.unwrap();
        world.log.panics.store(true, Ordering::SeqCst);
        assert_eq!(world.door.revoke(name("b"), OPERATOR).await, Err(VerbError::Closed));
        sleep(secs(1)).await;
        assert_eq!((link.closed(), world.door.is_alive()), (vec![LinkClose::Shutdown], false));
    });
}

#[test]
fn an_audit_log_that_hangs_holds_a_revocation_up_for_a_second_at_most() {
    run(async {
        let world = World::of_two().await;
        world.log.hangs.store(true, Ordering::SeqCst);
        let started = Instant::now();
        assert!(world.door.revoke(name("a"), OPERATOR).await.is_err());
        assert!(started.elapsed() <= secs(1) && !world.is_good(&holder("a", 1)));
        world.log.hangs.store(false, Ordering::SeqCst);
        sleep(secs(3)).await;
        assert_eq!(world.door.health(), Health::default());
    });
}

#[test]
fn a_failed_widening_leaves_the_old_grant_in_memory_and_on_disk() {
    run(async {
        let world = World::of_two().await;
        let old = world.stored("a").unwrap().grant;
        world.log.failures.store(1, Ordering::SeqCst);
        assert_eq!(world.door.regrant(name("a"), grant(&["admin:all"])).await, Err(VerbError::Unavailable));
        sleep(secs(2)).await;
        assert_eq!(world.stored("a").unwrap().grant, old);
        assert_eq!(world.door.get(name("a")).await.unwrap().unwrap().grant, old);
    });
}

#[test]
fn a_displacement_that_cannot_be_audited_connects_nobody() {
    run(async {
        let world = World::of_two().await;
        let first = world.link(holder("a", 1), 1).await.unwrap();
        world.log.failures.store(1, Ordering::SeqCst);
        let (second, request) = world.request(holder("a", 1), 2);
        assert_eq!(world.door.login(request).await, Err(VerbError::Unavailable));
        assert_eq!(
            (first.closed(), second.closed()),
            (vec![LinkClose::Displaced], vec![LinkClose::Shutdown])
        );
        assert_eq!(world.state("a").await, State::Offline);
        sleep(secs(2)).await;
        assert_eq!((world.log.kinds().last(), world.door.health()), (Some(&"displaced"), Health::default()));
        world.link(holder("a", 1), 3).await.unwrap();
    });
}

#[test]
fn a_panicking_store_stops_enrolment_but_no_revocation() {
    struct Panics(MemoryStore);
    impl Store for Panics {
        fn load(&mut self) -> Result<crate::Contents, StoreError> {
            self.0.load()
        }
        fn commit(&mut self, _: &crate::Batch) -> Result<(), StoreError> {
            panic!("a bug in the store")
        }
    }
    run(async {
        let world = World::of_two().await;
        let registry = Registry::open(RegistryParts {
            store: Box::new(Panics(world.store.clone())),
            journal: Arc::new(LogHandle(Arc::clone(&world.log))),
            clock: Arc::new(|| Timestamp::from_millis(5)),
            rules: BookRules::default(),
            witnessed: RegistrySequence(0),
            trusted: Trusted::default(),
            barrier: WriterBarrier::new(),
        });
        let door = registry.unwrap().launch();
        assert!(matches!(door.revoke(name("a"), OPERATOR).await, Err(VerbError::NotYetDurable { .. })));
        assert!(!door.directory().load().is_good(&holder("a", 1), RegistrySequence(u64::MAX)));
        assert_eq!(door.enrol(holder("c", 3), grant(&[])).await, Err(VerbError::Unavailable));
        assert!(door.is_alive() && door.health().failing_since.is_some());
    });
}

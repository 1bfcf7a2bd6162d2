//! Trust statements as the registry takes them up: never from before, with all that a revocation promises.

use testudo_wire::Digest;

use super::*;
use crate::TrustMark;

fn trusted(number: u64, digest: u8, authorities: &[u8]) -> Trusted {
    let mark = (number > 0).then(|| TrustMark { number, statement: Digest::new([digest; 32]) });
    Trusted { mark, authorities: authorities.iter().map(|seed| key(*seed)).collect(), cas: 1 }
}

fn open(store: &MemoryStore, log: &Arc<Log>, trusted: Trusted) -> Result<RegistryDoor, StartError> {
    let registry = Registry::open(RegistryParts {
        store: Box::new(store.clone()),
        journal: Arc::new(LogHandle(Arc::clone(log))),
        clock: Arc::new(|| Timestamp::from_millis(5)),
        rules: BookRules::default(),
        witnessed: RegistrySequence(0),
        trusted,
        barrier: WriterBarrier::new(),
    })?;
    Ok(registry.launch())
}

fn counts(door: &RegistryDoor, seed: u8) -> bool {
    door.directory().load().is_authority(&key(seed))
}

#[test]
fn t_a75_keys_from_before_the_statement_that_was_taken_up_start_nothing() {
    run(async {
        let (store, log) = (MemoryStore::default(), Arc::default());
        let door = open(&store, &log, trusted(0, 0, &[1])).unwrap();
        assert!(counts(&door, 1) && !counts(&door, 2), "what the swarm began with");
        door.trust(trusted(1, 11, &[1, 2])).await.unwrap();
        door.trust(trusted(2, 12, &[2])).await.unwrap();
        assert_eq!(store.contents.lock().unwrap().trust, trusted(2, 12, &[]).mark, "one transaction each");
        door.shut_down().await.unwrap();
        for (number, digest, keys) in [(0, 0, &[1][..]), (1, 11, &[1, 2])] {
            let old = open(&store, &log, trusted(number, digest, keys)).unwrap_err();
            assert_eq!(old, StartError::Trust(TrustedError::Old { have: 2, got: number }));
            let said = old.to_string();
            assert!(said.contains("old copy; restore the newest backup of keys/"), "{said}");
        }
        let fork = open(&store, &log, trusted(2, 13, &[3])).unwrap_err();
        assert_eq!(fork, StartError::Trust(TrustedError::Fork(2)));
        let door = open(&store, &log, trusted(2, 12, &[2])).unwrap();
        assert!(counts(&door, 2) && !counts(&door, 1));
        assert_eq!(door.directory().sequence(), RegistrySequence(2), "nothing new was taken up");
    });
}

#[test]
fn a_statement_that_a_crash_kept_from_the_registry_is_taken_up_at_the_next_start() {
    run(async {
        let (store, log) = (MemoryStore::default(), Arc::default());
        let door = open(&store, &log, trusted(3, 13, &[1])).unwrap();
        assert_eq!((door.directory().sequence(), counts(&door, 1)), (RegistrySequence(1), true));
        assert_eq!(store.contents.lock().unwrap().trust, trusted(3, 13, &[]).mark);
        door.enrol(holder("a", 1), grant(&[])).await.unwrap();
        // A store that does not take it: nobody goes by what the next start could forget.
        store.failures.store(1, Ordering::SeqCst);
        let failed = open(&store, &log, trusted(4, 14, &[1])).unwrap_err();
        assert_eq!(failed, StartError::Store(StoreError::Full));
        assert_eq!(store.contents.lock().unwrap().trust, trusted(3, 13, &[]).mark);
    });
}

#[test]
fn a_retired_authority_is_out_like_a_revoked_agent_whatever_the_disk_does() {
    run(async {
        let world = World::of_two().await;
        let writer = world.door.barrier().register(name("a"), RegistrySequence(0), Arc::new(|| {}));
        let (door, acknowledging) = (world.door.clone(), async {
            let mut changed = world.door.directory().changed();
            changed.changed().await.unwrap();
            // The writer sees the directory before the verb returns.
            assert!(counts(&world.door, 2) && !counts(&world.door, 1));
            writer.acknowledge(world.door.directory().sequence());
        });
        let (done, ()) = tokio::join!(door.trust(trusted(1, 11, &[2])), acknowledging);
        assert_eq!(done, Ok(RegistrySequence(3)));
        assert_eq!(world.log.kinds()[2..], ["trusted"]);
        // The same once more is nothing; what came before is refused.
        assert_eq!(world.door.trust(trusted(1, 11, &[2])).await, Ok(RegistrySequence(3)));
        let old = world.door.trust(trusted(0, 0, &[1])).await;
        assert_eq!(old, Err(VerbError::Refused(TrustedError::Old { have: 1, got: 0 })));
        world.store.failures.store(1, Ordering::SeqCst);
        writer.acknowledge(RegistrySequence(4));
        let owed = world.door.trust(trusted(2, 12, &[3])).await;
        assert_eq!(owed, Err(VerbError::NotYetDurable { sequence: RegistrySequence(4) }));
        assert!(counts(&world.door, 3) && !counts(&world.door, 2), "in effect all the same");
        sleep(secs(3)).await;
        assert_eq!(world.store.contents.lock().unwrap().trust, trusted(2, 12, &[]).mark, "written later");
    });
}

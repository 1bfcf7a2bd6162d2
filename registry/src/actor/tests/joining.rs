//! Invitations through the actor: spent with the enrolment or not at all, whatever fails.

use std::sync::Arc;

use testudo_wire::join::spki;
use testudo_wire::{InvitationId, PublicKey, Purpose, SecretKey};

use super::*;
use crate::{Invitation, InvitationState, JoinError, Newcomer};

fn seed() -> SecretKey {
    SecretKey::from_seed(&[77; 32])
}

fn invitation() -> Invitation {
    let (id, until) = (InvitationId::new([1; 16]), Timestamp::from_millis(60_000));
    let grant = Arc::new(grant(&["read:logs"]));
    Invitation { id, key: seed().public(), name: name("new"), grant, until, misses: 0, spent: None }
}

fn newcomer(key: PublicKey, good: bool) -> Newcomer {
    let said: [u8; 32] = if good { [0; 32] } else { [1; 32] };
    let signature = seed().sign(Purpose::Join, &[&said, &spki(&key)]);
    Newcomer { id: invitation().id, key, exporter: [0; 32], signature }
}

#[test]
fn enrolment_and_spending_are_one_commit_and_survive() {
    run(async {
        let world = World::open(MemoryStore::default(), BookRules::default(), 0).unwrap();
        let invited = world.door.invited();
        assert_eq!(*invited.borrow(), None);
        world.door.invite(invitation()).await.unwrap();
        assert_eq!(*invited.borrow(), Some(Timestamp::from_millis(60_000)));
        let before = world.store.commits.load(Ordering::SeqCst);
        let view = world.door.join(newcomer(key(5), true)).await.unwrap();
        assert_eq!((view.holder, world.store.commits.load(Ordering::SeqCst)), (holder("new", 5), before + 1));
        assert!(world.is_good(&holder("new", 5)));
        // As after kill -9: what the store holds is all there is.
        let again = World::open(world.store.clone(), BookRules::default(), 2).unwrap();
        assert_eq!(again.door.join(newcomer(key(5), true)).await.unwrap().holder, holder("new", 5));
        let other = again.door.join(newcomer(key(6), true)).await;
        assert_eq!(other, Err(VerbError::Refused(JoinError::Used(name("new")))));
        assert_eq!(world.log.kinds(), ["invited", "enrolled"]);
        again.wall.store(60_000, Ordering::SeqCst);
        sleep(secs(2)).await;
        assert_eq!(*again.door.invited().borrow(), None, "over");
    });
}

#[test]
fn t_f11_nobody_joins_while_store_or_log_fail_and_the_invitation_is_as_before() {
    for log in [false, true] {
        run(async move {
            let world = World::open(MemoryStore::default(), BookRules::default(), 0).unwrap();
            world.door.invite(invitation()).await.unwrap();
            let failures = if log { &world.log.failures } else { &world.store.failures };
            failures.store(1, Ordering::SeqCst);
            let down = world.door.join(newcomer(key(5), true)).await;
            assert_eq!(down, Err(VerbError::Unavailable));
            assert!(!world.is_good(&holder("new", 5)));
            sleep(secs(3)).await;
            assert!(world.stored("new").is_none(), "a write of unknown outcome was taken back");
            assert_eq!(world.store.contents.lock().unwrap().invitations, [invitation()]);
            assert_eq!(world.door.join(newcomer(key(6), true)).await.unwrap().holder, holder("new", 6));
        });
    }
}

#[test]
fn wrong_signatures_are_counted_on_disk_and_a_cancelled_invitation_is_gone() {
    run(async {
        let world = World::open(MemoryStore::default(), BookRules::default(), 0).unwrap();
        world.door.invite(invitation()).await.unwrap();
        for _ in 0..5 {
            let wrong = world.door.join(newcomer(key(5), false)).await;
            assert_eq!(wrong, Err(VerbError::Refused(JoinError::WrongSignature(name("new")))));
        }
        assert_eq!(*world.door.invited().borrow(), None, "void: the port closes at once");
        let again = World::open(world.store.clone(), BookRules::default(), 1).unwrap();
        let void = again.door.join(newcomer(key(5), true)).await;
        assert_eq!(void, Err(VerbError::Refused(JoinError::Void(name("new")))));
        assert_eq!(again.door.invitations().await.unwrap()[0].1, InvitationState::Void);
        again.door.uninvite(invitation().id).await.unwrap();
        assert_eq!(again.door.invitations().await, Ok(vec![]));
        assert!(world.store.contents.lock().unwrap().invitations.is_empty());
        assert_eq!(again.log.kinds(), ["invitation cancelled"]);
    });
}

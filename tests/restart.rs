//! Nodes that die without a word and come back from their disk, or from an old copy of it.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::time::Duration;

use support::ledger::Ledger;
use support::mallory::Mallory;
use support::site::image;
use support::swarm::{key_of, name};
use support::world::message;
use support::{World, pass, sim};
use testudo_bus::audit::verify_dir;
use testudo_bus::client::DialError;
use testudo_rules::audit::RegistryChange;
use testudo_wire::frame::{CloseReason, Seen};
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Refusal, RegistrySequence};

impl World {
    /// The node of an image, on a host of its own; the old one hangs about unheard.
    fn again(self, image: tempfile::TempDir) -> (Self, testudo_bus::audit::Recovery) {
        let (address, socket) = self.net.bind();
        let (node, recovery) = self.swarm.node(image.path(), socket).unwrap();
        let Self { swarm, net, node: dead, .. } = self;
        std::mem::forget(dead);
        (Self { swarm, net, dir: image, address, node }, recovery)
    }
}

#[test]
fn t_f03_what_was_revoked_or_recorded_survives_a_kill() {
    sim(async {
        let world = World::new(1);
        let reader = world.enrol("reader", &["write:nothing"], &["read:logs"]).await;
        let reader = Mallory::dial(&world, reader).await;
        let sender = world.enrol("sender", &["read:logs"], &[]).await;
        let victim = world.enrol("victim", &["read:logs"], &[]).await;
        let mut mallory = Mallory::dial(&world, sender.clone()).await;
        for _ in 0..7 {
            let bundle = mallory.good("reader", "read:logs");
            assert_eq!(mallory.try_send(bundle.bytes()).await, None, "durable, never acknowledged");
        }
        world.node.registry().revoke(victim.name, RevocationCause::Operator).await.unwrap();
        let image = image(world.dir.path());
        let captured = mallory.good("reader", "read:logs");
        drop(reader);

        let (world, recovery) = world.again(image);
        assert_eq!(recovery.crashed, 7, "messages without an outcome");
        assert!(matches!(world.dial(victim).await, Err(DialError::Revoked)));
        let mut mallory = Mallory::dial(&world, sender).await;
        assert_eq!(mallory.try_send(captured.bytes()).await, Some(Refusal::WrongSession));
        let ledger = world.ledger();
        let fates = ledger.fates();
        assert_eq!((fates.failed.len(), fates.delivered.len(), fates.open.len()), (7, 0, 0));
        let revoked = RegistryChange::Revoked(RevocationCause::Operator);
        assert_eq!(ledger.changes(name("victim")), [RegistryChange::Enrolled, revoked]);
        world.node.shut_down().await;
        let (key, origin) = (world.swarm.log_key.public(), world.swarm.origin());
        verify_dir(&world.dir.path().join("audit"), &key, &origin).unwrap();
    });
}

#[test]
fn t_f03_a_kill_at_any_moment_of_a_stream_leaves_a_log_that_verifies() {
    sim(async {
        for seed in 0..5 {
            let world = World::new(seed);
            let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            let told = tokio::spawn(async move {
                let mut told = Vec::new();
                while let Ok(receipt) = sender.client.tell(message("reader", "read:logs", "body")).await {
                    told.push(receipt);
                }
                told
            });
            let taking = tokio::spawn(async move { while reader.inbox.next().await.is_some() {} });
            pass(Duration::from_millis(20 + 13 * seed)).await;
            let image = image(world.dir.path());
            let accepted = world.node.metrics().account().submitted;
            let (world, _) = world.again(image);
            let fates = Ledger::read(&world.dir.path().join("audit")).fates();
            let known = (fates.delivered.len() + fates.failed.len()) as u64;
            assert!(fates.open.is_empty() && known >= accepted, "{known} of {accepted}");
            world.node.shut_down().await;
            let (key, origin) = (world.swarm.log_key.public(), world.swarm.origin());
            verify_dir(&world.dir.path().join("audit"), &key, &origin).unwrap();
            told.abort();
            taking.abort();
        }
    });
}

#[test]
fn t_a75_a_node_on_an_old_copy_of_its_disk_refuses_to_serve() {
    sim(async {
        let world = World::new(3);
        let identity = world.enrol("witness", &["read:logs"], &[]).await;
        let other = world.enrol("other", &["read:logs"], &[]).await;
        let old = image(world.dir.path());
        world.enrol("later", &["read:logs"], &[]).await;
        let witness = world.dial(identity.clone()).await.unwrap();
        let seen = witness.client.seen();
        assert_eq!(seen.registry, RegistrySequence(3));
        witness.client.goodbye().await;

        let (world, _) = world.again(old);
        // A statement that no node of ours made proves nothing.
        let forged = Seen { registry: RegistrySequence(99), ..seen };
        let swarm = world.swarm.id;
        let theirs = Seen::sign(
            &key_of("another node"),
            &swarm,
            &identity.key.public(),
            seen.session,
            RegistrySequence(99),
            seen.time,
        );
        for lie in [forged, theirs] {
            let env = world.swarm.env.another();
            world.dial_with(identity.clone(), Some(lie), env).await.unwrap().client.goodbye().await;
        }
        // Nor does what was said to somebody else.
        let env = world.swarm.env.another();
        world.dial_with(other.clone(), Some(seen), env).await.unwrap().client.goodbye().await;
        assert_eq!(*world.node.stale().borrow(), None);

        let env = world.swarm.env.another();
        let refused = world.dial_with(identity, Some(seen), env).await;
        assert!(matches!(refused, Err(DialError::Closed(CloseReason::StaleRegistry))));
        assert_eq!(*world.node.stale().borrow(), Some(RegistrySequence(3)));
        assert!(world.dial(other).await.is_err(), "nobody is served any more");
        world.end().await;
    });
}

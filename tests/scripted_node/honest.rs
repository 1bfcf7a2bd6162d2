//! Gossip with real nodes: honest ones cause no alarm, whatever they go through; one that goes on from an older log is
//! found out by whoever saw more.

use std::time::Duration;

use testudo_bus::audit::{AuditConfig, AuditLog};
use testudo_bus::client::{ClientIdentity, DialError, Ended, Memory, Watched};
use testudo_rules::audit::{LinkChange, NodeEvent, Note, Record};
use testudo_wire::RegistrySequence;

use crate::support::ledger::Ledger;
use crate::support::site::{Site, Staying, image};
use crate::support::world::message;
use crate::support::{Swarm, pass, sim, until};

/// Three heartbeats and a little.
const BEATS: Duration = Duration::from_secs(100);

async fn chat(from: &Staying, to: &mut Staying, name: &str, times: usize) {
    for _ in 0..times {
        from.member.tell(message(name, "read:logs", "body")).await.unwrap();
        to.arrivals.next().await.unwrap();
        pass(Duration::from_secs(10)).await;
    }
}

fn quiet(watched: &Watched) -> bool {
    let Watched { refused, other_logs, unproved, unwitnessed, untracked, alarm, .. } = watched;
    (*refused, *other_logs, *unproved, *unwitnessed, *untracked) == (0, 0, 0, 0, 0) && alarm.is_none()
}

async fn linked(staying: &Staying) {
    staying.member.connected().await.unwrap();
}

/// The identity as another run of its agent has it: with what was kept of the log.
fn again(identity: &ClientIdentity, of: &Staying) -> ClientIdentity {
    let seen = of.member.identity().memory.seen().borrow().clone();
    ClientIdentity { memory: Memory::of(seen), ..identity.clone() }
}

#[test]
fn t_a74_an_honest_node_causes_no_alarm_through_traffic_kills_and_restarts() {
    sim(async {
        let mut site = Site::new(2);
        let (a, b) = (
            site.enrol("ada", &["read:logs"], &["read:logs"]).await,
            site.enrol("bob", &["read:logs"], &["read:logs"]).await,
        );
        let (ada, mut bob) = (site.join(a.clone()), site.join(b));
        linked(&ada).await;
        linked(&bob).await;
        chat(&ada, &mut bob, "bob", 20).await;
        let first = bob.member.watched();
        assert!(quiet(&first) && first.sightings >= 3, "{first:?}");
        assert!(first.records.unwrap() > 5, "{first:?}");
        for kill in [false, true, false, true] {
            if kill {
                site.kill();
            } else {
                site.stop().await;
            }
            pass(Duration::from_secs(5)).await;
            site.start();
            pass(Duration::from_secs(20)).await;
            linked(&ada).await;
            linked(&bob).await;
            chat(&ada, &mut bob, "bob", 12).await;
        }
        let (one, other) = (ada.member.watched(), bob.member.watched());
        assert!(quiet(&one) && quiet(&other), "{one:?} {other:?}");
        assert!(other.sightings >= first.sightings + 12, "{other:?}");
        assert!(other.records > first.records);
        assert_eq!(one.sightings, 0, "nobody sends anything to it, and it asks for nobody");
        // What was seen survives the agent's own restart, and is proved to be the beginning of what comes then.
        let seen = ada.member.identity().memory.seen().borrow().clone().unwrap();
        let kept = again(&a, &ada);
        ada.member.goodbye().await;
        let mut back = site.join(kept.clone());
        linked(&back).await;
        chat(&bob, &mut back, "ada", 3).await;
        pass(BEATS).await;
        assert!(kept.memory.watched().records > seen.newest.map(|head| head.size));
        assert!(quiet(&kept.memory.watched()));
        site.stop().await;
    });
}

#[test]
fn t_a74_a_log_that_goes_on_from_an_older_image_is_noticed_when_it_is_told() {
    // Shorter than what was seen, and longer, but another story.
    for more in [0, 40] {
        sim(async move {
            let mut site = Site::new(2);
            let (a, b) = (
                site.enrol("ada", &["read:logs"], &["read:logs"]).await,
                site.enrol("bob", &["read:logs"], &["read:logs"]).await,
            );
            let (ada, mut bob) = (site.join(a.clone()), site.join(b.clone()));
            linked(&ada).await;
            linked(&bob).await;
            pass(Duration::from_secs(1)).await;
            let old = image(site.dir.path());
            chat(&ada, &mut bob, "bob", 10).await;
            let seen = ada.member.watched().records.unwrap();
            ada.member.goodbye().await;
            bob.member.goodbye().await;
            site.stop().await;
            site.dir = old;
            site.start();
            // Somebody who has seen nothing yet makes it grow: nothing is wrong for all that it can know.
            let cyd = site.enrol("cyd", &["read:logs"], &["read:logs"]).await;
            let mut cyd = site.join(cyd);
            linked(&cyd).await;
            let new = ClientIdentity { memory: Memory::default(), ..b.clone() };
            let new = site.join(new);
            linked(&new).await;
            for _ in 0..more {
                new.member.tell(message("cyd", "read:logs", "body")).await.unwrap();
                cyd.arrivals.next().await.unwrap();
            }
            // Not so long that those who were linked when the image was taken are revoked as silent.
            pass(Duration::from_secs(35)).await;
            assert!(quiet(&cyd.member.watched()) && quiet(&new.member.watched()));
            assert_eq!(site.node().audit().sealed().size() > seen, more > 0, "the case that was meant");
            let back = again(&a, &ada);
            let back = site.join(back);
            let why = back.member.ended().await;
            let Ended::Refused(why) = why else { panic!("{why}") };
            let DialError::SplitView(alarm) = &*why else { panic!("{why}") };
            assert_eq!(alarm.kind(), if more > 0 { "split" } else { "shorter" });
            assert_eq!(alarm.check(&site.swarm.origin()), Ok(()), "anybody can check it");
            assert_eq!(why.to_string().lines().count(), 1);
            pass(Duration::from_secs(1)).await;
            // Its operator hears of it, too.
            let ledger = Ledger::read(&site.dir.path().join("audit"));
            let closed = LinkChange::Closed {
                reason: Note::new("closed by the peer (the audit log is not the one that was shown before)"),
            };
            let of_ada = ledger.links().filter(|link| link.agent == Some(a.name)).last();
            assert_eq!(of_ada.map(|link| &link.what), Some(&closed));
            // Nor does its next run link: it was kept.
            let next = site.join(again(&a, &back));
            let Ended::Refused(why) = next.member.ended().await else { panic!() };
            assert!(matches!(&*why, DialError::SplitView(kept) if kept == alarm));
            site.stop().await;
        });
    }
}

#[test]
fn t_a74_retention_leaves_a_gap_that_is_counted_and_no_alarm() {
    sim(async {
        let dir = tempfile::tempdir().unwrap();
        let swarm = Swarm::new();
        let config = AuditConfig {
            segment_bytes_max: 2_000,
            keep_bytes: Some(4_000),
            checkpoint_interval: Duration::from_millis(1),
            ..AuditConfig::default()
        };
        let now = swarm.env_now();
        let (log, _) = AuditLog::open_with(
            &dir.path().join("audit"),
            swarm.origin(),
            swarm.log_key.clone(),
            now,
            RegistrySequence(0),
            config,
        )
        .unwrap();
        tokio::spawn(log.clone().run_sync());
        let fill = async |records: u64| {
            for n in 0..records {
                let event = NodeEvent::Started { records: n, recovered_bytes: 0 };
                let _ = log
                    .append(&Record { at: now, registry: RegistrySequence(0), event: event.into() })
                    .unwrap();
            }
            until("sealed", || log.sealed().size() == log.records()).await;
        };
        fill(20).await;
        let early = log.sealed();
        fill(20).await;
        let late = log.sealed();
        fill(20).await;
        let end = log.sealed().size();
        // All of it is there: whatever was told can be proved, from the start of a segment or from a tree of then.
        for (old, root) in [(early.size(), early.root()), (late.size(), late.root())] {
            for near in [&[][..], &[early.clone(), late.clone()][..]] {
                let shown = log.shown(old, end, near).await.unwrap();
                assert_eq!(shown.root.as_bytes(), root.as_bytes());
            }
        }
        assert_eq!(log.shown(end, end + 1, &[]).await, None, "what is not there is not proved");
        assert_eq!(log.shown(0, end, &[]).await, None);
        assert_eq!(log.shown(end, end, &[]).await, None);
        log.retain(now).await.unwrap().expect("something goes");
        assert!(log.first() > early.size() && log.first() <= end);
        assert_eq!(log.shown(early.size(), end, &[]).await, None);
        assert!(log.shown(log.first(), end, &[]).await.is_some());
        log.shutdown().await.unwrap();
    });
}

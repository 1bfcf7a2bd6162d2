//! Nothing is delivered that is not on the record: what a hand-over waits for, in both modes; a disk that is full, a
//! real one of a bounded size; and kills at any moment, after which counters and log say the same.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::tally::Tally;
use support::world::{World, message};
use support::{pass, sim, until};
use testudo_bus::audit::Health;
use testudo_bus::client::SendError;
use testudo_bus::node::Commit;
use testudo_wire::{ContentType, Refusal};

/// A small disk of its own in memory, where the system lets us have one.
struct Disk(PathBuf);

impl Disk {
    fn mounted(size: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap().keep();
        let mount = |args: &[&str]| Command::new("mount").args(args).arg(&at).output();
        let size = format!("size={size}");
        match mount(&["-t", "tmpfs", "-o", &size, "tmpfs"]) {
            Ok(done) if done.status.success() => Some(Self(at)),
            Ok(_) | Err(_) => {
                eprintln!("SKIPPED: no disk of a bounded size can be mounted here (needs root)");
                None
            }
        }
    }

    /// Takes all the room that is left, but for so many bytes.
    fn fill(&self, but: u64) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len - but).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn log(world: &World) -> PathBuf {
    world.dir.path().join("audit")
}

fn tallied(log: &Path) -> Tally {
    let mut tally = Tally::default();
    tally.read(log);
    tally
}

#[test]
fn in_both_modes_everything_arrives_in_order_and_is_accounted_for() {
    for commit in [Commit::Receipt, Commit::Delivery] {
        sim(async {
            let world = World::committing(1, commit);
            let mut reader = world.agent("reader", &[], &["read:logs"]).await;
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            for n in 0..40 {
                sender.client.tell(message("reader", "read:logs", &n.to_string())).await.unwrap();
            }
            for n in 0..40 {
                let delivery = reader.next().await.unwrap();
                assert_eq!(delivery.body(), n.to_string());
            }
            // Acknowledged by the time that the node has heard so.
            until("delivered", || world.node.metrics().account().delivered == 40).await;
            let (account, _) = world.end().await;
            assert_eq!((account.submitted, account.delivered), (40, 40), "{commit:?}");
        });
    }
}

#[test]
fn t_a65_whoever_waits_for_an_answer_that_cannot_be_recorded_hears_so_at_once() {
    for commit in [Commit::Receipt, Commit::Delivery] {
        sim(async {
            let world = World::committing(3, commit);
            let mut server = world.agent("server", &[], &["read:logs"]).await;
            let asker = world.agent("asker", &["read:logs"], &[]).await;
            let asked = tokio::spawn({
                let client = asker.client.clone();
                async move { client.request(message("server", "read:logs", "how many?")).await }
            });
            let request = server.next().await.unwrap();
            world.node.audit().shutdown().await.unwrap();
            let began = tokio::time::Instant::now();
            server.client.reply(&request, ContentType::json(), "1").await.unwrap();
            let asked = asked.await.unwrap();
            assert!(
                matches!(asked, Err(SendError::Refused { refusal: Refusal::AuditUnavailable, .. })),
                "{commit:?}: {asked:?}"
            );
            assert!(began.elapsed() < Duration::from_secs(5), "{commit:?}: {:?}", began.elapsed());
        });
    }
}

#[test]
fn t_f03_a_full_disk_delivers_nothing_and_comes_back_without_a_restart() {
    for commit in [Commit::Receipt, Commit::Delivery] {
        let Some(disk) = Disk::mounted("3m") else { return };
        sim(async {
            let world = World::within(tempfile::tempdir_in(&disk.0).unwrap(), 2, commit);
            let mut reader = world.agent("reader", &[], &["read:logs"]).await;
            let sender = world.agent("sender", &["read:logs"], &[]).await;
            sender.client.tell(message("reader", "read:logs", "before")).await.unwrap();
            // Taken and not acknowledged: its outcome comes while there is no room for it.
            let taken = reader.next().await.unwrap();
            assert_eq!(taken.body(), "before");
            disk.fill(0);
            // The last page of the log may still have room for some; then nothing passes.
            let mut passed = Vec::new();
            let refused = loop {
                let body = format!("full {}", passed.len());
                match sender.client.tell(message("reader", "read:logs", &body)).await {
                    Ok(_) => passed.push(body),
                    Err(error) => break error,
                }
                assert!(passed.len() < 100, "the disk is full");
            };
            assert!(
                matches!(refused, SendError::Refused { refusal: Refusal::AuditUnavailable, .. }),
                "{refused:?}"
            );
            assert!(matches!(world.node.audit().health(), Health::Failing { .. }));
            for body in &passed {
                assert_eq!(reader.next().await.unwrap().body(), body);
            }
            for _ in 0..20 {
                let again = sender.client.tell(message("reader", "read:logs", "no")).await;
                assert!(matches!(again, Err(SendError::Refused { .. })), "{again:?}");
            }
            pass(Duration::from_secs(10)).await;
            assert!(world.node.metrics().account().is_balanced());
            disk.free();
            pass(Duration::from_secs(1)).await;
            assert!(world.node.audit().health().is_working(), "by itself: {:?}", world.node.audit().health());
            sender.client.tell(message("reader", "read:logs", "after")).await.unwrap();
            assert_eq!(reader.next().await.unwrap().body(), "after", "nothing else was delivered meanwhile");
            let all = passed.len() as u64 + 2;
            until("delivered", || world.node.metrics().account().delivered == all).await;
            let metrics = world.node.metrics().clone();
            tallied(&log(&world)).agrees_with(&metrics.account(), &metrics);
            let (account, _) = world.end().await;
            assert_eq!((account.delivered, account.failed), (all, 21), "{commit:?}");
        });
    }
}

/// Two hundred kills, each at another moment of a stream: at each of them the log says what the counters said, and
/// after it nothing is open.
#[test]
fn after_each_of_two_hundred_kills_counters_ledgers_and_log_agree() {
    use support::site::Site;
    for seed in 0..4 {
        sim(async {
            let mut site = Site::new(seed);
            let reader = site.enrol("reader", &[], &["read:logs"]).await;
            let sender = site.enrol("sender", &["read:logs"], &[]).await;
            let (reader, sender) = (site.join(reader), site.join(sender));
            let (mut arrivals, client) = (reader.arrivals, sender.member.clone());
            let taking = tokio::spawn(async move { while arrivals.next().await.is_some() {} });
            let sending = tokio::spawn(async move {
                loop {
                    if client.tell(message("reader", "read:logs", "body")).await.is_err() {
                        pass(Duration::from_millis(5)).await;
                    }
                }
            });
            let (mut tally, mut crashed, mut told) = (Tally::default(), 0, 0);
            for kill in 0..50 {
                let before = site.node().metrics().account().submitted;
                until("traffic", || site.node().metrics().account().submitted > before + 3).await;
                pass(Duration::from_micros((kill * 977 + seed * 331) % 4000)).await;
                let metrics = site.node().metrics().clone();
                let account = site.kill();
                tally.read(&site.dir.path().join("audit"));
                let settled = tally.settled();
                assert!(account.is_balanced(), "{account:?}");
                // What the counters say is done stands on the log, and the log knows no more.
                assert_eq!(
                    settled,
                    account.delivered
                        + account.dropped
                        + metrics.failures().iter().map(|(_, n)| n).sum::<u64>()
                );
                let open = account.queued + account.in_flight;
                let recovery = site.start();
                // In the mode *delivery* the log also has what waited for the disk.
                assert!(recovery.crashed >= open, "{recovery:?} after {account:?}");
                assert!(
                    !seed.is_multiple_of(2) || recovery.crashed == open,
                    "{recovery:?} after {account:?}"
                );
                crashed += recovery.crashed;
                told += account.submitted;
                tally.read(&site.dir.path().join("audit"));
            }
            assert!(told > 200 && crashed > 0, "{told} messages, {crashed} of them under way at a kill");
            sending.abort();
            taking.abort();
            site.stop().await;
        });
    }
}

/// A receiver keeps what it was given; with the proof of the record that is all that it takes, and no node.
#[test]
fn what_an_agent_was_sent_is_shown_without_the_node() {
    use testudo_bus::audit::{find_message, prove};
    use testudo_rules::audit::{NotSent, Proof, VerifierKey};
    use testudo_wire::{Bundle, Limits};
    sim(async {
        let world = World::new(5);
        let mut reader = world.agent("reader", &[], &["read:logs"]).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let mut kept = Vec::new();
        for n in 0..3 {
            sender.client.tell(message("reader", "read:logs", &n.to_string())).await.unwrap();
            let delivery = reader.next().await.unwrap();
            kept.push((delivery.message(), delivery.bundle().clone()));
        }
        let (log, by) =
            (log(&world), VerifierKey { origin: world.swarm.origin(), key: world.swarm.log_key.public() });
        let swarm = world.swarm.id;
        pass(Duration::from_millis(300)).await;
        let proofs: Vec<_> = kept
            .iter()
            .map(|(message, _)| prove(&log, find_message(&log, *message).unwrap().unwrap(), &by).unwrap())
            .collect();
        world.node.shut_down().await;
        for (n, proof) in proofs.iter().enumerate() {
            let proven = Proof::parse(proof.to_text().as_bytes()).unwrap().verify(&by).unwrap();
            for (m, (message, bytes)) in kept.iter().enumerate() {
                let bundle = Bundle::decode(bytes.clone(), &Limits::standard()).unwrap();
                let shown = proven.shows(&bundle, &swarm);
                if n == m {
                    let (from, sent) = shown.unwrap();
                    assert_eq!((from, sent[0].message), (support::swarm::name("sender"), *message));
                    let other = testudo_wire::SwarmId::of(&world.swarm.node_key.public());
                    assert_eq!(proven.shows(&bundle, &other), Err(NotSent::OtherSwarm));
                } else {
                    assert_eq!(shown, Err(NotSent::AnotherBundle));
                }
                // Whatever is changed of it, it shows nothing any more.
                for at in (0..bytes.len()).step_by(7) {
                    let mut bad = bytes.to_vec();
                    bad[at] ^= 1;
                    if let Ok(bad) = Bundle::decode(bad.into(), &Limits::standard()) {
                        assert!(proven.shows(&bad, &swarm).is_err(), "byte {at}");
                    }
                }
            }
        }
    });
}

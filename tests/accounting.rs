//! The oracle itself: node counters and audit log, written by hand for messages of one, several and no receivers,
//! must agree when they are right and disagree when one copy is wrong.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

use std::sync::Arc;

use support::ledger::{Fates, Ledger};
use support::swarm::name;
use tempfile::TempDir;
use testudo_bus::audit::AuditLog;
use testudo_bus::metrics::Metrics;
use testudo_rules::audit::{
    Cause, EnvelopeRecord, Event, Origin, Outcome, OutcomeOf, Outcomes, Record, Verdict, Verdicts,
};
use testudo_wire::{
    CorrelationId, Digest, MessageId, Refusal, RegistrySequence, SecretKey, Sequence, SessionId, Timestamp,
};

const AT: Timestamp = Timestamp::from_millis(5);

/// A log, and the counters of the node that writes it.
struct Scene {
    dir: TempDir,
    log: Arc<AuditLog>,
    metrics: Metrics,
}

fn message(n: u8) -> MessageId {
    MessageId::new([n; 16])
}

fn envelope(n: u8, verdict: Verdict) -> EnvelopeRecord {
    EnvelopeRecord {
        message: message(n),
        digest: Digest::new([n; 32]),
        sequence: Sequence(u64::from(n)),
        destination: "topic/alerts".into(),
        capability: None,
        correlation: CorrelationId::new([n; 16]),
        trace: None,
        verdict,
    }
}

impl Scene {
    fn open(dir: TempDir) -> Self {
        let key = SecretKey::from_seed(&[9; 32]);
        let origin = Origin::parse("testudo/test").unwrap();
        let (log, _) = AuditLog::open(dir.path(), origin, key, AT, RegistrySequence(0)).unwrap();
        Self { dir, log, metrics: Metrics::default() }
    }

    fn append(&self, event: impl Into<Event>) -> u64 {
        let record = Record { at: AT, registry: RegistrySequence(1), event: event.into() };
        self.log.append(&record).unwrap().index()
    }

    /// One bundle: to three subscribers, to one agent, to a topic without subscribers, refused.
    fn bundle(&self) -> u64 {
        self.metrics.submitted(3 + 1 + 1 + 1);
        self.metrics.refused(Refusal::Poisoned);
        self.metrics.dropped_at_once(Cause::NoReceiver, 1);
        self.append(Verdicts {
            session: SessionId::new([3; 16]),
            sender: name("sender"),
            key: SecretKey::from_seed(&[4; 32]).public(),
            lane: 0,
            root: Digest::new([5; 32]),
            envelopes: vec![
                envelope(0, Verdict::allowed([], 3)),
                envelope(1, Verdict::allowed([], 1)),
                envelope(2, Verdict::allowed([], 0)),
                envelope(3, Verdict::refused(Refusal::Poisoned, ["x"])),
            ],
        })
    }

    fn ended(&self, of: u64, to: &str, ends: &[(u16, Outcome)]) {
        let end = |(position, outcome): &(u16, Outcome)| OutcomeOf { position: *position, outcome: *outcome };
        self.append(Outcomes { of, to: Some(name(to)), outcomes: ends.iter().map(end).collect() });
    }

    /// All of it but what became of the third subscriber's copy, which is handed over.
    fn most(&self) -> u64 {
        let of = self.bundle();
        self.metrics.queued(3);
        self.metrics.handed_over(3);
        self.metrics.delivered(2);
        self.ended(of, "a", &[(0, Outcome::Delivered), (1, Outcome::Delivered)]);
        self.metrics.dropped_at_once(Cause::Overflow, 1);
        self.ended(of, "b", &[(0, Outcome::Dropped(Cause::Overflow))]);
        of
    }

    fn fates(&self) -> Fates {
        Ledger::read(self.dir.path()).fates()
    }

    fn agree(&self) -> bool {
        let ledger = Ledger::read(self.dir.path());
        let agrees = || ledger.agrees_with(&self.metrics.account(), &self.metrics);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(agrees)).is_ok()
    }
}

fn scene() -> Scene {
    Scene::open(TempDir::new().unwrap())
}

#[test]
fn a_message_to_many_is_accounted_copy_by_copy() {
    let scene = scene();
    let of = scene.most();
    assert!(scene.metrics.account().is_balanced());
    assert!(!scene.agree(), "one copy is open");
    assert_eq!(scene.fates().open, [message(0)].into());
    scene.metrics.failed(Cause::LinkLost, 1);
    scene.ended(of, "c", &[(0, Outcome::Failed(Cause::LinkLost))]);
    assert!(scene.agree());

    let account = scene.metrics.account();
    assert_eq!((account.submitted, account.delivered), (6, 2));
    assert_eq!((account.dropped, account.failed), (2, 2));
    let fates = scene.fates();
    assert_eq!(fates.delivered, [message(0), message(1)].into());
    assert_eq!((&fates.dropped, &fates.failed), (&[message(0)].into(), &[message(0)].into()));
    assert_eq!(fates.unrouted, [message(2)]);
    assert_eq!(fates.delivered_to(name("a")), [message(0), message(1)].into());
    assert!(fates.delivered_to(name("b")).is_empty());
}

#[test]
fn the_oracle_sees_a_wrong_cause_and_a_lost_copy() {
    let scenes = [scene(), scene(), scene()];
    let [cause, kind, right] = &scenes;
    for (scene, outcome) in [
        (cause, Outcome::Failed(Cause::Revoked)),
        (kind, Outcome::Dropped(Cause::LinkLost)),
        (right, Outcome::Failed(Cause::LinkLost)),
    ] {
        let of = scene.most();
        scene.ended(of, "c", &[(0, outcome)]);
        scene.metrics.failed(Cause::LinkLost, 1);
    }
    assert!(!cause.agree() && !kind.agree());
    assert!(right.agree());
    right.metrics.submitted(1);
    right.metrics.dropped_at_once(Cause::NoReceiver, 1);
    assert!(!right.agree(), "balanced, but the log knows no such message");
}

#[test]
#[should_panic(expected = "a second outcome")]
fn no_receiver_has_two_outcomes_of_one_message() {
    let scene = scene();
    let of = scene.most();
    scene.ended(of, "a", &[(0, Outcome::Delivered)]);
    scene.fates();
}

#[test]
#[should_panic(expected = "an outcome too many")]
fn no_message_has_more_outcomes_than_copies() {
    let scene = scene();
    let of = scene.most();
    scene.ended(of, "c", &[(1, Outcome::Delivered)]);
    scene.fates();
}

#[test]
fn what_a_crash_left_open_is_nobodys_copy() {
    let before = scene();
    before.bundle();
    let Scene { dir, log, .. } = before;
    drop(log);
    let fates = Scene::open(dir).fates();
    assert!(fates.open.is_empty() && fates.delivered.is_empty());
    let crash = Outcome::Failed(Cause::Crash);
    assert!(fates.copies.iter().all(|fate| fate.to.is_none() && fate.outcome == crash));
    let of = |n| fates.copies.iter().filter(|fate| fate.message == message(n)).count();
    assert_eq!([of(0), of(1), of(2), of(3)], [3, 1, 0, 0]);
}

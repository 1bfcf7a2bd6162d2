//! The law, the reasons, and the page that operators read.

use super::*;

/// The value of one series on the page.
fn series(page: &str, name: &str) -> Option<u64> {
    let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The sum of all series of a family.
fn sum(page: &str, family: &str) -> u64 {
    let of = |line: &&str| line.starts_with(&format!("{family}{{"));
    page.lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_copy_is_at_one_place_at_every_instant() {
    let metrics = Metrics::default();
    let holds = |at: &str| {
        let account = metrics.account();
        assert!(account.is_balanced(), "{at}: {account:?}");
    };
    // One bundle: a topic with three subscribers, of which one has no room; a topic with none; a refusal.
    metrics.submitted(3 + 1 + 1);
    metrics.refused(Refusal::Poisoned);
    metrics.dropped_at_once(Cause::NoReceiver, 1);
    metrics.dropped_at_once(Cause::Overflow, 1);
    metrics.queued(2);
    holds("routed");
    metrics.handed_over(1);
    holds("handed over");
    metrics.dropped(Cause::Expired, 1);
    holds("given up");
    metrics.delivered(1);
    holds("delivered");
    metrics.submitted(2);
    metrics.queued(2);
    metrics.handed_over(2);
    metrics.failed(Cause::ReceiverRefused(Refusal::Stale), 1);
    metrics.failed(Cause::ReceiverRefused(Refusal::Replayed), 1);
    holds("failed");
    let account = metrics.account();
    let expected = Account { submitted: 7, delivered: 1, failed: 3, dropped: 3, queued: 0, in_flight: 0 };
    assert_eq!(account, expected);
}

#[test]
fn every_drop_and_every_failure_has_a_reason() {
    let metrics = Metrics::default();
    let causes = [
        Cause::AuditUnavailable,
        Cause::Crash,
        Cause::Expired,
        Cause::HandlerFailed,
        Cause::LinkLost,
        Cause::NoReceiver,
        Cause::Overflow,
        Cause::ReceiverRefused(Refusal::Stale),
        Cause::Revoked,
        Cause::Shutdown,
    ];
    for (cause, n) in causes.into_iter().zip(1..) {
        metrics.submitted(3 * n);
        metrics.queued(2 * n);
        metrics.handed_over(n);
        metrics.dropped(cause, n);
        metrics.dropped_at_once(cause, n);
        metrics.failed(cause, n);
        let (words, n) = (cause.as_str(), n as u64);
        assert_eq!(metrics.drops().last(), Some(&(words, 2 * n)));
        assert_eq!(metrics.failures().last(), Some(&(words, n)));
    }
    metrics.submitted(2);
    metrics.bundle_refused(Refusal::Stale, 2);
    let (account, page) = (metrics.account(), metrics.render(&AuditSizes::default()).unwrap());
    assert!(account.is_balanced(), "{account:?}");
    assert_eq!(sum(&page, "testudo_drops_total"), account.dropped);
    assert_eq!(sum(&page, "testudo_failures_total") + sum(&page, "testudo_refusals_total"), account.failed);
    assert_eq!(series(&page, "testudo_drops_total{reason=\"no_receiver\"}"), Some(12));
    assert_eq!(series(&page, "testudo_failures_total{reason=\"receiver_refused\"}"), Some(8));
    assert_eq!(series(&page, "testudo_messages_total{outcome=\"dropped\"}"), Some(110));
}

#[test]
fn every_series_is_there_before_anything_happened() {
    let metrics = Metrics::default();
    let page = metrics.render(&AuditSizes::default()).unwrap();
    for name in [
        "messages_submitted_total",
        "messages_queued",
        "messages_in_flight",
        "bundles_total",
        "handshakes_refused_total",
        "links",
        "subscriptions",
        "guard_faults_total",
        "audit_records",
        "audit_lag_records",
        "audit_first_record",
        "audit_up",
        "verdicts_total{verdict=\"allowed\"}",
        "verdicts_total{verdict=\"refused\"}",
        "stage_seconds_count{stage=\"wait\"}",
        "stage_seconds_count{stage=\"record\"}",
    ] {
        assert_eq!(series(&page, &format!("testudo_{name}")), Some(0), "{name}");
    }
    for outcome in OUTCOMES {
        let name = format!("testudo_messages_total{{outcome=\"{outcome}\"}}");
        assert_eq!(series(&page, &name), Some(0), "{name}");
    }
    let reasons = |family: &str, words: &mut dyn Iterator<Item = &str>| {
        for word in words {
            let name = format!("testudo_{family}_total{{reason=\"{}\"}}", word.replace(' ', "_"));
            assert_eq!(series(&page, &name), Some(0), "{name}");
        }
    };
    for family in ["drops", "failures"] {
        reasons(family, &mut Cause::WORDS.iter().copied());
    }
    for family in ["refusals", "bundles_refused"] {
        reasons(family, &mut Refusal::ALL.iter().map(|refusal| refusal.as_str()));
    }

    // And no other comes later: labels are bounded.
    let lines = |page: &str| page.lines().count();
    metrics.submitted(1);
    metrics.queued(1);
    metrics.handed_over(1);
    metrics.failed(Cause::LinkLost, 1);
    metrics.dropped_at_once(Cause::NoReceiver, 1);
    Refusal::ALL.iter().for_each(|refusal| metrics.bundle_refused(*refusal, 1));
    for stage in [Stage::Wait, Stage::Assess, Stage::Inspect, Stage::Reserve, Stage::Record, Stage::HandOver]
    {
        metrics.took(stage, std::time::Duration::from_micros(30));
    }
    metrics.allowed(3);
    let page_now = metrics.render(&AuditSizes { records: 9, durable: 4, first: 2, works: true }).unwrap();
    assert_eq!(series(&page_now, "testudo_audit_lag_records"), Some(5));
    assert_eq!(series(&page_now, "testudo_verdicts_total{verdict=\"allowed\"}"), Some(3));
    assert_eq!(series(&page_now, "testudo_stage_seconds_bucket{le=\"0.00005\",stage=\"record\"}"), Some(1));
    assert!(page_now.contains("testudo_build_info{version=\""), "{page_now}");
    assert_eq!(
        lines(&metrics.render(&AuditSizes { records: 9, durable: 4, first: 2, works: true }).unwrap()),
        lines(&page)
    );
    assert!(metrics.refusals().iter().all(|(_, n)| *n == 1));
}

#[test]
fn subscriptions_come_one_by_one_and_go_with_their_link() {
    let metrics = Metrics::default();
    (0..5).for_each(|_| metrics.subscribed());
    metrics.unsubscribed(1);
    assert_eq!(metrics.subscriptions(), 4);
    assert_eq!(series(&metrics.render(&AuditSizes::default()).unwrap(), "testudo_subscriptions"), Some(4));
    metrics.unsubscribed(4);
    assert_eq!(metrics.subscriptions(), 0);
}

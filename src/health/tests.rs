//! The cases r_H01 to r_H17; H11, H12 and H18 are those of a node: `src/server/web.rs`, `tests/cli/pages.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::env::System;

fn checker() -> Checker {
    Checker::new(Duration::from_secs(1), System::shared())
}

#[tokio::test(start_paused = true)]
async fn r_h01_no_checks_is_unhealthy() {
    let report = checker().report().await;
    assert_eq!((report.state, report.ready), (State::Unhealthy, false));
}

#[tokio::test(start_paused = true)]
async fn r_h06_r_h07_the_worst_counts() {
    let checker = checker();
    checker.register("a", || async { Finding::healthy() });
    assert_eq!(checker.report().await.state, State::Healthy);
    checker.register("b", || async { Finding::degraded("slow") });
    let report = checker.report().await;
    assert_eq!((report.state, report.ready), (State::Degraded, true));
    checker.register("c", || async { Finding::unhealthy("down") });
    let report = checker.report().await;
    assert_eq!((report.state, report.ready), (State::Unhealthy, false));
    assert_eq!(report.components["c"].reason.as_deref(), Some("down"));
}

#[tokio::test(start_paused = true)]
async fn r_h08_a_check_that_panics_is_unhealthy_and_the_rest_is_reported() {
    let checker = checker();
    checker.register("good", || async { Finding::healthy() });
    checker.register("late", || async { panic!("in the future") });
    checker.register("early", || -> std::future::Ready<Finding> { panic!("in the call") });
    let report = checker.report().await;
    assert_eq!(report.components["good"].state, State::Healthy);
    for name in ["late", "early"] {
        let of = &report.components[name];
        assert_eq!(of.state, State::Unhealthy);
        assert!(of.reason.as_deref().is_some_and(|reason| reason.contains("panicked")), "{of:?}");
    }
    assert_eq!((report.state, report.components.len()), (State::Unhealthy, 3));
}

#[tokio::test(start_paused = true)]
async fn r_h10_a_check_that_hangs_is_unhealthy_and_the_total_is_bounded() {
    let checker = checker();
    for name in ["a", "b", "c"] {
        checker.register(name, std::future::pending);
    }
    checker.register("good", || async { Finding::healthy() });
    let began = Instant::now();
    let report = checker.report().await;
    assert_eq!(report.state, State::Unhealthy);
    assert!(began.elapsed() < Duration::from_secs(2), "at once, not one after the other");
    for name in ["a", "b", "c"] {
        let of = &report.components[name];
        assert_eq!(of.state, State::Unhealthy);
        assert!(of.reason.is_some() && of.latency_ms >= 1000, "after its time, with why: {of:?}");
    }
    assert_eq!(report.components["good"].state, State::Healthy, "the rest is reported");
}

#[tokio::test(start_paused = true)]
async fn r_h13_a_name_registered_again_is_replaced() {
    let checker = checker();
    checker.register("a", || async { Finding::unhealthy("down") });
    checker.register("a", || async { Finding::healthy() });
    let report = checker.report().await;
    assert_eq!((report.state, report.components.len()), (State::Healthy, 1));
}

fn standard() -> Checker {
    Checker::standard(Duration::from_secs(1), System::shared())
}

#[tokio::test(start_paused = true)]
async fn r_h02_by_default_the_record_is_not_kept_and_that_is_said() {
    let report = standard().report().await;
    assert_eq!((report.state, report.ready), (State::Degraded, true));
    let names: Vec<_> = report.components.keys().map(String::as_str).collect();
    assert_eq!(names, ["audit", "process"]);
    assert_eq!(report.components["audit"].reason.as_deref(), Some("there is no durable audit log"));
}

/// How a record is kept is a type here: what can only write, or only emit, cannot be given (r_h04, r_h05). What is
/// left of them is a log that does not write.
#[tokio::test(start_paused = true)]
async fn r_h03_r_h04_r_h05_a_log_that_writes_is_healthy_and_one_that_does_not_is_not() {
    let checker = standard();
    checker.register("audit", || async { Finding::healthy() });
    assert_eq!(checker.report().await.state, State::Healthy);
    checker.register("audit", || async { Finding::unhealthy("the audit log fails: no room") });
    let report = checker.report().await;
    assert_eq!((report.state, report.ready), (State::Unhealthy, false));
}

#[tokio::test(start_paused = true)]
async fn r_h09_a_check_that_gives_nothing_is_unhealthy() {
    let checker = standard();
    // Nothing but a finding can be given; a check that ends otherwise panics, or never ends.
    checker.register("audit", || async { std::panic::resume_unwind(Box::new(())) });
    assert_eq!(checker.report().await.components["audit"].state, State::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn r_h14_a_latency_that_is_told_is_kept_and_another_is_measured() {
    let checker = checker();
    checker.register("told", || async { Finding { latency_ms: Some(99), ..Finding::healthy() } });
    checker.register("slow", || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Finding::healthy()
    });
    let report = checker.report().await;
    assert_eq!(report.components["told"].latency_ms, 99);
    assert!((40..100).contains(&report.components["slow"].latency_ms), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn r_h15_r_h16_a_report_says_when_and_what_and_comes_back_from_json() {
    let checker = checker();
    checker.register("a", || async { Finding::degraded("slow") });
    let report = checker.report().await;
    let one = regex::Regex::new(r"^20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{3}Z$").unwrap();
    assert!(one.is_match(&report.at), "one zone designator: {}", report.at);
    assert_eq!((report.version.as_str(), report.uptime_s), (env!("CARGO_PKG_VERSION"), 0));
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(checker.report().await.uptime_s, 7);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    assert_eq!(report.summary(), Summary { state: State::Degraded, ready: true });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r_h17_checks_are_registered_while_they_run() {
    let checker = standard();
    let ran = Arc::new(AtomicU64::new(0));
    let work = |n: u64| {
        let (checker, ran) = (checker.clone(), ran.clone());
        tokio::spawn(async move {
            for round in 0..50 {
                let ran = ran.clone();
                checker.register(&format!("{}", (n + round) % 7), move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Finding::healthy())
                });
                assert_eq!(checker.report().await.state, State::Degraded);
            }
        })
    };
    for running in join_all((0..8).map(work)).await {
        running.unwrap();
    }
    assert_eq!(checker.report().await.components.len(), 9);
    assert!(ran.load(Ordering::Relaxed) >= 400);
}

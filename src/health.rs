//! Honest health: a report is only as good as the checks that ran for it. No checks means unhealthy; a check
//! that hangs or panics is unhealthy.
//!
//! Knows no node: whoever runs one says what is checked.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout};

/// How something is, worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does its work.
    Healthy,
    /// It works, but something is amiss.
    Degraded,
    /// It does not do its work.
    Unhealthy,
}

/// What a check found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How it is.
    pub state: State,
    /// Why, when it is not healthy.
    pub reason: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub const fn healthy() -> Self {
        Self { state: State::Healthy, reason: None }
    }

    /// Something is amiss.
    #[must_use]
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { state: State::Degraded, reason: Some(reason.into()) }
    }

    /// It does not work.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self { state: State::Unhealthy, reason: Some(reason.into()) }
    }
}

type Checking = Pin<Box<dyn Future<Output = Finding> + Send>>;
type Check = Arc<dyn Fn() -> Checking + Send + Sync>;

/// One check's part of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Component {
    /// How it is.
    pub state: State,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
}

/// What all checks found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The worst of all; unhealthy when there are none.
    pub state: State,
    /// Whether traffic should come: not unhealthy.
    pub ready: bool,
    /// By name.
    pub components: BTreeMap<String, Component>,
    /// Seconds since the checker was made.
    pub uptime_s: u64,
    /// The program's version.
    pub version: &'static str,
}

/// Runs checks.
#[derive(Clone)]
pub struct Checker {
    checks: Arc<RwLock<BTreeMap<String, Check>>>,
    limit: Duration,
    started: Instant,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Checker {
    /// A checker without checks. Each check may take so long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { checks: Arc::default(), limit, started: Instant::now() }
    }

    /// Adds a check, or replaces the one of that name.
    pub fn register<F, Fut>(&self, name: &str, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Finding> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), check);
    }

    /// Runs all checks at once, each within its limit.
    pub async fn report(&self) -> Report {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let runs =
            checks.into_iter().map(|(name, check)| async move { (name, run(check, self.limit).await) });
        let components: BTreeMap<_, _> = join_all(runs).await.into_iter().collect();
        let state = components.values().map(|c| c.state).max().unwrap_or(State::Unhealthy);
        Report {
            state,
            ready: state != State::Unhealthy,
            components,
            uptime_s: self.started.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

async fn run(check: Check, limit: Duration) -> Component {
    let began = Instant::now();
    // The call itself may panic, not only the future that it returns.
    let checking = AssertUnwindSafe(async move { check().await }).catch_unwind();
    let finding = match timeout(limit, checking).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(_)) => Finding::unhealthy("the check panicked"),
        Err(_) => Finding::unhealthy(format!("no answer within {} ms", limit.as_millis())),
    };
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Component { state: finding.state, reason: finding.reason, latency_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker() -> Checker {
        Checker::new(Duration::from_secs(1))
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
        assert_eq!(report.components["late"].state, State::Unhealthy);
        assert_eq!(report.components["early"].state, State::Unhealthy);
    }

    #[tokio::test(start_paused = true)]
    async fn r_h10_a_check_that_hangs_is_unhealthy_and_the_total_is_bounded() {
        let checker = checker();
        for name in ["a", "b", "c"] {
            checker.register(name, std::future::pending);
        }
        let began = Instant::now();
        let report = checker.report().await;
        assert_eq!(report.state, State::Unhealthy);
        assert!(began.elapsed() < Duration::from_secs(2), "at once, not one after the other");
    }

    #[tokio::test(start_paused = true)]
    async fn r_h13_a_name_registered_again_is_replaced() {
        let checker = checker();
        checker.register("a", || async { Finding::unhealthy("down") });
        checker.register("a", || async { Finding::healthy() });
        let report = checker.report().await;
        assert_eq!((report.state, report.components.len()), (State::Healthy, 1));
    }
}

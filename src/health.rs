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
use serde::{Deserialize, Serialize};
use testudo_bus::env::SharedEnv;
use testudo_rules::moment::utc_millis;
use tokio::time::{Instant, timeout};

/// How something is, worst last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
    /// What the check itself says that it took, in milliseconds; otherwise it is measured.
    pub latency_ms: Option<u64>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub const fn healthy() -> Self {
        Self { state: State::Healthy, reason: None, latency_ms: None }
    }

    /// Something is amiss.
    #[must_use]
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { state: State::Degraded, reason: Some(reason.into()), latency_ms: None }
    }

    /// It does not work.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self { state: State::Unhealthy, reason: Some(reason.into()), latency_ms: None }
    }
}

type Checking = Pin<Box<dyn Future<Output = Finding> + Send>>;
type Check = Arc<dyn Fn() -> Checking + Send + Sync>;

/// One check's part of a report.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Component {
    /// How it is.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
}

/// What everyone may know: not why.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// The worst of all.
    pub state: State,
    /// Whether traffic should come.
    pub ready: bool,
}

/// What all checks found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    pub version: String,
    /// When, in RFC 3339.
    pub at: String,
}

impl Report {
    /// Without the reasons.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        Summary { state: self.state, ready: self.ready }
    }
}

/// Runs checks.
#[derive(Clone)]
pub struct Checker {
    checks: Arc<RwLock<BTreeMap<String, Check>>>,
    limit: Duration,
    started: Instant,
    env: SharedEnv,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Checker {
    /// A checker without checks. Each check may take so long.
    #[must_use]
    pub fn new(limit: Duration, env: SharedEnv) -> Self {
        Self { checks: Arc::default(), limit, started: Instant::now(), env }
    }

    /// A checker with what every node is asked. Until somebody says how its record is kept, it is not kept.
    #[must_use]
    pub fn standard(limit: Duration, env: SharedEnv) -> Self {
        let checker = Self::new(limit, env);
        checker.register("process", || std::future::ready(Finding::healthy()));
        let none = || std::future::ready(Finding::degraded("there is no durable audit log"));
        checker.register("audit", none);
        checker
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
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: utc_millis(self.env.now()),
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
    let measured = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let latency_ms = finding.latency_ms.unwrap_or(measured);
    Component { state: finding.state, reason: finding.reason, latency_ms }
}

#[cfg(test)]
mod tests;

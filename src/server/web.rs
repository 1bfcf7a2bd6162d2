//! The pages that monitors read: `/livez`, `/readyz`, `/healthz`, `/metrics`, over plain HTTP on loopback. They
//! show states and counts, never names, and change nothing (threat A67).

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use testudo_bus::audit::Health as AuditHealth;
use testudo_bus::env::Env as _;
use testudo_bus::node::Node;
use testudo_bus::tls::Leaf;
use testudo_wire::Timestamp;
use tokio::task::JoinHandle;

use crate::export::{ExporterStatus, States, register};
use crate::health::{Checker, Finding};

/// A check may take so long.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// A registry whose disk fails for longer is unhealthy (threat F11).
const STORE_FAILING: Duration = Duration::from_secs(120);

/// The issuer may take so long before it counts.
const RENEWING: Duration = Duration::from_secs(180);

#[derive(Clone)]
struct Pages {
    checker: Checker,
    node: Arc<Node>,
    exporters: States,
}

/// The checks of a node.
fn checks(node: &Arc<Node>, exporters: &States) -> Checker {
    let checker = Checker::new(CHECK_TIME);
    let of = node.clone();
    checker.register("audit", move || std::future::ready(audit(&of)));
    let of = node.clone();
    checker.register("registry", move || std::future::ready(registry(&of)));
    let of = node.clone();
    checker.register("certificate", move || {
        std::future::ready(certificate(&of.certificate(), crate::env::System.now()))
    });
    let of = node.clone();
    checker.register("actors", move || {
        std::future::ready(if of.actors_live() {
            Finding::healthy()
        } else {
            Finding::unhealthy("an actor has ended; restart the node")
        })
    });
    let of = node.clone();
    checker.register("guard", move || {
        let faults = of.metrics().guard_faults();
        std::future::ready(match faults {
            0 => Finding::healthy(),
            n => Finding::degraded(format!("the guard failed on {n} bundles, which were refused")),
        })
    });
    if !exporters.is_empty() {
        let of = exporters.clone();
        checker.register("exporters", move || std::future::ready(exporting(&of)));
    }
    checker
}

/// A receiver that is down, and every event that did not arrive, is worth a look (case r_H18).
fn exporting(exporters: &States) -> Finding {
    let amiss: Vec<_> = exporters.all().iter().filter_map(ExporterStatus::amiss).collect();
    if amiss.is_empty() { Finding::healthy() } else { Finding::degraded(amiss.join("; ")) }
}

fn audit(node: &Node) -> Finding {
    match node.audit().health() {
        AuditHealth::Working => Finding::healthy(),
        AuditHealth::Closed => Finding::unhealthy("the audit log is closed"),
        AuditHealth::Failing { reason } => Finding::unhealthy(format!("the audit log fails: {reason}")),
        AuditHealth::Poisoned { reason } => {
            Finding::unhealthy(format!("the audit log failed for good: {reason}"))
        }
    }
}

/// A certificate is replaced when it is due: one that was not is about to end, and no agent can come in any more.
fn certificate(leaf: &Leaf, now: Timestamp) -> Finding {
    let left = leaf.not_after.as_millis().saturating_sub(now.as_millis()) / 60_000;
    if now >= leaf.not_after {
        Finding::unhealthy("the node's certificate has run out; see its log for what its issuer says")
    } else if now > leaf.due().after(RENEWING) {
        Finding::degraded(format!("the node's certificate was not renewed and ends in {left} minutes"))
    } else {
        Finding::healthy()
    }
}

fn registry(node: &Node) -> Finding {
    if let Some(seen) = *node.stale().borrow() {
        return Finding::unhealthy(format!("the registry is an old copy: sequence {seen} was seen"));
    }
    let health = node.registry().health();
    match health.failing_since {
        None => Finding::healthy(),
        Some(since) => {
            let now = crate::env::System.now();
            let reason = format!("the registry's store fails; {} changes wait for it", health.backlog);
            if now > since.after(STORE_FAILING) {
                Finding::unhealthy(reason)
            } else {
                Finding::degraded(reason)
            }
        }
    }
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let report = pages.checker.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let exporters = pages.exporters.all();
    let more = |registry: &mut Registry| register(registry, &exporters);
    let text = pages.node.metrics().render_with(pages.node.audit().records(), more);
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    text.map_or_else(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |text| (kind, text).into_response(),
    )
}

/// The listener as the runtime takes it.
pub(super) fn listen(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// Serves the pages until the task is aborted.
pub(super) fn serve(listener: tokio::net::TcpListener, node: Arc<Node>, exporters: States) -> JoinHandle<()> {
    let pages = Pages { checker: checks(&node, &exporters), node, exporters };
    let router = Router::new()
        // Alive means that this answers: it depends on nothing else (case r_H11).
        .route("/livez", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the health pages ended");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;
    use testudo_wire::{NodeName, SecretKey, SpiffeId, SwarmId};

    #[test]
    fn a_certificate_that_was_not_renewed_in_time_is_told_before_it_ends() {
        let at = |hours: u64| Timestamp::from_millis(hours * 3_600_000);
        let name: NodeName = "n1".parse().unwrap();
        let leaf = Leaf {
            id: SpiffeId::Node(SwarmId::new([1; 32]), name),
            key: SecretKey::from_seed(&[1; 32]).public(),
            not_before: at(0),
            not_after: at(24),
        };
        assert_eq!(leaf.due(), at(16));
        let states = [0, 16, 17, 23, 24, 30].map(|hour| certificate(&leaf, at(hour)).state);
        use State::{Degraded, Healthy, Unhealthy};
        assert_eq!(states, [Healthy, Healthy, Degraded, Degraded, Unhealthy, Unhealthy]);
    }
}

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
use testudo_bus::node::Node;
use tokio::task::JoinHandle;

use crate::export::{ExporterStatus, States, register};
use crate::health::{Checker, Finding};

/// A check may take so long.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// A registry whose disk fails for longer is unhealthy (threat F11).
const STORE_FAILING: Duration = Duration::from_secs(120);

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

fn registry(node: &Node) -> Finding {
    if let Some(seen) = *node.stale().borrow() {
        return Finding::unhealthy(format!("the registry is an old copy: sequence {seen} was seen"));
    }
    let health = node.registry().health();
    match health.failing_since {
        None => Finding::healthy(),
        Some(since) => {
            use testudo_bus::env::Env as _;
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

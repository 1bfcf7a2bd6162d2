//! The pages that monitors read: `/livez`, `/readyz`, `/healthz`, `/metrics`, over plain HTTP on loopback. They
//! show states and counts, never names, and change nothing; reasons only to who shows the operator's secret
//! (threat A67).

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use testudo_bus::env::{Env, random};
use testudo_bus::metrics::AuditSizes;
use testudo_bus::node::Node;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::expiry;
use crate::export::{States, TracesView, register, register_traces};
use crate::files::{self, FileError};
use crate::health::Checker;

#[derive(Clone)]
struct Pages {
    checker: Checker,
    node: Arc<Node>,
    secret: Secret,
    sending: Sending,
}

/// What a node sends elsewhere.
#[derive(Clone)]
pub(super) struct Sending {
    pub(super) exporters: States,
    pub(super) traces: Option<TracesView>,
}

/// Whoever shows the operator's secret sees why: it lies in the data folder, for the operator alone.
#[derive(Clone)]
pub(super) struct Secret(blake3::Hash);

impl Secret {
    /// A new one, written for the operator.
    pub(super) fn make(path: &Path, env: &dyn Env) -> Result<Self, FileError> {
        let secret = Zeroizing::new(hex::encode(random::<32>(env)));
        files::replace(path, secret.as_bytes())?;
        Ok(Self(blake3::hash(secret.as_bytes())))
    }

    /// Compared as hashes, in constant time.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown =
            headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| blake3::hash(shown) == self.0)
    }
}

/// State and, for the operator, every check.
async fn healthz(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let report = pages.checker.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if pages.secret.is_shown(&headers) {
        (status, Json(report)).into_response()
    } else {
        (status, Json(report.summary())).into_response()
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let log = pages.node.audit();
    let sizes = AuditSizes {
        records: log.records(),
        durable: *log.synced().borrow(),
        first: log.first(),
        works: log.health().is_working(),
    };
    let Sending { exporters, traces } = pages.sending;
    let (exporters, traces) = (exporters.all(), traces.map(|traces| traces.status()));
    let more = |registry: &mut Registry| {
        register(registry, &exporters);
        expiry::register(registry, &pages.node);
        pages.node.capability().register(registry);
        if let Some(status) = &traces {
            register_traces(registry, status);
        }
    };
    let text = pages.node.metrics().render_with(&sizes, more);
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
pub(super) fn serve(
    listener: tokio::net::TcpListener,
    node: Arc<Node>,
    checker: Checker,
    secret: Secret,
    sending: Sending,
) -> JoinHandle<()> {
    let pages = Pages { checker, node, secret, sending };
    let router = Router::new()
        // Alive means that this answers: it depends on nothing else (case r_H11).
        .route("/livez", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(healthz))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .with_state(pages);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the health pages ended");
        }
    })
}

//! The witness over HTTP: `POST /add-checkpoint`, and nothing else.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use testudo_bus::env::SharedEnv;
use testudo_rules::audit::witness::{Refused, Submission};
use tokio::sync::Semaphore;

use super::{NotSigned, Witness};

/// Requests that wait for the disk at once; more are told to come again.
const AT_ONCE: usize = 16;

#[derive(Clone)]
struct Door {
    witness: Arc<Witness>,
    env: SharedEnv,
    places: Arc<Semaphore>,
}

async fn add_checkpoint(State(door): State<Door>, body: Bytes) -> Response {
    let Ok(place) = door.places.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let signed = tokio::task::spawn_blocking(move || {
        let _place = place;
        door.witness.add_checkpoint(&body, door.env.now())
    });
    match signed.await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(NotSigned::Refused(refused))) => refusal(refused),
        Ok(Err(NotSigned::Failed(error))) => {
            tracing::error!(%error, "a checkpoint could not be signed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refusal(refused: Refused) -> Response {
    tracing::warn!(%refused, "a checkpoint was refused");
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
    match refused {
        // Where the witness is, as the protocol has it.
        Refused::Stale { size } | Refused::Forked { size } => {
            (status, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        Refused::Malformed(_) | Refused::NotExtending { .. } | Refused::UnknownLog | Refused::Unsigned => {
            (status, format!("{refused}\n")).into_response()
        }
    }
}

/// Serves until the task is aborted.
///
/// # Errors
/// The system's.
pub async fn serve(witness: Arc<Witness>, listener: TcpListener, env: SharedEnv) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let door = Door { witness, env, places: Arc::new(Semaphore::new(AT_ONCE)) };
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(Submission::BYTES_MAX))
        .with_state(door);
    axum::serve(listener, router).await
}

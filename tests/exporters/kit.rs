//! A receiver over HTTP that answers as it is told, and swarms that export to it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use testudo::Swarm;
use testudo::export::ExporterStatus;
use testudo::export::config::{ExporterKind, ExporterSection};
use testudo::wire::NodeName;

/// What came in one request.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What decides on a request.
pub(crate) type Judge = Box<dyn FnMut(&Came) -> (StatusCode, Vec<u8>) + Send>;

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
    judge: Arc<Mutex<Judge>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let came = Came { headers, body };
    let answer = (receiver.judge.lock().unwrap())(&came);
    receiver.came.lock().unwrap().push(came);
    answer
}

impl Receiver {
    /// On a free port of this machine, at `/in`.
    pub(crate) async fn start(judge: Judge) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let receiver = Self { url, came: Arc::default(), judge: Arc::new(Mutex::new(judge)) };
        let router = Router::new().route("/in", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// One that answers with these, then with 200.
    pub(crate) async fn answering(statuses: impl IntoIterator<Item = u16>) -> Self {
        let mut statuses: VecDeque<_> = statuses.into_iter().collect();
        Self::start(Box::new(move |_| {
            let status = statuses.pop_front().unwrap_or(200);
            (StatusCode::from_u16(status).unwrap(), b"as it was told".to_vec())
        }))
        .await
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

pub(crate) fn section(kind: ExporterKind, url: &str) -> ExporterSection {
    let name = NodeName::parse("out").unwrap();
    ExporterSection { url: Some(url.to_owned()), ..ExporterSection::new(name, kind) }
}

/// A swarm that exports so, in a folder; it sends what it has within milliseconds.
pub(crate) async fn swarm(folder: &Path, exporter: ExporterSection) -> Swarm {
    let first = !folder.join("testudo.toml").exists();
    if first {
        Swarm::builder("s").data(folder).start().await.unwrap().shut_down().await.unwrap();
        let path = folder.join("testudo.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let fast = "\n[export]\ninterval_ms = 5\ntimeout_ms = 2000\nfailures = 3\nopen_ms = 50\n";
        std::fs::write(path, text + fast).unwrap();
    }
    Swarm::builder("s").data(folder).export(exporter).start().await.unwrap()
}

/// Waits until the only exporter of a swarm is as wanted; its books balance at every look.
pub(crate) async fn until(swarm: &Swarm, wanted: impl Fn(&ExporterStatus) -> bool) -> ExporterStatus {
    for _ in 0..3000 {
        let state = swarm.exporters().remove(0);
        assert!(state.counts.is_balanced(), "{state:?}");
        if wanted(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", swarm.exporters());
}

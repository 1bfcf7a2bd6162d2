//! The port's life: closed until somebody may join, open until nobody may, and bounded while it is open.
//!
//! Every dial proves its address before it costs more than an answer of a few bytes. Knows no frame.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Endpoint, Incoming, VarInt};
use testudo_rules::quota::Bucket;
use testudo_wire::Timestamp;
use testudo_wire::standing::Quota;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::{Desk, quic, serve};
use crate::env::Env;
use crate::node::{Doors, Shared};
use crate::tls::{ChainToCa, TlsError, join_server_config};
use crate::transport::Socket;

/// Conversations at once; each ends within seconds.
const AT_ONCE: usize = 64;
/// Of these with one address.
const OF_ONE_SOURCE: usize = 8;
/// Handshakes a second: each costs the node a signature, and links must not feel it.
const RATE: Quota = Quota { bundles_per_second: 100, bytes_per_second: 0 };
/// Between two looks at the wall clock, which may be set.
const LOOK: Duration = Duration::from_secs(1);
/// A socket of the life before may take so long to go; then the operator is told.
const AGAIN: Duration = Duration::from_millis(100);
const TRIES: u32 = 20;
/// Conversations that end get to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Makes the port's socket. Asked each time that the port opens.
pub type Bind = Box<dyn Fn() -> io::Result<Socket> + Send + Sync>;

/// Whether newcomers are heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PortState {
    /// Nobody may join: there is no socket.
    Closed,
    /// At this address.
    Open(SocketAddr),
    /// Somebody may join, and the socket cannot be had; it is tried again.
    Failed(String),
}

/// What the port works with.
pub(crate) struct PortParts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) certificate: Arc<ChainToCa>,
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) bind: Bind,
    /// Somebody has shown that our registry is an old copy: nobody may join it.
    pub(crate) is_stale: watch::Receiver<Option<testudo_wire::RegistrySequence>>,
}

/// A join port, whether open or not. Ends when dropped.
#[derive(Debug)]
pub struct JoinPort {
    state: watch::Receiver<PortState>,
    task: JoinHandle<()>,
}

impl Drop for JoinPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl JoinPort {
    pub(crate) fn start(parts: PortParts) -> Result<Self, TlsError> {
        // Made once for the error; a configuration is consumed by each opening.
        join_server_config(parts.certificate.clone(), parts.shared.env.clone())?;
        let (tell, state) = watch::channel(PortState::Closed);
        let task = tokio::spawn(Port { parts: Arc::new(parts), tell }.run());
        Ok(Self { state, task })
    }

    /// Whether it is open, and every change of that.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<PortState> {
        self.state.clone()
    }
}

struct Port {
    parts: Arc<PortParts>,
    tell: watch::Sender<PortState>,
}

/// Resolves when somebody may join (`wanted`), or when nobody may.
async fn until_invited(parts: &PortParts, wanted: bool) -> Option<()> {
    let mut invited = parts.shared.registry.invited();
    loop {
        let is_stale = parts.is_stale.borrow().is_some();
        let open = is_open(*invited.borrow_and_update(), &*parts.shared.env) && !is_stale;
        if open == wanted {
            return Some(());
        }
        // The wall clock has no alarm: it is looked at.
        match timeout(LOOK, invited.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return None,
        }
    }
}

fn is_open(until: Option<Timestamp>, env: &dyn Env) -> bool {
    until.is_some_and(|until| env.now() < until)
}

impl Port {
    async fn run(self) {
        while until_invited(&self.parts, true).await.is_some() {
            let Some(endpoint) = self.open().await else { continue };
            let address = endpoint.local_addr();
            let told = address.map_or_else(|error| PortState::Failed(error.to_string()), PortState::Open);
            self.tell.send_replace(told);
            let mut conversations = JoinSet::new();
            tokio::select! {
                () = accept(&self.parts, &endpoint, &mut conversations) => {}
                _ = until_invited(&self.parts, false) => {}
            }
            // From now on nobody is told of this address: the next opening may have another.
            self.tell.send_replace(PortState::Closed);
            // Whoever was heard hears its answer: the last of them may be what closed the port.
            let ending = async { while conversations.join_next().await.is_some() {} };
            let _ = timeout(LAST_WORDS, ending).await;
            endpoint.close(VarInt::from_u32(0), b"closed");
            conversations.shutdown().await;
            let _ = timeout(LAST_WORDS, endpoint.wait_idle()).await;
            drop(endpoint);
        }
        self.tell.send_replace(PortState::Closed);
    }

    /// The endpoint; `None` when it is not to be had now.
    async fn open(&self) -> Option<Endpoint> {
        let mut tried = 0;
        loop {
            let error = match self.endpoint() {
                Ok(endpoint) => return Some(endpoint),
                Err(error) => error,
            };
            tried += 1;
            if tried == TRIES {
                tracing::error!(%error, "the join port cannot be opened: see node.join in the configuration");
                self.tell.send_replace(PortState::Failed(error.to_string()));
                sleep(LOOK).await;
                // Who asks from now on hears of the next try, not of this one.
                self.tell.send_replace(PortState::Closed);
                return None;
            }
            sleep(AGAIN).await;
        }
    }

    fn endpoint(&self) -> io::Result<Endpoint> {
        let PortParts { certificate, shared, bind, .. } = &*self.parts;
        let tls = join_server_config(certificate.clone(), shared.env.clone()).map_err(io::Error::other)?;
        quic::listen(tls, bind()?)
    }
}

/// The accept loop. What is not taken in at once is not answered: an honest newcomer's QUIC asks again.
async fn accept(parts: &Arc<PortParts>, endpoint: &Endpoint, conversations: &mut JoinSet<()>) {
    let doors = Doors::sized(AT_ONCE, OF_ONE_SOURCE);
    let start = Instant::now();
    let rate = Mutex::new(Bucket::new(RATE, Duration::ZERO));
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => incoming,
                None => return,
            },
            Some(_) = conversations.join_next() => continue,
        };
        if !incoming.remote_address_validated() {
            // The only error is that it was validated, which was asked just now.
            let _ = incoming.retry();
            continue;
        }
        let place = doors.try_enter(incoming.remote_address().ip());
        let within = rate.lock().unwrap_or_else(PoisonError::into_inner).take(0, start.elapsed()).is_ok();
        match place {
            Some(place) if within => {
                let parts = parts.clone();
                conversations.spawn(async move {
                    serve_one(&parts, incoming).await;
                    drop(place);
                });
            }
            Some(_) | None => incoming.ignore(),
        }
    }
}

async fn serve_one(parts: &PortParts, incoming: Incoming) {
    let remote = incoming.remote_address();
    let note = |ended: &_| parts.shared.note_turned_away_newcomer(remote, ended);
    serve::serve(&*parts.desk, incoming, &note).await;
}

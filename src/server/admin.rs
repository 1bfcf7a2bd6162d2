//! The operator's socket: one JSON request a line, one JSON answer a line, over a Unix socket that only the
//! owner of the data folder can open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use testudo_bus::node::Node;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ServerError;
use super::guard::Rules;
use crate::export::States;
use crate::files::FileError;
use crate::health::Checker;
use crate::operator::{Answer, Mandate, Operator, Request, Status, TrafficLine, Verb};

/// Longest request or answer.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Requests at once.
const AT_ONCE: usize = 8;
/// An operator's connection may be idle for so long.
const IDLE: Duration = Duration::from_secs(30);

/// Why a running node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No node runs on this data.
    #[error("no node runs on {0}; start it with `testudo node --config FILE`")]
    NoNode(PathBuf),
    /// It did not answer as expected.
    #[error("the node did not answer: {0}")]
    Broken(String),
}

fn local(path: &Path, error: io::Error) -> ServerError {
    ServerError::File(FileError::of(path, error))
}

/// The socket's file, which goes when the node does.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Opens the socket.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), ServerError> {
    // The lock on the audit log is ours, so a socket that is there is a leftover.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(local(path, error)),
    }
    let listener = UnixListener::bind(path).map_err(|error| local(path, error))?;
    let socket = SocketFile(path.to_owned());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(|error| local(path, error))?;
    Ok((listener, socket))
}

/// What an operator may reach besides the node.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) operator: Operator,
    pub(super) rules: Rules,
    pub(super) exporters: States,
    pub(super) checker: Checker,
}

impl Served {
    /// Does one request of somebody with a mandate, if it covers that, with what only a running node can say.
    pub(super) async fn answer(&self, mandate: &Mandate, request: Request, node: &Node) -> Answer {
        if matches!(request, Request::GuardReload) && mandate.allows(Verb::GuardReload) {
            let reloaded = self.rules.reload(node).await;
            return reloaded.map_or_else(|error| Answer::Refused { error }, Answer::Rules);
        }
        let answer = self.operator.answer_for(mandate, request).await;
        if let Answer::Agent(agent) = answer {
            return Answer::Agent(Box::new(agent.with_node(node)));
        }
        let Answer::Status(status) = answer else { return answer };
        let health = Some(self.checker.report().await);
        let status = with_node(*status, node, &self.exporters);
        Answer::Status(Box::new(Status { health, ..status }))
    }
}

/// Serves operators until the task is aborted.
pub(super) fn serve(listener: UnixListener, served: Served, node: Arc<Node>) -> JoinHandle<()> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (served, node) = (served.clone(), node.clone());
            tokio::spawn(async move {
                let _ = converse(stream, &served, &node).await;
                drop(place);
            });
        }
    })
}

async fn converse(stream: UnixStream, served: &Served, node: &Node) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mandate = Mandate::owner();
    let mut lines = BufReader::new(read.take(LINE_BYTES_MAX)).lines();
    while let Ok(Ok(Some(line))) = timeout(IDLE, lines.next_line()).await {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => served.answer(&mandate, request, node).await,
            Err(error) => Answer::Refused { error: format!("not a request: {error}") },
        };
        let mut text = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        text.push(b'\n');
        write.write_all(&text).await?;
    }
    Ok(())
}

fn with_node(status: Status, node: &Node, exporters: &States) -> Status {
    let traffic: Vec<_> = node.traffic().into_iter().map(TrafficLine::from).collect();
    let metrics = node.metrics();
    Status {
        linked: traffic.iter().map(|line| line.name).collect(),
        account: serde_json::to_value(metrics.account()).unwrap_or_default(),
        audit_first: node.audit().first(),
        audit_durable: *node.audit().synced().borrow(),
        refusals: metrics.refusals().into_iter().map(|(reason, n)| (reason.as_str().to_owned(), n)).collect(),
        bundles_refused: metrics.bundles_refused(),
        exporters: exporters.all(),
        traffic,
        ..status
    }
}

/// Asks the node that runs on a data folder.
///
/// # Errors
/// [`AskError::NoNode`] when none runs there.
pub async fn ask(data: &Path, request: &Request) -> Result<Answer, AskError> {
    let none = |_| AskError::NoNode(data.to_owned());
    let mut stream = UnixStream::connect(data.join("admin.sock")).await.map_err(none)?;
    let broken = |error: io::Error| AskError::Broken(error.to_string());
    let mut text = serde_json::to_vec(request).map_err(|error| AskError::Broken(error.to_string()))?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(broken)?;
    let mut lines = BufReader::new(stream.take(LINE_BYTES_MAX)).lines();
    let line = timeout(IDLE, lines.next_line()).await.map_err(|_| AskError::Broken("time-out".into()))?;
    let line = line.map_err(broken)?.ok_or_else(|| AskError::Broken("it closed the connection".into()))?;
    serde_json::from_str(&line).map_err(|error| AskError::Broken(error.to_string()))
}

//! From an open link to a running client: its tasks, and the identity's token shown.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Connection, Endpoint};
use testudo_rules::token::SealedToken;
use testudo_wire::Refusal;
use testudo_wire::frame::Seen;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::incoming::Inbox;
use super::shared::{Begun, Shared};
use super::{
    Client, ClientIdentity, DIAL_TIME, Deliveries, DialError, OpenLink, SendError, control, deliveries, dial,
    explain, incoming, lanes, outgoing,
};
use crate::env::SharedEnv;

/// Messages that wait for the signer.
const QUEUE: usize = 1024;
/// Large messages that wait for a lane.
const LARGE_QUEUE: usize = 4;
/// Verified messages that wait for the handler.
const HANDLER_QUEUE: usize = 256;
/// Control frames that wait for their stream.
const CONTROL_QUEUE: usize = 256;

/// Closes a link whose opening failed or was given up: its tasks would keep it.
struct Unfinished(Option<Connection>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(0_u32.into(), b"not opened");
        }
    }
}

impl Client {
    /// Dials a node, says hello, shows the identity's token.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect(
        endpoint: &Endpoint,
        node: SocketAddr,
        identity: Arc<ClientIdentity>,
        seen: Option<Seen>,
        env: SharedEnv,
    ) -> Result<(Self, Deliveries), DialError> {
        let link = dial(endpoint, node, &identity, seen, env.clone()).await?;
        let token =
            identity.token.seal().map_err(|_| DialError::Protocol("the identity's token is unusable"))?;
        let unfinished = Unfinished(Some(link.connection.clone()));
        let (client, deliveries) = Self::start(link, node, identity, &token, env).await?;
        let shown = timeout(DIAL_TIME, client.present(&token)).await;
        match shown.map_err(|_| DialError::Unreachable(node))? {
            Ok(_) => {
                unfinished.finish();
                Ok((client, deliveries))
            }
            Err(SendError::Refused { refusal: Refusal::Revoked, .. }) => Err(DialError::Revoked),
            Err(SendError::Refused { .. }) => Err(DialError::Protocol("the identity's token is refused")),
            Err(_) => Err(explain(&client.shared.connection.closed().await, node)),
        }
    }

    /// Starts the tasks of an open link.
    async fn start(
        link: OpenLink,
        address: SocketAddr,
        identity: Arc<ClientIdentity>,
        token: &SealedToken,
        env: SharedEnv,
    ) -> Result<(Self, Deliveries), DialError> {
        let OpenLink { connection, node, welcome, control, answers, data } = link;
        let (frames, frames_out) = mpsc::channel(CONTROL_QUEUE);
        let (queue, queued) = mpsc::channel(QUEUE);
        let (large, large_queued) = mpsc::channel(LARGE_QUEUE);
        let (handler, handled) = mpsc::channel(HANDLER_QUEUE);
        // The windows begin before anything can arrive.
        identity.memory.with(env.now(), |_| ());
        let begun = Begun {
            identity,
            env,
            connection: connection.clone(),
            node,
            address,
            welcome,
            token: token.id(),
            control: frames,
        };
        let shared = Arc::new(Shared::new(begun));
        let stream = timeout(DIAL_TIME, deliveries(&connection, address))
            .await
            .map_err(|_| DialError::Unreachable(address))??;
        let inbox = Inbox(handler);
        tokio::spawn(control::write(shared.clone(), frames_out, control));
        tokio::spawn(control::read(shared.clone(), answers));
        tokio::spawn(outgoing::run(shared.clone(), queued, data));
        tokio::spawn(incoming::run(shared.clone(), stream, inbox.clone()));
        if let Some(limits) = shared.lanes {
            let queue = Arc::new(Mutex::new(large_queued));
            for lane in lanes::numbers() {
                tokio::spawn(lanes::send(shared.clone(), limits, queue.clone(), lane));
            }
            tokio::spawn(lanes::accept(shared.clone(), limits, inbox));
        }
        let ending = shared.clone();
        tokio::spawn(async move {
            ending.connection.closed().await;
            ending.end();
        });
        Ok((Self { shared: shared.clone(), queue, large }, Deliveries { shared, queue: handled }))
    }
}

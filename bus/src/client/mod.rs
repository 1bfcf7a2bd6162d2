//! The agent's half of a link: connects, signs, sends, verifies what comes, and tells every caller what
//! became of its message.
//!
//! One [`Client`] is one link. When the link ends, whatever is open ends as [`SendError::Unknown`]; nothing
//! is ever sent again by itself. A [`Member`] is an agent over as many links as it takes. Knows nothing of
//! actors.

mod alike;
mod answering;
mod arrival;
mod asking;
mod backlog;
mod board;
mod connect;
mod control;
mod delivery;
mod desk;
mod dial;
mod dice;
mod error;
mod gossip;
mod identity;
mod incoming;
mod inflow;
mod known;
mod lanes;
mod learnt;
mod line;
mod message;
mod names;
mod outgoing;
mod parts;
mod receipts;
pub(crate) mod reconnect;
mod renewing;
mod replying;
mod requests;
mod seen;
mod sending;
mod sent;
mod shared;
mod turn;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use testudo_wire::frame::{FromAgent, Seen};
use testudo_wire::{Refusal, SessionId};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub use delivery::Delivery;
pub use dial::{DIAL_TIME, DialError, OpenLink, deliveries, dial, dial_renewing, explain};
pub use error::SendError;
pub use gossip::Watched;
pub use identity::{ClientIdentity, Memory};
pub use learnt::{LearnError, Learnt};
pub use message::{Outgoing, To};
pub use parts::Parts;
pub use receipts::Delivered;
pub use reconnect::{Arrivals, Ended, Member};
pub use renewing::RenewError;
pub use sent::Receipt;

use incoming::Handed;
use line::Line;
use outgoing::Queued;
use shared::Shared;

/// Beyond its time to live a request waits this long for the node's word on it.
const GRACE: Duration = Duration::from_secs(2);

/// One agent's link to its node, and those that renew it: [`Client::renew`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    present: Arc<ArcSwap<Shared>>,
    queue: mpsc::Sender<Queued>,
    large: mpsc::Sender<Queued>,
}

/// Verified messages for this agent, in the order of arrival.
#[derive(Debug)]
pub struct Deliveries {
    line: Arc<Line>,
    queue: mpsc::Receiver<Handed>,
}

impl Deliveries {
    /// The next message; `None` when the link has ended. What a revocation overtook in the queue is
    /// dropped here, before anything of it has begun.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let (delivery, _room) = self.queue.recv().await?;
            match delivery.token().standing(&*self.line.known()) {
                Ok(()) => return Some(delivery),
                Err(refusal) => tracing::info!(%refusal, "dropped before it began"),
            }
        }
    }

    /// Whether nothing is here and nothing will come.
    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.line.waiting().has_ended()
    }
}

impl Client {
    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> Arc<ClientIdentity> {
        self.link().identity.clone()
    }

    /// The link of now.
    fn link(&self) -> Arc<Shared> {
        self.present.load_full()
    }

    /// The first session of this link and of those that it renewed.
    fn line(&self) -> SessionId {
        self.link().line.first
    }

    /// The session of this link.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.link().session()
    }

    /// The node's statement to show at the next hello.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.link().welcome.seen
    }

    /// The largest body that this node takes.
    #[must_use]
    pub fn body_max(&self) -> usize {
        self.link().body_max()
    }

    /// Whether the link still stands, as far as this side knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link().connection.close_reason().is_none()
    }

    /// Messages refused so far, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<Refusal, u64> {
        self.link().line.waiting().counts.refused.clone()
    }

    /// Single subscribers' copies of this agent's messages to topics that were refused or dropped, by reason.
    #[must_use]
    pub fn copies_refused(&self) -> BTreeMap<Refusal, u64> {
        self.link().line.waiting().counts.copies.clone()
    }

    /// Messages whose outcome nobody can know, because another agent's link ended.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.link().line.waiting().counts.lost
    }

    /// Bytes sent that the node is not done with.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.link().line.waiting().bundles.unsettled_all()
    }

    /// What this agent has seen of its node's log, over all links.
    #[must_use]
    pub fn watched(&self) -> Watched {
        self.link().identity.memory.watched()
    }

    /// Waits until the node is done with everything that was sent.
    pub async fn flush(&self) {
        while !self.link().line.is_idle() && self.is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the link's end and says why it ended.
    pub async fn closed(&self) -> DialError {
        loop {
            let link = self.link();
            let ended = link.connection.closed().await;
            if let Some(alarm) = link.identity.memory.log().alarm() {
                return DialError::SplitView(Arc::new(alarm));
            }
            if Arc::ptr_eq(&link, &self.link()) {
                return explain(&ended, link.address);
            }
        }
    }

    /// Leaves in good order: the node hears goodbye and closes the link, within two seconds.
    pub async fn goodbye(&self) {
        let _quiet = self.no_renewal().await;
        let link = self.link();
        if link.control.send(FromAgent::Goodbye).await.is_ok() {
            let _ = timeout(GRACE, link.connection.closed()).await;
        }
        link.connection.close(0_u32.into(), b"goodbye");
    }

    /// The host has given up on this agent: the node is to revoke and report it, and closes the link for that,
    /// within two seconds.
    pub async fn failed(&self) {
        let _quiet = self.no_renewal().await;
        let link = self.link();
        if link.control.send(FromAgent::Failed).await.is_ok() {
            let _ = timeout(GRACE, link.connection.closed()).await;
        }
        link.connection.close(0_u32.into(), b"failed");
    }
}

//! Renewal: a new certificate for the same name and key, asked for over the link, and a second link under it that
//! carries on where the first one is. Nothing is lost by it and nothing comes twice.

use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use testudo_wire::Timestamp;
use testudo_wire::frame::{FromAgent, Seen};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::asking::ask;
use super::connect::{Ways, open};
use super::dial::dial_renewing;
use super::incoming::Inbox;
use super::shared::Shared;
use super::{Client, ClientIdentity, DIAL_TIME, DialError, SendError};

/// A node that does not answer the wish for a certificate in this time has none to give.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// Certificates that are asked for in a row, as the grant goes on changing.
const CERTIFIED_MAX: usize = 4;
/// A link that was renewed is closed by the node; one that it forgets is closed here.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Why an identity or its link was not renewed. The link that there is goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenewError {
    /// The second link was not opened.
    #[error("the link was not renewed: {0}")]
    Dial(#[from] DialError),
    /// The node gives no certificate.
    #[error("the node gave no new certificate: {0}")]
    Refused(SendError),
    /// The agent's token is void, as its grant has changed, and the node makes none: it has not got the authority's key.
    #[error(
        "its token is void and this node makes none; its link goes on, and `testudo agent renew` gives it one"
    )]
    NoToken,
    /// What it gave is not this agent's.
    #[error("the node gave a certificate or token that cannot be used: {0}")]
    Unusable(String),
}

impl Client {
    /// When the link is to be renewed, at the latest: two thirds into the life of its certificate, and before the
    /// node's own, as this link saw it, runs out.
    #[must_use]
    pub fn renewal_due(&self) -> Timestamp {
        self.link().due.latest
    }

    /// Over how much time before that the renewals of a swarm are to be spread.
    #[must_use]
    pub fn renewal_spread(&self) -> Duration {
        self.link().due.spread
    }

    /// Whether the swarm goes by a newer CA or authority key than this link's certificates and token do.
    pub(super) fn is_outdated(&self) -> bool {
        let link = self.link();
        link.identity.is_outdated(link.env.now()) || !link.is_node_trusted()
    }

    /// Returns when the node has said that this agent's own token is void while the agent is not: its grant has changed, and
    /// it is to ask for a token under that. With `news` only a word that is still to come counts.
    pub(super) async fn voided(&self, news: bool) {
        let line = self.link().line.clone();
        let mut counts = !news;
        while !(counts && self.is_void()) {
            line.voided.notified().await;
            counts = true;
        }
    }

    fn is_void(&self) -> bool {
        self.outdates(&self.link().identity)
    }

    /// Whether the node has said that this agent's own token in this identity is void while the agent is not.
    fn outdates(&self, identity: &ClientIdentity) -> bool {
        let meaning = identity.token.verify(&identity.tokens());
        meaning.is_ok_and(|meaning| self.link().line.known().outdates(&meaning))
    }

    /// As [`Client::certify`], and again if what came was void on arrival, for the grant changed once more.
    ///
    /// # Errors
    /// As [`Client::certify`].
    pub(super) async fn certify_anew(&self) -> Result<ClientIdentity, RenewError> {
        let mut identity = self.certify().await?;
        for _ in 1..CERTIFIED_MAX {
            if !matches!(self.counts(&identity), Err(RenewError::Unusable(_))) {
                break;
            }
            identity = self.certify().await?;
        }
        Ok(identity)
    }

    /// Checks that the token of an identity that came is not void already: a link under it would lead nowhere, and end
    /// the one that there is.
    ///
    /// # Errors
    /// [`RenewError::NoToken`] if none came, [`RenewError::Unusable`] if it was void on arrival.
    pub(super) fn counts(&self, identity: &ClientIdentity) -> Result<(), RenewError> {
        if !self.outdates(identity) {
            return Ok(());
        }
        let is_given = identity.token.bytes() != self.link().identity.token.bytes();
        let void = || RenewError::Unusable("its grant changed again: the token is void already".into());
        Err(if is_given { void() } else { RenewError::NoToken })
    }

    /// Asks the node for a new certificate and token, for the same name and key. The link does not change by it.
    ///
    /// # Errors
    /// [`RenewError`].
    pub async fn certify(&self) -> Result<ClientIdentity, RenewError> {
        let link = self.link();
        let request = link.identity.request().map_err(RenewError::Unusable)?;
        let word = link.desk().renew();
        let answer = timeout(ANSWER, ask(&link, FromAgent::Renew(request), word)).await;
        let none = || SendError::NoAnswer(u32::try_from(ANSWER.as_millis()).unwrap_or(u32::MAX));
        let renewed = answer.unwrap_or_else(|_| Err(none())).map_err(RenewError::Refused)?;
        link.identity.renewed(renewed, link.env.now()).map_err(RenewError::Unusable)
    }

    /// Opens a second link, under what [`Client::certify`] gave, and goes on over it. To whoever holds this client,
    /// and its deliveries, nothing changes: messages, answers, subscriptions and receipts go on.
    ///
    /// # Errors
    /// [`RenewError::Dial`]; the first link then goes on, unless the node had moved everything to the second.
    pub async fn renew(
        &self,
        endpoint: &Endpoint,
        identity: Arc<ClientIdentity>,
    ) -> Result<Seen, RenewError> {
        let older = self.link();
        let _one = older.line.renewing.lock().await;
        let (session, seen) = (Some(older.session()), Some(older.welcome.seen));
        let link =
            dial_renewing(endpoint, older.address, &identity, seen, session, older.env.clone()).await?;
        let gone = || DialError::Link("the link has ended".into());
        let ways = Ways {
            baton: older.turn.take_baton().ok_or_else(gone)?,
            large: older.again.large.upgrade().ok_or_else(gone)?,
            inbox: Inbox(older.again.inbox.upgrade().ok_or_else(gone)?),
        };
        let opened = open(link, older.address, identity, older.env.clone(), ways, Some(older.clone())).await;
        let newer = opened.inspect_err(|_| {
            // To the node the newer one was this agent's link: the older one leads nowhere any more.
            older.connection.close(0_u32.into(), b"not renewed");
        })?;
        let seen = newer.welcome.seen;
        self.present.store(newer);
        older.turn.hand_over();
        tokio::spawn(part(older.clone()));
        Ok(seen)
    }

    /// Waits for a renewal that is under way, for a while, and keeps off the next.
    pub(super) async fn no_renewal(&self) -> Option<OwnedMutexGuard<()>> {
        let renewing = self.link().line.renewing.clone();
        timeout(2 * DIAL_TIME, renewing.lock_owned()).await.ok()
    }
}

/// Ends what is under way on a link that was renewed, says goodbye on it, and sees it closed.
async fn part(older: Arc<Shared>) {
    let closed = older.connection.closed();
    let done = async {
        older.turn.idle().await;
        older.line.until(|waiting| waiting.is_done(older.number)).await;
        let _ = older.control.send(FromAgent::Goodbye).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = closed => {}
        () = done => {}
        () = tokio::time::sleep(FORGOTTEN) => older.connection.close(0_u32.into(), b"renewed"),
    }
}

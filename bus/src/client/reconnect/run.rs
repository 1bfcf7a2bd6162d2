//! The one task of a member: dials for ever, and shows each new link what the older ones were shown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use testudo_wire::frame::CloseReason;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::{Core, Ended, Leave, State, afresh, renewal};
use crate::client::dial::UNKNOWN_CA;
use crate::client::{Client, Deliveries, DialError, SendError};
use crate::env::random;

/// Tokens shown in one go; the node takes ten a second.
const SHOWN_AT_ONCE: usize = 8;
/// The wait before more of them.
const SHOWN_AGAIN: Duration = Duration::from_secs(1);

/// Gives an endpoint for each dial: the same one as long as it is of use, which a socket that lost its network is not.
pub(super) type Endpoints = Arc<dyn Fn() -> io::Result<Endpoint> + Send + Sync>;

/// What a member dials with.
pub(super) struct Dialler {
    pub(super) endpoints: Endpoints,
    pub(super) node: SocketAddr,
    pub(super) core: Arc<Core>,
    pub(super) state: watch::Sender<State>,
    pub(super) leave: watch::Receiver<Leave>,
}

/// Whether dialling again can help.
pub(super) const fn may_dial_again(why: &DialError) -> bool {
    match why {
        DialError::Unreachable(_) | DialError::Busy(_) | DialError::Link(_) => true,
        DialError::Closed(reason) => reason.may_reconnect(),
        DialError::Unlisted
        | DialError::Revoked
        | DialError::Expired
        | DialError::Certificate(_)
        | DialError::NotOurNode(_)
        | DialError::OldTrust { .. }
        | DialError::Protocol(_)
        | DialError::SplitView(_)
        | DialError::Tls(_)
        | DialError::Token(_)
        | DialError::Trust(_) => false,
    }
}

/// A certificate has run out; dialling again helps if there is one that has not.
const fn is_expiry(why: &DialError) -> bool {
    matches!(why, DialError::Expired | DialError::Closed(CloseReason::CertificateExpired))
}

/// The CA of a certificate was retired. However good it looks here, it never counts again: only another one does.
const fn is_retirement(why: &DialError) -> bool {
    matches!(why, DialError::Closed(CloseReason::CaRetired) | DialError::Certificate(UNKNOWN_CA))
}

/// A task that ends when nobody holds it.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Dialler {
    /// Runs until the member leaves, or dialling can no longer help.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let ended = loop {
            let shown = self.core.identity();
            let why = match self.link(&mut backoff).await {
                Ok(why) => why,
                Err(ended) => break ended,
            };
            let may_dial = may_dial_again(&why)
                || (is_expiry(&why) && self.is_renewed())
                || (is_retirement(&why) && self.is_renewed() && self.core.identity().chain != shown.chain);
            if !may_dial {
                tracing::warn!(%why, "not dialling again");
                break Ended::Refused(Arc::new(why));
            }
            let random = random(&*self.core.env);
            let is_busy = matches!(why, DialError::Busy(_));
            let wait = if is_busy { backoff.next_of_busy(random) } else { backoff.next(random) };
            tracing::debug!(%why, ?wait, "dialling again");
            tokio::select! {
                () = sleep(wait) => {}
                _ = left(&mut self.leave) => break Ended::Left,
            }
        };
        self.state.send_replace(State::Ended(ended));
        self.core.shelf.end();
    }

    /// Whether the certificate of now is still good, whatever became of an older one.
    fn is_renewed(&self) -> bool {
        self.core.identity().leaf(self.core.env.now()).is_ok()
    }

    /// Its token is refused. If only that is void, there is another one to dial with; what passes is no end.
    async fn afresh(&self) -> DialError {
        let mut leave = self.leave.clone();
        let fresh = tokio::select! {
            fresh = afresh::identity(&self.core, &self.endpoints, self.node) => fresh,
            _ = left(&mut leave) => return DialError::Link("it wants to leave".into()),
        };
        match fresh {
            Ok(identity) => {
                self.core.identity.send_replace(identity);
                DialError::Link("its grant was changed; it has a token under that".into())
            }
            Err(why) => why,
        }
    }

    /// One link, from dial to end, and why it ended.
    async fn link(&mut self, backoff: &mut Backoff) -> Result<DialError, Ended> {
        let dialled = tokio::select! {
            dialled = dial(&self.core, &self.endpoints, self.node) => dialled,
            _ = left(&mut self.leave) => return Err(Ended::Left),
        };
        let (client, deliveries) = match dialled {
            Ok(link) => link,
            Err(DialError::Revoked) => return Ok(self.afresh().await),
            Err(why) => return Ok(why),
        };
        let since = Instant::now();
        self.core.kept().saw(client.seen());
        self.state.send_replace(State::Opening(client.clone()));
        self.core.shelf.put(deliveries);
        let standing = async {
            restore(&self.core, &client).await;
            self.state.send_replace(State::Linked(client.clone()));
            client.closed().await
        };
        let renewing = renewal::keep(self.core.clone(), self.endpoints.clone(), client.clone());
        let renewing = Ending(tokio::spawn(renewing));
        let ended = tokio::select! {
            why = standing => Ok(why),
            leave = left(&mut self.leave) => {
                match leave {
                    Leave::Failed => client.failed().await,
                    Leave::Stay | Leave::Goodbye => client.goodbye().await,
                }
                Err(Ended::Left)
            }
        };
        drop(renewing);
        backoff.stood(since.elapsed());
        let mut kept = self.core.kept();
        kept.counts.add(&client);
        self.state.send_replace(State::Away);
        drop(kept);
        ended
    }
}

/// Returns when the member wants to leave, or nobody holds it any more.
async fn left(leave: &mut watch::Receiver<Leave>) -> Leave {
    leave.wait_for(|leave| *leave != Leave::Stay).await.map_or(Leave::Goodbye, |leave| *leave)
}

async fn dial(
    core: &Core,
    endpoints: &Endpoints,
    node: SocketAddr,
) -> Result<(Client, Deliveries), DialError> {
    core.shelf.room().await;
    let endpoint = endpoints().map_err(|error| DialError::Link(error.to_string()))?;
    let seen = core.kept().seen;
    Client::connect(&endpoint, node, core.identity(), seen, core.env.clone()).await
}

/// Shows a new link the tokens and topics of the older ones. What the node refuses now is forgotten; whoever
/// uses it hears the refusal.
async fn restore(core: &Core, client: &Client) {
    let (tokens, topics) = core.kept().shown();
    for (count, token) in tokens.into_iter().enumerate() {
        if count > 0 && count % SHOWN_AT_ONCE == 0 {
            sleep(SHOWN_AGAIN).await;
        }
        match client.present(&token).await {
            Ok(_) => core.kept().token(token, client.line()),
            Err(SendError::Refused { refusal, .. }) => {
                tracing::warn!(%refusal, token = token.id().short(), "a token is not taken again");
                core.kept().forget_token(&token.id());
            }
            // The link has ended: the next one is shown it.
            Err(
                SendError::NoAnswer(_)
                | SendError::Unknown
                | SendError::TooLarge(..)
                | SendError::Cancelled
                | SendError::NoLink(_),
            ) => {}
        }
    }
    for topic in topics {
        if let Err(SendError::Refused { refusal, .. }) = client.subscribe(topic).await {
            tracing::warn!(%refusal, %topic, "a topic is not given again");
            core.kept().topics.remove(&topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_dialled_again() {
        let node = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(may_dial_again(&DialError::Unreachable(node)) && may_dial_again(&DialError::Busy(node)));
        assert!(may_dial_again(&DialError::Link("reset".into())));
        for reason in CloseReason::ALL {
            assert_eq!(may_dial_again(&DialError::Closed(reason)), reason.may_reconnect());
        }
        let lasting = [
            DialError::Unlisted,
            DialError::Revoked,
            DialError::Expired,
            DialError::Certificate(42),
            DialError::NotOurNode(String::new()),
            DialError::Protocol("x"),
        ];
        for why in lasting {
            assert!(!may_dial_again(&why), "{why}");
        }
    }
}

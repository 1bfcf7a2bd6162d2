//! A member whose grant was changed while it was away: its token is void, it is not. On a link of its own, which carries
//! nothing else, it shows the token, hears why it is void, and asks for one under the grant of now.
//!
//! Only what a grant's change made void is replaced so. A token that an operator voided by its id stays void, but that
//! puts nobody out: its agent comes by another with the next change of its grant, or as it renews a link that is open.

use std::net::SocketAddr;
use std::sync::Arc;

use testudo_wire::frame::{FromAgent, FromNode, Present};
use testudo_wire::{Limits, Refusal};
use tokio::time::timeout;

use super::Core;
use super::run::Endpoints;
use crate::client::known::Known;
use crate::client::renewing::ANSWER;
use crate::client::{ClientIdentity, DialError, GRACE, OpenLink, dial, explain};
use crate::stream::write_frame;

/// The same identity with a token that counts, and a certificate as new.
///
/// # Errors
/// [`DialError::Revoked`] and [`DialError::Token`] when there is none to be had; else what kept it from asking, which may
/// pass.
pub(super) async fn identity(
    core: &Core,
    endpoints: &Endpoints,
    node: SocketAddr,
) -> Result<Arc<ClientIdentity>, DialError> {
    let (old, seen) = (core.identity(), core.kept().seen);
    let endpoint = endpoints().map_err(|error| DialError::Link(error.to_string()))?;
    let mut link = dial(&endpoint, node, &old, seen, core.env.clone()).await?;
    let fresh = timeout(ANSWER, ask(core, &mut link, &old)).await;
    let fresh = fresh.unwrap_or_else(|_| Err(passing("no new token came in time")));
    if let Ok(goodbye) = FromAgent::Goodbye.encode()
        && write_frame(&mut link.control, goodbye).await.is_ok()
    {
        let _ = timeout(GRACE, link.connection.closed()).await;
    }
    link.connection.close(0_u32.into(), b"goodbye");
    fresh.map(Arc::new)
}

/// What may be otherwise at the next dial.
fn passing(what: impl std::fmt::Display) -> DialError {
    DialError::Link(format!("its token is void: {what}"))
}

/// Why nothing more comes on this link.
fn ended(link: &OpenLink) -> DialError {
    let node = link.connection.remote_address();
    let gone = || passing("the link ended before there was another");
    link.connection.close_reason().map_or_else(gone, |reason| explain(&reason, node))
}

async fn ask(core: &Core, link: &mut OpenLink, old: &ClientIdentity) -> Result<ClientIdentity, DialError> {
    let unusable = || DialError::Protocol("the identity's token is unusable");
    let sealed = old.token.seal().map_err(|_| unusable())?;
    let meaning = old.token.verify(&old.tokens()).map_err(|_| unusable())?;
    let present = FromAgent::Present(Present { token: sealed.bytes().to_vec() });
    say(link, &present).await?;
    let mut known = Known::default();
    loop {
        let Ok(Some(frame)) = link.answers.next().await else { return Err(ended(link)) };
        let frame = FromNode::decode(&frame, &Limits::standard());
        match frame.map_err(|_| DialError::Protocol("a broken word"))? {
            // What is void is told first.
            FromNode::Revoked(word) => {
                let counts = word.is_signed_by(&link.node, &old.swarm());
                if counts && !known.add(&word.notice) {
                    return Err(DialError::Protocol("more revocations than any swarm has"));
                }
            }
            FromNode::Presented(word) if word.token == sealed.id() => match word.refusal {
                None => return Err(passing("it was, and is not any more")),
                Some(Refusal::Revoked) if known.outdates(&meaning) => {
                    let request = old.request().map_err(passing)?;
                    say(link, &FromAgent::Renew(request)).await?;
                }
                Some(Refusal::Revoked) => return Err(DialError::Revoked),
                Some(refusal) => return Err(passing(refusal)),
            },
            FromNode::Renewed(word) => match word.refusal {
                None => {
                    let fresh = old.renewed(word, core.env.now()).map_err(passing)?;
                    // A node without the authority's key gives a certificate alone.
                    let is_new = fresh.token.bytes() != old.token.bytes();
                    return if is_new { Ok(fresh) } else { Err(DialError::Token(Refusal::Revoked)) };
                }
                Some(Refusal::Revoked) => return Err(DialError::Revoked),
                Some(refusal) => return Err(passing(refusal)),
            },
            FromNode::Trust(signed) => _ = old.learn(&signed).map_err(DialError::Trust)?,
            FromNode::Welcome(_) => return Err(DialError::Protocol("a second welcome")),
            FromNode::Presented(_)
            | FromNode::RefusedBundle(_)
            | FromNode::RefusedMessages(_)
            | FromNode::Accepted(_)
            | FromNode::Settled(_)
            | FromNode::Subscribed(_)
            | FromNode::Cancelled(_)
            | FromNode::Credited(_)
            | FromNode::Delivered(_)
            | FromNode::Introduced(_)
            | FromNode::Lost(_)
            | FromNode::CopiesRefused(_) => {}
        }
    }
}

async fn say(link: &mut OpenLink, word: &FromAgent) -> Result<(), DialError> {
    let word = word.encode().map_err(|_| DialError::Protocol("cannot encode a word"))?;
    if write_frame(&mut link.control, word).await.is_err() { Err(ended(link)) } else { Ok(()) }
}

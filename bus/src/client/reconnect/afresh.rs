//! A member whose grant was changed while it was away: its token is void, it is not. On a link of its own, which carries
//! nothing else, it shows the token, hears why it is void, and asks for one under the grant of now.
//!
//! Only what a grant's change made void is replaced so. A token that an operator voided by its id stays void until an
//! operator gives another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testudo_wire::Limits;
use testudo_wire::frame::{FromAgent, FromNode, Present};
use tokio::time::timeout;

use super::Core;
use super::run::Endpoints;
use crate::client::known::Known;
use crate::client::{ClientIdentity, OpenLink, dial};
use crate::stream::write_frame;

/// A node certifies within this, whoever its issuer is.
const ANSWER: Duration = Duration::from_secs(30);
/// For the goodbye to arrive.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The same identity with a token that counts, and a certificate as new; `None` when there is none to be had.
pub(super) async fn identity(
    core: &Core,
    endpoints: &Endpoints,
    node: SocketAddr,
) -> Option<Arc<ClientIdentity>> {
    let (old, seen) = (core.identity(), core.kept().seen);
    let endpoint = endpoints().ok()?;
    let mut link = dial(&endpoint, node, &old, seen, core.env.clone()).await.ok()?;
    let fresh = timeout(ANSWER, ask(core, &mut link, &old)).await.ok().flatten();
    if let Ok(goodbye) = FromAgent::Goodbye.encode()
        && write_frame(&mut link.control, goodbye).await.is_ok()
    {
        let _ = timeout(LAST_WORD, link.connection.closed()).await;
    }
    link.connection.close(0_u32.into(), b"goodbye");
    fresh.map(Arc::new)
}

async fn ask(core: &Core, link: &mut OpenLink, old: &ClientIdentity) -> Option<ClientIdentity> {
    let sealed = old.token.seal().ok()?;
    let meaning = old.token.verify(&old.tokens()).ok()?;
    let present = FromAgent::Present(Present { token: sealed.bytes().to_vec() });
    write_frame(&mut link.control, present.encode().ok()?).await.ok()?;
    let mut known = Known::default();
    loop {
        let frame = link.answers.next().await.ok()??;
        match FromNode::decode(&frame, &Limits::standard()).ok()? {
            // What is void is told first.
            FromNode::Revoked(word) => {
                let counts = word.is_signed_by(&link.node, &old.swarm());
                if counts && !known.add(&word.notice) {
                    return None;
                }
            }
            FromNode::Presented(word) if word.token == sealed.id() => {
                if word.refusal.is_none() || !known.outdates(&meaning) {
                    return None;
                }
                let renew = FromAgent::Renew(old.request().ok()?);
                write_frame(&mut link.control, renew.encode().ok()?).await.ok()?;
            }
            FromNode::Renewed(word) if word.refusal.is_none() => {
                return old.renewed(word, core.env.now()).ok();
            }
            FromNode::Trust(signed) => _ = old.learn(&signed).ok()?,
            FromNode::Renewed(_) | FromNode::Welcome(_) => return None,
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

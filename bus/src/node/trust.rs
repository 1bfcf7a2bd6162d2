//! Trust statements on open links: each link is told what it has not heard, and ends when its certificate or its
//! tokens are by nobody who is trusted any more.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_registry::AgentView;
use testudo_wire::frame::{CloseReason, FromNode};
use testudo_wire::{AgentName, State, Timestamp};
use tokio::time::{Instant, sleep};

use super::link::Link;
use super::office::Office;
use super::shared::Shared;
use crate::roots::{Change, Rooted};
use crate::tls::{self, LIFETIME, Role};

/// A link that has not heard of a statement within this is closed: it hears it when it comes back.
const HEARD: Duration = Duration::from_secs(5);
/// Between two looks at who has.
const LOOK: Duration = Duration::from_millis(5);

/// Tells a link every statement that it has not heard of, for as long as it is open; returns when its certificate
/// does not count any more.
pub(super) async fn follow(shared: &Shared, link: &Link) {
    let mut changed = shared.roots.changed();
    let mut told = link.trusts();
    loop {
        changed.borrow_and_update();
        let rooted = shared.roots.load().clone();
        for signed in rooted.after(told) {
            link.tell(FromNode::Trust(Box::new(signed.clone())));
        }
        told = rooted.trust.number();
        link.forget_tokens(&rooted);
        if !is_certified(link, &rooted.tls, shared.env.now()) {
            return;
        }
        if changed.changed().await.is_err() {
            // The node goes down.
            return pending().await;
        }
    }
}

/// Whether the link's certificate has a path to one of these CAs. One that has run out is another matter.
fn is_certified(link: &Link, trust: &tls::Trust, now: Timestamp) -> bool {
    let chain = link.connection.peer_identity();
    let Some(chain) = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok()) else {
        return false;
    };
    let Some((leaf, between)) = chain.split_first() else { return false };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
    matches!(tls::check(Role::Agent, trust, leaf, between, now), Ok(_) | Err(tls::LeafError::Time))
}

/// Returns when every open link has heard of this statement. Those that do not listen are closed. What is void by it
/// counts no more on any of them.
pub(crate) async fn announced(shared: &Shared, rooted: &Rooted) {
    let number = rooted.trust.number();
    let until = Instant::now() + HEARD;
    for link in shared.routes().values() {
        link.forget_tokens(rooted);
    }
    loop {
        let deaf: Vec<Arc<Link>> =
            shared.routes().values().filter(|link| link.trusts() < number).cloned().collect();
        if deaf.is_empty() {
            return;
        }
        if Instant::now() >= until {
            return deaf.iter().for_each(|link| link.close(CloseReason::Lagging));
        }
        sleep(LOOK).await;
    }
}

/// Agents that may still be alive by what is to be retired; `None` when the registry is gone.
pub(crate) async fn dependents(
    office: &Office,
    rooted: &Rooted,
    change: Change,
    now: Timestamp,
) -> Option<Vec<AgentName>> {
    let agents = office.registry.list().await.ok()?;
    let node = office.roots.node();
    let depends = |view: &AgentView| {
        let name = &view.holder.name;
        let link = node.as_ref().and_then(|node| node.routes().get(name).cloned());
        match link {
            Some(link) => link.trusts() < rooted.trust.number() || link_depends(&link, rooted, change, now),
            None => !office.roots.has_issued(name) && may_come_back(view, now),
        }
    };
    let mut depending: Vec<_> =
        agents.iter().filter(|view| view.state.is_good()).filter(|view| depends(view)).collect();
    depending.sort_by_key(|view| view.holder.name);
    Some(depending.into_iter().map(|view| view.holder.name).collect())
}

fn link_depends(link: &Link, rooted: &Rooted, change: Change, now: Timestamp) -> bool {
    match change {
        Change::RetireCas => !is_certified(link, rooted.newest(), now),
        Change::RetireAuthorities => {
            rooted.trust.minting().is_some_and(|newest| link.depends_on_other_authority(newest, now))
        }
        Change::AddAuthority | Change::AddCa => false,
    }
}

/// Whether an agent without a link may hold a certificate that has not run out.
fn may_come_back(view: &AgentView, now: Timestamp) -> bool {
    match view.state {
        State::Enrolled => true,
        State::Active | State::Offline => view.last_seen.is_none_or(|seen| seen.after(LIFETIME) > now),
        State::Revoked(_) => false,
    }
}

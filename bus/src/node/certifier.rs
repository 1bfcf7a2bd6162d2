//! Certificates that a node has issued: its own, and those that agents with an open link ask for.
//!
//! Its own come from the embedded CA, those of agents from the issuer that certifies agents in this swarm: that may be
//! a PKI service, which takes its time and signs only what the agent's own request asks for. The one place where a node
//! asks them. What they issue is checked like what an enemy shows.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde_bytes::ByteBuf;
use testudo_rules::audit::{Event, LinkChange, LinkEvent, Note};
use testudo_rules::token::{Fresh, Mint};
use testudo_wire::frame::Renewed;
use testudo_wire::{Grant, Holder, NodeName, Refusal, RegistrySequence, SecretKey, SpiffeId, TokenFactId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::StartError;
use super::line::Lately;
use super::link::Link;
use super::shared::Shared;
use crate::capability::CapabilityError;
use crate::env::{SharedEnv, random, until};
use crate::roots::Roots;
use crate::tls::{self, Ask, Csr, Issuer, IssuerError, LIFETIME, Leaf, NodeCertificate, Role, check_issued};

/// Times that an agent's own token may be handed on.
const HOPS: u8 = 3;
/// Between two tries to renew the node's own certificate.
const AGAIN: Duration = Duration::from_secs(60);
/// An issuer has so long: less than an agent waits for the answer.
const PATIENCE: Duration = Duration::from_secs(25);

/// See the module.
pub(crate) struct Certifier {
    agents: Arc<dyn Issuer>,
    roots: Arc<Roots>,
    env: SharedEnv,
    lately: Lately,
}

impl std::fmt::Debug for Certifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certifier")
    }
}

impl Certifier {
    /// Asks the CA of the nodes, and this issuer for agents.
    pub(crate) fn new(agents: Arc<dyn Issuer>, roots: Arc<Roots>, env: SharedEnv) -> Self {
        Self { agents, roots, env, lately: Lately::default() }
    }

    /// The leaf, if everybody else would accept it as what was asked for.
    fn checked(&self, ask: &Ask, certificate: &CertificateDer<'_>) -> Result<Leaf, StartError> {
        let (now, trust) = (self.env.now(), self.roots.load().tls.clone());
        check_issued(ask, &trust, certificate, now).map_err(IssuerError::from)?;
        let role = match ask.id {
            SpiffeId::Agent(..) => Role::Agent,
            SpiffeId::Node(..) => Role::Node,
        };
        let at = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis()));
        tls::check(role, &trust, certificate, &[], at).map_err(StartError::Certificate)
    }

    /// The node's own certificate.
    pub(crate) fn own(&self, name: NodeName, key: &SecretKey) -> Result<(CertifiedKey, Leaf), StartError> {
        let id = SpiffeId::Node(self.roots.load().trust.swarm(), name);
        let ask = Ask { id, key: key.public(), lifetime: LIFETIME, request: None };
        let certificate = self.roots.load().own().issue(&ask.id, &ask.key, ask.lifetime, &*self.env)?;
        let leaf = self.checked(&ask, &certificate)?;
        Ok((NodeCertificate::certified(vec![certificate], key)?, leaf))
    }

    /// A new certificate for an agent.
    async fn agents(
        &self,
        holder: Holder,
        csr: Option<&[u8]>,
    ) -> Result<(CertificateDer<'static>, Leaf), Refusal> {
        let id = SpiffeId::Agent(self.roots.load().trust.swarm(), holder.name);
        let request = csr.map(Csr::from_der).transpose().map_err(|_| Refusal::Malformed)?;
        let ask = Ask { id, key: holder.key, lifetime: LIFETIME, request };
        // Here and not only at the issuer: whose fault it is must be told apart.
        ask.check().map_err(|_| Refusal::Unauthentic)?;
        let issued = timeout(PATIENCE, self.agents.issue(ask.clone())).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, agent = %holder.name, "no certificate was issued");
            Refusal::Overloaded
        };
        let certificate = issued
            .map_err(|_| failed(&"the issuer did not answer in time"))?
            .map_err(|error| if is_asking(&error) { Refusal::Malformed } else { failed(&error) })?;
        let leaf = self.checked(&ask, &certificate).map_err(|error| failed(&error))?;
        Ok((certificate, leaf))
    }
}

/// Whether the agent is to give a request, or a better one.
const fn is_asking(error: &IssuerError) -> bool {
    matches!(error, IssuerError::Unasked | IssuerError::Request(_))
}

/// Replaces the node's certificate at two thirds of its life, for as long as the node runs. Links that are open stay
/// open: their agents renew them before its old certificate ends.
pub(super) async fn rotate(
    shared: Arc<Shared>,
    name: NodeName,
    served: Arc<NodeCertificate>,
    mut leaf: Leaf,
    told: watch::Sender<Leaf>,
) {
    let mut changed = shared.roots.changed();
    loop {
        tokio::select! {
            () = until(&*shared.env, leaf.due()) => {}
            // Another CA may be the oldest by now; a certificate more does no harm.
            _ = changed.changed() => {}
        }
        match shared.certifier.own(name, &shared.key) {
            Ok((next, its)) => {
                tracing::info!(until = its.not_after.as_millis(), "the node has a new certificate");
                served.replace(next);
                told.send_replace(its.clone());
                leaf = its;
            }
            Err(error) => {
                tracing::error!(%error, "the node's certificate was not renewed");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Whether an agent may be given a certificate on this link now; it may not be again for a while.
pub(super) fn may_renew(shared: &Shared, link: &Link) -> bool {
    let name = link.peer.holder.name;
    let valid_from = shared.directory().load().agent(&name).map(|standing| standing.valid_from);
    // Whoever is not listed is refused later, by name.
    !link.line.is_over() && shared.certifier.lately.may(name, valid_from.unwrap_or(RegistrySequence(0)))
}

/// The word to an agent that gets no certificate.
pub(super) const fn refused(refusal: Refusal) -> Renewed {
    Renewed { refusal: Some(refusal), chain: Vec::new(), token: None }
}

/// What an agent that asks for a new certificate, and may have one, gets.
pub(super) async fn renew(shared: &Shared, link: &Link, csr: Option<&[u8]>) -> Renewed {
    match credentials(shared, link, csr).await {
        Ok(renewed) => renewed,
        Err(refusal) => {
            tracing::warn!(%refusal, agent = %link.peer.holder.name, "no new certificate");
            refused(refusal)
        }
    }
}

/// What its grant says of a holder in good standing, and the number under which it says so: one snapshot for both, for
/// a grant that shrinks later voids the token.
fn standing(shared: &Shared, holder: &Holder) -> Result<(Arc<Grant>, RegistrySequence), Refusal> {
    let snapshot = shared.directory().load();
    let standing = snapshot.agent(&holder.name).filter(|standing| standing.is_good());
    let standing = standing.filter(|standing| standing.key == holder.key).ok_or(Refusal::Revoked)?;
    Ok((standing.grant.clone(), snapshot.sequence()))
}

/// A certificate for the same name and key, only for who is in good standing; and a token for what its grant says
/// now.
async fn credentials(shared: &Shared, link: &Link, csr: Option<&[u8]>) -> Result<Renewed, Refusal> {
    let holder = link.peer.holder;
    standing(shared, &holder)?;
    let under = shared.roots.used();
    let (certificate, leaf) = shared.certifier.agents(holder, csr).await?;
    // Again, for an issuer may be slow: who was revoked meanwhile is given nothing.
    let (grant, minted) = standing(shared, &holder)?;
    let token = token(shared, holder, &grant, minted).await?;
    let event = Event::Link(LinkEvent {
        agent: Some(holder.name),
        session: Some(link.peer.session),
        remote: Note::new(&link.remote.to_string()),
        what: LinkChange::certified(leaf.not_after),
    });
    let _recorded = shared.audit.append(&shared.record(event)).map_err(|_| Refusal::AuditUnavailable)?;
    link.line.issued(&certificate);
    shared.roots.note_issued(holder.name, under, leaf.not_after);
    Ok(Renewed { refusal: None, chain: vec![ByteBuf::from(certificate.to_vec())], token })
}

/// The agent's own token, unsealed, as it came with its identity; none from a node without the authority's key.
async fn token(
    shared: &Shared,
    holder: Holder,
    grant: &Grant,
    minted: RegistrySequence,
) -> Result<Option<ByteBuf>, Refusal> {
    let mint = Mint {
        swarm: shared.swarm,
        id: TokenFactId::new(random(&*shared.env)),
        holder,
        rights: grant.right.clone(),
        delegatable: grant.delegatable.clone(),
        expires: shared.env.now().after(LIFETIME),
        minted,
        hops: HOPS,
    };
    match shared.capability.mint(mint, Fresh::from_random(random(&*shared.env))).await {
        Ok(token) => Ok(Some(ByteBuf::from(token.bytes().to_vec()))),
        Err(CapabilityError::NoAuthority) => Ok(None),
        Err(error) => {
            tracing::error!(%error, "no token was minted");
            Err(Refusal::Overloaded)
        }
    }
}

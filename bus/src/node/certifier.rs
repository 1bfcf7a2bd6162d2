//! Certificates that a node has issued: its own, and those that agents with an open link ask for.
//!
//! The one place where a node asks its issuer. What it issues is checked like what a stranger shows.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde_bytes::ByteBuf;
use testudo_rules::audit::{Event, LinkChange, LinkEvent, Note};
use testudo_rules::token::{Fresh, Mint};
use testudo_wire::frame::Renewed;
use testudo_wire::{
    Grant, Holder, NodeName, PublicKey, Refusal, RegistrySequence, SecretKey, SpiffeId, TokenFactId,
};
use tokio::sync::watch;
use tokio::time::sleep;

use super::StartError;
use super::line::Lately;
use super::link::Link;
use super::shared::Shared;
use crate::capability::CapabilityError;
use crate::env::{SharedEnv, random, until};
use crate::tls::{self, Issuer, LIFETIME, Leaf, NodeCertificate, Role};

/// Times that an agent's own token may be handed on.
const HOPS: u8 = 3;
/// Between two tries to renew the node's own certificate.
const AGAIN: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Certifier {
    issuer: Arc<dyn Issuer>,
    trust: tls::Trust,
    env: SharedEnv,
    lately: Lately,
}

impl std::fmt::Debug for Certifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certifier")
    }
}

impl Certifier {
    /// Asks this issuer.
    pub(crate) fn new(issuer: Arc<dyn Issuer>, trust: tls::Trust, env: SharedEnv) -> Self {
        Self { issuer, trust, env, lately: Lately::default() }
    }

    /// A leaf for this name and key, as everybody else would accept it.
    fn issue(&self, id: SpiffeId, key: &PublicKey) -> Result<(CertificateDer<'static>, Leaf), StartError> {
        let certificate = self.issuer.issue(&id, key, LIFETIME, &*self.env)?;
        let role = match id {
            SpiffeId::Agent(..) => Role::Agent,
            SpiffeId::Node(..) => Role::Node,
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.env.now().as_secs()));
        let leaf = tls::check(role, &self.trust, &certificate, &[], now).map_err(StartError::Certificate)?;
        if leaf.id == id && leaf.key == *key {
            Ok((certificate, leaf))
        } else {
            Err(StartError::Certificate(tls::LeafError::Identity))
        }
    }

    /// The node's own certificate.
    pub(crate) fn own(&self, name: NodeName, key: &SecretKey) -> Result<(CertifiedKey, Leaf), StartError> {
        let id = SpiffeId::Node(self.trust.swarm(), name);
        let (certificate, leaf) = self.issue(id, &key.public())?;
        Ok((NodeCertificate::certified(vec![certificate], key)?, leaf))
    }
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
    loop {
        until(&*shared.env, leaf.due()).await;
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
    !link.line.is_over() && shared.certifier.lately.may(link.peer.holder.name)
}

/// The word to an agent that gets no certificate.
pub(super) const fn refused(refusal: Refusal) -> Renewed {
    Renewed { refusal: Some(refusal), chain: Vec::new(), token: None }
}

/// What an agent that asks for a new certificate, and may have one, gets.
pub(super) async fn renew(shared: &Shared, link: &Link) -> Renewed {
    match credentials(shared, link).await {
        Ok(renewed) => renewed,
        Err(refusal) => {
            tracing::warn!(%refusal, agent = %link.peer.holder.name, "no new certificate");
            refused(refusal)
        }
    }
}

/// A certificate for the same name and key, only for who is in good standing; and a token for what its grant says
/// now.
async fn credentials(shared: &Shared, link: &Link) -> Result<Renewed, Refusal> {
    let holder = link.peer.holder;
    // One snapshot for the number and the grant: one that shrinks meanwhile voids the token.
    let (grant, minted) = {
        let snapshot = shared.directory().load();
        let standing = snapshot.agent(&holder.name).filter(|standing| standing.is_good());
        let standing = standing.filter(|standing| standing.key == holder.key).ok_or(Refusal::Revoked)?;
        (standing.grant.clone(), snapshot.sequence())
    };
    let id = SpiffeId::Agent(shared.swarm, holder.name);
    let (certificate, leaf) = shared.certifier.issue(id, &holder.key).map_err(|error| {
        tracing::error!(%error, "no certificate was issued");
        Refusal::Overloaded
    })?;
    let token = token(shared, holder, &grant, minted).await?;
    let until = Note::new(&leaf.not_after.as_millis().to_string());
    let event = Event::Link(LinkEvent {
        agent: Some(holder.name),
        session: Some(link.peer.session),
        remote: Note::new(&link.remote.to_string()),
        what: LinkChange::Certified { until },
    });
    let _recorded = shared.audit.append(&shared.record(event)).map_err(|_| Refusal::AuditUnavailable)?;
    link.line.issued(&certificate);
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

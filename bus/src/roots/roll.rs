//! How what a node goes by is rolled over: one statement at a time, kept before it counts, known before it is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use testudo_registry::VerbError;
use testudo_rules::audit::{Event, NodeEvent, Record};
use testudo_rules::trust::{Trust, TrustError};
use testudo_wire::trust::SignedStatement;
use testudo_wire::{AgentName, SecretKey};

use super::pace::{self, PaceError};
use super::{HeldCa, Holding, Keep, KeepError, Rooted, RootsError};
use crate::env::{Env, random};
use crate::node::{Office, announced, dependents};
use crate::tls::EmbeddedCa;

/// What is to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// A new authority key beside the ones that there are.
    AddAuthority,
    /// A new CA beside the ones that there are.
    AddCa,
    /// No authority key but the newest counts any more.
    RetireAuthorities,
    /// No CA but the newest counts any more.
    RetireCas,
}

/// Why nothing was rolled over.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// Nothing to retire.
    #[error("there is only one; make a new one first (`testudo swarm trust rotate-{0}`)")]
    Only(&'static str),
    /// Somebody would be out.
    #[error(
        "{} of the agents still depend on what is to be retired ({}); let them connect and renew first, or put them out with --force",
        .0.len(),
        names(.0)
    )]
    Depend(Vec<AgentName>),
    /// No authority key here.
    #[error("this node does not hold the authority key; roll over where it is kept")]
    NoAuthority,
    /// Too many statements, or too fast.
    #[error(transparent)]
    Pace(#[from] PaceError),
    /// It is not known what is kept.
    #[error(
        "an earlier trust statement may or may not be kept; restart the node, then look with `testudo swarm trust show`"
    )]
    Unsettled,
    /// The statement.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The new CA.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// It could not be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The node goes down.
    #[error("the node is shutting down; what was kept is in force at its next start")]
    Gone,
}

/// The first few names.
fn names(all: &[AgentName]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = all.iter().take(SHOWN).map(AgentName::as_str).collect();
    shown.join(", ") + if all.len() > SHOWN { ", .." } else { "" }
}

/// What is held after a change, and its statement.
fn planned(
    holding: &Holding,
    trust: &Trust,
    change: Change,
    env: &dyn Env,
) -> Result<(Holding, SignedStatement), RollError> {
    let by = holding.authority.as_ref().ok_or(RollError::NoAuthority)?;
    pace::allows(&holding.chain, change, env.now())?;
    let mut next = holding.clone();
    let mut authorities = trust.authorities().to_vec();
    match change {
        Change::AddAuthority => {
            let key = fresh(env);
            authorities.push(key.public());
            next.authority = Some(key);
        }
        Change::AddCa => {
            let key = fresh(env);
            let ca = EmbeddedCa::create(&trust.swarm(), &key, env).map_err(RootsError::from)?;
            next.cas.push(HeldCa { certificate: ca.certificate().clone(), key });
        }
        Change::RetireAuthorities if authorities.len() < 2 => return Err(RollError::Only("authority")),
        Change::RetireAuthorities => authorities = authorities.split_off(authorities.len() - 1),
        Change::RetireCas if next.cas.len() < 2 => return Err(RollError::Only("ca")),
        Change::RetireCas => next.cas = next.cas.split_off(next.cas.len() - 1),
    }
    let cas = next.cas.iter().map(|ca| ca.certificate.to_vec()).collect();
    let (signed, _) = trust.next((authorities, cas), env.now(), by)?;
    next.chain.push(signed.clone());
    Ok((next, signed))
}

fn fresh(env: &dyn Env) -> SecretKey {
    SecretKey::from_seed(&zeroize::Zeroizing::new(random(env)))
}

impl Office {
    /// Makes the next trust statement, and returns when it is kept, on record, in force, and known on every open link.
    /// What is added is used from then on; what is retired counts no more from then on: nothing under it is handed over
    /// any more, as after a revocation.
    ///
    /// # Errors
    /// [`RollError`]; then nothing has changed, unless it is [`RollError::Gone`], or [`KeepError::Unknown`]: the next
    /// start settles it, and until then nothing is rolled over.
    pub async fn roll(
        &self,
        change: Change,
        force: bool,
        keep: &dyn Keep,
        env: &dyn Env,
    ) -> Result<SignedStatement, RollError> {
        let roots = &self.roots;
        // One at a time; it is the writers' lock alone.
        let mut holding = roots.holding.lock().await;
        if roots.is_unsettled() {
            return Err(RollError::Unsettled);
        }
        let now = roots.load().clone();
        let (next, signed) = planned(&holding, &now.trust, change, env)?;
        let is_retiring = matches!(change, Change::RetireAuthorities | Change::RetireCas);
        if is_retiring && !force {
            let depend = dependents(self, &now, change, env.now()).await.ok_or(RollError::Gone)?;
            if !depend.is_empty() {
                return Err(RollError::Depend(depend));
            }
        }
        let rooted = Arc::new(Rooted::of(&next, roots.agents.as_deref())?);
        keep.keep(&next).inspect_err(|error| match error {
            KeepError::Unchanged(_) => {}
            KeepError::Unknown(_) => roots.unsettled.store(true, Ordering::Release),
        })?;
        *holding = next;
        // Nothing that is queued under what is retired leaves the node after this.
        match self.registry.trust(rooted.trusted()).await {
            Ok(_) => {}
            // It is kept with the keys: the next start takes it up.
            Err(VerbError::NotYetDurable { .. }) => {
                tracing::error!(
                    "the registry's store or the audit log does not take the trust statement yet"
                );
            }
            Err(VerbError::Closed | VerbError::Refused(_) | VerbError::Unavailable) => {
                // It is kept and not in force: what this node would make next had the same number.
                roots.unsettled.store(true, Ordering::Release);
                return Err(RollError::Gone);
            }
        }
        roots.now.store(rooted.clone());
        self.capability.trust(rooted.tokens.clone()).await.map_err(|_| RollError::Gone)?;
        roots.number.send_replace(rooted.trust.number());
        tracing::warn!(
            number = rooted.trust.number(),
            ?change,
            authorities = rooted.trust.authorities().len(),
            cas = rooted.trust.cas().len(),
            "a new trust statement is in force"
        );
        if let Some(node) = roots.node() {
            announced(&node, &rooted).await;
        }
        roots.issuing.store(rooted.issuing.clone());
        self.capability.mint_under(holding.authority.clone()).await.map_err(|_| RollError::Gone)?;
        roots.used.store(rooted.trust.number(), Ordering::Release);
        Ok(signed)
    }

    /// Puts the statement in force on record.
    pub fn note_trust(&self, trust: &Trust, env: &dyn Env) {
        let Some(statement) = trust.digest() else { return };
        let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let (authorities, cas) = (count(trust.authorities().len()), count(trust.cas().len()));
        let event = Event::Node(NodeEvent::Trust { number: trust.number(), authorities, cas, statement });
        let record = Record { at: env.now(), registry: self.registry.directory().sequence(), event };
        if let Err(error) = self.audit.keep(record) {
            tracing::error!(%error, "a trust statement could not be recorded");
        }
    }
}

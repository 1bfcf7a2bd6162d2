//! Explains a token as a person would: who holds it, what it allows, until when, who handed it to whom.
//!
//! Works without an authority key too, and then says that nobody vouches for what it says.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Serialize;
use testudo_wire::{
    AgentName, Capability, Holder, Limits, RegistrySequence, SwarmId, Timestamp, TokenFactId, TokenId,
};

use super::block::{Attenuation, Chain, Narrowing};
use super::error::TokenError;
use super::meaning::Meaning;
use super::read::{self, Seal, Trust};
use crate::moment::utc;

/// Whether an authority vouches for what a token says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vouched {
    /// A trusted authority key began the chain and every signature holds.
    Yes,
    /// No authority key was at hand: all below is a claim.
    NotChecked,
    /// It was checked and is void, for this reason.
    No(String),
}

/// Whether a token can be extended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// To be shown to nodes and receivers.
    Sealed,
    /// A secret of its holder.
    Unsealed,
}

/// One block, in words of its own.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// The authority gave it to its first holder.
    Minted {
        /// What a revocation list names.
        id: TokenFactId,
        /// Who got it.
        to: Box<Holder>,
        /// What for.
        rights: BTreeSet<Capability>,
        /// The part to be handed on.
        delegatable: BTreeSet<Capability>,
        /// RFC 3339, UTC.
        expires: String,
    },
    /// Somebody with the unsealed token narrowed it.
    Narrowed {
        /// To these capabilities.
        only: Option<BTreeSet<Capability>>,
        /// To these agents.
        to: Option<BTreeSet<AgentName>>,
        /// To this end; RFC 3339, UTC.
        until: Option<String>,
    },
    /// A holder handed it on.
    Delegated {
        /// What a revocation list names.
        id: TokenFactId,
        /// The holder that signed.
        from: AgentName,
        /// Who got it.
        to: Box<Holder>,
        /// What for.
        grant: BTreeSet<Capability>,
        /// The part to be handed on.
        grant_on: BTreeSet<Capability>,
        /// RFC 3339, UTC.
        expires: String,
    },
}

/// A token explained.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Description {
    /// Whether any of this counts.
    pub vouched: Vouched,
    /// Sealed or not.
    pub form: Form,
    /// BLAKE3 of a sealed token's bytes.
    pub token_id: Option<TokenId>,
    /// Bytes.
    pub size: usize,
    /// Where it counts.
    pub swarm: SwarmId,
    /// Who may use it now.
    pub holder: Holder,
    /// What for, after all blocks.
    pub rights: BTreeSet<Capability>,
    /// What may be handed on, if hops are left.
    pub delegatable: BTreeSet<Capability>,
    /// The agents to which it is limited.
    pub destinations: Option<BTreeSet<AgentName>>,
    /// The last second in which it counts; RFC 3339, UTC.
    pub expires: String,
    /// Whether that is past.
    pub expired: bool,
    /// How many more delegations may follow.
    pub hops: u8,
    /// The registry's sequence when it was minted.
    pub minted: RegistrySequence,
    /// How it came to this, block by block.
    pub steps: Vec<Step>,
}

/// Explains a token, sealed or not. Without `trust` it is not verified, and the description says so.
///
/// # Errors
/// [`TokenError`] when it is not of our shape, or its blocks contradict each other. A wrong signature or
/// swarm is no error: the description says it.
pub fn describe(
    bytes: &[u8],
    trust: Option<&Trust>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Description, TokenError> {
    let parsed = read::parse(bytes, limits)?;
    let meaning = Meaning::fold(&parsed.chain)?;
    let vouched = match trust.map(|trust| read::verify(bytes, &parsed.chain, trust)) {
        None => Vouched::NotChecked,
        Some(Ok(_)) => Vouched::Yes,
        Some(Err(error)) => Vouched::No(error.to_string()),
    };
    let (form, token_id) = match parsed.seal {
        Seal::Open => (Form::Unsealed, None),
        Seal::Sealed => (Form::Sealed, Some(TokenId::of(bytes))),
    };
    Ok(Description {
        vouched,
        form,
        token_id,
        size: bytes.len(),
        swarm: meaning.swarm(),
        holder: *meaning.holder(),
        rights: meaning.rights().clone(),
        delegatable: meaning.delegatable().clone(),
        destinations: meaning.destinations().cloned(),
        expires: utc(meaning.expires()),
        expired: meaning.alive(now).is_err(),
        hops: meaning.hops(),
        minted: meaning.minted(),
        steps: steps(&parsed.chain),
    })
}

impl Description {
    /// The same as lines for a terminal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.vouched_line(), self.form_line()];
        lines.push(format!("swarm {}", self.swarm));
        lines.push(format!("{} (key {}) may use it", self.holder.name, self.holder.key.short()));
        lines.push(format!("for {}", list(&self.rights)));
        if let Some(destinations) = &self.destinations {
            lines.push(format!("only towards {}", list(destinations)));
        }
        lines.push(if self.hops == 0 || self.delegatable.is_empty() {
            "and may not delegate it".to_owned()
        } else {
            format!("and may delegate {}, {} more time(s)", list(&self.delegatable), self.hops)
        });
        lines.push(format!("{} {}", if self.expired { "EXPIRED after" } else { "until" }, self.expires));
        lines.push(format!("minted at registry sequence {}", self.minted));
        lines.extend(self.steps.iter().zip(1..).map(|(step, number)| format!("{number}. {}", step.line())));
        lines
    }

    fn vouched_line(&self) -> String {
        match &self.vouched {
            Vouched::Yes => "a trusted authority vouches for this token".to_owned(),
            Vouched::NotChecked => {
                "NOT VERIFIED: no authority key at hand, this is what the token claims".to_owned()
            }
            Vouched::No(why) => format!("VOID: {why}"),
        }
    }

    fn form_line(&self) -> String {
        match (self.form, self.token_id) {
            (Form::Sealed, Some(id)) => format!("sealed, {} bytes, token id {id}", self.size),
            (Form::Sealed, None) => format!("sealed, {} bytes", self.size),
            (Form::Unsealed, _) => format!("unsealed, {} bytes: a secret of its holder", self.size),
        }
    }
}

impl Step {
    fn line(&self) -> String {
        match self {
            Self::Minted { id, to, rights, delegatable, expires } => format!(
                "minted for {} (key {}): {}; delegatable: {}; until {expires}; id {id}",
                to.name,
                to.key.short(),
                list(rights),
                list(delegatable)
            ),
            Self::Narrowed { only, to, until } => {
                let parts = [
                    only.as_ref().map(|only| format!("only {}", list(only))),
                    to.as_ref().map(|to| format!("only towards {}", list(to))),
                    until.as_ref().map(|until| format!("until {until}")),
                ];
                format!("narrowed: {}", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
            Self::Delegated { id, from, to, grant, grant_on, expires } => format!(
                "{from} delegated to {} (key {}): {}; delegatable: {}; until {expires}; id {id}",
                to.name,
                to.key.short(),
                list(grant),
                list(grant_on)
            ),
        }
    }
}

fn steps(chain: &Chain) -> Vec<Step> {
    let mint = &chain.mint;
    let mut steps = vec![Step::Minted {
        id: mint.id,
        to: Box::new(mint.holder),
        rights: mint.rights.clone(),
        delegatable: mint.delegatable.clone(),
        expires: utc(mint.expires),
    }];
    let mut from = mint.holder.name;
    for narrowing in &chain.narrowings {
        steps.push(match narrowing {
            Narrowing::Attenuated(Attenuation { only, to, until }) => {
                Step::Narrowed { only: only.clone(), to: to.clone(), until: until.map(utc) }
            }
            Narrowing::Delegated(delegated) => {
                let delegation = &delegated.delegation;
                Step::Delegated {
                    id: delegation.id,
                    from: std::mem::replace(&mut from, delegation.to.name),
                    to: Box::new(delegation.to),
                    grant: delegation.grant.clone(),
                    grant_on: delegation.grant_on.clone(),
                    expires: utc(delegation.expires),
                }
            }
        });
    }
    steps
}

pub(super) fn list<T: Display>(set: &BTreeSet<T>) -> String {
    if set.is_empty() {
        return "nothing".to_owned();
    }
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

//! Whether a token allows one thing; if not, which of its blocks says so, and with which fact.
//!
//! [`Meaning`] decides; this only finds the words. Knows no registry: revocation is asked elsewhere.

use std::fmt;

use serde::Serialize;
use testudo_wire::{AgentName, Capability, Limits, Refusal, Timestamp};

use super::block::{Attenuation, Chain, Mint, Narrowing, whole_second};
use super::describe::list;
use super::error::TokenError;
use super::meaning::Meaning;
use super::read::{self, Trust};
use crate::moment::utc;

/// What is asked of a token. `None` is not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    /// When it is to be used.
    pub at: Timestamp,
    /// Who is to use it.
    pub holder: Option<AgentName>,
    /// What for.
    pub capability: Option<Capability>,
    /// The agent that is addressed by name. With a capability, `None` means a service or a topic.
    pub to: Option<AgentName>,
}

/// A no, and where it comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Denial {
    /// What the pipeline would answer.
    #[serde(serialize_with = "in_words")]
    pub refusal: Refusal,
    /// Number of the block that says no, the authority block being 1; `None` when it is the token as a whole.
    pub block: Option<usize>,
    /// The fact that decides, or that is missing, such as `grant(read, logs)`.
    pub fact: Option<String>,
    /// What is wrong, for people.
    pub why: String,
}

fn in_words<S: serde::Serializer>(refusal: &Refusal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(refusal.as_str())
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal, self.why)
    }
}

impl From<TokenError> for Denial {
    fn from(error: TokenError) -> Self {
        Self { refusal: error.refusal(), block: error.block(), fact: None, why: error.to_string() }
    }
}

impl Denial {
    fn at(refusal: Refusal, block: usize, fact: String, why: String) -> Self {
        Self { refusal, block: Some(block), fact: Some(fact), why }
    }
}

/// Whether a token, sealed or not, is genuine and allows what is asked. Whether anybody in its chain is
/// revoked is not in the token: see [`Meaning::standing`].
///
/// # Errors
/// The first [`Denial`], in the order of the pipeline: form, signatures, holder, time, destination,
/// capability.
pub fn judge(bytes: &[u8], trust: &Trust, limits: &Limits, question: &Question) -> Result<Meaning, Denial> {
    let parsed = read::parse(bytes, limits)?;
    let authority = read::verify(bytes, &parsed.chain, trust)?;
    let meaning = Meaning::fold(&parsed.chain)?.vouched(authority);
    answer(&parsed.chain, &meaning, question).map_or(Ok(meaning), Err)
}

/// The no of a chain that holds together, if it says no.
pub(crate) fn answer(chain: &Chain, meaning: &Meaning, question: &Question) -> Option<Denial> {
    let Question { at, holder, capability, to } = question;
    holder
        .and_then(|holder| not_holder(chain, meaning, &holder))
        .or_else(|| ended(chain, *at))
        .or_else(|| if capability.is_some() || to.is_some() { unreachable_by(chain, *to) } else { None })
        .or_else(|| capability.and_then(|capability| uncovered(chain, &capability)))
}

/// Blocks after the first, with their numbers.
fn numbered(chain: &Chain) -> impl Iterator<Item = (usize, &Narrowing)> {
    (2..).zip(&chain.narrowings)
}

fn not_holder(chain: &Chain, meaning: &Meaning, asked: &AgentName) -> Option<Denial> {
    let holder = meaning.holder();
    if holder.name == *asked {
        return None;
    }
    let delegated = numbered(chain).filter(|(_, narrowing)| matches!(narrowing, Narrowing::Delegated(_)));
    let (block, word) = delegated.last().map_or((1, "holder"), |(number, _)| (number, "to_holder"));
    let fact = format!("{word}({}, {})", holder.name, holder.key.short());
    let why = format!("block {block} gives it to {}, not to {asked}: {fact}", holder.name);
    Some(Denial::at(Refusal::Unauthorised, block, fact, why))
}

fn ended(chain: &Chain, at: Timestamp) -> Option<Denial> {
    let later = numbered(chain).filter_map(|(number, narrowing)| match narrowing {
        Narrowing::Attenuated(Attenuation { until, .. }) => until.map(|until| (number, "until", until)),
        Narrowing::Delegated(delegated) => Some((number, "expires", delegated.delegation.expires)),
    });
    let mut ends = std::iter::once((1, "expires", chain.mint.expires)).chain(later);
    let (block, word, end) = ends.find(|(_, _, end)| at.as_secs() > whole_second(*end).as_secs())?;
    let fact = format!("{word}({})", utc(end));
    let why = format!("at {} it has ended, by block {block}: {fact}", utc(at));
    Some(Denial::at(Refusal::ExpiredToken, block, fact, why))
}

fn unreachable_by(chain: &Chain, to: Option<AgentName>) -> Option<Denial> {
    let (block, allowed) = numbered(chain).find_map(|(number, narrowing)| match narrowing {
        Narrowing::Attenuated(Attenuation { to: Some(allowed), .. }) => {
            let reached = to.is_some_and(|to| allowed.contains(&to));
            (!reached).then_some((number, allowed))
        }
        Narrowing::Attenuated(_) | Narrowing::Delegated(_) => None,
    })?;
    let fact = format!("to({})", list(allowed));
    let what = to.map_or_else(|| "services and topics".to_owned(), |to| to.to_string());
    let why = format!("block {block} limits it to other receivers than {what}: {fact}");
    Some(Denial::at(Refusal::Unauthorised, block, fact, why))
}

fn uncovered(chain: &Chain, asked: &Capability) -> Option<Denial> {
    let missing = |block: usize, word: &str, so: &str| {
        let fact = format!("{word}({}, {})", asked.verb(), asked.resource());
        let why = format!("block {block} has no {fact}{so}");
        Some(Denial::at(Refusal::Unauthorised, block, fact, why))
    };
    let Mint { rights, delegatable, .. } = &chain.mint;
    if !rights.contains(asked) {
        return missing(1, "right", "");
    }
    // Where the holder at this point has it from, and whether it may hand it on.
    let mut source = (1, "delegatable", delegatable.contains(asked));
    for (number, narrowing) in numbered(chain) {
        match narrowing {
            Narrowing::Attenuated(Attenuation { only, .. }) => {
                if only.as_ref().is_some_and(|only| !only.contains(asked)) {
                    return missing(number, "only", "");
                }
            }
            Narrowing::Delegated(delegated) => {
                let (block, word, may_hand_on) = source;
                if !may_hand_on {
                    return missing(block, word, &format!(", so block {number} hands on nothing of it"));
                }
                if !delegated.delegation.grant.contains(asked) {
                    return missing(number, "grant", "");
                }
                source = (number, "grant_on", delegated.delegation.grant_on.contains(asked));
            }
        }
    }
    None
}

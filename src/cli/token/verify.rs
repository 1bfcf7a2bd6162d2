//! `testudo token verify` and `inspect`: whether a token allows something, and what it says.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use testudo::bus::env::Env as _;
use testudo::config::{Config, Overrides};
use testudo::env::System;
use testudo::operator::{Answer, ChainStanding, Request};
use testudo::rules::moment::at_of_text;
use testudo::rules::token::{
    Denial, Description, Link, Question, Step, Trust, Vouched, bytes_of_text, describe, judge,
};
use testudo::wire::{AgentName, Capability, Limits, PublicKey, Refusal, RegistrySequence, Timestamp};

use super::given;
use crate::cli::through::{Through, unexpected};
use crate::cli::{At, CliError, Done, say};

/// Whose tokens count.
#[derive(Args, Debug)]
struct Whose {
    /// The swarm's configuration, to check who signed it and whether anybody in its chain is revoked
    #[arg(long, value_name = "FILE", conflicts_with = "authority")]
    config: Option<PathBuf>,
    /// The swarm's authority key instead: works anywhere, and does not ask about revocation
    #[arg(long, value_name = "HEX")]
    authority: Option<PublicKey>,
}

impl Whose {
    fn trust(&self) -> Result<Option<Trust>, CliError> {
        let Some(path) = &self.config else { return Ok(self.authority.map(Trust::of)) };
        let config = Config::load(path, Overrides::default())?;
        // What is trusted now, where the keys are at hand; else what the swarm began with.
        let trust = testudo::rollover::trusted(&config).map_err(CliError::Failed)?;
        Ok(Some(trust.unwrap_or_else(|| Trust::of(config.swarm.authority))))
    }
}

/// What is asked of it.
#[derive(Args, Debug)]
struct Asked {
    /// Would it allow this?
    #[arg(long, value_name = "VERB:RESOURCE")]
    capability: Option<Capability>,
    /// Towards this agent; without it, towards a service or a topic
    #[arg(long, value_name = "AGENT")]
    to: Option<AgentName>,
    /// In this agent's hands?
    #[arg(long, value_name = "AGENT")]
    holder: Option<AgentName>,
    /// Then, not now; such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    at_of_text(text).ok_or_else(|| "write a time in UTC such as 2030-01-31T08:00:00Z".to_owned())
}

impl Asked {
    fn question(&self) -> Question {
        let at = self.at.unwrap_or_else(|| System.now());
        Question { at, holder: self.holder, capability: self.capability, to: self.to }
    }

    const fn is_any(&self) -> bool {
        self.capability.is_some() || self.to.is_some() || self.holder.is_some() || self.at.is_some()
    }
}

/// A token and what is asked of it, for `verify` and `inspect` alike.
#[derive(Args, Debug)]
pub(in crate::cli) struct Examine {
    /// The token; `-` reads standard input
    token: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    whose: Whose,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What the registry says of those in a token's chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum Revocation {
    /// Everyone is in good standing.
    Good { sequence: RegistrySequence, replies_only: bool },
    /// Nobody was asked.
    NotAsked { why: String },
    /// Somebody or something in the chain is revoked.
    Void { sequence: RegistrySequence, denial: Denial },
}

impl Revocation {
    /// Asks the node that runs on the configuration's folder, or the folder.
    fn asked(config: &Path, token: &Description) -> Result<Self, CliError> {
        let chain = chain(token);
        let links = chain.iter().map(|(_, link)| *link).collect();
        let request = Request::TokenStanding { chain: links, minted: token.minted };
        let answer = Through::from(At { config: config.to_owned() }).ask(request)?;
        let Answer::Standing(standing) = answer else { return Err(unexpected()) };
        Ok(Self::of(&chain, &standing))
    }

    fn of(chain: &[(usize, Link)], standing: &ChainStanding) -> Self {
        let sequence = standing.sequence;
        let void = standing.first_void().and_then(|(place, why)| Some((chain.get(place)?, why)));
        let Some(((block, link), why)) = void else {
            return Self::Good { sequence, replies_only: standing.replies_only };
        };
        let fact = format!("id({})", link.id);
        let why = format!("block {block}, for {}: {why}", link.holder.name);
        let denial = Denial { refusal: Refusal::Revoked, block: Some(*block), fact: Some(fact), why };
        Self::Void { sequence, denial }
    }

    fn line(&self) -> String {
        match self {
            Self::Good { sequence, replies_only } => {
                let only = if *replies_only { "; but good for replies alone" } else { "" };
                format!("nobody in its chain is revoked (registry sequence {sequence}){only}")
            }
            Self::NotAsked { why } => format!("revocation was not asked: {why}"),
            Self::Void { sequence, denial } => {
                format!("REVOKED: {} (registry sequence {sequence})", denial.why)
            }
        }
    }

    /// As a node: who is out is refused before what is asked is looked at, and whose authority it is comes last.
    fn denial(&self, judged: Option<Denial>, exercised: bool) -> Option<Denial> {
        match self {
            Self::Void { denial, .. } => Some(denial.clone()),
            Self::Good { replies_only: true, .. } if exercised => Some(judged.unwrap_or_else(|| Denial {
                refusal: Refusal::Unauthorised,
                block: Some(1),
                fact: None,
                why: "block 1 is good for replies alone: its holder acts only under delegated tokens".into(),
            })),
            Self::Good { .. } | Self::NotAsked { .. } => judged,
        }
    }
}

/// The holders of a token with the numbers of the blocks that made them so.
fn chain(token: &Description) -> Vec<(usize, Link)> {
    let holders = (1..).zip(&token.steps).filter_map(|(number, step)| match step {
        Step::Minted { id, to, .. } | Step::Delegated { id, to, .. } => {
            Some((number, Link { holder: **to, id: *id }))
        }
        Step::Narrowed { .. } => None,
    });
    holders.collect()
}

fn not_asked(why: &str) -> Revocation {
    Revocation::NotAsked { why: why.to_owned() }
}

/// The answer of `verify`.
#[derive(Serialize)]
struct Verdict {
    allowed: bool,
    denial: Option<Denial>,
    revocation: Revocation,
}

impl Examine {
    pub(super) fn verify(self) -> Done {
        let Some(trust) = self.whose.trust()? else {
            let why = "whose tokens count? give the swarm's --config FILE, or its --authority KEY";
            return Err(CliError::Usage(why.into()));
        };
        let (limits, question) = (Limits::standard(), self.asked.question());
        let bytes = bytes_of_text(&given::token(&self.token)?, &limits)?;
        let judged = judge(&bytes, &trust, &limits, &question);
        if let Err(Denial { refusal: Refusal::Malformed | Refusal::Oversized, why, .. }) = judged {
            return Err(CliError::Usage(why));
        }
        let token = describe(&bytes, Some(&trust), &limits, question.at);
        let revocation = match (&self.whose.config, &token) {
            (Some(config), Ok(token)) if token.vouched == Vouched::Yes => {
                Revocation::asked(config, token).map_err(|error| self.unasked(error, &trust))?
            }
            (Some(_), _) => not_asked("the token is void as it is"),
            (None, _) => not_asked("only --config FILE has a registry to ask"),
        };
        let denial = revocation.denial(judged.err(), question.capability.is_some());
        self.tell(&Verdict { allowed: denial.is_none(), denial, revocation }, token.ok())
    }

    /// A yes that nobody asked the registry about would be a guess.
    fn unasked(&self, error: CliError, trust: &Trust) -> CliError {
        let key = trust.authorities.first().map(ToString::to_string).unwrap_or_default();
        let hint = format!("or leave revocation out with --authority {key} instead of --config");
        match error {
            CliError::Usage(why) => CliError::Usage(format!("{why}; {hint}")),
            CliError::Failed(why) => CliError::Failed(format!("{why}; {hint}")),
            CliError::RevokedItself => CliError::RevokedItself,
        }
    }

    fn tell(&self, verdict: &Verdict, token: Option<Description>) -> Done {
        if self.json {
            say(&serde_json::to_string(verdict)?);
        }
        if let Some(denial) = &verdict.denial {
            return Err(CliError::Failed(format!("no, {denial}")));
        }
        if let (false, Some(token)) = (self.json, token) {
            let what = match (&self.asked.capability, &self.asked.to) {
                (Some(capability), Some(to)) => format!(" for {capability} towards {to}"),
                (Some(capability), None) => format!(" for {capability}"),
                (None, Some(to)) => format!(" towards {to}"),
                (None, None) => String::new(),
            };
            say(&format!("yes: {} may use it{what} until {}", token.holder.name, token.expires));
            say(&verdict.revocation.line());
        }
        Ok(())
    }
}

/// What `inspect` says: the token's own words, and what the registry adds.
#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    token: &'a Description,
    revocation: Revocation,
    /// Why it does not allow what was asked.
    denial: Option<Denial>,
}

impl Examine {
    pub(super) fn inspect(self) -> Done {
        let (limits, question) = (Limits::standard(), self.asked.question());
        let bytes = bytes_of_text(&given::token(&self.token)?, &limits)?;
        let trust = self.whose.trust()?;
        if self.asked.is_any() && trust.is_none() {
            let why = "a claim allows nothing; give the swarm's --config FILE, or its --authority KEY";
            return Err(CliError::Usage(why.into()));
        }
        let token = describe(&bytes, trust.as_ref(), &limits, question.at)?;
        let revocation = self.revocation(&token);
        let judged = match &trust {
            Some(trust) if self.asked.is_any() => judge(&bytes, trust, &limits, &question).err(),
            Some(_) | None => None,
        };
        let denial = revocation.denial(judged, question.capability.is_some());
        let inspected = Inspected { token: &token, revocation, denial };
        if self.json {
            say(&serde_json::to_string(&inspected)?);
        } else {
            token.lines().iter().for_each(|line| say(line));
            say(&inspected.revocation.line());
        }
        match (&token.vouched, inspected.denial) {
            (Vouched::No(reason), _) => Err(CliError::Usage(format!("the token is void: {reason}"))),
            (Vouched::Yes | Vouched::NotChecked, Some(denial)) => {
                Err(CliError::Failed(format!("no, {denial}")))
            }
            (Vouched::Yes | Vouched::NotChecked, None) => Ok(()),
        }
    }

    /// Explaining goes on without a registry, but says so.
    fn revocation(&self, token: &Description) -> Revocation {
        match (&self.whose.config, &token.vouched) {
            (Some(config), Vouched::Yes) => {
                Revocation::asked(config, token).unwrap_or_else(|error| not_asked(&error.to_string()))
            }
            (Some(_), Vouched::No(_) | Vouched::NotChecked) => not_asked("the token is void as it is"),
            (None, _) => not_asked("only --config FILE has a registry to ask"),
        }
    }
}

//! `testudo token`: mint with the authority; narrow, hand on, read and verify offline.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use testudo::bus::env::{Env as _, random};
use testudo::env::System;
use testudo::identity::Identity;
use testudo::operator::{Answer, HOPS, Request};
use testudo::rules::token::{self, Attenuation, Delegation, Fresh};
use testudo::wire::{AgentName, Capability, Holder, Limits, PublicKey, TokenFactId};

use super::given;
use super::through::{Through, unexpected};
use super::{CliError, Done, say};

mod verify;

/// Seconds in ten years: what would live longer than the CA is a mistyped number.
const SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// Capability tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Mint a token for an enrolled agent, within its grant
    Mint(Mint),
    /// Narrow a token
    Attenuate(Attenuate),
    /// Hand a part of an identity's token, or of a given one, to another agent
    Delegate(Delegate),
    /// Explain a token: who holds it, what for, until when, who handed it to whom
    Inspect(verify::Examine),
    /// Void a token and everything handed on from it. Its holder is not put out: an agent whose own token it is comes by
    /// another as it renews. For that there is `testudo agent revoke`, and `testudo agent grant` for its rights
    Revoke(Revoke),
    /// Say whether a token is genuine, alive, and allows something: exit code 0 yes, 1 no
    Verify(verify::Examine),
}

#[derive(Args, Debug)]
pub(super) struct Mint {
    /// The holder
    name: AgentName,
    /// What it may do; its whole grant when not given
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    allow: Vec<Capability>,
    /// What it may hand on
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    delegatable: Vec<Capability>,
    /// Seconds to live
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Times that it may be handed on
    #[arg(long, default_value_t = HOPS)]
    hops: u8,
    #[command(flatten)]
    through: Through,
}

#[derive(Args, Debug)]
pub(super) struct Attenuate {
    /// The token; `-` reads standard input, which keeps it out of the process list
    token: String,
    /// Leave only these capabilities
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    only: Vec<Capability>,
    /// Leave only these receivers
    #[arg(long, value_name = "AGENT", num_args = 1..)]
    to: Vec<AgentName>,
    /// End so many seconds from now
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct Delegate {
    /// The identity that hands on; its key signs
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// The token to hand on instead of the identity's own; `-` reads standard input
    #[arg(long)]
    token: Option<String>,
    /// The new holder
    #[arg(long, value_name = "AGENT")]
    to: AgentName,
    /// The new holder's key, see `testudo agent list --json`
    #[arg(long, value_name = "HEX")]
    key: PublicKey,
    /// What it gets
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1.., required = true)]
    grant: Vec<Capability>,
    /// The part that it may hand on
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    grant_on: Vec<Capability>,
    /// Seconds to live; without it an hour, or as long as the token if that ends sooner
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
    /// Times that it may be handed on further
    #[arg(long, default_value_t = 0)]
    hops: u8,
}

#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The id of one of its blocks, see `testudo token inspect`
    id: TokenFactId,
    #[command(flatten)]
    through: Through,
}

/// How long what is handed on lives when nobody says.
const SECONDS: u64 = 3600;

fn fresh() -> Fresh {
    Fresh::from_random(random(&System))
}

fn some<T: Ord>(list: Vec<T>) -> Option<BTreeSet<T>> {
    if list.is_empty() { None } else { Some(list.into_iter().collect()) }
}

fn in_seconds(seconds: u64) -> testudo::wire::Timestamp {
    System.now().after(std::time::Duration::from_secs(seconds))
}

impl Token {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Mint(verb) => verb.run(),
            Self::Attenuate(verb) => verb.run(),
            Self::Delegate(verb) => verb.run(),
            Self::Inspect(verb) => verb.inspect(),
            Self::Revoke(verb) => verb.run(),
            Self::Verify(verb) => verb.verify(),
        }
    }
}

impl Mint {
    fn run(self) -> Done {
        let request = Request::TokenMint {
            name: self.name,
            rights: self.allow.into_iter().collect(),
            delegatable: self.delegatable.into_iter().collect(),
            seconds: self.seconds,
            hops: self.hops,
        };
        let Answer::Token { token } = self.through.ask(request)? else {
            return Err(unexpected());
        };
        say(&token);
        Ok(())
    }
}

impl Attenuate {
    fn run(self) -> Done {
        if self.only.is_empty() && self.to.is_empty() && self.seconds.is_none() {
            return Err(CliError::Usage("nothing to narrow; give --only, --to or --seconds".into()));
        }
        let token = token::Token::from_text(&given::token(&self.token)?, &Limits::standard())?;
        let attenuation =
            Attenuation { only: some(self.only), to: some(self.to), until: self.seconds.map(in_seconds) };
        say(&token.attenuate(&attenuation, fresh())?.to_text());
        Ok(())
    }
}

impl Delegate {
    fn run(self) -> Done {
        let identity = Identity::load(&self.identity)?;
        let token = match &self.token {
            Some(text) => token::Token::from_text(&given::token(text)?, &Limits::standard())?,
            None => identity.client.token.clone(),
        };
        let delegation = Delegation {
            id: TokenFactId::new(random(&System)),
            to: Holder { name: self.to, key: self.key },
            grant: self.grant.into_iter().collect(),
            grant_on: self.grant_on.into_iter().collect(),
            expires: match self.seconds {
                Some(seconds) => in_seconds(seconds),
                None => in_seconds(SECONDS).min(token.ends()),
            },
            hops: self.hops,
        };
        if delegation.expires < System.now() {
            return Err(CliError::Failed(
                "the token has run out; renew the identity, or mint another".into(),
            ));
        }
        say(&token.delegate(&delegation, &identity.client.key, fresh())?.to_text());
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> Done {
        let answer = self.through.ask(Request::TokenRevoke { id: self.id })?;
        let Answer::Changed { sequence } = answer else { return Err(unexpected()) };
        say(&format!("void from now on (registry sequence {sequence})"));
        // Whose it is the id does not say.
        let _ = writeln!(
            std::io::stderr(),
            "its holder is not put out: an agent whose own token it was comes by another as it renews; \
             `testudo agent revoke` puts it out, `testudo agent grant` changes its rights"
        );
        Ok(())
    }
}

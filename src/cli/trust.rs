//! `testudo swarm trust`: which authority keys and CAs a swarm goes by, and how they are rolled over.

use clap::{Args, Subcommand};
use testudo::operator::{Answer, Request, Roll, TrustView};

use super::through::{Through, unexpected};
use super::{Done, say};

/// Authority keys and CAs, by numbered statements.
#[derive(Debug, Subcommand)]
pub(super) enum Trust {
    /// What the swarm goes by
    Show(Plain),
    /// Make a new CA beside the old one; certificates are issued under it from then on
    RotateCa(Plain),
    /// Make a new authority key beside the old one; tokens are minted under it from then on
    RotateAuthority(Plain),
    /// Trust no CA but the newest any more
    RetireCa(Retire),
    /// Trust no authority key but the newest any more
    RetireAuthority(Retire),
}

#[derive(Args, Debug)]
pub(super) struct Plain {
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Retire {
    #[command(flatten)]
    plain: Plain,
    /// Although agents still depend on it: they are out until they get new identities
    #[arg(long)]
    force: bool,
}

impl Trust {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Show(plain) => show(&plain, &asked(&plain, Request::TrustShow)?),
            Self::RotateCa(plain) => roll(&plain, Roll::RotateCa, false),
            Self::RotateAuthority(plain) => roll(&plain, Roll::RotateAuthority, false),
            Self::RetireCa(retire) => roll(&retire.plain, Roll::RetireCa, retire.force),
            Self::RetireAuthority(retire) => roll(&retire.plain, Roll::RetireAuthority, retire.force),
        }
    }
}

fn asked(plain: &Plain, request: Request) -> Result<TrustView, super::CliError> {
    let Answer::Trust(view) = plain.through.ask(request)? else { return Err(unexpected()) };
    Ok(*view)
}

fn roll(plain: &Plain, roll: Roll, force: bool) -> Done {
    let view = asked(plain, Request::TrustRoll { roll, force })?;
    show(plain, &view)?;
    if !plain.json {
        let next = match roll {
            Roll::RotateCa => "when every agent has renewed: `testudo swarm trust retire-ca`",
            Roll::RotateAuthority => "when every agent has renewed: `testudo swarm trust retire-authority`",
            Roll::RetireCa | Roll::RetireAuthority => "certificates and tokens of the old one count no more",
        };
        say(next);
        say("take a new backup now (`testudo swarm backup`): an older one holds older keys");
    }
    Ok(())
}

fn show(plain: &Plain, view: &TrustView) -> Done {
    if plain.json {
        say(&serde_json::to_string(view)?);
        return Ok(());
    }
    say(&format!("swarm {}, trust statement {}", view.swarm, view.number));
    let last = view.authorities.len().saturating_sub(1);
    for (at, key) in view.authorities.iter().enumerate() {
        say(&format!("authority {key}{}", if at == last { " (mints)" } else { "" }));
    }
    let last = view.cas.len().saturating_sub(1);
    for (at, ca) in view.cas.iter().enumerate() {
        say(&format!("CA        {ca}{}", if at == last { " (certifies)" } else { "" }));
    }
    Ok(())
}

//! `testudo agent invite`: a line for somebody elsewhere, with which an agent joins under a key that only it has.

use std::net::IpAddr;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::bus::env::Env as _;
use testudo::env::System;
use testudo::operator::{Answer, INVITATION_SECONDS_MAX, InvitationLine, Invited, Request};
use testudo::wire::{AgentName, SecretKey};
use zeroize::Zeroizing;

use super::rights::Rights;
use super::through::{Through, unexpected};
use super::{CliError, Done, agent, say};

#[derive(Args, Debug)]
pub(super) struct Invite {
    /// The name that the agent will have
    #[arg(required_unless_present_any = ["list", "cancel"])]
    name: Option<AgentName>,
    #[command(flatten)]
    rights: Rights,
    /// Seconds to live
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=INVITATION_SECONDS_MAX))]
    ttl: u64,
    /// The IP address by which newcomers reach the node, when it listens on all of them
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// List all invitations
    #[arg(long, conflicts_with_all = ["name", "cancel"])]
    list: bool,
    /// Take an invitation back: its name, or its id
    #[arg(long, value_name = "NAME|ID", conflicts_with = "name")]
    cancel: Option<String>,
    #[command(flatten)]
    through: Through,
    /// One JSON value instead of text
    #[arg(long)]
    json: bool,
}

impl Invite {
    pub(super) fn run(self) -> Done {
        if (self.list || self.cancel.is_some()) && self.rights.are_given() {
            let why = "--list and --cancel take no rights; leave out --allow, --serve and the like";
            return Err(CliError::Usage(why.into()));
        }
        if let Some(which) = self.cancel {
            return cancel(&self.through, which, self.json);
        }
        let Some(name) = self.name else { return list(&self.through, self.json) };
        let key = SecretKey::from_seed(&Zeroizing::new(testudo::bus::env::random(&System)));
        let (grant, seconds) = (self.rights.grant()?, self.ttl);
        let request = Request::AgentInvite { name, key: key.public(), grant, seconds, host: self.host };
        let Answer::Invited(invited) = self.through.ask(request)? else {
            return Err(unexpected());
        };
        tell(name, key, *invited, self.json);
        Ok(())
    }
}

/// Standard output gets the line alone, so that it can be piped to where it is needed.
fn tell(name: AgentName, key: SecretKey, invited: Invited, json: bool) {
    let token = invited.token(key);
    let Invited { id, until, address, swarm, ca, sequence } = invited;
    if json {
        let said = serde_json::json!({
            "agent": name, "invitation": id, "until_ms": until.as_millis(), "address": address, "ca": ca,
            "swarm": swarm, "sequence": sequence, "token": *token.to_text(),
        });
        say(&said.to_string());
    } else {
        say(&token.to_text());
        hint(name);
    }
}

/// What to do with it, for who sees it; who pipes it on knows.
fn hint(name: AgentName) {
    use std::io::{IsTerminal as _, Write as _};
    if std::io::stdout().is_terminal() {
        let what = format!(
            "a secret, good for one agent: give the line to `testudo join - --out {name}.identity` on standard input, \
             where {name} will run"
        );
        let _ = writeln!(std::io::stderr(), "{what}");
    }
}

fn cancel(through: &Through, which: String, json: bool) -> Done {
    let request = Request::InvitationCancel { which: which.clone() };
    let Answer::Changed { sequence } = through.ask(request)? else { return Err(unexpected()) };
    if json {
        say(&serde_json::json!({"invitation": which, "done": "cancelled", "sequence": sequence}).to_string());
    } else {
        say(&format!("the invitation {which} is cancelled (registry sequence {sequence})"));
    }
    Ok(())
}

fn list(through: &Through, json: bool) -> Done {
    let Answer::Invitations { invitations } = through.ask(Request::InvitationList)? else {
        return Err(unexpected());
    };
    if json {
        say(&serde_json::to_string(&invitations)?);
    } else if invitations.is_empty() {
        say("no invitations; make one with `testudo agent invite NAME --allow ...`");
    } else {
        say(&table(&invitations).to_string());
    }
    Ok(())
}

fn table(invitations: &[InvitationLine]) -> Table {
    let now = System.now().as_millis();
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["invitation", "agent", "state", "ends in", "will be allowed", "will serve"]);
    for one in invitations {
        let left = one.until_ms.saturating_sub(now).div_ceil(1000);
        table.add_row([
            one.id.to_string(),
            one.name.to_string(),
            one.state.clone(),
            format!("{left} s"),
            agent::may(&one.grant),
            agent::joined(&one.grant.serve),
        ]);
    }
    table
}

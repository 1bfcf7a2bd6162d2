//! `testudo agent`: who may be here, and what they may do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::files::Reserved;
use testudo::identity::Identity;
use testudo::operator::{AgentLine, Answer, Credentials, Request, Verb};
use testudo::wire::standing::RevocationCause;
use testudo::wire::{AgentName, Capability, Grant, RegistrySequence, SecretKey};

use super::invite::Invite;
use super::one::{Amend, Show};
use super::rights::Rights;
use super::through::{By, Through, unexpected};
use super::{CliError, Done, say};

/// Agents of a swarm.
#[derive(Debug, Subcommand)]
pub(super) enum Agent {
    /// Enrol an agent and write its identity file
    Add(Add),
    /// Let somebody elsewhere join: prints an invitation, to be used once
    Invite(Invite),
    /// List all agents
    List(List),
    /// Show one agent: key, grant, certificate, links, queue
    Show(Show),
    /// Change what an agent may do, while it runs
    Grant(Amend),
    /// Put an agent out, at once and for good
    Revoke(Revoke),
    /// Bring an agent back that fell silent or failed too often
    Reinstate(Reinstate),
    /// A fresh certificate and token into an identity file
    Renew(Renew),
}

#[derive(Args, Debug)]
pub(super) struct Add {
    name: AgentName,
    #[command(flatten)]
    rights: Rights,
    /// The identity file to write, mode 0600
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    through: Through,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Why an operator revokes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cause {
    Compromised,
    Operator,
}

#[derive(Args, Debug)]
pub(super) struct Revoke {
    name: AgentName,
    /// Why
    #[arg(long, value_enum, default_value_t = Cause::Operator)]
    cause: Cause,
    /// The same as --cause compromised: somebody else may have its key
    #[arg(long, conflicts_with = "cause")]
    compromised: bool,
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Reinstate {
    name: AgentName,
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Renew {
    /// The identity file; its key is kept
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    #[command(flatten)]
    by: By,
}

impl Agent {
    pub(super) fn run(self) -> Done {
        match self {
            Self::Add(add) => add.run(),
            Self::Invite(invite) => invite.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Grant(amend) => amend.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Reinstate(reinstate) => reinstate.run(),
            Self::Renew(renew) => renew.run(),
        }
    }
}

impl Add {
    fn run(self) -> Done {
        let grant = self.rights.grant()?;
        // Taken first: an agent whose identity cannot be written must not be enrolled.
        let place = Reserved::new(&self.out)?;
        let key = SecretKey::from_seed(&testudo::bus::env::random(&testudo::env::System));
        let csr = csr(&self.through, self.name, &key)?;
        let request = Request::AgentAdd { name: self.name, key: key.public(), grant, csr };
        let Answer::Credentials(mut credentials) = self.through.ask(request)? else {
            return Err(unexpected());
        };
        if let Some(operator) = self.through.operator()?
            && credentials.node.ip().is_unspecified()
        {
            // The node listens everywhere: where this operator reaches it others do.
            credentials.node.set_ip(operator.node.ip());
        }
        let saved = identity(self.name, key, *credentials)
            .and_then(|identity| identity.save_in(place).map_err(CliError::from));
        if let Err(error) = saved {
            // Nobody holds its key any more: it must not stay enrolled.
            let cause = RevocationCause::Operator;
            self.through.ask(Request::AgentRevoke { name: self.name, cause })?;
            return Err(error);
        }
        if self.json {
            say(&serde_json::json!({"agent": self.name, "identity": self.out}).to_string());
        } else {
            say(&format!("{} is enrolled; its identity is in {}", self.name, self.out.display()));
        }
        Ok(())
    }
}

/// The agent's own request: a PKI service signs nothing else.
fn csr(through: &Through, name: AgentName, key: &SecretKey) -> Result<Option<String>, CliError> {
    testudo::identity::request(through.swarm()?, name, key).map(Some).map_err(CliError::Failed)
}

fn identity(name: AgentName, key: SecretKey, credentials: Credentials) -> Result<Identity, CliError> {
    Identity::issued(name, key, credentials).map_err(CliError::Failed)
}

pub(super) fn joined(set: &BTreeSet<Capability>) -> String {
    set.iter().map(Capability::as_str).collect::<Vec<_>>().join(" ")
}

/// What it may do, and whether under tokens of others alone.
pub(super) fn may(grant: &Grant) -> String {
    let operates = Verb::rights();
    let rights = if grant.right.is_superset(&operates) {
        // A dozen words that say one thing.
        format!("{} (operator)", joined(&(&grant.right - &operates))).trim_start().to_owned()
    } else {
        joined(&grant.right)
    };
    match (grant.delegated_only, rights.is_empty()) {
        (false, _) => rights,
        (true, true) => "(delegated only)".to_owned(),
        (true, false) => format!("{rights} (delegated only)"),
    }
}

fn table(agents: &[AgentLine]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["agent", "state", "may", "serves", "may hand on"]);
    for agent in agents {
        table.add_row([
            agent.name.to_string(),
            agent.state.clone(),
            may(&agent.grant),
            joined(&agent.grant.serve),
            joined(&agent.grant.delegatable),
        ]);
    }
    table
}

impl List {
    fn run(self) -> Done {
        let Answer::Agents { agents } = self.through.ask(Request::AgentList)? else {
            return Err(unexpected());
        };
        if self.json {
            say(&serde_json::to_string(&agents)?);
        } else if agents.is_empty() {
            say("no agents yet; enrol one with `testudo agent add`");
        } else {
            say(&table(&agents).to_string());
        }
        Ok(())
    }
}

fn changed(answer: Answer, name: AgentName, what: &str, json: bool) -> Done {
    let Answer::Changed { sequence } = answer else { return Err(unexpected()) };
    told(name, what, Some(sequence), json)
}

/// Says what was done; without a number when whoever asked was cut off before it heard that.
fn told(name: AgentName, what: &str, sequence: Option<RegistrySequence>, json: bool) -> Done {
    if json {
        say(&serde_json::json!({"agent": name, "done": what, "sequence": sequence}).to_string());
    } else {
        let at = sequence.map(|sequence| format!(" (registry sequence {sequence})")).unwrap_or_default();
        say(&format!("{name} is {what}{at}"));
    }
    Ok(())
}

impl Revoke {
    fn run(self) -> Done {
        let cause = match (self.cause, self.compromised) {
            (Cause::Compromised, _) | (Cause::Operator, true) => RevocationCause::Compromised,
            (Cause::Operator, false) => RevocationCause::Operator,
        };
        let answer = match self.through.ask(Request::AgentRevoke { name: self.name, cause }) {
            Err(CliError::RevokedItself) => {
                return told(self.name, "revoked", None, self.json);
            }
            answer => answer?,
        };
        changed(answer, self.name, "revoked", self.json)
    }
}

impl Reinstate {
    fn run(self) -> Done {
        let answer = self.through.ask(Request::AgentReinstate { name: self.name })?;
        changed(answer, self.name, "reinstated; renew its identity with `testudo agent renew`", self.json)
    }
}

impl Renew {
    fn run(self) -> Done {
        let old = Identity::load(&self.identity)?;
        let (name, through) = (old.client.name, Through::from(self.by));
        let csr = csr(&through, name, &old.client.key)?;
        let answer = through.ask(Request::AgentRenew { name, csr })?;
        let Answer::Credentials(mut credentials) = answer else { return Err(unexpected()) };
        if credentials.node.ip().is_unspecified() {
            // The node listens everywhere: where this agent reaches it the identity knows best.
            credentials.node.set_ip(old.node.ip());
        }
        identity(name, old.client.key.clone(), *credentials)?.save_over(&self.identity)?;
        say(&format!("{name} has a fresh certificate and token in {}", self.identity.display()));
        Ok(())
    }
}

//! `testudo agent show` and `testudo agent grant`: one agent, and what it may do from now on.

use std::collections::BTreeSet;

use clap::Args;
use testudo::operator::{AgentDetail, Answer, LinkLine, Request, WaitingLine};
use testudo::rules::moment::utc_millis;
use testudo::wire::amend::{Amendment, Lists};
use testudo::wire::{AgentName, Capability, Timestamp};

use super::agent::{joined, may};
use super::through::{Through, unexpected};
use super::{CliError, Done, say};

#[derive(Args, Debug)]
pub(super) struct Show {
    name: AgentName,
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Amend {
    name: AgentName,
    /// Capabilities that it may exercise from now on, too
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    allow: Vec<Capability>,
    /// Capabilities that it may exercise, and hand on, no more
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    disallow: Vec<Capability>,
    /// Capabilities for which others may ask it from now on, too
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    serve: Vec<Capability>,
    /// Capabilities for which nobody may ask it any more
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    unserve: Vec<Capability>,
    /// Capabilities of its own that it may hand on from now on, too
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    delegatable: Vec<Capability>,
    /// Capabilities that it may hand on no more
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    undelegatable: Vec<Capability>,
    /// Whether it acts only under tokens that other agents hand it
    #[arg(long, value_name = "true|false")]
    delegated_only: Option<bool>,
    /// Bundles a second that it may send
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    bundles_per_second: Option<u32>,
    #[command(flatten)]
    through: Through,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn set(list: Vec<Capability>) -> BTreeSet<Capability> {
    list.into_iter().collect()
}

impl Amend {
    pub(super) fn run(self) -> Done {
        let change = Amendment {
            add: Lists { right: set(self.allow), serve: set(self.serve), delegatable: set(self.delegatable) },
            remove: Lists {
                right: set(self.disallow),
                serve: set(self.unserve),
                delegatable: set(self.undelegatable),
            },
            delegated_only: self.delegated_only,
            bundles_per_second: self.bundles_per_second,
        };
        check(&change)?;
        let answer = self.through.ask(Request::AgentGrant { name: self.name, change: Box::new(change) })?;
        let Answer::Changed { sequence } = answer else { return Err(unexpected()) };
        let name = self.name;
        if self.json {
            say(&serde_json::json!({"agent": name, "done": "granted", "sequence": sequence}).to_string());
        } else {
            say(&format!(
                "{name} has that grant from now on (registry sequence {sequence}); connected, it fetches a token for it at once"
            ));
        }
        Ok(())
    }
}

/// A change that says nothing, or two things at once, is a mistake.
fn check(change: &Amendment) -> Result<(), CliError> {
    if *change == Amendment::default() {
        let why = "nothing to change; give --allow, --disallow, --serve or another of the flags";
        return Err(CliError::Usage(why.into()));
    }
    let Amendment { add, remove, .. } = change;
    let pairs = [
        (&add.right, &remove.right, "--allow", "--disallow"),
        (&add.serve, &remove.serve, "--serve", "--unserve"),
        (&add.delegatable, &remove.delegatable, "--delegatable", "--undelegatable"),
        (&add.delegatable, &remove.right, "--delegatable", "--disallow"),
    ];
    for (comes, goes, to_add, to_remove) in pairs {
        if let Some(both) = comes.intersection(goes).next() {
            return Err(CliError::Usage(format!(
                "{both} is both in {to_add} and in {to_remove}; leave out one"
            )));
        }
    }
    Ok(())
}

impl Show {
    pub(super) fn run(self) -> Done {
        let Answer::Agent(agent) = self.through.ask(Request::AgentShow { name: self.name })? else {
            return Err(unexpected());
        };
        if self.json {
            say(&serde_json::to_string(&agent)?);
        } else {
            lines(&agent).iter().for_each(|(what, value)| say(&format!("{what:<20}{value}")));
        }
        Ok(())
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn time(at: Option<u64>, never: &str) -> String {
    at.map_or_else(|| never.to_owned(), |at| utc_millis(Timestamp::from_millis(at)))
}

fn lines(agent: &AgentDetail) -> Vec<(&'static str, String)> {
    let AgentDetail { line, revoked_at_ms, links } = agent;
    let mut lines = vec![
        ("agent", line.name.to_string()),
        ("key", line.key.to_string()),
        ("state", line.state.clone()),
        ("may", or_none(may(&line.grant))),
        ("serves", or_none(joined(&line.grant.serve))),
        ("may hand on", or_none(joined(&line.grant.delegatable))),
        ("bundles a second", line.grant.quota.bundles_per_second.to_string()),
        ("tokens count from", format!("registry sequence {}", line.valid_from)),
        ("certificate until", time(line.certificate_until_ms, "- (none given since the node started)")),
        ("last heard", time(line.last_seen_ms, "never")),
    ];
    if revoked_at_ms.is_some() {
        lines.push(("revoked at", time(*revoked_at_ms, "")));
    }
    if links.is_empty() {
        lines.push(("link", "-".to_owned()));
    }
    lines.extend(links.iter().map(|link| ("link", one_line(link))));
    lines
}

fn one_line(link: &LinkLine) -> String {
    let LinkLine { session, remote, drains, topics, waiting } = link;
    let WaitingLine { queued_messages, queued_bytes, owes_answers } = waiting;
    let drains = if *drains { ", renewed by another" } else { "" };
    let topics: Vec<_> = topics.iter().map(|topic| topic.as_str()).collect();
    let topics = if topics.is_empty() { String::new() } else { format!(", topics {}", topics.join(" ")) };
    format!(
        "from {remote}, session {session}{drains}, {queued_messages} messages of {queued_bytes} bytes queued, owes \
         {owes_answers} answers{topics}"
    )
}

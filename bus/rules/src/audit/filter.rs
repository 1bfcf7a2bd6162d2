//! Which records somebody wants to see: those that name an agent, a reason, a correlation id, and what became of
//! messages of such records.

use std::collections::BTreeSet;

use testudo_wire::{AgentName, CorrelationId};

use super::outcome::{Cause, Outcome, Outcomes};
use super::record::{
    EnvelopeRecord, Event, LinkChange, LinkEvent, Record, RegistryChange, Verdict, Verdicts,
};

/// Records whose outcomes are wanted, too; beyond it the oldest are forgotten.
const WANTED_MAX: usize = 65_536;

/// All that is set must be met.
#[derive(Debug, Default)]
pub struct Filter {
    /// Names this agent: as sender, receiver, owner of a link, or subject of a change.
    pub agent: Option<AgentName>,
    /// For this reason: a refusal, a cause, or words that a reason holds.
    pub reason: Option<String>,
    /// Of this piece of work.
    pub correlation: Option<CorrelationId>,
    /// Verdicts of that work.
    work: BTreeSet<u64>,
}

impl Filter {
    /// A filter of what is given.
    #[must_use]
    pub fn new(agent: Option<AgentName>, reason: Option<String>, correlation: Option<CorrelationId>) -> Self {
        Self { agent, reason, correlation, work: BTreeSet::new() }
    }

    /// Whether the record at `index` is wanted; records come in order.
    pub fn wants(&mut self, index: u64, record: &Record) -> bool {
        // First: it remembers.
        let of_work = self.is_of_work(index, &record.event);
        of_work
            && self.agent.is_none_or(|agent| names(&record.event, &agent))
            && self.reason.as_deref().is_none_or(|reason| gives(&record.event, reason))
    }

    fn is_of_work(&mut self, index: u64, event: &Event) -> bool {
        let Some(wanted) = self.correlation else { return true };
        match event {
            Event::Verdicts(verdicts) => {
                let is_wanted = verdicts.envelopes.iter().any(|one| one.correlation == wanted);
                if is_wanted {
                    self.work.insert(index);
                    if self.work.len() > WANTED_MAX {
                        self.work.pop_first();
                    }
                }
                is_wanted
            }
            Event::Outcomes(outcomes) => self.work.contains(&outcomes.of),
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => false,
        }
    }
}

fn names(event: &Event, agent: &AgentName) -> bool {
    let is = |one: &Option<AgentName>| one.as_ref() == Some(agent);
    match event {
        Event::BundleRefused(refused) => is(&refused.agent),
        Event::Link(link) => is(&link.agent),
        Event::Node(_) => false,
        Event::Outcomes(outcomes) => is(&outcomes.to),
        Event::Registry(event) => is(&event.agent),
        Event::Verdicts(verdicts) => {
            verdicts.sender == *agent
                || verdicts.envelopes.iter().any(|one| one.receiver() == Some(agent.as_str()))
        }
    }
}

impl EnvelopeRecord {
    /// The one agent that it is meant for; none for a topic, and for a service until it has an outcome.
    #[must_use]
    pub fn receiver(&self) -> Option<&str> {
        let to = self.destination.as_str();
        to.strip_prefix("agent/").or_else(|| to.strip_prefix("reply/"))
    }

    /// Whether it answers something.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.destination.as_str().starts_with("reply/")
    }
}

/// Written with blanks, dashes or underscores, all the same.
fn is_word(word: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], " ");
    plain(word).contains(&plain(wanted))
}

fn gives(event: &Event, reason: &str) -> bool {
    let says = |word: &str| is_word(word, reason);
    match event {
        Event::BundleRefused(refused) => says(refused.refusal.as_str()),
        Event::Link(link) => link_gives(link, says),
        Event::Node(_) => false,
        Event::Outcomes(Outcomes { outcomes, .. }) => outcomes.iter().any(|one| match one.outcome {
            Outcome::Delivered => false,
            Outcome::Dropped(cause) | Outcome::Failed(cause) => cause_gives(cause, says),
        }),
        Event::Registry(event) => match event.change {
            RegistryChange::Revoked(cause) => says(super::render::revocation_word(cause)),
            RegistryChange::Enrolled
            | RegistryChange::InvitationCancelled { .. }
            | RegistryChange::Invited { .. }
            | RegistryChange::Joined { .. }
            | RegistryChange::Narrowed
            | RegistryChange::Regranted
            | RegistryChange::Reinstated
            | RegistryChange::Rekeyed
            | RegistryChange::TokenRevoked { .. }
            | RegistryChange::Withdrawn => false,
        },
        Event::Verdicts(Verdicts { envelopes, .. }) => envelopes.iter().any(|one| match &one.verdict {
            Verdict::Allowed { alerts, .. } => alerts.iter().any(|rule| says(rule.as_str())),
            Verdict::Refused { refusal, rules } => {
                says(refusal.as_str()) || rules.iter().any(|rule| says(rule.as_str()))
            }
        }),
    }
}

fn cause_gives(cause: Cause, says: impl Fn(&str) -> bool) -> bool {
    match cause {
        Cause::ReceiverRefused(refusal) => says(cause.as_str()) || says(refusal.as_str()),
        Cause::AuditUnavailable
        | Cause::Crash
        | Cause::Expired
        | Cause::HandlerFailed
        | Cause::LinkLost
        | Cause::NoReceiver
        | Cause::Overflow
        | Cause::Revoked
        | Cause::Shutdown => says(cause.as_str()),
    }
}

fn link_gives(link: &LinkEvent, says: impl Fn(&str) -> bool) -> bool {
    match &link.what {
        LinkChange::Closed { reason } | LinkChange::Refused { reason } => says(reason.as_str()),
        LinkChange::Displaced { .. } | LinkChange::DisplacedTooOften { .. } => says("displaced"),
        LinkChange::SubscriptionRefused { refusal, .. } => says(refusal.as_str()),
        LinkChange::Opened
        | LinkChange::Subscribed { .. }
        | LinkChange::SubscriptionWithdrawn { .. }
        | LinkChange::Unsubscribed { .. } => false,
    }
}

//! A log in numbers: verdicts, reasons, agents, rates.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use testudo_wire::{AgentName, Timestamp};

use super::outcome::{Cause, Outcome};
use super::record::{Event, Record, Verdict, Verdicts};
use crate::moment::utc_millis;

/// Agents that are counted one by one; the log names none that was never enrolled.
const AGENTS_MAX: usize = 65_536;

/// What one agent did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Agent {
    /// Messages that it sent.
    sent: u64,
    /// Of these, refused.
    refused: u64,
    /// Copies that it acknowledged.
    received: u64,
}

/// The numbers.
#[derive(Debug, Default)]
pub struct Stats {
    records: u64,
    events: BTreeMap<&'static str, u64>,
    span: Option<RangeInclusive<Timestamp>>,
    bundles: u64,
    largest: usize,
    allowed: u64,
    refusals: BTreeMap<&'static str, u64>,
    bundles_refused: u64,
    delivered: u64,
    dropped: BTreeMap<&'static str, u64>,
    failed: BTreeMap<&'static str, u64>,
    agents: BTreeMap<AgentName, Agent>,
}

impl Stats {
    /// Takes in a record.
    pub fn take(&mut self, record: &Record) {
        self.records += 1;
        *self.events.entry(record.event.name()).or_default() += 1;
        let span = self.span.take().unwrap_or(record.at..=record.at);
        self.span = Some((*span.start()).min(record.at)..=(*span.end()).max(record.at));
        match &record.event {
            Event::Verdicts(verdicts) => self.judged(verdicts),
            Event::Outcomes(outcomes) => {
                for one in &outcomes.outcomes {
                    match one.outcome {
                        Outcome::Delivered => {
                            self.delivered += 1;
                            self.agent(outcomes.to, |agent| agent.received += 1);
                        }
                        Outcome::Dropped(cause) => *self.dropped.entry(cause.as_str()).or_default() += 1,
                        Outcome::Failed(cause) => *self.failed.entry(cause.as_str()).or_default() += 1,
                    }
                }
            }
            Event::BundleRefused(refused) => {
                self.bundles_refused += u64::from(refused.count);
            }
            Event::Link(_) | Event::Node(_) | Event::Registry(_) => {}
        }
    }

    fn agent(&mut self, name: Option<AgentName>, count: impl FnOnce(&mut Agent)) {
        let Some(name) = name else { return };
        if self.agents.len() < AGENTS_MAX || self.agents.contains_key(&name) {
            count(self.agents.entry(name).or_default());
        }
    }

    fn judged(&mut self, verdicts: &Verdicts) {
        self.bundles += 1;
        self.largest = self.largest.max(verdicts.envelopes.len());
        let mut refused = 0;
        for envelope in &verdicts.envelopes {
            match &envelope.verdict {
                Verdict::Allowed { copies, .. } => {
                    self.allowed += 1;
                    // It has no outcome, and the account holds it as dropped.
                    if *copies == 0 {
                        *self.dropped.entry(Cause::NoReceiver.as_str()).or_default() += 1;
                    }
                }
                Verdict::Refused { refusal, .. } => {
                    refused += 1;
                    *self.refusals.entry(refusal.as_str()).or_default() += 1;
                }
            }
        }
        let sent = verdicts.envelopes.len() as u64;
        self.agent(Some(verdicts.sender), |agent| {
            agent.sent += sent;
            agent.refused += refused;
        });
    }

    fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    fn seconds(&self) -> f64 {
        let of = |span: &RangeInclusive<Timestamp>| span.end().as_millis() - span.start().as_millis();
        self.span.as_ref().map_or(0.0, |span| of(span) as f64 / 1000.0)
    }

    /// Messages a second over the whole time; none for no time.
    fn rate(&self) -> Option<f64> {
        let (messages, seconds) = (self.allowed + self.refused(), self.seconds());
        (seconds > 0.0).then(|| (messages as f64 / seconds * 1000.0).round() / 1000.0)
    }

    /// The agents that sent and received most.
    fn top(&self, most: usize) -> Vec<(&AgentName, &Agent)> {
        let mut agents: Vec<_> = self.agents.iter().collect();
        agents.sort_by_key(|(name, agent)| (u64::MAX - agent.sent - agent.received, **name));
        agents.truncate(most);
        agents
    }

    /// The numbers, with those of the `top` busiest agents.
    #[must_use]
    pub fn to_json(&self, top: usize) -> Value {
        let agents = self.top(top).into_iter().map(|(name, agent)| {
            json!({ "name": name, "sent": agent.sent, "refused": agent.refused, "received": agent.received })
        });
        json!({
            "records": self.records,
            "events": self.events,
            "from_ms": self.span.as_ref().map(|span| span.start().as_millis()),
            "to_ms": self.span.as_ref().map(|span| span.end().as_millis()),
            "bundles": self.bundles,
            "largest_bundle": self.largest,
            "messages": self.allowed + self.refused(),
            "messages_per_second": self.rate(),
            "allowed": self.allowed,
            "refused": self.refused(),
            "refusals": self.refusals,
            "bundles_refused": self.bundles_refused,
            "delivered": self.delivered,
            "dropped": self.dropped,
            "failed": self.failed,
            "agents": agents.collect::<Vec<_>>(),
        })
    }

    /// The same as pairs of a name and a value, for a table, and the agents for another.
    #[must_use]
    pub fn to_rows(&self, top: usize) -> (Vec<(String, String)>, Vec<[String; 4]>) {
        let listed = |counts: &BTreeMap<&str, u64>| {
            let each: Vec<_> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(", ") }
        };
        let span = self
            .span
            .as_ref()
            .map(|span| format!("{} to {}", utc_millis(*span.start()), utc_millis(*span.end())));
        let rate = self.rate().map_or_else(String::new, |rate| format!(", {rate} a second"));
        let rows = [
            ("records", format!("{} ({})", self.records, listed(&self.events))),
            ("time", span.unwrap_or_else(|| "-".to_owned())),
            ("messages", format!("{}{rate}", self.allowed + self.refused())),
            ("bundles", format!("{}, the largest of {} messages", self.bundles, self.largest)),
            ("allowed", self.allowed.to_string()),
            ("refused", format!("{} ({})", self.refused(), listed(&self.refusals))),
            ("bundles refused", self.bundles_refused.to_string()),
            ("delivered", self.delivered.to_string()),
            ("dropped", listed(&self.dropped)),
            ("failed", listed(&self.failed)),
        ];
        let agent = |(name, agent): (&AgentName, &Agent)| {
            [name.to_string(), agent.sent.to_string(), agent.refused.to_string(), agent.received.to_string()]
        };
        let rows = rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (rows, self.top(top).into_iter().map(agent).collect())
    }
}

//! What changed between two looks at a node, a second. Pure: knows neither a clock nor a terminal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use testudo::health::State;
use testudo::operator::{Status, TrafficLine, WaitingLine};
use testudo::wire::AgentName;

/// What becomes of messages, in the order in which it does.
pub(super) const FLOW: [&str; 4] = ["submitted", "delivered", "failed", "dropped"];

/// By what agents are put in order, the most first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    /// Messages of theirs and to them.
    #[default]
    Messages,
    /// Messages of theirs that were refused.
    Refused,
    /// Messages that wait for them.
    Waiting,
    /// Their names.
    Name,
}

/// A node over some time. Rates are messages a second.
#[derive(Debug, Serialize)]
pub(super) struct Rates {
    /// How long that was, in seconds.
    pub(super) seconds: f64,
    /// How the node is, by its own word.
    pub(super) state: Option<State>,
    /// Linked agents.
    pub(super) linked: usize,
    /// Submitted, delivered, failed and dropped.
    pub(super) a_second: BTreeMap<&'static str, f64>,
    /// Messages that wait: queued, and in flight.
    pub(super) waiting: BTreeMap<&'static str, u64>,
    /// Refused, by reason.
    pub(super) refused_a_second: BTreeMap<String, f64>,
    /// Records on the audit log, and how many of them are not durable yet.
    pub(super) audit_records: u64,
    /// Of these, those that are not durable yet.
    pub(super) audit_waiting: u64,
    /// Each linked agent.
    pub(super) agents: Vec<AgentRates>,
}

/// One agent over the same time.
#[derive(Debug, Serialize)]
pub(super) struct AgentRates {
    pub(super) name: AgentName,
    /// Its messages that passed.
    #[serde(rename = "allowed_a_second")]
    pub(super) allowed: f64,
    /// Its messages that were refused.
    #[serde(rename = "refused_a_second")]
    pub(super) refused: f64,
    /// Messages that it took in.
    #[serde(rename = "received_a_second")]
    pub(super) received: f64,
    #[serde(flatten)]
    pub(super) waiting: WaitingLine,
}

impl Rates {
    /// From the earlier look to the later one.
    pub(super) fn between(before: &Status, now: &Status, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let count =
            |of: &Status, key: &str| of.account.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
        let rate = |key| (key, a_second(count(before, key), count(now, key), seconds));
        let refused = |(reason, then): &(String, u64)| {
            let known = before.refusals.iter().find(|(other, _)| other == reason);
            (reason.clone(), a_second(known.map_or(0, |(_, n)| *n), *then, seconds))
        };
        let earlier: BTreeMap<_, _> = before.traffic.iter().map(|line| (line.name, line)).collect();
        Self {
            seconds,
            state: now.health.as_ref().map(|health| health.state),
            linked: now.linked.len(),
            a_second: FLOW.map(rate).into(),
            waiting: ["queued", "in_flight"].map(|key| (key, count(now, key))).into(),
            refused_a_second: now.refusals.iter().map(refused).filter(|(_, rate)| *rate > 0.0).collect(),
            audit_records: now.audit_records,
            audit_waiting: now.audit_records.saturating_sub(now.audit_durable),
            agents: now
                .traffic
                .iter()
                .map(|line| AgentRates::between(earlier.get(&line.name).copied(), line, seconds))
                .collect(),
        }
    }

    /// The agents in an order; those that are alike by name.
    pub(super) fn sort(&mut self, by: Order) {
        // Rates are counts by one time, so thousandths tell them apart.
        let thousandths = |rate: f64| Reverse((rate * 1_000.0) as u64);
        self.agents.sort_by_key(|agent| {
            let first = match by {
                Order::Messages => thousandths(agent.allowed + agent.refused + agent.received),
                Order::Refused => thousandths(agent.refused),
                Order::Waiting => Reverse(agent.waiting.queued_messages as u64),
                Order::Name => Reverse(0),
            };
            (first, agent.name)
        });
    }
}

impl AgentRates {
    fn between(before: Option<&TrafficLine>, now: &TrafficLine, seconds: f64) -> Self {
        let rate = |of: fn(&TrafficLine) -> u64| a_second(before.map_or(0, of), of(now), seconds);
        Self {
            name: now.name,
            allowed: rate(|line| line.allowed),
            refused: rate(|line| line.refused),
            received: rate(|line| line.received),
            waiting: now.waiting,
        }
    }
}

/// How fast a count grew. One that is smaller than before has begun anew: an agent linked again, or the node did.
fn a_second(before: u64, now: u64, seconds: f64) -> f64 {
    let grown = now.checked_sub(before).unwrap_or(now);
    if seconds > 0.0 { grown as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, counts: [u64; 3], queued: usize) -> TrafficLine {
        let [allowed, refused, received] = counts;
        let name = AgentName::parse(name).unwrap();
        let waiting = WaitingLine { queued_messages: queued, ..WaitingLine::default() };
        TrafficLine { name, allowed, refused, received, waiting }
    }

    fn status(submitted: u64, refused: u64, traffic: Vec<TrafficLine>) -> Status {
        Status {
            account: serde_json::json!({"submitted": submitted, "queued": 3}),
            refusals: vec![("replayed".into(), refused)],
            traffic,
            ..Status::default()
        }
    }

    #[test]
    fn a_rate_is_what_was_added_by_the_time_that_it_took() {
        let before = status(100, 5, vec![line("a", [10, 0, 4], 0), line("b", [90, 7, 0], 0)]);
        let now =
            status(300, 9, vec![line("a", [50, 0, 8], 1), line("b", [6, 2, 0], 0), line("c", [2, 0, 0], 0)]);
        let rates = Rates::between(&before, &now, Duration::from_secs(2));
        assert_eq!((rates.a_second["submitted"], rates.waiting["queued"]), (100.0, 3));
        assert_eq!(rates.refused_a_second["replayed"], 2.0);
        let all: Vec<_> = rates.agents.iter().map(|one| (one.allowed, one.refused, one.received)).collect();
        // The second has linked again, the third was not there before.
        assert_eq!(all, [(20.0, 0.0, 2.0), (3.0, 1.0, 0.0), (1.0, 0.0, 0.0)]);
        let none = Rates::between(&now, &now, Duration::ZERO);
        assert!(none.agents.iter().all(|agent| agent.allowed == 0.0) && none.refused_a_second.is_empty());
    }

    #[test]
    fn agents_stand_in_the_order_that_is_asked_for() {
        let now =
            status(0, 0, vec![line("a", [1, 1, 1], 9), line("b", [2, 5, 0], 1), line("c", [9, 0, 0], 3)]);
        let mut rates = Rates::between(&Status::default(), &now, Duration::from_secs(1));
        let mut names = |by| {
            rates.sort(by);
            rates.agents.iter().map(|agent| agent.name.to_string()).collect::<String>()
        };
        assert_eq!(names(Order::Messages), "cba");
        assert_eq!(names(Order::Refused), "bac");
        assert_eq!(names(Order::Waiting), "acb");
        assert_eq!(names(Order::Name), "abc");
    }
}

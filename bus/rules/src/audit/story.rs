//! The story of one piece of work across agents: who asked whom, what was decided, how it ended, as a tree.
//!
//! The log says who sent what to whom under which correlation id, not what made somebody send it. A message hangs
//! under the latest one that its sender had received before it; an answer under the latest one that it can answer.

use std::collections::HashMap;

use serde_json::{Value, json};
use testudo_wire::{AgentName, Capability, CorrelationId, MessageId, Timestamp};

use super::note::Note;
use super::outcome::{Cause, Outcome, Outcomes};
use super::record::{EnvelopeRecord, Event, Record, Verdict, Verdicts};
use crate::moment::utc_millis;

/// Messages of a story that are kept; more are counted.
pub const STEPS_MAX: usize = 10_000;

/// How one copy of a message ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Whose copy; `None` when a crash left it open.
    pub to: Option<AgentName>,
    /// How.
    pub outcome: Outcome,
}

/// One message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Its record and its place in it.
    pub place: (u64, u16),
    /// When it was judged.
    pub at: Timestamp,
    /// Who sent it.
    pub sender: AgentName,
    /// Its id.
    pub message: MessageId,
    /// Where to, as the log has it.
    pub destination: Note,
    /// What was asked for; `None` for an answer.
    pub capability: Option<Capability>,
    /// What was decided.
    pub verdict: Verdict,
    /// What became of its copies.
    pub ends: Vec<End>,
    /// The step that it hangs under.
    pub parent: Option<usize>,
}

/// The story of one correlation id.
#[derive(Debug)]
pub struct Story {
    correlation: CorrelationId,
    steps: Vec<Step>,
    places: HashMap<(u64, u16), usize>,
    /// Messages beyond [`STEPS_MAX`].
    more: u64,
}

impl Story {
    /// A story that is yet to be read.
    #[must_use]
    pub fn of(correlation: CorrelationId) -> Self {
        Self { correlation, steps: Vec::new(), places: HashMap::new(), more: 0 }
    }

    /// Takes in the record at `index`; records come in order.
    pub fn take(&mut self, index: u64, record: &Record) {
        match &record.event {
            Event::Verdicts(verdicts) => self.judged(index, record.at, verdicts),
            Event::Outcomes(outcomes) => self.ended(record.at, outcomes),
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => {}
        }
    }

    /// Its messages, in the order of the log.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn judged(&mut self, index: u64, at: Timestamp, verdicts: &Verdicts) {
        for (position, envelope) in (0..).zip(&verdicts.envelopes) {
            if envelope.correlation != self.correlation {
                continue;
            }
            if self.steps.len() == STEPS_MAX {
                self.more += 1;
                continue;
            }
            let parent = self.parent(&verdicts.sender, envelope);
            self.places.insert((index, position), self.steps.len());
            self.steps.push(Step {
                place: (index, position),
                at,
                sender: verdicts.sender,
                message: envelope.message,
                destination: envelope.destination.clone(),
                capability: envelope.capability,
                verdict: envelope.verdict.clone(),
                ends: Vec::new(),
                parent,
            });
        }
    }

    fn ended(&mut self, at: Timestamp, outcomes: &Outcomes) {
        for one in &outcomes.outcomes {
            if let Some(step) = self.places.get(&(outcomes.of, one.position)) {
                self.steps[*step].ends.push(End { at, to: outcomes.to, outcome: one.outcome });
            }
        }
    }

    fn parent(&self, sender: &AgentName, envelope: &EnvelopeRecord) -> Option<usize> {
        let answers = |step: &Step| {
            !envelope.is_answer() || (!step.is_answer() && envelope.receiver() == Some(step.sender.as_str()))
        };
        self.steps.iter().rposition(|step| step.reached(sender) && !step.is_answer() && answers(step))
    }
}

impl Step {
    fn is_answer(&self) -> bool {
        self.destination.as_str().starts_with("reply/")
    }

    /// Whether this agent had it, as far as the log says; who serves is only known by the outcome, and that may
    /// come after the answer.
    fn reached(&self, agent: &AgentName) -> bool {
        let to = self.destination.as_str();
        match &self.verdict {
            Verdict::Refused { .. } => false,
            Verdict::Allowed { .. } => match to.split_once('/') {
                Some(("agent" | "reply", name)) => name == agent.as_str(),
                Some(_) => self.sender != *agent,
                None => {
                    self.sender != *agent && self.ends.iter().all(|end| end.to.is_none_or(|to| to == *agent))
                }
            },
        }
    }

    /// To whom, for people.
    fn whom(&self) -> String {
        let to = self.destination.as_str();
        match (to.split_once('/'), self.ends.first().and_then(|end| end.to)) {
            (Some(("agent" | "reply", name)), _) => name.to_owned(),
            (None, Some(served)) => format!("{served} (a service)"),
            (Some(_) | None, _) => to.to_owned(),
        }
    }

    fn what(&self) -> String {
        match &self.capability {
            Some(capability) => capability.to_string(),
            None => "answer".to_owned(),
        }
    }

    /// The verdict and what came of it, for people.
    fn fate(&self) -> String {
        let rules = |rules: &[Note]| match rules {
            [] => String::new(),
            rules => format!(" by {}", rules.iter().map(Note::as_str).collect::<Vec<_>>().join(", ")),
        };
        match &self.verdict {
            Verdict::Refused { refusal, rules: by } => format!("REFUSED: {refusal}{}", rules(by)),
            Verdict::Allowed { copies: 0, .. } => "allowed, but nobody receives it".to_owned(),
            Verdict::Allowed { copies: 1, alerts } => {
                let end =
                    self.ends.first().map_or_else(|| "still under way".to_owned(), |end| self.end_words(end));
                format!("{end}{}", alert_words(&rules(alerts)))
            }
            Verdict::Allowed { copies, alerts } => {
                let delivered = self.ends.iter().filter(|end| end.outcome == Outcome::Delivered).count();
                let others: Vec<_> = self
                    .ends
                    .iter()
                    .filter(|end| end.outcome != Outcome::Delivered)
                    .map(|end| {
                        let to = end.to.map_or_else(|| "somebody".to_owned(), |to| to.to_string());
                        format!("; {to}: {}", self.end_words(end))
                    })
                    .collect();
                let alerts = alert_words(&rules(alerts));
                format!("delivered to {delivered} of {copies}{}{alerts}", others.concat())
            }
        }
    }

    fn end_words(&self, end: &End) -> String {
        let ms = end.at.as_millis().saturating_sub(self.at.as_millis());
        match end.outcome {
            Outcome::Delivered => format!("delivered in {ms} ms"),
            Outcome::Dropped(cause) => format!("DROPPED after {ms} ms: {}", cause_words(cause)),
            Outcome::Failed(cause) => format!("FAILED after {ms} ms: {}", cause_words(cause)),
        }
    }

    fn to_json(&self) -> Value {
        let end = |end: &End| {
            let (outcome, cause) = super::render::outcome_name(end.outcome);
            json!({ "at_ms": end.at.as_millis(), "to": end.to, "outcome": outcome, "cause": cause })
        };
        json!({
            "record": self.place.0,
            "position": self.place.1,
            "at_ms": self.at.as_millis(),
            "sender": self.sender,
            "message": self.message,
            "destination": self.destination,
            "capability": self.capability,
            "answer": self.is_answer(),
            "verdict": super::render::verdict_fields(&self.verdict),
            "ends": self.ends.iter().map(end).collect::<Vec<_>>(),
        })
    }
}

fn alert_words(by: &str) -> String {
    if by.is_empty() { String::new() } else { format!(", alert{by}") }
}

fn cause_words(cause: Cause) -> String {
    super::render::cause_name(cause)
}

impl Story {
    fn children(&self, of: Option<usize>) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.steps.len()).filter(move |at| self.steps[*at].parent == of)
    }

    /// The tree as lines.
    #[must_use]
    pub fn to_lines(&self) -> Vec<String> {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else { return Vec::new() };
        let ends = self.steps.iter().flat_map(|step| &step.ends).map(|end| end.at);
        let end = ends.fold(last.at, Timestamp::max);
        let ms = end.as_millis().saturating_sub(first.at.as_millis());
        let n = self.steps.len();
        let messages = if n == 1 { "1 message".to_owned() } else { format!("{n} messages") };
        let mut lines =
            vec![format!("{}: {messages} from {}, {ms} ms", self.correlation, utc_millis(first.at))];
        // Depth is only bounded by the steps: no recursion.
        let mut open: Vec<(usize, String, bool)> = self.line_up(None, "");
        while let Some((at, indent, is_last)) = open.pop() {
            let step = &self.steps[at];
            let since = step.at.as_millis().saturating_sub(first.at.as_millis());
            let (branch, below) = match (step.parent, is_last) {
                (None, _) => ("", ""),
                (Some(_), true) => ("└ ", "  "),
                (Some(_), false) => ("├ ", "│ "),
            };
            lines.push(format!(
                "{since:>7} ms  {indent}{branch}{} -> {}  {}  {}  #{}",
                step.sender,
                step.whom(),
                step.what(),
                step.fate(),
                step.place.0
            ));
            open.extend(self.line_up(Some(at), &format!("{indent}{below}")));
        }
        if self.more > 0 {
            lines.push(format!("and {} more messages, which are not shown", self.more));
        }
        lines
    }

    /// The children of a step, the first one last.
    fn line_up(&self, of: Option<usize>, indent: &str) -> Vec<(usize, String, bool)> {
        let children = self.children(of).rev().enumerate();
        children.map(|(n, at)| (at, indent.to_owned(), n == 0)).collect()
    }

    /// The steps with the numbers of those that they hang under.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let steps = self.steps.iter().map(|step| {
            let mut value = step.to_json();
            value["parent"] = json!(step.parent);
            value
        });
        json!({ "correlation": self.correlation, "steps": steps.collect::<Vec<_>>(), "more": self.more })
    }
}

//! The content guard: vets the body of a message and says whether it may be delivered.
//!
//! A body is decoded into its texts (`decode`), each text is folded to what a reader would take it for
//! (`normalise`), matched against tables of rules (`rules`, `shell`, `markup`, `injection`), and then peeled of one
//! layer of encoding after the other (`peel`) and matched again. Encoding by itself is never held against a
//! message.
//!
//! *Invariant*: an alert never carries text of the body; anything that cannot be read is blocked; the time taken
//! is linear in the size of the body. This module knows nothing of senders, tokens or capabilities: what content
//! alone cannot tell apart is left to those.

mod code;
mod command;
mod decode;
mod delegated;
mod injection;
mod markup;
mod mention;
mod msgpack;
mod normalise;
mod peel;
mod rules;
mod scan;
mod shell;
mod signals;
mod squeeze;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_corpus;
#[cfg(test)]
mod tests_units;

use std::fmt;

use decode::{Refused, Texts};
use scan::Findings;

/// The largest body an [`Inspector`] reads unless told otherwise, in bytes. A longer one is blocked, not truncated.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How grave an alert is. A message is blocked if and only if some alert is `High` or `Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Delivered, with the alert on record.
    Medium,
    /// Blocked.
    High,
    /// Blocked: the guard could not judge the body.
    Critical,
}

/// What sort of thing an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Code that runs other code or commands.
    Code,
    /// The body declares an encoding the guard does not read.
    Encoding,
    /// Data named for sending to somebody it should not reach.
    Exfiltration,
    /// The guard could not judge the body: malformed, too deep, too many elements, too long.
    GuardError,
    /// Text that tries to replace the instructions of the reader.
    Injection,
    /// More punctuation than text.
    SpecialCharacters,
    /// Instructions or commands planted for an agent to carry out.
    ToolPoisoning,
    /// Characters that make a text read differently from what it holds.
    Unicode,
}

/// The stable name of a rule, such as `poison.pipe-to-shell`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(&'static str);

impl RuleId {
    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One thing found in a body. It names the rule and never holds text of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert {
    /// How grave it is.
    pub severity: Severity,
    /// Which rule found it.
    pub rule: RuleId,
    /// What it is about.
    pub kind: Kind,
}

impl Alert {
    const fn new(severity: Severity, rule: &'static str, kind: Kind) -> Self {
        Self { severity, rule: RuleId(rule), kind }
    }

    const fn guard_error(rule: &'static str) -> Self {
        Self::new(Severity::Critical, rule, Kind::GuardError)
    }
}

/// What an [`Inspector`] found in one body: at most one alert for each rule, gravest first, then by rule name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    alerts: Vec<Alert>,
}

impl Inspection {
    /// The alerts, gravest first.
    #[must_use]
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// Whether the message must not be delivered.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.alerts.iter().any(|alert| alert.severity >= Severity::High)
    }

    /// Whether there is no alert at all.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.alerts.is_empty()
    }
}

impl From<Findings> for Inspection {
    fn from(findings: Findings) -> Self {
        Self { alerts: findings.into_alerts() }
    }
}

/// The compiled rules. Cheap to share, costly to make: make one and keep it.
#[derive(Debug)]
pub struct Inspector {
    rules: rules::RuleSet,
    body_bytes_max: usize,
}

impl Inspector {
    /// The rules every node starts with, and [`MAX_BODY_BYTES`] as the limit.
    #[must_use]
    pub fn standard() -> Self {
        Self { rules: rules::RuleSet::standard(), body_bytes_max: MAX_BODY_BYTES }
    }

    /// The same rules with another limit on the size of a body, in bytes.
    #[must_use]
    pub const fn with_body_limit(mut self, bytes_max: usize) -> Self {
        self.body_bytes_max = bytes_max;
        self
    }

    /// Vets a body under its content type. The same input always gets the same answer.
    #[must_use]
    pub fn inspect(&self, content_type: &str, body: &[u8]) -> Inspection {
        if body.len() > self.body_bytes_max {
            return Inspection { alerts: vec![Alert::guard_error("guard.too-long")] };
        }
        match decode::texts(content_type, body) {
            Ok(texts) => self.inspect_texts(&texts, body.len()),
            Err(refused) => Inspection { alerts: vec![alert_of(refused)] },
        }
    }

    fn inspect_texts(&self, texts: &Texts<'_>, body_bytes: usize) -> Inspection {
        let mut findings = Findings::new(body_bytes);
        scan::specials(texts.values(), &mut findings);
        scan::scan(&self.rules, texts.values(), &mut findings);
        scan::scan(&self.rules, texts.keys(), &mut findings);
        findings.into()
    }
}

const fn alert_of(refused: Refused) -> Alert {
    match refused {
        Refused::Charset => Alert::new(Severity::Critical, "encoding.charset", Kind::Encoding),
        Refused::InvalidUtf8 => Alert::guard_error("guard.invalid-utf8"),
        Refused::Malformed => Alert::guard_error("guard.malformed"),
        Refused::OverLimit => Alert::guard_error("guard.over-limit"),
    }
}

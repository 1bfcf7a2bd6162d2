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

mod automaton;
mod begun;
mod block;
mod border;
mod bytes;
mod code;
mod command;
mod concepts;
mod context;
mod decode;
mod deeds;
mod disguise;
mod diversion;
mod evidence;
mod finder;
mod gate;
mod injection;
mod json;
mod lanes;
mod literals;
mod markup;
mod meddling;
mod mention;
mod msgpack;
mod near;
mod normalise;
mod offence;
mod pack;
mod pairings;
mod parts;
mod pattern;
mod peel;
mod reach;
mod relaxed;
mod rules;
mod ruses;
mod scan;
mod shell;
mod signals;
mod squeeze;
mod starts;
mod sweep;
mod tails;
mod takeover;
mod vetting;
mod wreck;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_api;
#[cfg(test)]
mod tests_corpus;
#[cfg(test)]
mod tests_cut;
#[cfg(test)]
mod tests_evasions;
#[cfg(test)]
mod tests_evidence;
#[cfg(test)]
mod tests_many;
#[cfg(test)]
mod tests_near;
#[cfg(test)]
mod tests_plain;
#[cfg(test)]
mod tests_units;

use std::fmt;
use std::sync::Arc;

pub(crate) use context::Rules;
pub use context::{Context, PAIRS_MAX, Said, TAIL_BYTES_MAX};
pub use pack::{PACK_BYTES_MAX, PackError, Policy};
use scan::Findings;
pub use tails::Talk;
pub use vetting::{Body, Scratch};

/// The largest body an [`Inspector`] reads unless told otherwise, in bytes. A longer one is blocked, not truncated.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Largest buffer of a [`Scratch`] kept for the next body, in bytes.
const SCRATCH_MAX: usize = 1 << 14;

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
    /// The verdict comes of this body together with what the same pair was told before.
    Context,
    /// The body declares an encoding the guard does not read.
    Encoding,
    /// Data named for sending to somebody it should not reach.
    Exfiltration,
    /// The guard could not judge the body: malformed, too deep, too many elements, too long.
    GuardError,
    /// Text that tries to replace the instructions of the reader.
    Injection,
    /// Bytes of a type that is not read as text.
    Opaque,
    /// What a rule of a user's own pack found.
    Pack,
    /// More punctuation than text.
    SpecialCharacters,
    /// Instructions or commands planted for an agent to carry out.
    ToolPoisoning,
    /// Characters that make a text read differently from what it holds.
    Unicode,
}

/// The stable name of a rule, such as `poison.pipe-to-shell`.
#[derive(Clone, Debug)]
pub struct RuleId(Name);

#[derive(Clone, Debug)]
enum Name {
    Standard(&'static str),
    Pack(Arc<str>),
}

impl RuleId {
    const fn standard(name: &'static str) -> Self {
        Self(Name::Standard(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Standard(name) => name,
            Name::Pack(name) => name,
        }
    }
}

impl PartialEq for RuleId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RuleId {}

impl PartialOrd for RuleId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RuleId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl std::hash::Hash for RuleId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where in the text something was found. A body is read in several views: as it is, then with layers of encoding
/// undone; [`Inspector::views`] gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Number of the view.
    pub view: u16,
    /// First byte in the view.
    pub offset: u32,
    /// Bytes; none if the alert is about the whole.
    pub length: u32,
}

impl Span {
    fn new(view: u16, start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { view, offset: narrow(start), length: narrow(end.saturating_sub(start)) }
    }
}

/// One thing found in a body. It names the rule and the place, and never holds text of the body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alert {
    /// How grave it is.
    pub severity: Severity,
    /// Which rule found it.
    pub rule: RuleId,
    /// What it is about.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

impl Alert {
    fn new(severity: Severity, rule: &'static str, kind: Kind) -> Self {
        Self::at(severity, rule, kind, Span::default())
    }

    fn guard_error(rule: &'static str) -> Self {
        Self::new(Severity::Critical, rule, Kind::GuardError)
    }
}

/// What an [`Inspector`] found in one body: at most one alert for each rule, gravest first, then by rule name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    alerts: Vec<Alert>,
}

impl Inspection {
    fn of(alert: Alert) -> Self {
        Self { alerts: vec![alert] }
    }

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

    /// Whether the verdict comes of this body together with what the same pair was told before ([`Context`]).
    #[must_use]
    pub fn used_context(&self) -> bool {
        self.alerts.iter().any(|alert| alert.kind == Kind::Context)
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
#[derive(Clone, Debug)]
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

    /// Whether a body of this type is not read as text, JSON or MessagePack. Whatever text is in its bytes is vetted,
    /// and it always alerts, for text may be packed in ways that no guard reads; who sends such needs a right of its
    /// own.
    #[must_use]
    pub fn is_opaque(content_type: &str) -> bool {
        !decode::is_readable(content_type)
    }

    /// These rules and those of a pack in TOML. A bad pack changes nothing: keep using what there is.
    ///
    /// # Errors
    ///
    /// When the pack cannot be used; the error names the line.
    pub fn with_pack(&self, pack: &str) -> Result<Self, PackError> {
        Ok(Self { rules: pack::extend(&self.rules, pack)?, body_bytes_max: self.body_bytes_max })
    }

    /// What capabilities are allowed by the packs in use.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.rules.policy
    }
}

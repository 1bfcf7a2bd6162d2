//! Rules of a user's own, from TOML: literals, patterns, pairings, and what a capability may say that others may not.
//!
//! ```toml
//! [[rule]]
//! id = "ours.staging-host"
//! severity = "high"                  # or "medium"
//! literals = ["staging.example"]     # one of them occurs in every match
//! pattern = 'https?://staging\.example'
//!
//! [[rule]]
//! id = "ours.payout"
//! part = true                        # nothing by itself, only in a pairing
//! literals = ["payout"]
//!
//! [[pairing]]
//! id = "ours.payout-to-staging"
//! severity = "high"
//! sides = [["ours.payout"], ["part.way-out"]]
//! apart = 200                        # bytes
//!
//! [[allow]]
//! capability = "exec:shell"
//! rules = ["poison.remove-tree"]
//! pattern = 'rm -r build/?'          # what was found must match as a whole
//! ```

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::pattern::Pattern;
use super::rules::{Compiled, Mention, Paired, Role, RuleSet, Sides};
use super::{Kind, RuleId, Severity};

/// Largest pack, in bytes.
pub const PACK_BYTES_MAX: usize = 64 * 1024;
/// Most rules, pairings and allowances in one pack, each.
const ENTRIES_MAX: usize = 64;
/// Most literals of one rule.
const LITERALS_MAX: usize = 32;
/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 1_024;
/// Longest name, in bytes.
const NAME_MAX: usize = 64;
/// Farthest that sides of a pairing may stand apart, in bytes.
const APART_MAX: usize = 4_096;

/// Why a pack cannot be used. The rules in use stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PackError {
    /// Line of the pack, from one.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pack {
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
    #[serde(default)]
    pairing: Vec<Spanned<RawPairing>>,
    #[serde(default)]
    allow: Vec<Spanned<RawAllow>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    severity: Option<RawSeverity>,
    #[serde(default)]
    part: bool,
    literals: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
    pattern: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPairing {
    id: String,
    severity: RawSeverity,
    sides: Vec<Vec<String>>,
    apart: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAllow {
    capability: String,
    rules: Vec<String>,
    pattern: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawSeverity {
    Medium,
    High,
}

impl From<RawSeverity> for Severity {
    fn from(raw: RawSeverity) -> Self {
        match raw {
            RawSeverity::Medium => Self::Medium,
            RawSeverity::High => Self::High,
        }
    }
}

/// What capabilities may say that would block otherwise. It still alerts: an allowance lowers, it never silences.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allowances: Vec<Allowance>,
}

#[derive(Clone, Debug)]
struct Allowance {
    capability: String,
    rules: Vec<String>,
    pattern: Option<Pattern>,
}

impl Policy {
    /// Whether a sender that uses `capability` may say `found`, to which `rule` objects.
    #[must_use]
    pub fn allows(&self, capability: &str, rule: &str, found: &[u8]) -> bool {
        self.allowances.iter().any(|allowance| {
            allowance.capability == capability
                && allowance.rules.iter().any(|name| name == rule)
                && allowance.pattern.as_ref().is_none_or(|pattern| pattern.is_match(found.trim_ascii()))
        })
    }

    /// Whether a sender that uses `capability` may say anything at all to which `rule` objects.
    pub(super) fn names(&self, capability: &str, rule: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == rule);
        self.allowances.iter().any(|one| one.capability == capability && named(&one.rules))
    }

    /// Whether nothing is allowed to anybody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.allowances.is_empty()
    }
}

/// Adds the rules of a pack to a copy of a set.
pub(super) fn extend(set: &RuleSet, text: &str) -> Result<RuleSet, PackError> {
    if text.len() > PACK_BYTES_MAX {
        return Err(PackError {
            line: 1,
            problem: format!("a pack may have at most {PACK_BYTES_MAX} bytes"),
        });
    }
    let pack: Pack = toml::from_str(text).map_err(|error| {
        let problem = error.message().lines().next().unwrap_or_default().to_owned();
        PackError { line: line_of(text, error.span().unwrap_or_default()), problem }
    })?;
    let mut set = set.clone();
    each(text, &pack.rule, |rule| add_rule(&mut set, rule))?;
    each(text, &pack.pairing, |pairing| add_pairing(&mut set, pairing))?;
    each(text, &pack.allow, |allow| add_allowance(&mut set, allow))?;
    Ok(set.finish())
}

fn each<T>(
    text: &str,
    entries: &[Spanned<T>],
    mut add: impl FnMut(&T) -> Result<(), String>,
) -> Result<(), PackError> {
    for (number, entry) in entries.iter().enumerate() {
        let added = if number < ENTRIES_MAX {
            add(entry.get_ref())
        } else {
            Err(format!("more than {ENTRIES_MAX} entries of a kind"))
        };
        added.map_err(|problem| PackError { line: line_of(text, entry.span()), problem })?;
    }
    Ok(())
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn name(text: &str) -> Result<RuleId, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(plain) {
        return Err(format!(
            "an id has 1 to {NAME_MAX} small letters, digits, dots and dashes, unlike {text:?}"
        ));
    }
    Ok(RuleId::of_pack(text))
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text.len() > PATTERN_MAX {
        return Err(format!("a pattern may have at most {PATTERN_MAX} bytes"));
    }
    Pattern::new(text).map_err(|error| format!("the pattern {text:?} cannot be used: {error}"))
}

fn add_rule(set: &mut RuleSet, raw: &RawRule) -> Result<(), String> {
    let id = name(&raw.id)?;
    if raw.literals.is_empty() || raw.literals.len() > LITERALS_MAX || raw.also.len() > LITERALS_MAX {
        return Err(format!("{id} needs 1 to {LITERALS_MAX} literals"));
    }
    let role = match (raw.part, raw.severity) {
        (true, None) => Role::Part,
        (false, Some(severity)) => Role::Alert(severity.into()),
        (true, Some(_)) | (false, None) => {
            return Err(format!("{id} needs either a severity or part = true"));
        }
    };
    let any =
        || raw.literals.iter().map(|literal| regex_syntax::escape(literal)).collect::<Vec<_>>().join("|");
    // Nobody but its author has checked that every match holds a literal.
    let pattern = pattern(&raw.pattern.clone().unwrap_or_else(any))?.anywhere();
    let rule = Compiled { id, kind: Kind::Pack, role, mention: Mention::Excused, pattern };
    let literals = raw.literals.iter().map(String::as_str);
    set.add(rule, literals, raw.also.iter().map(String::as_str)).map_err(|error| error.to_string())
}

fn add_pairing(set: &mut RuleSet, raw: &RawPairing) -> Result<(), String> {
    let id = name(&raw.id)?;
    if raw.sides.is_empty() || raw.sides.len() > 4 || raw.apart > APART_MAX {
        return Err(format!("{id} needs 1 to 4 sides and at most {APART_MAX} bytes apart"));
    }
    let sides = raw.sides.iter().map(|side| set.named(side.iter().map(String::as_str)));
    let sides = sides.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let (severity, mention, sides) = (raw.severity.into(), Mention::Excused, Sides::of(sides));
    set.pair(Paired { id, kind: Kind::Pack, severity, mention, sides, apart: raw.apart });
    Ok(())
}

fn add_allowance(set: &mut RuleSet, raw: &RawAllow) -> Result<(), String> {
    if raw.capability.is_empty() || raw.rules.is_empty() || raw.rules.len() > LITERALS_MAX {
        return Err(format!("an allowance needs a capability and 1 to {LITERALS_MAX} rules"));
    }
    if let Some(unknown) = raw.rules.iter().find(|name| !set.knows(name)) {
        return Err(format!("there is no rule {unknown}"));
    }
    let pattern = raw.pattern.as_ref().map(|text| pattern(&format!(r"\A(?:{text})\z"))).transpose()?;
    let capability = raw.capability.clone();
    set.policy.allowances.push(Allowance { capability, rules: raw.rules.clone(), pattern });
    Ok(())
}

impl RuleId {
    fn of_pack(name: &str) -> Self {
        Self(super::Name::Pack(Arc::from(name)))
    }
}

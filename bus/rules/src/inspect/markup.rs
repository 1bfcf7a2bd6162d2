//! Markup that poses as authority, by its shape rather than by a list of names: `<CRITICAL SYSTEM ALERT>`,
//! `[SYSTEM DIRECTIVE]`, `<|im_start|>system`, `###(system_message)`. By itself it only alerts; with an order to the
//! reader within its span it blocks. Comments count only when what they hold is plain.

use std::collections::BTreeMap;

use memchr::memrchr;

use super::bytes::is_rule;
use super::near::Places;
use super::pattern::Pattern;
use super::rules::{Mention, Role, Rule, Strength};
use super::scan::Findings;
use super::{Alert, Kind, Severity, Span};

/// Name of the alert for markup with an order in its span.
pub(super) const PAIRED: &str = "poison.tag-paired";
/// Name of the alert for markup alone.
pub(super) const ALONE: &str = "poison.tag-alone";

/// How far an opening without a closing reaches, in bytes.
const SPAN_MAX: usize = 600;
/// How far a closing is looked for, in bytes.
const CLOSING_MAX: usize = 4_096;

/// What may be markup, looked for only where one of the words it needs occurs.
pub(super) const RULES: &[Rule] = &[Rule {
    id: "signal.markup",
    kind: Kind::ToolPoisoning,
    role: Role::Markup,
    mention: Mention::Counts,
    literals: &[
        "admin",
        "assistant",
        "authority",
        "confidential",
        "critical",
        "developer",
        "directive",
        "hidden",
        "important",
        "information",
        "inst",
        "mandatory",
        "override",
        "priority",
        "secret",
        "security",
        "sys",
        "tool",
        "urgent",
        "<!--",
        "<|",
        "start_header",
    ],
    also: &[],
    pattern: SHAPE,
}];

/// The words that a banner begins with, for [`SHAPE`] and for what may become one.
macro_rules! banners {
    () => {
        "system|admin|instruction|developer|assistant|hidden"
    };
}

/// Anything that may be an opening or a closing. What it is, [`read`] decides.
const SHAPE: &str = concat!(
    r"<!--|<\|[\s/]*[a-z_]+[\s/]*\|>|<</?\s*sys\s*>>|<[\s/]*[a-z][^<>\n]{0,100}>",
    r"|\[[\s/]*[a-z][^\[\]\n]{0,60}\]|(?:\A|\n)[#=*\s-]{3,12}\(?\s*(?:",
    banners!(),
    r")[^\n]{0,40}"
);

/// Whether what has the shape of markup may go on behind the end of this text. It may say yes where nothing does.
pub(super) fn may_go_on(text: &[u8]) -> bool {
    // Of a closing the last byte may be missing: `<<sys>`.
    let is_open = |opens: u8, closes: u8| {
        let behind = memrchr(opens, text).and_then(|at| text.get(at + 1..));
        behind.is_some_and(|behind| memrchr(closes, behind).is_none_or(|at| at + 1 == behind.len()))
    };
    let line = memrchr(b'\n', text).map_or(0, |end| end + 1);
    let line = text.get(line..).unwrap_or_default().trim_ascii_start();
    // A word, or the beginning of one.
    let is_banner = |word: &str| line.iter().zip(word.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b));
    is_open(b'<', b'>')
        || is_open(b'[', b']')
        || line.first().is_some_and(|first| is_rule(*first) || *first == b'(')
        || banners!().split('|').any(is_banner)
}

/// Words that claim authority.
const AUTHORITY: &[&str] = &[
    "admin",
    "administrator",
    "assistant",
    "authority",
    "confidential",
    "critical",
    "directive",
    "hidden",
    "important",
    "information",
    "inst",
    "instruction",
    "instructions",
    "mandatory",
    "override",
    "priority",
    "secret",
    "security",
    "sys",
    "system",
    "tool",
    "urgent",
];
/// Words that may stand beside them.
const BESIDE: &[&str] = &[
    "a",
    "agent",
    "ai",
    "alert",
    "all",
    "attention",
    "begin",
    "call",
    "calls",
    "command",
    "commands",
    "config",
    "configuration",
    "context",
    "developer",
    "end",
    "for",
    "immediate",
    "internal",
    "level",
    "llm",
    "message",
    "mode",
    "model",
    "new",
    "note",
    "notice",
    "notification",
    "of",
    "only",
    "policy",
    "prompt",
    "reminder",
    "request",
    "role",
    "rule",
    "rules",
    "start",
    "task",
    "the",
    "to",
    "update",
    "use",
    "user",
    "warning",
];
/// Words that claim authority in square brackets, where log levels and section names are common.
const BRACKET: &[&str] = &[
    "admin",
    "assistant",
    "directive",
    "hidden",
    "important",
    "inst",
    "instruction",
    "instructions",
    "override",
    "sys",
    "system",
];

/// Where orders to the reader stand in a text.
#[derive(Debug, Default)]
pub(super) struct Signals {
    strong: Vec<usize>,
    weak: Vec<usize>,
    everywhere: bool,
}

impl Signals {
    /// Notes places of one strength.
    pub(super) fn extend(&mut self, strength: Strength, places: impl Iterator<Item = usize>) {
        match strength {
            Strength::Strong => self.strong.extend(places),
            Strength::Weak => self.weak.extend(places),
        }
    }

    /// How many were noted.
    pub(super) const fn len(&self) -> usize {
        self.strong.len() + self.weak.len()
    }

    /// There are too many to note: take one to be in every span.
    pub(super) const fn everywhere(&mut self) {
        self.everywhere = true;
    }

    const fn is_empty(&self) -> bool {
        self.strong.is_empty() && self.weak.is_empty()
    }

    fn sort(&mut self) {
        self.strong.sort_unstable();
        self.weak.sort_unstable();
    }

    fn within(&self, span: std::ops::Range<usize>, claim: Claim) -> bool {
        let any = |places: &[usize]| {
            places.get(places.partition_point(|at| *at < span.start)).is_some_and(|at| *at < span.end)
        };
        self.everywhere || any(&self.strong) || (claim == Claim::Authority && any(&self.weak))
    }
}

/// What an opening claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// To speak with authority.
    Authority,
    /// Nothing, but it hides or announces what follows.
    Aside,
}

enum Mark {
    Open(Claim, String),
    Close(String),
}

#[derive(Debug)]
struct Opening {
    claim: Claim,
    glued: bool,
    name: String,
    start: usize,
    end: usize,
}

/// The markup of one text.
#[derive(Debug, Default)]
pub(super) struct Marks {
    openings: Vec<Opening>,
    closings: BTreeMap<String, Vec<usize>>,
}

impl Marks {
    /// Finds it.
    pub(super) fn find(shape: &Pattern, text: &[u8]) -> Self {
        let mut marks = Self::default();
        for found in Places::everywhere(shape, text) {
            let glued =
                found.start.checked_sub(1).and_then(|i| text.get(i)).is_some_and(u8::is_ascii_alphanumeric);
            match read(text.get(found.clone()).unwrap_or_default()) {
                Some(Mark::Open(claim, name)) => {
                    marks.openings.push(Opening { claim, glued, name, start: found.start, end: found.end });
                }
                Some(Mark::Close(name)) => marks.closings.entry(name).or_default().push(found.start),
                None => {}
            }
        }
        marks
    }

    /// Whether nothing opens.
    pub(super) const fn is_empty(&self) -> bool {
        self.openings.is_empty()
    }

    /// Pairs what opens with the signals in its span, and notes what follows from it.
    pub(super) fn pair(&self, text_bytes: usize, view: u16, signals: &mut Signals, findings: &mut Findings) {
        signals.sort();
        for opening in &self.openings {
            judge(opening, &self.closings, (text_bytes, view), signals, findings);
        }
    }
}

fn judge(
    opening: &Opening,
    closings: &BTreeMap<String, Vec<usize>>,
    (text_bytes, view): (usize, u16),
    signals: &Signals,
    findings: &mut Findings,
) {
    let closing = closings
        .get(&opening.name)
        .and_then(|places| places.get(places.partition_point(|at| *at < opening.end)))
        .copied()
        .filter(|at| at - opening.end <= CLOSING_MAX);
    // `List<System>` in a program is no tag; a tag glued to a word has a closing.
    if opening.glued && closing.is_none() {
        return;
    }
    let end = closing.unwrap_or_else(|| text_bytes.min(opening.end + SPAN_MAX));
    let span = Span::new(view, opening.start, opening.end);
    if !signals.is_empty() && signals.within(opening.start..end, opening.claim) {
        findings.add(Alert::at(Severity::High, PAIRED, Kind::ToolPoisoning, span));
    } else if opening.claim == Claim::Authority {
        findings.add(Alert::at(Severity::Medium, ALONE, Kind::ToolPoisoning, span));
    }
}

fn read(mark: &[u8]) -> Option<Mark> {
    let mark = std::str::from_utf8(mark).ok()?;
    if mark == "<!--" {
        return Some(Mark::Open(Claim::Aside, "--".to_owned()));
    }
    let bracket = mark.starts_with('[');
    if !bracket && !mark.starts_with('<') {
        return Some(Mark::Open(Claim::Aside, "#".to_owned()));
    }
    let inner = mark.trim_matches(|c: char| matches!(c, '<' | '>' | '[' | ']' | '|') || c.is_whitespace());
    let (closing, inner) = inner.strip_prefix('/').map_or((false, inner), |rest| (true, rest));
    if mark.starts_with("<|") {
        let known = ["im_start", "system", "start_header_id", "assistant", "tool"].contains(&inner);
        return known.then(|| Mark::Open(Claim::Authority, inner.to_owned()));
    }
    let name = name_of(inner, bracket)?;
    Some(if closing { Mark::Close(name) } else { Mark::Open(Claim::Authority, name) })
}

/// The words of a name that claims authority, lower case; attributes are left out.
fn name_of(inner: &str, bracket: bool) -> Option<String> {
    let authority = if bracket { BRACKET } else { AUTHORITY };
    let mut name = String::new();
    let mut claims = false;
    for word in inner.trim_end_matches('/').split(|c: char| c.is_whitespace() || matches!(c, '_' | '-' | ':'))
    {
        if word.contains('=') {
            break;
        }
        let lower = word.trim_matches(|c: char| c.is_ascii_punctuation()).to_ascii_lowercase();
        if lower.is_empty() {
            continue;
        }
        // Section names and links are in lower case; what shouts in brackets is not.
        if bracket && word.chars().any(|c| c.is_ascii_lowercase()) {
            return None;
        }
        let claim = authority.contains(&lower.as_str());
        if !claim && !AUTHORITY.contains(&lower.as_str()) && !BESIDE.contains(&lower.as_str()) {
            return None;
        }
        claims |= claim;
        name.push_str(&lower);
        name.push(' ');
    }
    claims.then_some(name)
}

//! What a rule is, and the compiled set of all of them. The tables themselves stand with their families.
//!
//! One pass of a literal automaton says which rules can match at all; only those run. Patterns are compiled for
//! bytes, without Unicode classes and ignoring ASCII case, by an engine that is linear in the text.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};

use super::{Kind, Severity, code, injection, markup, mention, shell, signals, squeeze};

/// What a match of a rule means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// An alert by itself.
    Alert(Severity),
    /// A bare fetch: an alert only where no tag explains it.
    Fetch,
    /// Nothing by itself; makes a tag around it an attack.
    Signal(Strength),
    /// The pattern only finds the command; the judge reads what stands before and after it.
    Judged(Judge),
    /// Half of the pair persona and licence, which together are an alert.
    Half(Half),
}

/// Weighs a command by the text before it and the text of its arguments; also says how many bytes it read.
pub(super) type Judge = fn(before: &[u8], after: &[u8]) -> (Option<Severity>, usize);

/// Which markup a signal is enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// Markup that claims authority.
    Weak,
    /// Also comments and banners, which everybody uses.
    Strong,
}

/// The halves of a jailbreak: be somebody else, and somebody without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// Assigns the reader a persona.
    Persona,
    /// Frees it of its rules.
    Licence,
}

/// Whether talking about a thing counts like doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    /// A quotation that is spoken about as an attack only alerts.
    Excused,
    /// Every match counts.
    Counts,
}

/// One rule, as data.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its stable name.
    pub(super) id: &'static str,
    /// What it is about.
    pub(super) kind: Kind,
    /// What a match means.
    pub(super) role: Role,
    /// Whether quotation excuses.
    pub(super) mention: Mention,
    /// Texts of which one occurs in every match, in lower case.
    pub(super) literals: &'static [&'static str],
    /// The pattern. A space stands for any run of blanks, line ends, commas and asterisks.
    pub(super) pattern: &'static str,
}

/// What a space in a pattern stands for.
const GAP: &str = r"[\s,*]+";

/// Most rules a set can hold: one bit each.
const RULES_MAX: usize = 128;

/// All rules, ready to match.
#[derive(Debug)]
pub(super) struct RuleSet {
    gate: AhoCorasick,
    /// For each literal, the rules it may wake.
    wakes: Vec<u128>,
    rules: Vec<(&'static Rule, Regex)>,
    /// Patterns that are not rules of their own.
    pub(super) aids: Aids,
}

/// Patterns the checks in code use.
#[derive(Debug)]
pub(super) struct Aids {
    /// Words that show a quotation is spoken about.
    pub(super) meta: Regex,
    /// Phrases to look for in squeezed text.
    pub(super) squeezed: AhoCorasick,
    /// Openings, closings and banners that may pose as authority.
    pub(super) markup: Regex,
}

impl Aids {
    fn standard() -> Self {
        let squeezed = squeeze::PHRASES.iter().map(|phrase| squeeze::fold(phrase)).collect::<Vec<_>>();
        Self { meta: compile(mention::META), squeezed: automaton(&squeezed), markup: compile(markup::SHAPE) }
    }
}

impl RuleSet {
    /// Compiles every family.
    pub(super) fn standard() -> Self {
        let families = [shell::RULES, code::RULES, injection::RULES, signals::RULES];
        let rules =
            families.into_iter().flatten().map(|rule| (rule, compile(rule.pattern))).collect::<Vec<_>>();
        assert!(rules.len() <= RULES_MAX, "more rules than bits");
        let mut literals: Vec<&'static str> = Vec::new();
        let mut wakes: Vec<u128> = Vec::new();
        for (bit, (rule, _)) in rules.iter().enumerate() {
            for literal in rule.literals {
                match literals.iter().position(|known| known == literal) {
                    Some(at) => wakes[at] |= 1 << bit,
                    None => {
                        literals.push(literal);
                        wakes.push(1 << bit);
                    }
                }
            }
        }
        Self { gate: automaton(&literals), wakes, rules, aids: Aids::standard() }
    }

    /// The rules whose literals occur in `text`.
    pub(super) fn awake<'s>(&'s self, text: &[u8]) -> impl Iterator<Item = (&'static Rule, &'s Regex)> {
        let all = self.wakes.iter().fold(0, |all, wakes| all | wakes);
        let mut bits = 0u128;
        for found in self.gate.find_overlapping_iter(text) {
            bits |= self.wakes.get(found.pattern().as_usize()).copied().unwrap_or_default();
            if bits == all {
                break;
            }
        }
        let awake = move |bit: usize| bits >> bit & 1 == 1;
        self.rules
            .iter()
            .enumerate()
            .filter(move |(bit, _)| awake(*bit))
            .map(|(_, (rule, regex))| (*rule, regex))
    }
}

#[expect(clippy::expect_used, reason = "patterns are constants; every test compiles all of them")]
fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(&pattern.replace(' ', GAP))
        .unicode(false)
        .case_insensitive(true)
        .build()
        .expect("a rule's pattern compiles")
}

#[expect(clippy::expect_used, reason = "literals are constants; every test builds the automaton")]
fn automaton<L: AsRef<[u8]>>(literals: &[L]) -> AhoCorasick {
    AhoCorasickBuilder::new()
        .kind(Some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .build(literals)
        .expect("the literals build an automaton")
}

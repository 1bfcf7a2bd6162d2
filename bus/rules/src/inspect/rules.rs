//! What a rule is, and the compiled set of all of them. The tables themselves stand with their families.
//!
//! One pass of a literal automaton says which rules can match at all; only those run. Patterns are compiled for
//! bytes, without Unicode classes and ignoring ASCII case, by an engine that is linear in the text.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

use super::gate::{Bits, Few, Gate, GateBuilder, GateError, Part, RULES_MAX, WATCHES_MAX, Woken};
use super::literals::Watch;
use super::near::Near;
use super::pattern::{Case, Pattern, parse_in};
use super::reach::Reach;
use super::starts::Starts;
use super::{
    Kind, Policy, RuleId, Severity, code, concepts, deeds, diversion, evidence, injection, literals, markup,
    meddling, mention, offence, pairings, parts, ruses, shell, signals, squeeze, takeover, wreck,
};

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
    /// Nothing by itself; an alert where the other parts of a pairing stand near.
    Part,
    /// Nothing by itself; `evidence` weighs how many stand together. Its weight, in halves.
    Evidence(u8),
    /// What may be markup; `markup` reads it.
    Markup,
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

/// Whether talking about a thing counts like doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    /// A quotation that is spoken about as an attack only alerts.
    Excused,
    /// Every match counts.
    Counts,
}

/// One rule, as data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Its stable name.
    pub(super) id: &'static str,
    /// What it is about.
    pub(super) kind: Kind,
    /// What a match means.
    pub(super) role: Role,
    /// Whether quotation excuses.
    pub(super) mention: Mention,
    /// Texts of which one occurs in every match, in lower case; if there are none, they are read off the pattern.
    pub(super) literals: &'static [&'static str],
    /// A second list of which one occurs in every match too; empty if there is none.
    pub(super) also: &'static [&'static str],
    /// The pattern. A space stands for any run of blanks, line ends, commas and asterisks.
    pub(super) pattern: &'static str,
}

impl Rule {
    /// The pattern with its gaps spelt out.
    pub(super) fn text(&self) -> String {
        let gap = if matches!(self.role, Role::Evidence(_)) { evidence::GAP } else { GAP };
        self.pattern.replace(' ', gap)
    }

    /// What speaks for it beside its literals; nothing if it has any.
    #[expect(clippy::expect_used, reason = "the tables are constants; every test compiles all of them")]
    fn watches(&self) -> Vec<Watch> {
        if !self.literals.is_empty() {
            return Vec::new();
        }
        let hir = parse_in(&self.text(), Case::Counts).expect("a rule's pattern compiles");
        literals::watches(&hir).expect("every match of a rule holds a literal")
    }

    /// The same rule, looked for only where one of these texts occurs too.
    pub(super) const fn and(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }
}

/// Parts that are an alert where they stand together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairing {
    /// Its stable name.
    pub(super) id: &'static str,
    /// What it is about.
    pub(super) kind: Kind,
    /// How grave it is.
    pub(super) severity: Severity,
    /// Whether quotation of its first part excuses.
    pub(super) mention: Mention,
    /// For each side, the rules of which one must match.
    pub(super) sides: &'static [&'static [&'static str]],
    /// How far from the first side the others may stand, in bytes.
    pub(super) apart: usize,
}

/// A rule, ready to match.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) id: RuleId,
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) mention: Mention,
    pub(super) pattern: Pattern,
}

/// A pairing, ready to match.
#[derive(Clone, Debug)]
pub(super) struct Paired {
    pub(super) id: RuleId,
    pub(super) kind: Kind,
    pub(super) severity: Severity,
    pub(super) mention: Mention,
    pub(super) sides: Sides,
    pub(super) apart: usize,
}

/// The sides of a pairing: of each, one rule must match.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    all: Vec<Bits>,
    /// The first, in brief: mostly it is missing already.
    first: Few,
}

impl Sides {
    /// These.
    pub(super) fn of(all: Vec<Bits>) -> Self {
        let first = all.first().map(Few::of).unwrap_or_default();
        Self { all, first }
    }

    /// Each of them.
    pub(super) fn all(&self) -> &[Bits] {
        &self.all
    }

    /// Whether each has a rule among these, which are `few` in brief.
    fn meet(&self, rules: &Bits, few: Few) -> bool {
        self.first.may_meet(few) && self.all.iter().all(|side| side.meets(rules))
    }
}

/// What a space in a pattern stands for.
const GAP: &str = r"[\s,*]+";

/// Every family's rules.
pub(super) fn standard() -> impl Iterator<Item = &'static Rule> {
    [
        shell::RULES,
        code::RULES,
        injection::RULES,
        offence::RULES,
        takeover::RULES,
        diversion::RULES,
        wreck::RULES,
        concepts::RULES,
        deeds::RULES,
        ruses::RULES,
        meddling::RULES,
        signals::RULES,
        parts::PARTS,
        parts::code::PARTS,
        markup::RULES,
    ]
    .into_iter()
    .flatten()
}

/// All rules, ready to match.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    builder: GateBuilder,
    gate: Arc<Gate>,
    starts: Arc<Starts>,
    rules: Vec<Compiled>,
    /// The rule that each watch speaks for.
    watches: Vec<usize>,
    pairings: Vec<Paired>,
    /// Rules that match no further from their literals than so many words.
    bounded: Bits,
    /// Rules that mean nothing without markup.
    signals: Bits,
    /// Rules that mean nothing without the rest of a pairing.
    parts: Bits,
    /// Rules that mean nothing without others of their sort.
    evidence: Bits,
    /// The same, the heaviest first.
    heaviest: Vec<usize>,
    /// What each rule weighs beside others, by its bit.
    weights: Vec<u32>,
    /// The rule that finds markup.
    markup: Option<usize>,
    /// Patterns that are not rules of their own.
    pub(super) aids: Aids,
    /// What capabilities may say.
    pub(super) policy: Policy,
}

/// Patterns the checks in code use.
#[derive(Clone, Debug)]
pub(super) struct Aids {
    /// Words that show a quotation is spoken about.
    pub(super) meta: Pattern,
    /// Phrases to look for in squeezed text.
    pub(super) squeezed: AhoCorasick,
}

impl Aids {
    fn standard() -> Self {
        let squeezed = squeeze::PHRASES.iter().map(|phrase| squeeze::fold(phrase)).collect::<Vec<_>>();
        Self { meta: compile(&mention::META.replace(' ', GAP)), squeezed: automaton(&squeezed) }
    }
}

/// What a rule set cannot take.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddError {
    /// There is a rule of this name.
    #[error("there is a rule {0} already")]
    Twice(String),
    /// No bit is left.
    #[error("too many rules: at most {RULES_MAX} with the standard ones")]
    TooMany,
    /// A pairing names a rule that is not there, or that is no part.
    #[error("{0} is no rule with part = true")]
    NoPart(String),
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl RuleSet {
    /// Compiles every family.
    #[expect(clippy::expect_used, reason = "the tables are constants; every test compiles all of them")]
    pub(super) fn standard() -> Self {
        let mut set = Self {
            builder: GateBuilder::new(),
            gate: Arc::new(GateBuilder::new().build()),
            starts: Arc::new(Starts::of(std::iter::empty())),
            rules: Vec::new(),
            watches: Vec::new(),
            pairings: Vec::new(),
            bounded: Bits::default(),
            signals: Bits::default(),
            parts: Bits::default(),
            evidence: Bits::default(),
            heaviest: Vec::new(),
            weights: Vec::new(),
            markup: None,
            aids: Aids::standard(),
            policy: Policy::default(),
        };
        for (bit, rule) in standard().enumerate() {
            let id = RuleId::standard(rule.id);
            let pattern = compile(&rule.text());
            // Literals of what is judged may stand after the match.
            let pattern = if matches!(rule.role, Role::Judged(_)) { pattern.anywhere() } else { pattern };
            let compiled = Compiled { id, kind: rule.kind, role: rule.role, mention: rule.mention, pattern };
            set.add(compiled, rule.literals.iter().copied(), rule.also.iter().copied())
                .and_then(|()| set.watch_for(bit, &rule.watches()))
                .expect("a standard rule fits");
        }
        for pairing in pairings::PAIRINGS {
            let sides = pairing.sides.iter().map(|side| set.named(side.iter().copied()));
            let sides = sides.collect::<Result<_, _>>().expect("a standard pairing names parts");
            set.pairings.push(Paired {
                id: RuleId::standard(pairing.id),
                kind: pairing.kind,
                severity: pairing.severity,
                mention: pairing.mention,
                sides: Sides::of(sides),
                apart: pairing.apart,
            });
        }
        set.finish()
    }

    /// Adds a rule. [`RuleSet::finish`] makes it count.
    pub(super) fn add<'l>(
        &mut self,
        rule: Compiled,
        first: impl Iterator<Item = &'l str>,
        second: impl Iterator<Item = &'l str>,
    ) -> Result<(), AddError> {
        let bit = self.rules.len();
        if bit == RULES_MAX {
            return Err(AddError::TooMany);
        }
        if self.rules.iter().any(|known| known.id == rule.id) {
            return Err(AddError::Twice(rule.id.as_str().to_owned()));
        }
        let mut first = first.peekable();
        // Where a watch stands says nothing of where its rule matches.
        if first.peek().is_some() && rule.pattern.reach().is_some() {
            self.bounded.insert(bit);
        }
        for literal in first {
            self.builder.add(literal, bit, Part::First)?;
        }
        for literal in second {
            self.builder.add(literal, bit, Part::Second)?;
        }
        match rule.role {
            Role::Signal(_) => self.signals.insert(bit),
            Role::Part => self.parts.insert(bit),
            Role::Evidence(_) => {
                self.evidence.insert(bit);
                self.heaviest.push(bit);
            }
            Role::Markup => self.markup = Some(bit),
            Role::Alert(_) | Role::Fetch | Role::Judged(_) => {}
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Adds what else speaks for this rule.
    fn watch_for(&mut self, rule: usize, watches: &[Watch]) -> Result<(), AddError> {
        for [first, second] in watches {
            let bit = RULES_MAX + self.watches.len();
            if self.watches.len() == WATCHES_MAX {
                return Err(AddError::TooMany);
            }
            self.watches.push(rule);
            first.iter().try_for_each(|literal| self.builder.add(literal, bit, Part::First))?;
            second.iter().try_for_each(|literal| self.builder.add(literal, bit, Part::Second))?;
        }
        Ok(())
    }

    /// Adds a pairing of parts that are known already.
    pub(super) fn pair(&mut self, pairing: Paired) {
        self.pairings.push(pairing);
    }

    /// Whether there is a rule or a pairing of this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        let mut names =
            self.rules.iter().map(|rule| &rule.id).chain(self.pairings.iter().map(|pairing| &pairing.id));
        name == evidence::NAME || names.any(|id| id.as_str() == name)
    }

    /// The parts of these names, as one side of a pairing.
    pub(super) fn named<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Bits, AddError> {
        let mut side = Bits::default();
        for name in names {
            let part = |rule: &Compiled| matches!(rule.role, Role::Part) && rule.id.as_str() == name;
            let bit = self.rules.iter().position(part).ok_or_else(|| AddError::NoPart(name.to_owned()))?;
            side.insert(bit);
        }
        Ok(side)
    }

    /// Makes the gate for the rules added.
    pub(super) fn finish(mut self) -> Self {
        self.gate = Arc::new(self.builder.clone().build());
        self.starts = Arc::new(Starts::of(self.rules.iter().map(|rule| rule.pattern.beginnings())));
        self.weights = self.rules.iter().map(evidence::weight_of).collect();
        self.heaviest.sort_by_key(|bit| std::cmp::Reverse(self.weights.get(*bit).copied()));
        self
    }

    /// The gate. Other rules have another one.
    pub(super) const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// What the literals of `text` speak for.
    pub(super) fn woken(&self, text: &[u8]) -> Woken {
        self.gate.hear(text).woken
    }

    /// The rules that these literals speak for.
    pub(super) fn spoken_for(&self, woken: &Woken) -> Bits {
        let (mut rules, watches) = self.gate.awake(woken).parted();
        watches.filter_map(|watch| self.watches.get(watch)).for_each(|rule| rules.insert(*rule));
        rules
    }

    /// All concepts and parts: what means nothing alone, and does beside others.
    pub(super) fn all_lone(&self) -> Bits {
        self.evidence.with(&self.parts)
    }

    /// Those among these rules.
    pub(super) fn lone(&self, rules: &Bits) -> Bits {
        rules.meet(&self.all_lone())
    }

    /// The same among the rules that these literals speak for.
    pub(super) fn lone_of(&self, woken: &Woken) -> Bits {
        self.lone(&self.spoken_for(woken))
    }

    /// Where the rules in question may match in a text.
    pub(super) fn reach<'t>(&self, text: &'t [u8], rules: &Bits) -> Reach<'t> {
        Reach::of(&self.starts, text, rules)
    }

    /// Where matches of rules may begin.
    pub(super) fn starts(&self) -> &Starts {
        &self.starts
    }

    /// The same where all places are known.
    pub(super) fn reach_of<'t>(
        &self,
        text: &'t [u8],
        rules: &Bits,
        places: impl Iterator<Item = (u16, usize)>,
    ) -> Reach<'t> {
        Reach::with(&self.starts, text, rules, places)
    }

    /// The same for these rules alone, and how near their literals.
    pub(super) fn near<'t>(&'t self, text: &'t [u8], reach: Reach<'t>, rules: &Bits) -> Near<'t> {
        Near::of(&self.gate, text, reach, rules.meet(&self.bounded))
    }

    /// Whether any rule but evidence may match where these literals stand.
    pub(super) fn may_match(&self, woken: &Woken) -> bool {
        !self.awake(self.spoken_for(woken).without(&self.evidence)).is_empty()
    }

    /// These rules without parts of pairings of which another side is missing and without concepts too few to weigh enough.
    pub(super) fn awake(&self, mut awake: Bits) -> Bits {
        if !self.markup.is_some_and(|markup| awake.has(markup)) {
            awake = awake.without(&self.signals);
        }
        let concepts = awake.meet(&self.evidence);
        if !self.may_weigh_enough(&concepts) {
            awake = awake.without(&concepts);
        }
        let parts = awake.meet(&self.parts);
        if parts.is_empty() {
            return awake;
        }
        let few = Few::of(&parts);
        let whole = self.pairings.iter().filter(|pairing| pairing.sides.meet(&parts, few));
        let useless =
            whole.flat_map(|pairing| pairing.sides.all()).fold(self.parts, |rest, side| rest.without(side));
        awake.without(&useless)
    }

    /// Whether all these concepts together would be worth an alert.
    fn may_weigh_enough(&self, concepts: &Bits) -> bool {
        concepts.iter().filter_map(|bit| self.weights.get(bit)).sum::<u32>() >= evidence::ALERT
    }

    /// The concepts that are awake, the heaviest first.
    pub(super) fn concepts(&self, awake: &Bits) -> impl Iterator<Item = (usize, &Compiled)> {
        let awake = *awake;
        let bits = self.heaviest.iter().copied().filter(move |bit| awake.has(*bit));
        bits.filter_map(|bit| self.rules.get(bit).map(|rule| (bit, rule)))
    }

    /// Rules that mean nothing without others of their sort.
    pub(super) const fn evidence(&self) -> &Bits {
        &self.evidence
    }

    /// Rules that mean nothing without the rest of a pairing.
    pub(super) const fn parts(&self) -> &Bits {
        &self.parts
    }

    /// Rules that mean nothing without markup.
    pub(super) const fn signals(&self) -> &Bits {
        &self.signals
    }

    /// The shape of markup, if something awake may be it.
    pub(super) fn markup(&self, awake: &Bits) -> Option<&Pattern> {
        let rule = self.markup.filter(|bit| awake.has(*bit)).and_then(|bit| self.rules.get(bit))?;
        Some(&rule.pattern)
    }

    /// A rule by its bit.
    pub(super) fn rule(&self, bit: usize) -> Option<&Compiled> {
        self.rules.get(bit)
    }

    /// The pairings that block of which each side is among these parts.
    pub(super) fn blocking(&self, parts: &Bits) -> impl Iterator<Item = &Paired> {
        let (blocking, few) = (|pairing: &Paired| pairing.severity >= Severity::High, Few::of(parts));
        self.pairings.iter().filter(move |pairing| blocking(pairing) && pairing.sides.meet(parts, few))
    }

    /// The pairings.
    pub(super) fn pairings(&self) -> &[Paired] {
        &self.pairings
    }
}

#[expect(clippy::expect_used, reason = "patterns are constants; every test compiles all of them")]
fn compile(pattern: &str) -> Pattern {
    Pattern::new(pattern).expect("a rule's pattern compiles")
}

#[expect(clippy::expect_used, reason = "literals are constants; every test builds the automaton")]
fn automaton<L: AsRef<[u8]>>(literals: &[L]) -> AhoCorasick {
    AhoCorasickBuilder::new()
        .kind(Some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .build(literals)
        .expect("the literals build an automaton")
}

//! The literal gate: one pass over a text says which rules can match in it at all.
//!
//! An automaton over all literals, with letters folded to lower case and blanks to one. `lanes` reads texts by it. Knows nothing of
//! what a rule is.

pub(super) use super::automaton::State;
use super::automaton::{Automaton, Ends, TooMany, Trie};
use super::pattern::is_blank;

/// Most rules one gate can tell apart.
pub(super) const RULES_MAX: usize = 320;

/// Most watches: sets of literals that speak for a rule beside its own.
pub(super) const WATCHES_MAX: usize = 256;

/// Longest literal, in bytes.
pub(super) const LITERAL_MAX: usize = 24;
/// What of a literal is listened for: where that stands the rest mostly stands, too, and what pieces of a text overlap by
/// is read twice.
pub(super) const HEARD_MAX: usize = 16;

/// A set of rules, and of watches behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits([u64; (RULES_MAX + WATCHES_MAX) / 64]);

impl Bits {
    /// Every rule.
    const ALL: Self = Self([u64::MAX; (RULES_MAX + WATCHES_MAX) / 64]);

    /// Adds a rule.
    pub(super) fn insert(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    /// Whether a rule is in it.
    pub(super) fn has(&self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    /// Adds the rules of another set.
    pub(super) fn join(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= *other;
        }
    }

    /// The rules of either set.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.join(other);
        self
    }

    /// Whether there is none in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether a rule is in both sets.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |both, (word, other)| both | (word & other)) != 0
    }

    /// The rules of both sets.
    pub(super) fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        both.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        both
    }

    /// The rules of this set that are not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut rest = *self;
        rest.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= !other);
        rest
    }

    /// The rules without the watches, and the numbers of these.
    pub(super) fn parted(mut self) -> (Self, impl Iterator<Item = usize>) {
        let mut watches = Self::default();
        let words = self.0.iter_mut().zip(&mut watches.0).skip(RULES_MAX / 64);
        words.for_each(|(word, watch)| std::mem::swap(word, watch));
        (self, watches.iter().map(|bit| bit - RULES_MAX))
    }

    /// The rules, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

/// A set of rules, told by few bits: what has none in common with another has no rule in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Few(u64);

impl Few {
    /// The bits of a set.
    pub(super) fn of(rules: &Bits) -> Self {
        Self(rules.0.iter().fold(0, |few, word| few | word))
    }

    /// Whether they may have a rule in common.
    pub(super) const fn may_meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a literal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// One of the literals of which a match holds at least one.
    First,
    /// One of a second list of which it holds at least one too.
    Second,
}

/// A rule that a literal speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spoken {
    rule: u16,
    part: Part,
}

/// The rules that the literals of a text speak for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Woken {
    first: Bits,
    second: Bits,
}

impl Woken {
    /// The rules of which a literal of this list is there.
    pub(super) const fn of(&self, part: Part) -> &Bits {
        match part {
            Part::First => &self.first,
            Part::Second => &self.second,
        }
    }

    const fn of_mut(&mut self, part: Part) -> &mut Bits {
        match part {
            Part::First => &mut self.first,
            Part::Second => &mut self.second,
        }
    }

    /// Adds what another text speaks for.
    pub(super) fn join(&mut self, other: &Self) {
        self.first.join(&other.first);
        self.second.join(&other.second);
    }

    /// These of its rules.
    fn among(&self, rules: &Bits) -> impl Iterator<Item = Spoken> {
        [Part::First, Part::Second].into_iter().flat_map(|part| {
            let rules = self.of(part).meet(rules).iter().filter_map(|rule| u16::try_from(rule).ok());
            rules.map(move |rule| Spoken { rule, part })
        })
    }
}

/// What the literals speak for that end in one state.
enum Ending {
    /// Two rules, or mostly one, twice: so near at hand that nothing waits for it.
    Few([Spoken; 2]),
    Many(Box<Woken>),
}

impl Ending {
    fn of(woken: Woken) -> Self {
        let mut all = woken.among(&Bits::ALL);
        match (all.next(), all.next(), all.next()) {
            (Some(first), second, None) => Self::Few([first, second.unwrap_or(first)]),
            _ => Self::Many(Box::new(woken)),
        }
    }
}

/// A gate cannot be made of these literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GateError {
    /// One is empty or too long.
    #[error("a literal must have 1 to {LITERAL_MAX} bytes")]
    Length,
    /// All of them together are too much.
    #[error("too many literals")]
    Size,
}

/// For each byte what it is read as. All beyond ASCII are one, and all blanks, as in a pattern's gap: a rule too many may wake,
/// never one too few.
static FOLDED: [u8; 256] = {
    let mut folded = [0x80; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        folded[byte as usize] = if is_blank(byte) { b' ' } else { byte.to_ascii_lowercase() };
        byte += 1;
    }
    folded
};

impl Ends for Woken {
    fn is_none(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    fn inherit(&mut self, shorter: &Self) {
        self.join(shorter);
    }
}

/// Collects literals for a gate.
#[derive(Clone, Debug)]
pub(super) struct GateBuilder {
    literals: Trie<Woken>,
    double: Bits,
}

impl GateBuilder {
    /// Without any literal.
    pub(super) fn new() -> Self {
        Self { literals: Trie::new(&FOLDED), double: Bits::default() }
    }

    /// Adds a literal of one rule.
    pub(super) fn add(&mut self, literal: &str, rule: usize, part: Part) -> Result<(), GateError> {
        if literal.is_empty() || literal.len() > LITERAL_MAX {
            return Err(GateError::Length);
        }
        let woken = self.literals.add(literal.bytes().take(HEARD_MAX)).map_err(|TooMany| GateError::Size)?;
        woken.of_mut(part).insert(rule);
        if part == Part::Second {
            self.double.insert(rule);
        }
        Ok(())
    }

    /// Makes the gate.
    pub(super) fn build(self) -> Gate {
        let (automaton, woken) = self.literals.build(None);
        Gate { automaton, endings: woken.into_iter().map(Ending::of).collect(), double: self.double }
    }
}

/// The automaton over all literals, and what they are for.
pub(super) struct Gate {
    automaton: Automaton,
    /// For each state in which a literal ends.
    endings: Vec<Ending>,
    /// Rules that match only with a literal of their second list.
    double: Bits,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("states", &self.automaton.states()).finish_non_exhaustive()
    }
}

impl Gate {
    /// The rules that may match where these literals stand.
    pub(super) fn awake(&self, woken: &Woken) -> Bits {
        woken.first.without(&self.double.without(&woken.second))
    }

    /// The state after one byte more.
    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        self.automaton.step(state, byte)
    }

    /// The bit of states in which a literal ends.
    #[inline]
    pub(super) const fn ended(&self) -> State {
        self.automaton.ended()
    }

    /// Tells of each of these rules that the literals speak for that end in `state`.
    pub(super) fn each(&self, state: State, rules: &Bits, mut tell: impl FnMut(usize, Part)) {
        let tell = |Spoken { rule, part }: Spoken| tell(usize::from(rule), part);
        match self.ending(state) {
            Some(Ending::Few([first, second])) => {
                let all = [Some(*first), Some(*second).filter(|second| second != first)];
                let all = all.into_iter().flatten();
                all.filter(|spoken| rules.has(usize::from(spoken.rule))).for_each(tell);
            }
            Some(Ending::Many(woken)) => woken.among(rules).for_each(tell),
            None => {}
        }
    }

    fn ending(&self, state: State) -> Option<&Ending> {
        self.automaton.ended_at(state).and_then(|at| self.endings.get(at))
    }

    /// Adds what the literals speak for that end in `state`.
    pub(super) fn note(&self, state: State, woken: &mut Woken) {
        let note = |Spoken { rule, part }| woken.of_mut(part).insert(usize::from(rule));
        match self.ending(state) {
            Some(Ending::Few(both)) => both.iter().copied().for_each(note),
            Some(Ending::Many(own)) => woken.join(own),
            None => {}
        }
    }

    /// Rules that match only with a literal of their second list.
    pub(super) const fn double(&self) -> &Bits {
        &self.double
    }

    /// How many of the last bytes may still begin a literal.
    pub(super) fn depth(&self, state: State) -> usize {
        self.automaton.depth(state)
    }
}

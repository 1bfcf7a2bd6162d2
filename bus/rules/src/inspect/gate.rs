//! The literal gate: one pass over a text says which rules can match in it at all.
//!
//! An automaton over all literals, with letters folded to lower case and blanks to one (Aho and Corasick, 1975). `lanes` reads texts by
//! it. Knows nothing of what a rule is.

use std::collections::VecDeque;

use super::pattern::is_blank;

/// Most rules one gate can tell apart.
pub(super) const RULES_MAX: usize = 320;

/// Most watches: sets of literals that speak for a rule beside its own.
pub(super) const WATCHES_MAX: usize = 192;

/// Longest literal, in bytes.
pub(super) const LITERAL_MAX: usize = 24;
/// What of a literal is listened for: where that stands the rest mostly stands, too, and what pieces of a text overlap by
/// is read twice.
pub(super) const HEARD_MAX: usize = 16;

/// Most states of the automaton.
const STATES_MAX: usize = 1 << 15;
/// Entries of a state: one for each class of bytes.
const CLASSES: usize = 72;

/// A set of rules, and of watches behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits([u64; (RULES_MAX + WATCHES_MAX) / 64]);

impl Bits {
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

/// What a literal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// One of the literals of which a match holds at least one.
    First,
    /// One of a second list of which it holds at least one too.
    Second,
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

    /// Adds what another text speaks for.
    pub(super) fn join(&mut self, other: &Self) {
        self.first.join(&other.first);
        self.second.join(&other.second);
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

impl std::fmt::Debug for GateBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateBuilder").field("states", &self.nodes.len()).finish_non_exhaustive()
    }
}

/// What was read last, as far as it may begin a literal. Wider than it needs to be: so it is an index as it stands.
pub(super) type State = u32;

/// The automaton.
pub(super) struct Gate {
    /// Where the column of each byte begins in `next`.
    columns: [u32; 256],
    /// For each class of bytes the state after each state: those of ordinary text stand close together in few lines.
    next: Vec<u16>,
    /// The bit that only states have in which a literal ends. So one test tells for many lanes.
    ended: State,
    /// What such literals speak for, from that state on.
    woken: Vec<Woken>,
    /// How much of a literal has been read in each state, in bytes.
    depths: Vec<u8>,
    /// Rules that match only with a literal of their second list.
    double: Bits,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("states", &self.depths.len()).finish_non_exhaustive()
    }
}

/// One state while the automaton is made.
#[derive(Clone)]
struct Node {
    next: [u16; CLASSES],
    woken: Option<Woken>,
}

impl Node {
    const EMPTY: Self = Self { next: [0; CLASSES], woken: None };
}

/// What stands for a byte's class. All beyond ASCII are one, and all blanks, as in a pattern's gap: a rule too many may wake,
/// never one too few.
const fn folded(byte: u8) -> u8 {
    match byte {
        blank if is_blank(blank) => b' ',
        0x80.. => 0x80,
        ascii => ascii.to_ascii_lowercase(),
    }
}

/// Collects literals for a gate.
#[derive(Clone)]
pub(super) struct GateBuilder {
    classes: [u8; 256],
    used: u8,
    nodes: Vec<Node>,
    double: Bits,
}

impl GateBuilder {
    /// Without any literal.
    pub(super) fn new() -> Self {
        Self { classes: [0; 256], used: 0, nodes: vec![Node::EMPTY], double: Bits::default() }
    }

    /// Adds a literal of one rule.
    pub(super) fn add(&mut self, literal: &str, rule: usize, part: Part) -> Result<(), GateError> {
        if literal.is_empty() || literal.len() > LITERAL_MAX {
            return Err(GateError::Length);
        }
        let mut state = 0usize;
        for byte in literal.bytes().take(HEARD_MAX) {
            let class = self.class_of(byte)?;
            let known = self.nodes.get(state).and_then(|node| node.next.get(class)).copied().unwrap_or(0);
            state = match known {
                0 => self.grow(state, class)?,
                next => usize::from(next),
            };
        }
        if let Some(node) = self.nodes.get_mut(state) {
            let woken = node.woken.get_or_insert_default();
            match part {
                Part::First => woken.first.insert(rule),
                Part::Second => {
                    woken.second.insert(rule);
                    self.double.insert(rule);
                }
            }
        }
        Ok(())
    }

    fn class_of(&mut self, byte: u8) -> Result<usize, GateError> {
        let byte = folded(byte);
        let known = self.classes[usize::from(byte)];
        if known != 0 {
            return Ok(usize::from(known));
        }
        if usize::from(self.used) + 1 == CLASSES {
            return Err(GateError::Size);
        }
        self.used += 1;
        for (class, _) in self.classes.iter_mut().zip(0..=u8::MAX).filter(|(_, other)| folded(*other) == byte)
        {
            *class = self.used;
        }
        Ok(usize::from(self.used))
    }

    fn grow(&mut self, state: usize, class: usize) -> Result<usize, GateError> {
        let new = self.nodes.len();
        if new == STATES_MAX {
            return Err(GateError::Size);
        }
        self.nodes.push(Node::EMPTY);
        if let Some(next) = self.nodes.get_mut(state).and_then(|node| node.next.get_mut(class)) {
            *next = u16::try_from(new).map_err(|_| GateError::Size)?;
        }
        Ok(new)
    }

    /// Makes the gate: fills in where a state goes when its literal does not go on.
    pub(super) fn build(mut self) -> Gate {
        let mut fallback = vec![0usize; self.nodes.len()];
        let mut depths = vec![0u8; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut queue = VecDeque::from([0usize]);
        while let Some(state) = queue.pop_front() {
            order.push(state);
            let back = fallback[state];
            let inherited = self.nodes[back].clone();
            if let Some(other) = inherited.woken.filter(|_| state != 0) {
                self.nodes[state].woken.get_or_insert_default().join(&other);
            }
            for class in 0..CLASSES {
                let child = usize::from(self.nodes[state].next[class]);
                let otherwise = if state == 0 { 0 } else { inherited.next[class] };
                if child == 0 {
                    self.nodes[state].next[class] = otherwise;
                } else {
                    fallback[child] = usize::from(otherwise);
                    depths[child] = depths[state] + 1;
                    queue.push_back(child);
                }
            }
        }
        self.number(&order, &depths)
    }

    /// Numbers the states: the shallow ones, where ordinary text is nearly always, come first; those in which a
    /// literal ends have a bit of their own.
    fn number(self, order: &[usize], depths: &[u8]) -> Gate {
        let is_plain = |state: usize| self.nodes[state].woken.is_none();
        let plain = order.iter().filter(|state| is_plain(**state)).count();
        // No number of either sort reaches the next bit.
        let ended = plain.max(order.len() - plain).next_power_of_two();
        let (mut low, mut high) = (0, ended);
        let mut numbers = vec![0; order.len()];
        for state in order {
            let counter = if is_plain(*state) { &mut low } else { &mut high };
            numbers[*state] = *counter;
            *counter += 1;
        }
        let narrow = |number: usize| u16::try_from(number).unwrap_or(0);
        let mut next = vec![0; CLASSES * high];
        let mut woken = vec![Woken::default(); high - ended];
        let mut by_number = vec![0; high];
        for (state, node) in self.nodes.iter().enumerate() {
            let number = numbers[state];
            by_number[number] = depths[state];
            for (class, to) in node.next.iter().enumerate() {
                next[class * high + number] = narrow(numbers[usize::from(*to)]);
            }
            if let Some(own) = node.woken {
                woken[number - ended] = own;
            }
        }
        let columns = self.classes.map(|class| u32::from(class) * u32::try_from(high).unwrap_or(0));
        Gate {
            columns,
            next,
            ended: State::from(narrow(ended)),
            woken,
            depths: by_number,
            double: self.double,
        }
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
        State::from(self.next[self.columns[usize::from(byte)].wrapping_add(state) as usize])
    }

    /// The bit of states in which a literal ends.
    pub(super) const fn ended(&self) -> State {
        self.ended
    }

    /// What the literals speak for that end in `state`, if any does.
    #[inline]
    pub(super) fn woken(&self, state: State) -> Option<&Woken> {
        self.woken.get(state.checked_sub(self.ended)? as usize)
    }

    /// Adds what the literals speak for that end in `state`.
    pub(super) fn note(&self, state: State, woken: &mut Woken) {
        if let Some(own) = self.woken(state) {
            woken.join(own);
        }
    }

    /// Rules that match only with a literal of their second list.
    pub(super) const fn double(&self) -> &Bits {
        &self.double
    }

    /// How many of the last bytes may still begin a literal.
    pub(super) fn depth(&self, state: State) -> usize {
        self.depths.get(state as usize).map_or(0, |depth| usize::from(*depth))
    }
}

//! The literal gate: one pass over a text says which rules can match in it at all.
//!
//! An automaton over all literals, with letters folded to lower case. A step of it must wait for the step before, so a
//! text is read in four lanes at once, each overlapping its neighbour by the longest literal: the processor works on
//! one lane while another waits for memory. Knows nothing of what a rule is.

use std::collections::VecDeque;

/// Most rules one gate can tell apart.
pub(super) const RULES_MAX: usize = 256;

/// Longest literal, in bytes. It is what lanes overlap by.
pub(super) const LITERAL_MAX: usize = 24;

/// Most states of the automaton.
const STATES_MAX: usize = 1 << 15;
/// Entries of a state: one for each class of bytes.
const CLASSES: usize = 64;
/// Texts shorter than this are read in one lane, in bytes.
const LANES_MIN: usize = 96;

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits([u64; RULES_MAX / 64]);

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
    fn join(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= *other;
        }
    }

    /// Whether there is none in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
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
    /// Adds what another text speaks for.
    pub(super) fn join(&mut self, other: &Self) {
        self.first.join(&other.first);
        self.second.join(&other.second);
    }
}

/// A gate cannot be made of these literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GateError {
    /// One is empty or longer than the lanes overlap.
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

/// The automaton.
pub(super) struct Gate {
    classes: [u8; 256],
    states: Vec<[u16; CLASSES]>,
    /// The first state in which a literal ends; all after it are such.
    matching: u16,
    woken: Vec<Woken>,
    /// Rules that ask for no second literal.
    single: Bits,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("states", &self.states.len()).finish_non_exhaustive()
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

/// Collects literals for a gate.
#[derive(Clone)]
pub(super) struct GateBuilder {
    classes: [u8; 256],
    used: u8,
    nodes: Vec<Node>,
    double: Bits,
    all: Bits,
}

impl GateBuilder {
    /// Without any literal.
    pub(super) fn new() -> Self {
        Self {
            classes: [0; 256],
            used: 0,
            nodes: vec![Node::EMPTY],
            double: Bits::default(),
            all: Bits::default(),
        }
    }

    /// Adds a literal of one rule.
    pub(super) fn add(&mut self, literal: &str, rule: usize, part: Part) -> Result<(), GateError> {
        if literal.is_empty() || literal.len() > LITERAL_MAX {
            return Err(GateError::Length);
        }
        let mut state = 0usize;
        for byte in literal.bytes() {
            let class = self.class_of(byte)?;
            let known = self.nodes.get(state).and_then(|node| node.next.get(class)).copied().unwrap_or(0);
            state = match known {
                0 => self.grow(state, class)?,
                next => usize::from(next),
            };
        }
        self.all.insert(rule);
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
        // All bytes beyond ASCII are one class: a rule too many may wake, never one too few.
        let byte = if byte.is_ascii() { byte.to_ascii_lowercase() } else { 0x80 };
        let known = self.classes[usize::from(byte)];
        if known != 0 {
            return Ok(usize::from(known));
        }
        if usize::from(self.used) + 1 == CLASSES {
            return Err(GateError::Size);
        }
        self.used += 1;
        self.classes[usize::from(byte)] = self.used;
        self.classes[usize::from(byte.to_ascii_uppercase())] = self.used;
        if !byte.is_ascii() {
            self.classes[0x80..].fill(self.used);
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

    /// Makes the gate: fills in where a state goes when its literal does not go on (Aho and Corasick, 1975).
    pub(super) fn build(mut self) -> Gate {
        let mut fallback = vec![0usize; self.nodes.len()];
        let mut queue = VecDeque::from([0usize]);
        while let Some(state) = queue.pop_front() {
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
                    queue.push_back(child);
                }
            }
        }
        self.number()
    }

    /// Gives the states in which a literal ends the highest numbers, so that one comparison tells them.
    fn number(self) -> Gate {
        let plain = self.nodes.iter().filter(|node| node.woken.is_none()).count();
        let (mut low, mut high) = (0u16, u16::try_from(plain).unwrap_or(u16::MAX));
        let matching = high;
        let numbers = self.nodes.iter().map(|node| {
            let counter = if node.woken.is_none() { &mut low } else { &mut high };
            *counter += 1;
            *counter - 1
        });
        let numbers = numbers.collect::<Vec<u16>>();
        let mut states = vec![[0; CLASSES]; self.nodes.len()];
        let mut woken = vec![Woken::default(); self.nodes.len() - plain];
        for (node, number) in self.nodes.iter().zip(&numbers) {
            states[usize::from(*number)] = node.next.map(|next| numbers[usize::from(next)]);
            if let Some(own) = node.woken {
                woken[usize::from(number - matching)] = own;
            }
        }
        Gate { classes: self.classes, states, matching, woken, single: self.all.without(&self.double) }
    }
}

impl Gate {
    /// What the literals of `text` speak for.
    pub(super) fn woken(&self, text: &[u8]) -> Woken {
        let mut woken = Woken::default();
        let overlap = LITERAL_MAX - 1;
        let lane = (text.len() + 3 * overlap).div_ceil(4);
        if text.len() < LANES_MIN || lane >= text.len() {
            self.read([text], &mut woken);
        } else {
            let from = |lane_number: usize| {
                let start = (lane_number * (lane - overlap)).min(text.len() - lane);
                text.get(start..start + lane).unwrap_or_default()
            };
            self.read([from(0), from(1), from(2), from(3)], &mut woken);
        }
        woken
    }

    /// What the literals of two short texts of one length speak for.
    pub(super) fn woken_in_either(&self, texts: [&[u8]; 2]) -> Woken {
        let mut woken = Woken::default();
        self.read(texts, &mut woken);
        woken
    }

    /// The rules that may match where these literals stand.
    pub(super) fn awake(&self, woken: &Woken) -> Bits {
        let mut asked = woken.second;
        asked.join(&self.single);
        woken.first.meet(&asked)
    }

    /// Reads lanes of one length, a byte of each in turn.
    #[inline]
    fn read<const LANES: usize>(&self, lanes: [&[u8]; LANES], woken: &mut Woken) {
        let length = lanes.iter().map(|lane| lane.len()).min().unwrap_or_default();
        let lanes = lanes.map(|lane| lane.get(..length).unwrap_or_default());
        let mut at = [0u16; LANES];
        for byte in 0..length {
            let mut ended = false;
            for (state, lane) in at.iter_mut().zip(&lanes) {
                *state = self.step(*state, lane[byte]);
                ended |= *state >= self.matching;
            }
            if ended {
                for state in at {
                    if state >= self.matching {
                        self.note(state, woken);
                    }
                }
            }
        }
    }

    #[inline]
    fn step(&self, state: u16, byte: u8) -> u16 {
        let class = usize::from(self.classes[usize::from(byte)]) % CLASSES;
        self.states[usize::from(state)][class]
    }

    #[cold]
    fn note(&self, state: u16, woken: &mut Woken) {
        let ended = state.checked_sub(self.matching).and_then(|at| self.woken.get(usize::from(at)));
        if let Some(ended) = ended {
            woken.join(ended);
        }
    }
}

//! An automaton over many texts (Aho and Corasick, 1975): grown text by text, then laid out so that a step is one look into
//! one table. Knows nothing of what its texts are for.

use std::collections::VecDeque;

/// Most states, so that each has a number beside the bit for the end of a text.
const STATES_MAX: usize = 1 << 15;

/// What was read last, as far as it may begin a text. Wider than it needs to be: so it is an index as it stands.
pub(super) type State = u32;

/// More than one automaton holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// What is known where texts end.
pub(super) trait Ends: Default {
    /// No text ends there.
    fn is_none(&self) -> bool;
    /// A shorter text ends there, too, and of that this is known.
    fn inherit(&mut self, shorter: &Self);
}

/// Texts, grown together as far as they begin alike.
#[derive(Clone)]
pub(super) struct Trie<E> {
    /// For each byte what it is read as.
    folded: &'static [u8; 256],
    /// Which class a byte is of; those of no text are all of one, 0.
    classes: [u8; 256],
    used: u8,
    nodes: Vec<Node<E>>,
}

impl<E> std::fmt::Debug for Trie<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trie").field("states", &self.nodes.len()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Node<E> {
    /// What leads on, by class.
    next: Vec<(u8, usize)>,
    /// The class of the byte that led here.
    class: u8,
    depth: u8,
    ends: E,
}

impl<E: Ends> Trie<E> {
    /// Without any text.
    pub(super) fn new(folded: &'static [u8; 256]) -> Self {
        let root = Node { next: Vec::new(), class: 0, depth: 0, ends: E::default() };
        Self { folded, classes: [0; 256], used: 0, nodes: vec![root] }
    }

    /// Adds a text; what is known where it ends may be changed.
    pub(super) fn add(&mut self, text: impl IntoIterator<Item = u8>) -> Result<&mut E, TooMany> {
        let mut at = 0;
        for byte in text {
            let class = self.grown_class_of(byte);
            let new = self.nodes.len();
            let Node { next, depth, .. } = &mut self.nodes[at];
            let depth = depth.checked_add(1).ok_or(TooMany)?;
            at = match next.iter().find(|(other, _)| *other == class) {
                Some((_, known)) => *known,
                None if new == STATES_MAX => return Err(TooMany),
                None => {
                    next.push((class, new));
                    self.nodes.push(Node { next: Vec::new(), class, depth, ends: E::default() });
                    new
                }
            };
        }
        Ok(&mut self.nodes[at].ends)
    }

    /// The class of what a byte is read as, from now on one of its own.
    fn grown_class_of(&mut self, byte: u8) -> u8 {
        let byte = self.folded[usize::from(byte)];
        let known = self.classes[usize::from(byte)];
        if known != 0 {
            return known;
        }
        // Some bytes are read as others, so that there are fewer classes than numbers.
        self.used += 1;
        for (class, folded) in self.classes.iter_mut().zip(self.folded) {
            if *folded == byte {
                *class = self.used;
            }
        }
        self.used
    }

    /// Makes the automaton, and gives what is known where texts end, in the order of [`Automaton::ended_at`]. What is read as
    /// `one` counts once, however often it comes in a row.
    pub(super) fn build(mut self, one: Option<u8>) -> (Automaton, Vec<E>) {
        let classes = usize::from(self.used) + 1;
        let one = one.map(|byte| self.classes[usize::from(byte)]).filter(|class| *class != 0);
        let mut next = vec![0_usize; self.nodes.len() * classes];
        let mut fallback = vec![0_usize; self.nodes.len()];
        let (mut order, mut queue) = (Vec::with_capacity(self.nodes.len()), VecDeque::from([0_usize]));
        while let Some(state) = queue.pop_front() {
            order.push(state);
            let back = fallback[state];
            if state != 0 {
                let shorter = std::mem::take(&mut self.nodes[back].ends);
                self.nodes[state].ends.inherit(&shorter);
                self.nodes[back].ends = shorter;
                next.copy_within(back * classes..(back + 1) * classes, state * classes);
            }
            for (class, child) in std::mem::take(&mut self.nodes[state].next) {
                let otherwise = std::mem::replace(&mut next[state * classes + usize::from(class)], child);
                fallback[child] = if state == 0 { 0 } else { otherwise };
                queue.push_back(child);
            }
            if let Some(class) = one.filter(|class| self.nodes[state].class == *class) {
                next[state * classes + usize::from(class)] = state;
            }
        }
        self.number(&order, &next, classes)
    }

    /// Numbers the states in this order: the shallow ones, where ordinary text is nearly always, come first; those in which a
    /// text ends have a bit of their own.
    fn number(mut self, order: &[usize], whole: &[usize], classes: usize) -> (Automaton, Vec<E>) {
        let is_plain = |state: &usize| self.nodes[*state].ends.is_none();
        let plain = order.iter().filter(|state| is_plain(state)).count();
        // No number of either sort reaches the next bit.
        let ended = plain.max(order.len() - plain).next_power_of_two();
        let (mut low, mut high) = (0, ended);
        let mut numbers = vec![0_usize; order.len()];
        for state in order {
            let counter = if is_plain(state) { &mut low } else { &mut high };
            numbers[*state] = *counter;
            *counter += 1;
        }
        let (mut next, mut depths) = (vec![0; classes * high], vec![0; high]);
        let mut ends = Vec::with_capacity(high - ended);
        for state in order {
            let (number, node) = (numbers[*state], &mut self.nodes[*state]);
            depths[number] = node.depth;
            for class in 0..classes {
                next[class * high + number] =
                    u16::try_from(numbers[whole[*state * classes + class]]).unwrap_or(0);
            }
            if !node.ends.is_none() {
                ends.push(std::mem::take(&mut node.ends));
            }
        }
        let narrow = |number: usize| State::try_from(number).unwrap_or(0);
        let columns = self.classes.map(|class| narrow(usize::from(class) * high));
        (Automaton { columns, next, ended: narrow(ended), depths }, ends)
    }
}

/// The automaton.
#[derive(Clone)]
pub(super) struct Automaton {
    /// Where the column of each byte begins in `next`.
    columns: [u32; 256],
    /// For each class of bytes the state after each state: those of ordinary text stand close together in few lines.
    next: Vec<u16>,
    /// The bit that only states have in which a text ends. So one test tells for many lanes.
    ended: State,
    /// How much of a text has been read in each state, in bytes.
    depths: Vec<u8>,
}

impl Automaton {
    /// How many states there are, with some that are none.
    pub(super) const fn states(&self) -> usize {
        self.depths.len()
    }

    /// The state after one byte more.
    #[inline]
    pub(super) fn step(&self, state: State, byte: u8) -> State {
        State::from(self.next[self.columns[usize::from(byte)].wrapping_add(state) as usize])
    }

    /// The bit of states in which a text ends.
    #[inline]
    pub(super) const fn ended(&self) -> State {
        self.ended
    }

    /// Which of the states in which a text ends it is, if it is one.
    #[inline]
    pub(super) const fn ended_at(&self, state: State) -> Option<usize> {
        match state.checked_sub(self.ended) {
            Some(place) => Some(place as usize),
            None => None,
        }
    }

    /// How many of the last bytes may still begin a text.
    pub(super) fn depth(&self, state: State) -> usize {
        self.depths.get(state as usize).map_or(0, |depth| usize::from(*depth))
    }
}

//! Reads texts by the automaton of the gate, many at once.
//!
//! A step of the automaton must wait for the step before, so texts are read in several lanes, a byte of each in turn: the
//! processor works on one lane while another waits for memory. A lane that has come to the end of its text takes the
//! next; a text that is longer than its share is read by several, each beginning with the end of the piece before.
//! What is heard of a text does not depend on the texts beside it.

use super::gate::{Gate, HEARD_MAX, State, Woken};

/// Lanes read at once: each more hides more of the waiting, and costs a text alone more that is read twice.
const MANY: usize = 8;
const FEW: usize = 4;
/// Less than this is read in few lanes, in bytes.
const MANY_MIN: usize = 768;
/// Bytes of each lane read before lanes are looked at again.
const BLOCK: usize = 64;
/// What a piece reads of the one before: a literal may begin there.
const OVERLAP: usize = HEARD_MAX - 1;
/// Fewest and most bytes of a piece, besides.
const PIECE_MIN: usize = 40;
const PIECE_MAX: usize = 1_024;

/// What was heard in one text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// What its literals speak for.
    pub(super) woken: Woken,
    /// The state at its end.
    pub(super) end: State,
}

/// A text to be heard, and the place for what is heard in it.
pub(super) trait Text {
    /// What is to be heard.
    fn bytes(&self) -> &[u8];
    /// Nothing, at first.
    fn heard(&mut self) -> &mut Heard;
}

/// A text by itself.
struct Alone<'t>(&'t [u8], Heard);

impl Text for Alone<'_> {
    fn bytes(&self) -> &[u8] {
        self.0
    }

    fn heard(&mut self) -> &mut Heard {
        &mut self.1
    }
}

/// A part of one text, to be read in one lane.
#[derive(Clone, Copy)]
struct Piece {
    text: usize,
    at: usize,
    end: usize,
}

/// Hands out the pieces of all texts.
struct Pieces {
    share: usize,
    text: usize,
    at: usize,
}

impl Pieces {
    fn of(bytes: usize, lanes: usize) -> Self {
        Self { share: bytes.div_ceil(lanes).clamp(PIECE_MIN, PIECE_MAX), text: 0, at: 0 }
    }

    fn next(&mut self, texts: &[impl Text]) -> Option<Piece> {
        let (text, length) = loop {
            let length = texts.get(self.text)?.bytes().len();
            if self.at < length {
                break (self.text, length);
            }
            (self.text, self.at) = (self.text + 1, 0);
        };
        let at = self.at.saturating_sub(OVERLAP);
        // What is left behind must be worth a piece of its own.
        let end = if length - self.at < self.share + OVERLAP { length } else { self.at + self.share };
        self.at = end;
        Some(Piece { text, at, end })
    }
}

impl Gate {
    /// What is heard in one text.
    pub(super) fn hear(&self, text: &[u8]) -> Heard {
        let mut text = [Alone(text, Heard::default())];
        self.hear_all(&mut text);
        let [Alone(_, heard)] = text;
        heard
    }

    /// Hears many.
    pub(super) fn hear_all(&self, texts: &mut [impl Text]) {
        let bytes = texts.iter().map(|text| text.bytes().len()).sum::<usize>();
        if bytes < MANY_MIN {
            self.hear_in::<FEW>(texts, Pieces::of(bytes, FEW));
        } else {
            self.hear_in::<MANY>(texts, Pieces::of(bytes, MANY));
        }
    }

    fn hear_in<const LANES: usize>(&self, texts: &mut [impl Text], mut pieces: Pieces) {
        let mut lanes = [None::<Piece>; LANES];
        let mut states = [0; LANES];
        let mut blocks = [[0; BLOCK]; LANES];
        loop {
            for (lane, state) in lanes.iter_mut().zip(&mut states) {
                if lane.is_none() {
                    (*lane, *state) = (pieces.next(texts), 0);
                }
            }
            let Some(steps) = lanes.iter().flatten().map(|piece| piece.end - piece.at).min() else { return };
            let steps = steps.min(BLOCK);
            for (piece, block) in lanes.iter().zip(&mut blocks) {
                if let Some((piece, text)) = piece.and_then(|piece| Some((piece, texts.get(piece.text)?))) {
                    copy(text.bytes().get(piece.at..).unwrap_or_default(), block);
                }
            }
            states = self.run(states, &blocks, steps, |states| {
                for lane in self.ended_in(states) {
                    let piece = lanes.get(lane).copied().flatten();
                    if let Some(text) = piece.and_then(|piece| texts.get_mut(piece.text)) {
                        self.note(states[lane], &mut text.heard().woken);
                    }
                }
            });
            for (lane, state) in lanes.iter_mut().zip(&states) {
                let Some(piece) = lane else { continue };
                piece.at += steps;
                if piece.at == piece.end {
                    if let Some(text) =
                        texts.get_mut(piece.text).filter(|text| text.bytes().len() == piece.end)
                    {
                        text.heard().end = *state;
                    }
                    *lane = None;
                }
            }
        }
    }

    /// Takes some steps in each lane; tells of those at which a literal ends in one of them.
    #[inline]
    fn run<const LANES: usize>(
        &self,
        mut at: [State; LANES],
        blocks: &[[u8; BLOCK]; LANES],
        steps: usize,
        mut tell: impl FnMut(&[State; LANES]),
    ) -> [State; LANES] {
        for byte in 0..steps.min(BLOCK) {
            let mut seen = 0;
            for (state, block) in at.iter_mut().zip(blocks) {
                *state = self.step(*state, block[byte]);
                seen |= *state;
            }
            if seen & self.ended() != 0 {
                // A copy, so that the states themselves stay in registers.
                tell(&{ at });
            }
        }
        at
    }

    /// The lanes in which a literal ends. Which they are cannot be foretold, so it is computed and not tried.
    fn ended_in<const LANES: usize>(
        &self,
        states: &[State; LANES],
    ) -> impl Iterator<Item = usize> + use<LANES> {
        let lane_bit = |(lane, state): (usize, &State)| u32::from(state & self.ended() != 0) << lane;
        let mut ended = states.iter().enumerate().map(lane_bit).fold(0, std::ops::BitOr::bitor);
        std::iter::from_fn(move || {
            let lane = ended.trailing_zeros() as usize % LANES;
            (ended != 0).then(|| {
                ended &= ended - 1;
                lane
            })
        })
    }

    /// The state after the end of a text that was not heard.
    pub(super) fn end_of(&self, text: &[u8]) -> State {
        self.after(0, text.get(text.len().saturating_sub(HEARD_MAX)..).unwrap_or_default())
    }

    /// The state after some bytes more.
    pub(super) fn after(&self, state: State, bytes: &[u8]) -> State {
        bytes.iter().fold(state, |state, byte| self.step(state, *byte))
    }

    /// What literals speak for that begin before `bytes` and end in them, after `state`.
    pub(super) fn across(&self, state: State, bytes: &[u8], woken: &mut Woken) {
        let mut state = state;
        for (read, byte) in bytes.iter().enumerate() {
            if self.depth(state) <= read {
                return;
            }
            state = self.step(state, *byte);
            self.note(state, woken);
        }
    }
}

/// As much as a block holds. What it held before stays behind a text that is shorter.
#[inline]
fn copy(text: &[u8], block: &mut [u8; BLOCK]) {
    if let Some(whole) = text.first_chunk::<BLOCK>() {
        *block = *whole;
        return;
    }
    let (words, rest) = text.as_chunks::<8>();
    let (into, _) = block.as_chunks_mut::<8>();
    into.iter_mut().zip(words).for_each(|(to, word)| *to = *word);
    let end = block.get_mut(words.len() * 8..).unwrap_or_default();
    end.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
}

//! One sweep over the bytes of a text, 64 at a time: what is looked for becomes a mask with a bit for each place, and runs
//! and single letters are found on masks.

use fearless_simd::{Level, Simd, dispatch};

use super::block::{BYTES, Block};

/// Shortest word that may be a phrase run together, in bytes.
pub(super) const WORD_MIN: usize = 20;

/// What a sweep shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sweep {
    /// Something is not plain text: beyond ASCII or a control character.
    pub(super) odd: bool,
    /// One of the signs that begin an encoding: percent, ampersand, backslash, dollar, equals.
    pub(super) escapes: bool,
    /// A quotation mark follows another of its kind.
    pub(super) empty_quotes: bool,
    /// Five letters or digits stand alone one after the other, each parted from the next by one byte.
    pub(super) letters_apart: bool,
    /// [`WORD_MIN`] letters or digits stand in a row.
    pub(super) long_word: bool,
    /// Capital letters.
    pub(super) upper: u32,
    /// Digits.
    pub(super) digits: u32,
    /// ASCII punctuation.
    pub(super) punctuation: u32,
    /// Letters and digits.
    pub(super) word: u32,
    /// Line ends.
    pub(super) lines: u32,
}

/// Sweeps over a text.
pub(super) fn sweep(text: &[u8]) -> Sweep {
    dispatch!(Level::new(), simd => swept(simd, text))
}

#[inline(always)]
fn swept<S: Simd>(simd: S, text: &[u8]) -> Sweep {
    let mut sweeper = Sweeper::default();
    for bytes in text.chunks(BYTES) {
        // Blanks are nothing of what is looked for.
        sweeper.take(Block::of(simd, bytes, b' '));
    }
    sweeper.end()
}

/// What was seen up to here, and what of it goes on in the next block.
#[derive(Default)]
struct Sweeper {
    sweep: Sweep,
    odd: u64,
    escapes: u64,
    empty_quotes: u64,
    /// Quotation marks of either kind in the block before.
    quotes: [u64; 2],
    runs: Runs,
    apart: Apart,
}

impl Sweeper {
    #[inline(always)]
    fn take(&mut self, block: Block<impl Simd>) {
        let upper = block.within(b'A', b'Z');
        let digits = block.within(b'0', b'9');
        let word = upper | digits | block.within(b'a', b'z');
        let graphic = block.within(b'!', b'~');
        let lines = block.is(b'\n');
        self.odd |= !(graphic | lines | block.is(b' ') | block.is(b'\t') | block.is(b'\r'));
        self.escapes |= block.within(b'$', b'&') | block.is(b'\\') | block.is(b'=');
        for (quote, before) in [b'"', b'\''].into_iter().zip(&mut self.quotes) {
            let quotes = block.is(quote);
            self.empty_quotes |= quotes & moved(quotes, *before, 1);
            *before = quotes;
        }
        self.sweep.upper += upper.count_ones();
        self.sweep.digits += digits.count_ones();
        self.sweep.punctuation += (graphic & !word).count_ones();
        self.sweep.lines += lines.count_ones();
        self.sweep.word += word.count_ones();
        self.sweep.long_word |= self.runs.reach(word);
        self.sweep.letters_apart |= self.apart.reach(word);
    }

    #[inline(always)]
    fn end(mut self) -> Sweep {
        self.sweep.letters_apart |= self.apart.reach(0);
        let [odd, escapes, empty_quotes] =
            [self.odd, self.escapes, self.empty_quotes].map(|places| places != 0);
        Sweep { odd, escapes, empty_quotes, ..self.sweep }
    }
}

/// A mask moved by some places, with what the block before moves in.
const fn moved(mask: u64, before: u64, places: u32) -> u64 {
    mask << places | before >> (64 - places)
}

/// Finds runs over the borders of blocks. Each step says where runs of so many end.
#[derive(Default)]
struct Runs([u64; 5]);

impl Runs {
    #[inline]
    fn reach(&mut self, mask: u64) -> bool {
        let mut ends = mask;
        // Of 2, 4, 8, 16, and then 20 in a row.
        for (before, places) in self.0.iter_mut().zip([1, 2, 4, 8, 4]) {
            let longer = ends & moved(ends, *before, places);
            *before = ends;
            ends = longer;
        }
        ends != 0
    }
}

/// Finds letters that stand alone, two places from each other.
#[derive(Default)]
struct Apart {
    /// Letters of the block before, and of the one before that.
    masks: [u64; 2],
    /// Who stood alone in the block before the last ...
    alone: u64,
    /// ... and where two, and four, of them ended.
    ends: [u64; 2],
}

impl Apart {
    /// Takes the next block and says whether there were enough up to the one before: whether the last letter of a block
    /// stands alone shows only in the next.
    #[inline]
    fn reach(&mut self, mask: u64) -> bool {
        let [now, before] = self.masks;
        let after = now >> 1 | mask << 63;
        let alone = now & !moved(now, before, 1) & !after;
        let two = alone & moved(alone, self.alone, 2);
        let four = two & moved(two, self.ends[0], 4);
        let five = four & moved(alone, self.alone, 8);
        self.masks = [mask, now];
        (self.alone, self.ends) = (alone, [two, four]);
        five != 0
    }
}

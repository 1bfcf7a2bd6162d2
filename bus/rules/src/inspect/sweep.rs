//! One sweep over the bytes of a text, in blocks of a fixed size and without a table, so that the compiler turns it into
//! instructions for many bytes at once. Letters and digits become a mask, on which runs and single letters are found
//! 64 places at a time.

/// Bytes of a block: one for each bit of a mask.
pub(super) const BLOCK: usize = 64;
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

/// What one block shows; flags are bytes of which any bit counts.
#[derive(Clone, Copy, Default)]
struct Seen {
    odd: u8,
    escapes: u8,
    quotes: u8,
    upper: u8,
    digits: u8,
    punctuation: u8,
    lines: u8,
}

/// Sweeps over a text.
pub(super) fn sweep(text: &[u8]) -> Sweep {
    let mut sweep = Sweep::default();
    let (mut runs, mut apart) = (Runs::default(), Apart::default());
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut before = b' ';
    let mut take = |block: &[u8; BLOCK]| {
        let (seen, mask) = look(block);
        sweep.odd |= seen.odd != 0;
        sweep.escapes |= seen.escapes != 0;
        sweep.empty_quotes |= seen.quotes != 0 && has_empty_quotes(before, block);
        sweep.upper += u32::from(seen.upper);
        sweep.digits += u32::from(seen.digits);
        sweep.punctuation += u32::from(seen.punctuation);
        sweep.lines += u32::from(seen.lines);
        sweep.word += mask.count_ones();
        sweep.long_word |= runs.reach(mask);
        sweep.letters_apart |= apart.reach(mask);
        before = block[BLOCK - 1];
    };
    blocks.iter().for_each(&mut take);
    if !rest.is_empty() {
        // Blanks are nothing of what is looked for.
        let mut last = [b' '; BLOCK];
        last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
        take(&last);
    }
    sweep.letters_apart |= apart.reach(0);
    sweep
}

/// Looks at each byte of a block; gives the places of letters and digits too, the first in the lowest bit.
#[inline]
fn look(block: &[u8; BLOCK]) -> (Seen, u64) {
    let mut seen = Seen::default();
    let mut word = [0u8; BLOCK];
    let is_in =
        |byte: u8, first: u8, last: u8| u8::from(byte.wrapping_sub(first) <= last.wrapping_sub(first));
    for (byte, word) in block.iter().zip(&mut word) {
        let byte = *byte;
        let digit = is_in(byte, b'0', b'9');
        let letter = is_in(byte | 0x20, b'a', b'z');
        *word = digit | letter;
        let line = u8::from(byte == b'\n');
        let graphic = is_in(byte, b'!', b'~');
        let blank = line | u8::from(byte == b' ') | u8::from(byte == b'\t') | u8::from(byte == b'\r');
        seen.odd |= (graphic | blank) ^ 1;
        seen.escapes |= is_in(byte, b'$', b'&') | u8::from(byte == b'\\') | u8::from(byte == b'=');
        seen.quotes |= u8::from(byte == b'"') | u8::from(byte == b'\'');
        // At most as many as a block has bytes; a check of each sum would forbid to take many at once.
        seen.upper = seen.upper.wrapping_add(is_in(byte, b'A', b'Z'));
        seen.digits = seen.digits.wrapping_add(digit);
        seen.punctuation = seen.punctuation.wrapping_add(graphic & (*word ^ 1));
        seen.lines = seen.lines.wrapping_add(line);
    }
    (seen, mask(&word))
}

/// The lowest bits of 64 bytes.
#[inline]
pub(super) fn mask(bytes: &[u8; BLOCK]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().enumerate().fold(0, |mask, (at, word)| {
        // Each byte of the word is 0 or 1; the product moves them side by side into the highest byte.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask | bits << (at * 8)
    })
}

fn has_empty_quotes(before: u8, block: &[u8; BLOCK]) -> bool {
    let is_pair = |a: u8, b: u8| a == b && (a == b'"' || a == b'\'');
    is_pair(before, block[0]) || block.windows(2).any(|pair| matches!(pair, [a, b] if is_pair(*a, *b)))
}

/// A mask moved by some places, with what the block before moves in.
const fn moved(mask: u64, before: u64, places: u32) -> u64 {
    mask << places | before >> (64 - places)
}

/// Finds runs over the borders of blocks. Each step says where runs of so many end.
#[derive(Default)]
struct Runs([u64; 5]);

impl Runs {
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

//! 64 bytes at a time, as a mask with a bit for each place: the first in the lowest. The instructions are the best that
//! the processor has, chosen when the program runs.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

/// Bytes of a block: one for each bit of a mask.
pub(super) const BYTES: usize = 64;

/// So many bytes of a text.
#[derive(Clone, Copy)]
pub(super) struct Block<S: Simd> {
    bytes: u8x64<S>,
}

impl<S: Simd> Block<S> {
    /// The first ones of these, and `rest` where there are fewer.
    #[inline(always)]
    pub(super) fn of(simd: S, bytes: &[u8], rest: u8) -> Self {
        if let Some(whole) = bytes.first_chunk::<BYTES>() {
            return Self { bytes: u8x64::from_slice(simd, whole) };
        }
        let mut block = [rest; BYTES];
        block.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        Self { bytes: u8x64::from_slice(simd, &block) }
    }

    /// Where this byte stands.
    #[inline(always)]
    pub(super) fn is(self, byte: u8) -> u64 {
        self.bytes.simd_eq(byte).to_bitmask()
    }

    /// Where one of these stands.
    #[inline(always)]
    pub(super) fn within(self, first: u8, last: u8) -> u64 {
        (self.bytes - first).simd_le(last - first).to_bitmask()
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    /// Every set of instructions that this processor has.
    fn levels() -> Vec<Level> {
        let mut levels = vec![Level::new(), Level::baseline()];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(Level::new().as_sse4_2().map(Level::Sse4_2));
            levels.extend(Level::new().as_avx2().map(Level::Avx2));
        }
        levels
    }

    #[inline(always)]
    fn masks<S: Simd>(simd: S, bytes: &[u8], first: u8, last: u8) -> [u64; 2] {
        let block = Block::of(simd, bytes, b'x');
        [block.is(first), block.within(first, last)]
    }

    #[test]
    fn a_mask_has_a_bit_for_each_place_whatever_the_instructions() {
        let mask = |bytes: &[u8], is: &dyn Fn(u8) -> bool| {
            (0..BYTES)
                .filter(|at| is(bytes.get(*at).copied().unwrap_or(b'x')))
                .fold(0, |mask, at| mask | 1 << at)
        };
        for level in levels() {
            for first in 0..=u8::MAX {
                let bytes = (0..=u8::MAX).map(|n| first.wrapping_add(n.wrapping_mul(7))).collect::<Vec<_>>();
                let last = first.saturating_add(first / 3);
                for bytes in [&bytes[..BYTES], &bytes[..BYTES - 1], &bytes[..1], &[]] {
                    let expected = [
                        mask(bytes, &|byte| byte == first),
                        mask(bytes, &|byte| (first..=last).contains(&byte)),
                    ];
                    assert_eq!(
                        dispatch!(level, simd => masks(simd, bytes, first, last)),
                        expected,
                        "{level:?} {first}"
                    );
                }
            }
        }
    }
}

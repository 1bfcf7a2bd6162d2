//! Keyed BLAKE3 of many short inputs at once: the messages of a bundle side by side in the lanes of a vector.
//!
//! BLAKE3 itself uses lanes only within one input of several KiB; messages are shorter, and alone each takes six
//! times as long. The compression functions are the blake3 crate's own, from its module `platform`, which it
//! calls unstable: the version is held in Cargo.toml, the tests compare every length with the crate's documented
//! function, and before first use so does the program; should they ever differ, the documented one is used.

use std::sync::LazyLock;

use blake3::IncrementCounter;
use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};

/// The flags of a compression (BLAKE3 specification, table 3).
mod flag {
    pub(super) const CHUNK_START: u8 = 1;
    pub(super) const CHUNK_END: u8 = 1 << 1;
    pub(super) const PARENT: u8 = 1 << 2;
    pub(super) const ROOT: u8 = 1 << 3;
    pub(super) const KEYED_HASH: u8 = 1 << 4;
}

/// Bytes of a block, and of a chunk of sixteen of them.
const BLOCK: usize = 64;
const CHUNK: usize = 1024;
/// Inputs that are hashed together, at most: the widest vectors hold so many.
const LANES: usize = 16;

type Hash = [u8; 32];

/// What inputs are hashed under.
#[derive(Debug)]
pub(super) struct Key {
    bytes: Hash,
    words: [u32; 8],
}

/// One chunk of one input: which, and how many of its blocks come before the last.
#[derive(Clone, Copy)]
struct Job {
    input: usize,
    chunk: u8,
    blocks: u8,
}

static PLATFORM: LazyLock<Option<Platform>> = LazyLock::new(|| {
    let platform = Platform::detect();
    agrees(platform).then_some(platform)
});

/// Whether this platform's lanes give what the documented function gives.
fn agrees(platform: Platform) -> bool {
    let key = Key::new([7; 32]);
    let bytes: Vec<u8> = (0_u32..2048).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    let inputs: Vec<_> = (0..LANES * 4).filter_map(|n| bytes.get(n..n + 1 + n * 31)).collect();
    let pair: &[u8; 64] = &[9; 64];
    inputs.len() == LANES * 4
        && key.hash_on(platform, &inputs) == inputs.iter().map(|input| key.hash(input)).collect::<Vec<_>>()
        && key.pairs_on(platform, &[pair; LANES + 1]) == vec![key.hash(pair); LANES + 1]
}

impl Key {
    pub(super) fn new(bytes: Hash) -> Self {
        Self { bytes, words: words_from_le_bytes_32(&bytes) }
    }

    /// One input, of any length.
    pub(super) fn hash(&self, input: &[u8]) -> Hash {
        *blake3::keyed_hash(&self.bytes, input).as_bytes()
    }

    /// Many inputs, of any lengths.
    pub(super) fn hash_all(&self, inputs: &[&[u8]]) -> Vec<Hash> {
        match *PLATFORM {
            Some(platform) if inputs.len() > 1 => self.hash_on(platform, inputs),
            Some(_) | None => inputs.iter().map(|input| self.hash(input)).collect(),
        }
    }

    /// Many inputs of 64 bytes.
    pub(super) fn hash_pairs(&self, pairs: &[&[u8; 64]]) -> Vec<Hash> {
        match *PLATFORM {
            Some(platform) => self.pairs_on(platform, pairs),
            None => pairs.iter().map(|pair| self.hash(*pair)).collect(),
        }
    }

    fn pairs_on(&self, platform: Platform, pairs: &[&[u8; 64]]) -> Vec<Hash> {
        let flags = flag::CHUNK_START | flag::CHUNK_END | flag::ROOT;
        let mut out = vec![[0; 32]; pairs.len()];
        self.many(platform, pairs, (0, flags), out.as_flattened_mut());
        out
    }

    fn hash_on(&self, platform: Platform, inputs: &[&[u8]]) -> Vec<Hash> {
        // The chunks of each input that has one or two; longer ones fill the lanes by themselves.
        let mut chunks = vec![[[0; 32]; 2]; inputs.len()];
        let mut jobs = Vec::with_capacity(inputs.len());
        for (input, bytes) in inputs.iter().enumerate().filter(|(_, bytes)| bytes.len() <= 2 * CHUNK) {
            for (chunk, bytes) in (0_u8..).zip(bytes.chunks(CHUNK)) {
                // Sixteen at most: a chunk is no longer.
                let blocks = u8::try_from((bytes.len() - 1) / BLOCK).unwrap_or_default();
                jobs.push(Job { input, chunk, blocks });
            }
        }
        jobs.sort_unstable_by_key(|job| (job.blocks, job.chunk));
        for alike in jobs.chunk_by(|a, b| (a.blocks, a.chunk) == (b.blocks, b.chunk)) {
            for lanes in alike.chunks(LANES) {
                self.compress(platform, inputs, lanes, &mut chunks);
            }
        }
        let finish = |(bytes, chunks): (&&[u8], &[Hash; 2])| match bytes.len() {
            1..=CHUNK => chunks[0],
            0 => self.hash(bytes),
            _ if bytes.len() > 2 * CHUNK => self.hash(bytes),
            _ => self.parent(platform, chunks),
        };
        inputs.iter().zip(&chunks).map(finish).collect()
    }

    /// Whole chunks, alike in place and number of blocks.
    fn compress(&self, platform: Platform, inputs: &[&[u8]], jobs: &[Job], chunks: &mut [[Hash; 2]]) {
        let Some(Job { chunk, blocks, .. }) = jobs.first().copied() else { return };
        let from = usize::from(chunk) * CHUNK;
        let full = from + usize::from(blocks) * BLOCK;
        let mut heads = [[0; 32]; LANES];
        let heads_out = heads.as_flattened_mut();
        macro_rules! heads {
            ($($blocks:literal)*) => { match blocks {
                $($blocks => {
                    let mut lanes = [&[0; $blocks * BLOCK]; LANES];
                    for (lane, job) in lanes.iter_mut().zip(jobs) {
                        if let Some(head) = inputs[job.input][from..].first_chunk() {
                            *lane = head;
                        }
                    }
                    self.many(platform, &lanes[..jobs.len()], (u64::from(chunk), flag::CHUNK_START), heads_out);
                })*
                _ => {}
            } };
        }
        heads!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        let start = if blocks == 0 { flag::CHUNK_START } else { 0 };
        for (job, head) in jobs.iter().zip(&heads) {
            let input = inputs[job.input];
            let mut words = if blocks == 0 { self.words } else { words_from_le_bytes_32(head) };
            let last = &input[full..input.len().min(full + BLOCK)];
            let mut block = [0; BLOCK];
            block[..last.len()].copy_from_slice(last);
            let root = if input.len() <= CHUNK { flag::ROOT } else { 0 };
            let flags = flag::KEYED_HASH | flag::CHUNK_END | start | root;
            // A block has 64 bytes at most.
            let len = u8::try_from(last.len()).unwrap_or_default();
            platform.compress_in_place(&mut words, &block, len, u64::from(chunk), flags);
            chunks[job.input][usize::from(chunk)] = le_bytes_from_words_32(&words);
        }
    }

    fn parent(&self, platform: Platform, chunks: &[Hash; 2]) -> Hash {
        let mut both = [0; BLOCK];
        both.copy_from_slice(chunks.as_flattened());
        let mut words = self.words;
        let flags = flag::KEYED_HASH | flag::PARENT | flag::ROOT;
        platform.compress_in_place(&mut words, &both, 64, 0, flags);
        le_bytes_from_words_32(&words)
    }

    /// Full blocks of many inputs; the flags are of the only block, or of the first of several.
    fn many<const N: usize>(
        &self,
        platform: Platform,
        inputs: &[&[u8; N]],
        (counter, flags): (u64, u8),
        out: &mut [u8],
    ) {
        let counting = IncrementCounter::No;
        platform.hash_many(inputs, &self.words, counter, counting, flag::KEYED_HASH, flags, 0, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn all(key: &Key, inputs: &[&[u8]]) -> Vec<Hash> {
        inputs.iter().map(|input| key.hash(input)).collect()
    }

    #[test]
    fn every_length_hashes_as_it_does_alone() {
        let (key, bytes) = (Key::new([3; 32]), bytes(4200));
        let inputs: Vec<_> = (0..bytes.len()).map(|len| &bytes[..len]).collect();
        assert_eq!(key.hash_all(&inputs), all(&key, &inputs));
    }

    #[test]
    fn every_number_of_inputs_hashes_as_they_do_alone() {
        let (key, bytes) = (Key::new([4; 32]), bytes(2048));
        for len in [1, 64, 65, 500, 1024, 1025, 1300, 2048] {
            for n in 0..70 {
                let inputs = vec![&bytes[..len]; n];
                assert_eq!(key.hash_all(&inputs), all(&key, &inputs), "{n} of {len}");
            }
        }
        let pair: &[u8; 64] = bytes.first_chunk().unwrap();
        for n in 0..70 {
            assert_eq!(key.hash_pairs(&vec![pair; n]), vec![key.hash(pair); n]);
        }
    }

    #[test]
    fn this_machine_hashes_in_lanes() {
        assert!(PLATFORM.is_some(), "the crate's lanes no longer give what its documented function gives");
    }

    proptest! {
        #[test]
        fn whatever_comes_together_hashes_as_it_does_alone(
            key: [u8; 32],
            inputs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2600), 0..40),
        ) {
            let key = Key::new(key);
            let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(key.hash_all(&inputs), all(&key, &inputs));
        }
    }
}

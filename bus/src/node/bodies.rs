//! How large a body over 64 KiB may be, and how much memory there is for them.

use testudo_wire::header::LANES;
use tokio::sync::Semaphore;

use super::lanes::reserve_kib;

/// What a node does with bodies over 64 KiB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bodies {
    /// The largest, in bytes: 64 KiB to 16 MiB.
    pub bytes_max: u32,
    /// Bytes of memory for all that are on their way at once; never less than one.
    pub memory_bytes: u64,
    /// How many are hashed and inspected at once, each on a thread of its own beside the node's.
    pub threads: usize,
}

impl Default for Bodies {
    /// 1 MiB, 64 MiB for all, one at a time.
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024, memory_bytes: 64 * 1024 * 1024, threads: 1 }
    }
}

impl Bodies {
    /// The largest that a node can be told to take.
    pub const MAX: u32 = 16 * 1024 * 1024;

    /// A body on every lane at once, unless that is more than a quarter of everything.
    pub(super) fn kib_of_link(&self) -> usize {
        let one = reserve_kib(self.bytes_max as usize);
        (LANES - 1).saturating_mul(one).min(self.kib() / 4).max(one)
    }

    /// A quarter, or one body.
    pub(super) fn kib_of_late(&self) -> usize {
        (self.kib() / 4).max(reserve_kib(self.bytes_max as usize))
    }

    pub(super) fn kib(&self) -> usize {
        let one = reserve_kib(self.bytes_max as usize);
        usize::try_from(self.memory_bytes / 1024).unwrap_or(usize::MAX).clamp(one, Semaphore::MAX_PERMITS)
    }
}

//! What a receiver's queue may hold, and how long a node is patient with who does not empty it (threat A63).

use std::time::Duration;

/// Patience with a queue of small messages (threat A63).
const STUCK: Duration = Duration::from_secs(4);
/// The slowest line that large bodies are made for, in bytes a second.
const SLOWEST: u64 = 256 * 1024;
/// Patience with an acknowledgement of small messages: a heartbeat interval, so that an agent may be busy, but
/// not for ever.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);
/// The same of a large body, once all of it is with the transport.
const ACKNOWLEDGE_BODY: Duration = Duration::from_secs(8);
/// A subscriber that holds up a publication for longer is not waited for any more ...
const HOLD: Duration = Duration::from_millis(250);
/// ... or a larger one for as much longer as it takes at so many bytes a second.
const HOLD_RATE: u64 = 8 * 1024 * 1024;
/// Where there is no memory for what nobody waits for, a publisher waits for so long for a copy that is being written, and
/// then the subscriber is out.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(5);

/// What an outbox may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes queued or unacknowledged.
    pub(crate) bytes: usize,
    /// The part of them that one sender may hold: a flooder leaves room for others (threat A64).
    pub(crate) share: usize,
    /// Messages, however small: each costs a place beside its bytes.
    pub(crate) messages: usize,
    /// How long a receiver may have a delivery.
    pub(crate) patience: Patience,
}

/// How long a receiver may have a delivery without acknowledging it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Of small messages: so long; not even that when a lot waits behind it, nor does any sender wait for longer.
    Small { stuck: Duration, acknowledge: Duration },
    /// Of a large body, once it is written; until then its writer's pace decides.
    Body { acknowledge: Duration },
}

impl Bounds {
    /// Lane 0 (threat A63), where a sender may have `window` bytes unsettled: so much is its share, or what it may send
    /// would be refused. Two full windows of the smallest messages stay below the count.
    pub(crate) const fn of_window(window: u32) -> Self {
        let share = window as usize;
        let patience = Patience::Small { stuck: STUCK, acknowledge: ACKNOWLEDGE };
        Self { bytes: 2 * share, share, messages: share / 32, patience }
    }

    /// A lane of large bodies: two at once, so that one can be on its way while the next one is taken in.
    pub(crate) const fn of_bodies(body_bytes_max: usize) -> Self {
        let bytes = 2 * (body_bytes_max + 2048);
        Self { bytes, share: bytes, messages: 64, patience: Patience::Body { acknowledge: ACKNOWLEDGE_BODY } }
    }
}

/// How long so many bytes may take.
pub(crate) const fn slowest(bytes: usize) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / SLOWEST)
}

/// How long a subscriber may hold up a publication of so many bytes.
pub(super) const fn hold(bytes: usize) -> Duration {
    HOLD.saturating_add(Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / HOLD_RATE))
}

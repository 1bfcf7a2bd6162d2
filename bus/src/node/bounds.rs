//! What a receiver's queue may hold, and how long a node is patient with who does not empty it (threat A63).

use std::time::Duration;

/// Patience with a queue of small messages (threat A63).
const STUCK: Duration = Duration::from_secs(4);
/// The slowest line that large bodies are made for, in bytes a second.
const SLOWEST: u64 = 256 * 1024;
/// Patience with an acknowledgement of small messages: a heartbeat interval, so that an agent may be busy, but
/// not for ever.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);

/// What an outbox may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes queued or unacknowledged.
    pub(crate) bytes: usize,
    /// The part of them that one sender may hold: a flooder leaves room for others (threat A64).
    pub(crate) share: usize,
    /// Messages, however small: each costs a place beside its bytes.
    pub(crate) messages: usize,
    /// With a lot behind it, a delivery that is unacknowledged for so long means a receiver that reads too slowly.
    pub(crate) stuck: Duration,
    /// A receiver that leaves a delivery unacknowledged for so long loses its link.
    pub(crate) acknowledge: Duration,
    /// How long a receiver that says nothing may hold its senders' windows; `None` for as long as it has its link.
    pub(crate) holds_senders: Option<Duration>,
}

impl Bounds {
    /// Lane 0 (threat A63). Two full windows of the smallest messages stay below the count.
    pub(crate) const SMALL: Self = Self {
        bytes: 1024 * 1024,
        share: 512 * 1024,
        messages: 16_384,
        stuck: STUCK,
        acknowledge: ACKNOWLEDGE,
        holds_senders: Some(STUCK),
    };

    /// A lane of large bodies: two at once, so that one can be on its way while the next one is taken in.
    pub(crate) const fn of_bodies(body_bytes_max: usize) -> Self {
        let bytes = 2 * (body_bytes_max + 2048);
        let stuck = STUCK.saturating_add(slowest(body_bytes_max));
        // Their memory is the sender's reservation, so it is held to the end, and the end comes soon: four bodies
        // to one receiver are all that a sender can have on its way.
        let acknowledge = stuck.saturating_add(STUCK);
        Self { bytes, share: bytes, messages: 64, stuck, acknowledge, holds_senders: None }
    }
}

/// How long so many bytes may take.
pub(crate) const fn slowest(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1000 / SLOWEST)
}

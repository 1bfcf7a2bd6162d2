//! The books of one exporter: every event that it took is at one place at every instant.

/// Events by where they are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Counts {
    /// Taken from the log.
    pub submitted: u64,
    /// Taken by the receiver.
    pub delivered: u64,
    /// Refused by the receiver, each alone, or still failing when the exporter ended.
    pub failed: u64,
    /// Not sent: the exporter is off, or ended first.
    pub dropped: u64,
    /// Waiting.
    pub queued: u64,
    /// On their way.
    pub in_flight: u64,
}

impl Counts {
    /// The law.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.submitted == self.delivered + self.failed + self.dropped + self.queued + self.in_flight
    }
}

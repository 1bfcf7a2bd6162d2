//! The numbers of an exporter.

use std::time::Duration;

/// A number that makes no exporter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} must be {1} to {2}")]
pub struct SettingsError(&'static str, u64, u64);

/// The numbers of an exporter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Events in memory: what the log holds beyond that waits there.
    pub queue: usize,
    /// Events sent at once.
    pub batch: usize,
    /// An event waits no longer for others to go with.
    pub interval: Duration,
    /// An attempt that takes longer has failed.
    pub timeout: Duration,
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// An open breaker lets one attempt through after this time.
    pub open: Duration,
}

impl Default for Settings {
    /// 1,024 events, 100 at once, 2 s, 10 s, 5 failures, 60 s.
    fn default() -> Self {
        Self {
            queue: 1024,
            batch: 100,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(10),
            failures: 5,
            open: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// The settings, if they make an exporter.
    ///
    /// # Errors
    /// [`SettingsError`] names the first that does not.
    pub fn checked(self) -> Result<Self, SettingsError> {
        let within = |name, value: u128, least: u64, most: u64| {
            let good = (u128::from(least)..=u128::from(most)).contains(&value);
            if good { Ok(()) } else { Err(SettingsError(name, least, most)) }
        };
        within("queue", self.queue as u128, 1, 100_000)?;
        within("batch", self.batch as u128, 1, self.queue.min(10_000) as u64)?;
        within("interval_ms", self.interval.as_millis(), 1, 3_600_000)?;
        within("timeout_ms", self.timeout.as_millis(), 1, 600_000)?;
        within("failures", u128::from(self.failures), 1, 1_000_000)?;
        within("open_ms", self.open.as_millis(), 1, 86_400_000)?;
        Ok(self)
    }
}

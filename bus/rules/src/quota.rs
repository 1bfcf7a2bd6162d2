//! A token bucket in bundles and bytes: what one sender may cost the node before any signature is checked.
//!
//! The clock is an argument: time since anything fixed, never going back.

use std::time::Duration;

use testudo_wire::Refusal;
use testudo_wire::standing::Quota;

/// Fixed-point unit: one bundle or byte is this many parts, so that slow refills lose nothing.
const PARTS: u128 = 1_000_000_000;

/// The bucket of one link. It holds one second of its quota.
#[derive(Clone, Debug)]
pub struct Bucket {
    quota: Quota,
    bundles: u128,
    bytes: u128,
    last: Duration,
}

impl Bucket {
    /// A full bucket at `now`.
    #[must_use]
    pub fn new(quota: Quota, now: Duration) -> Self {
        let (bundles, bytes) = Self::capacity(&quota);
        Self { quota, bundles, bytes, last: now }
    }

    /// The same bucket under a quota that may have changed meanwhile: what was spent stays spent.
    #[must_use]
    pub fn under(mut self, quota: Quota) -> Self {
        self.go_by(quota);
        self
    }

    /// Goes by this quota from now on, which may be the same: what was spent stays spent.
    pub fn go_by(&mut self, quota: Quota) {
        if self.quota == quota {
            return;
        }
        let (bundles, bytes) = Self::capacity(&quota);
        self.quota = quota;
        self.bundles = self.bundles.min(bundles);
        self.bytes = self.bytes.min(bytes);
    }

    fn capacity(quota: &Quota) -> (u128, u128) {
        (u128::from(quota.bundles_per_second) * PARTS, u128::from(quota.bytes_per_second) * PARTS)
    }

    /// Takes one bundle of so many bytes.
    ///
    /// # Errors
    /// [`Refusal::OverQuota`], and then takes nothing.
    pub fn take(&mut self, bytes: usize, now: Duration) -> Result<(), Refusal> {
        let elapsed = now.saturating_sub(self.last).as_nanos();
        self.last = self.last.max(now);
        let (bundles_max, bytes_max) = Self::capacity(&self.quota);
        let refill = |rate: u64| u128::from(rate).saturating_mul(elapsed);
        self.bundles =
            self.bundles.saturating_add(refill(self.quota.bundles_per_second.into())).min(bundles_max);
        self.bytes = self.bytes.saturating_add(refill(self.quota.bytes_per_second)).min(bytes_max);
        let cost = bytes as u128 * PARTS;
        if self.bundles < PARTS || self.bytes < cost {
            return Err(Refusal::OverQuota);
        }
        self.bundles -= PARTS;
        self.bytes -= cost;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_holds_one_second_and_refills() {
        let quota = Quota { bundles_per_second: 10, bytes_per_second: 1000 };
        let mut bucket = Bucket::new(quota, at(0));
        assert_eq!((0..12).filter(|_| bucket.take(10, at(0)).is_ok()).count(), 10);
        assert_eq!(bucket.take(10, at(99)), Err(Refusal::OverQuota));
        assert_eq!(bucket.take(10, at(100)), Ok(()));
        assert_eq!(bucket.take(10, at(50)), Err(Refusal::OverQuota), "time going back refills nothing");
        assert_eq!((0..50).filter(|_| bucket.take(10, at(100_000)).is_ok()).count(), 10, "no hoarding");
    }

    #[test]
    fn bytes_are_bounded_too_and_a_refusal_takes_nothing() {
        let quota = Quota { bundles_per_second: 10, bytes_per_second: 1000 };
        let mut bucket = Bucket::new(quota, at(0));
        assert_eq!(bucket.take(1001, at(0)), Err(Refusal::OverQuota));
        assert_eq!(bucket.take(1000, at(0)), Ok(()));
        assert_eq!(bucket.take(1, at(0)), Err(Refusal::OverQuota));
    }

    #[test]
    fn a_new_quota_forgives_nothing() {
        let small = Quota { bundles_per_second: 1, bytes_per_second: 1000 };
        let large = Quota { bundles_per_second: 100, bytes_per_second: 1000 };
        let mut bucket = Bucket::new(small, at(0));
        bucket.take(0, at(0)).unwrap();
        let mut bucket = bucket.under(large);
        assert_eq!(bucket.take(0, at(0)), Err(Refusal::OverQuota));
        let mut full = Bucket::new(large, at(0)).under(small);
        assert_eq!((0..5).filter(|_| full.take(0, at(0)).is_ok()).count(), 1);
        assert_eq!(bucket.take(0, at(10)), Ok(()));
    }

    #[test]
    fn a_quota_of_nothing_lets_nothing_through() {
        let quota = Quota { bundles_per_second: 0, bytes_per_second: 0 };
        assert!(Bucket::new(quota, at(0)).take(0, at(1_000_000)).is_err());
    }
}

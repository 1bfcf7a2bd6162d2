//! Which messages are traced: a share of the sampled traces, by their ids, and no more in a second than a bound. Nobody
//! who sets a flag can make a node do more than that, nor take it all for itself.

use std::collections::HashMap;
use std::time::Duration;

use testudo_wire::{AgentName, TraceParent};

/// See the module. Time is an argument: since anything fixed.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Traces below this number, in the last eight bytes of their ids.
    below: u128,
    spans_per_second: u32,
    second: u64,
    promised: u32,
    /// Of the promised ones, by sender; no longer than what can be promised in a second.
    by: HashMap<AgentName, u32>,
    taken: u32,
}

impl Sampler {
    pub(super) fn new(ratio: f64, spans_per_second: u32) -> Self {
        // Exact at both ends; between them, to a share of one in four thousand millions.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 2^32")]
        let below = u128::from((ratio.clamp(0.0, 1.0) * 4_294_967_296.0) as u64) << 32;
        Self { below, spans_per_second, second: 0, promised: 0, by: HashMap::new(), taken: 0 }
    }

    fn turn(&mut self, now: Duration) {
        if now.as_secs() != self.second {
            self.second = now.as_secs();
            (self.promised, self.taken) = (0, 0);
            self.by.clear();
        }
    }

    /// Whether a trace belongs to the share.
    pub(super) fn is_of_share(&self, trace: &TraceParent) -> bool {
        let mut last = [0; 8];
        last.copy_from_slice(&trace.trace_id()[8..]);
        u128::from(u64::from_be_bytes(last)) < self.below
    }

    /// Whether there is room for a message of about so many spans.
    pub(super) fn promise(&mut self, sender: &AgentName, spans: u32, now: Duration) -> bool {
        self.turn(now);
        // A first message always fits: a low bound is for few messages, not for none.
        let share = (self.spans_per_second / 2).max(spans);
        let of_sender = self.by.get(sender).copied().unwrap_or_default();
        let fits = self.promised == 0 || self.promised.saturating_add(spans) <= self.spans_per_second;
        if !fits || of_sender.saturating_add(spans) > share {
            return false;
        }
        self.promised = self.promised.saturating_add(spans);
        self.by.insert(*sender, of_sender + spans);
        true
    }

    /// Whether one more span may come in this second: a publication has more spans than its message was taken for.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.turn(now);
        let fits = self.taken < self.spans_per_second.max(16);
        self.taken += u32::from(fits);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AgentName {
        AgentName::parse(text).unwrap()
    }

    fn trace(n: u64) -> TraceParent {
        let mut bytes = [1; 25];
        bytes[8..16].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        TraceParent(bytes)
    }

    #[test]
    fn the_share_is_kept_by_trace_id_and_exact_at_both_ends() {
        let of = |ratio: f64| {
            let sampler = Sampler::new(ratio, 10);
            (0..10_000).filter(|n| sampler.is_of_share(&trace(*n))).count()
        };
        assert_eq!((of(0.0), of(1.0)), (0, 10_000));
        let quarter = of(0.25);
        assert!((2300..2700).contains(&quarter), "{quarter}");
        let (few, many) = (Sampler::new(0.1, 10), Sampler::new(0.6, 10));
        let nested = (0..1000).all(|n| !few.is_of_share(&trace(n)) || many.is_of_share(&trace(n)));
        assert!(nested, "who records more records those, too");
        assert!(Sampler::new(1.0, 1).is_of_share(&TraceParent([0xff; 25])));
    }

    #[test]
    fn a_flood_of_sampled_messages_is_bounded_and_takes_no_more_than_half() {
        let mut sampler = Sampler::new(1.0, 80);
        let now = Duration::from_millis(1500);
        let flood = (0..1_000_000).filter(|_| sampler.promise(&name("flooder"), 8, now)).count();
        assert_eq!(flood, 5);
        let other = (0..100).filter(|_| sampler.promise(&name("other"), 8, now)).count();
        assert_eq!(other, 5, "the flooder left it its half");
        assert!(!sampler.promise(&name("third"), 8, now));
        assert_eq!((0..1000).filter(|_| sampler.take(now)).count(), 80);
        let next = Duration::from_millis(2000);
        assert!(sampler.promise(&name("third"), 8, next) && sampler.take(next));
        assert_eq!(sampler.by.len(), 1, "what is known of senders ends with the second");
    }

    #[test]
    fn a_bound_below_one_message_is_for_one_message() {
        let mut sampler = Sampler::new(1.0, 1);
        let now = Duration::ZERO;
        assert!(sampler.promise(&name("a"), 8, now));
        assert!(!sampler.promise(&name("a"), 8, now) && !sampler.promise(&name("b"), 8, now));
    }
}

//! Whether a sequence or a timestamp was used before: windows that forget nothing that is still valid.
//!
//! Freshness and retention come from one constant, inclusive on both ends (threats A18 to A20). Windows
//! belong to a link at the node, and to (sender key, session, lane) at a receiver; memory depends on the
//! number of sessions, never on traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use testudo_wire::header::LANES;
use testudo_wire::{PublicKey, Refusal, Sequence, SessionId, Timestamp};

/// How far a timestamp may be from the judge's clock, both ways, inclusive.
pub const FRESH: Duration = Duration::from_secs(300);

/// Sequences that one window can tell apart behind the highest.
pub const WINDOW_BITS: u64 = 1024;

/// Sessions that a receiver remembers of one sender.
pub const SESSIONS_MAX: usize = 64;

/// Refuses a timestamp outside [`FRESH`] of `now`.
///
/// # Errors
/// [`Refusal::Stale`].
pub fn fresh(timestamp: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if timestamp >= now.before(FRESH) && timestamp <= now.after(FRESH) { Ok(()) } else { Err(Refusal::Stale) }
}

/// The highest sequence seen and the 1,024 below it.
#[derive(Clone, Debug)]
pub struct Window {
    next: u64,
    seen: [u64; (WINDOW_BITS / 64) as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self { next: 0, seen: [0; (WINDOW_BITS / 64) as usize] }
    }
}

impl Window {
    /// Checks and records in one step.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] for a sequence that was recorded, or is too far behind to tell.
    pub fn record(&mut self, sequence: Sequence) -> Result<(), Refusal> {
        let Some(next) = sequence.0.checked_add(1) else { return Err(Refusal::Replayed) };
        if next > self.next {
            for skipped in self.next.max(next.saturating_sub(WINDOW_BITS))..next {
                self.clear(skipped);
            }
            self.next = next;
        } else if self.next - sequence.0 > WINDOW_BITS || self.is_seen(sequence.0) {
            return Err(Refusal::Replayed);
        }
        let (word, bit) = Self::place(sequence.0);
        self.seen[word] |= bit;
        Ok(())
    }

    const fn place(sequence: u64) -> (usize, u64) {
        let at = sequence % WINDOW_BITS;
        ((at / 64) as usize, 1 << (at % 64))
    }

    const fn is_seen(&self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        self.seen[word] & bit != 0
    }

    const fn clear(&mut self, sequence: u64) {
        let (word, bit) = Self::place(sequence);
        self.seen[word] &= !bit;
    }
}

/// The windows of one link at its node: one for each lane. They live and die with the link.
#[derive(Clone, Debug, Default)]
pub struct LinkWindows([Window; LANES]);

impl LinkWindows {
    /// Checks and records in one step.
    ///
    /// # Errors
    /// [`Refusal::Replayed`].
    pub fn record(&mut self, lane: u8, sequence: Sequence) -> Result<(), Refusal> {
        self.0.get_mut(usize::from(lane)).ok_or(Refusal::Malformed)?.record(sequence)
    }
}

#[derive(Clone, Debug)]
struct Remembered {
    windows: LinkWindows,
    last: Timestamp,
}

/// What a receiver remembers: windows by sender key and session, until the last accepted timestamp plus
/// [`FRESH`], inclusive. Expired ones go first, a live one is never evicted, and at capacity only the
/// sender that fills it is refused.
#[derive(Clone, Debug)]
pub struct ReceiverWindows {
    started: Timestamp,
    latest: Timestamp,
    /// The latest timestamp that any forgotten window had accepted.
    forgotten: Timestamp,
    senders: BTreeMap<PublicKey, BTreeMap<SessionId, Remembered>>,
}

impl ReceiverWindows {
    /// Empty windows. What is dated before `started` may have been seen by an earlier run of this receiver
    /// and is refused.
    #[must_use]
    pub const fn new(started: Timestamp) -> Self {
        Self { started, latest: started, forgotten: Timestamp::from_millis(0), senders: BTreeMap::new() }
    }

    /// Checks and records in one step. `now` never counts backwards: a clock that steps back releases
    /// nothing early, and makes nothing fresh again whose window was forgotten meanwhile.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when dated before the start, or in a session unknown now but not after what was
    /// forgotten; [`Refusal::Replayed`]; or [`Refusal::Overloaded`] when this sender has too many live sessions.
    pub fn record(
        &mut self,
        sender: &PublicKey,
        session: SessionId,
        lane: u8,
        sequence: Sequence,
        timestamp: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.latest = self.latest.max(now);
        if timestamp < self.started {
            return Err(Refusal::Stale);
        }
        let sessions = self.senders.entry(*sender).or_default();
        if !sessions.contains_key(&session) {
            if sessions.len() >= SESSIONS_MAX {
                let (latest, forgotten) = (self.latest, &mut self.forgotten);
                sessions.retain(|_, remembered| {
                    let live = remembered.last.after(FRESH) >= latest;
                    if !live {
                        *forgotten = (*forgotten).max(remembered.last);
                    }
                    live
                });
            }
            if timestamp <= self.forgotten {
                return Err(Refusal::Stale);
            }
            if sessions.len() >= SESSIONS_MAX {
                return Err(Refusal::Overloaded);
            }
        }
        let remembered = sessions
            .entry(session)
            .or_insert_with(|| Remembered { windows: LinkWindows::default(), last: timestamp });
        remembered.windows.record(lane, sequence)?;
        remembered.last = remembered.last.max(timestamp);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use testudo_wire::SecretKey;

    const T0: Timestamp = Timestamp::from_millis(1_000_000_000);

    #[test]
    fn t_a19_r_r10_the_edges_are_inclusive() {
        for (offset, ok) in
            [(0_i64, true), (-300_000, true), (-300_001, false), (300_000, true), (300_001, false)]
        {
            let timestamp = Timestamp::from_millis(T0.as_millis().saturating_add_signed(offset));
            assert_eq!(fresh(timestamp, T0).is_ok(), ok, "{offset}");
        }
    }

    #[test]
    fn the_largest_sequence_blocks_nobody() {
        let mut window = Window::default();
        assert_eq!(window.record(Sequence(u64::MAX)), Err(Refusal::Replayed));
        assert_eq!(window.record(Sequence(1)), Ok(()));
        assert_eq!(window.record(Sequence(u64::MAX - 1)), Ok(()));
        assert_eq!(window.record(Sequence(u64::MAX - 1)), Err(Refusal::Replayed));
        assert_eq!(window.record(Sequence(2)), Err(Refusal::Replayed));
    }

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public()
    }

    fn session(n: usize) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        SessionId::new(bytes)
    }

    #[test]
    fn t_a20_r_r11_a_future_message_is_remembered_for_as_long_as_it_is_fresh() {
        let mut windows = ReceiverWindows::new(T0);
        let dated = T0.after(FRESH);
        assert_eq!(windows.record(&key(1), session(0), 0, Sequence(1), dated, T0), Ok(()));
        for n in 1..SESSIONS_MAX {
            windows.record(&key(1), session(n), 0, Sequence(1), dated, T0).unwrap();
        }
        let edge = dated.after(FRESH);
        for now in [T0, dated, edge] {
            assert!(fresh(dated, now).is_ok());
            let again = windows.record(&key(1), session(0), 0, Sequence(1), dated, now);
            assert_eq!(again, Err(Refusal::Replayed), "{now:?}");
            let another = windows.record(&key(1), session(99), 0, Sequence(1), dated, now);
            assert_eq!(another, Err(Refusal::Overloaded), "a live session is never evicted");
        }
        let later = Timestamp::from_millis(edge.as_millis() + 1);
        assert!(fresh(dated, later).is_err(), "stale by now, so it may be forgotten");
        assert_eq!(windows.record(&key(1), session(99), 0, Sequence(1), later, later), Ok(()));
    }

    #[test]
    fn t_a22_r_r20_a_sender_at_capacity_starves_only_itself() {
        let mut windows = ReceiverWindows::new(T0);
        for n in 0..SESSIONS_MAX {
            windows.record(&key(1), session(n), 0, Sequence(1), T0, T0).unwrap();
        }
        assert_eq!(windows.record(&key(1), session(99), 0, Sequence(1), T0, T0), Err(Refusal::Overloaded));
        assert_eq!(windows.record(&key(2), session(99), 0, Sequence(1), T0, T0), Ok(()));
    }

    #[test]
    fn r_r27_nothing_from_before_the_start_and_r_r28_no_release_when_the_clock_steps_back() {
        let mut windows = ReceiverWindows::new(T0);
        let before = Timestamp::from_millis(T0.as_millis() - 1);
        assert_eq!(windows.record(&key(1), session(0), 0, Sequence(1), before, T0), Err(Refusal::Stale));
        windows.record(&key(1), session(0), 0, Sequence(1), T0.after(FRESH), T0.after(FRESH)).unwrap();
        assert_eq!(
            windows.record(&key(1), session(0), 0, Sequence(1), T0.after(FRESH), T0),
            Err(Refusal::Replayed)
        );
    }

    proptest! {
        #[test]
        fn t_a17_a_window_agrees_with_a_set(sequences in prop::collection::vec(0..4000_u64, 0..600)) {
            let mut window = Window::default();
            let (mut seen, mut highest) = (BTreeSet::new(), None);
            for n in sequences {
                let too_old = highest.is_some_and(|h: u64| h + 1 > n + WINDOW_BITS);
                let expected = !too_old && !seen.contains(&n);
                prop_assert_eq!(window.record(Sequence(n)).is_ok(), expected, "{} after {:?}", n, highest);
                if expected {
                    seen.insert(n);
                    highest = highest.max(Some(n));
                }
            }
        }
    }
}

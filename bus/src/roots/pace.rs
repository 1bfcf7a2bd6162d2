//! How many trust statements there may be, and how fast they may come. All of them are kept and told to newcomers, so
//! there is an end to them; whoever may ask for them, or has stolen that right, must not come to it within a night.
//!
//! Only what adds is slowed down: what was added can always be retired.

use std::time::Duration;

use testudo_wire::Timestamp;
use testudo_wire::trust::{SignedStatement, Statement};

use super::Change;

/// Most statements of one swarm: what keeps and tells them all stays bounded.
pub const STATEMENTS_MAX: u64 = 512;
/// From this number on operators are told that the end comes near.
pub const STATEMENTS_NEAR_MAX: u64 = STATEMENTS_MAX - 64;
/// The last ones are for retiring alone: no swarm ends with an old key that it cannot put out.
const RETIRING: u64 = 4;
/// Keys and CAs that can be added in a day.
const ADDED_MAX: usize = 8;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no further statement now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PaceError {
    /// All are made.
    #[error(
        "this swarm has made {STATEMENTS_MAX} trust statements, more are not kept; begin a new swarm (`testudo init`)"
    )]
    Full,
    /// The rest is for retiring.
    #[error(
        "{left} of {STATEMENTS_MAX} trust statements are left, which are kept for retiring; begin a new swarm (`testudo init`) and move the agents over"
    )]
    NearlyFull {
        /// How many.
        left: u64,
    },
    /// Too fast.
    #[error(
        "{ADDED_MAX} keys and CAs were added within a day, which is the most; add the next in {minutes} minutes (retiring is possible at any time)"
    )]
    TooOften {
        /// Until the next.
        minutes: u64,
    },
}

/// Whether the statement that follows these may be made.
pub(super) fn allows(chain: &[SignedStatement], change: Change, now: Timestamp) -> Result<(), PaceError> {
    let left = STATEMENTS_MAX.saturating_sub(chain.len() as u64);
    if left == 0 {
        return Err(PaceError::Full);
    }
    match change {
        Change::RetireAuthorities | Change::RetireCas => return Ok(()),
        Change::AddAuthority | Change::AddCa if left <= RETIRING => {
            return Err(PaceError::NearlyFull { left });
        }
        Change::AddAuthority | Change::AddCa => {}
    }
    let mut before = 2;
    let adding = chain.iter().map(|signed| &signed.statement).filter(|said| {
        let size = size(said);
        std::mem::replace(&mut before, size) < size
    });
    // A clock that once ran far ahead must not keep the swarm from new keys for as long.
    let adding = adding.filter(|said| said.time <= now.after(DAY));
    let lately: Vec<_> = adding.map(|said| said.time.after(DAY)).filter(|until| *until > now).collect();
    // The one that has to be a day old for there to be room.
    let Some(until) = lately.len().checked_sub(ADDED_MAX).and_then(|first| lately.get(first)) else {
        return Ok(());
    };
    Err(PaceError::TooOften { minutes: until.as_millis().saturating_sub(now.as_millis()).div_ceil(60_000) })
}

/// How much a statement names; a swarm begins with one key and one CA.
const fn size(said: &Statement) -> usize {
    said.authorities.len() + said.cas.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use testudo_rules::trust::Trust;
    use testudo_wire::SecretKey;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// So many rounds of a CA that is added and the older one that is retired, so far apart.
    fn rounds(count: u64, apart: Duration) -> (Vec<SignedStatement>, Timestamp) {
        let authority = SecretKey::from_seed(&[1; 32]);
        let (mut trust, mut now) =
            (Trust::genesis(authority.public(), vec![vec![0]]), Timestamp::from_millis(1_800_000_000_000));
        let mut chain = Vec::new();
        for round in 1..=count {
            let next = round.to_be_bytes().to_vec();
            let before = trust.cas().to_vec();
            for cas in [[before, vec![next.clone()]].concat(), vec![next]] {
                let (signed, then) = trust.next((vec![authority.public()], cas), now, &authority).unwrap();
                (trust, _) = (then, chain.push(signed));
            }
            now = now.after(apart);
        }
        (chain, now)
    }

    #[test]
    fn so_many_keys_a_day_and_what_was_added_can_always_be_retired() {
        let (chain, now) = rounds(8, HOUR);
        for change in [Change::AddCa, Change::AddAuthority] {
            assert_eq!(allows(&chain[..14], change, now), Ok(()), "{change:?}: seven within a day");
            let why = allows(&chain, change, now).unwrap_err();
            assert_eq!(
                why,
                PaceError::TooOften { minutes: 16 * 60 },
                "{change:?}: the first was eight hours ago"
            );
            assert!(why.to_string().contains("add the next in 960 minutes (retiring is possible"), "{why}");
            assert_eq!(
                allows(&chain, change, now.after(16 * HOUR)),
                Ok(()),
                "{change:?}: a day after the first"
            );
            let back = |hours: u32| allows(&chain, change, now.before(hours * HOUR));
            assert!(back(2).is_err(), "{change:?}: a clock that was turned back a little");
            assert_eq!(back(100), Ok(()), "{change:?}: one that ran days ahead when they were made");
        }
        for change in [Change::RetireCas, Change::RetireAuthorities] {
            assert_eq!(allows(&chain, change, now), Ok(()));
        }
        let (chain, now) = rounds(100, 4 * HOUR);
        assert_eq!(allows(&chain, Change::AddCa, now), Ok(()), "six a day for ever");
    }

    #[test]
    fn the_last_statements_are_for_retiring_and_then_there_is_an_end() {
        let (chain, now) = rounds(256, 12 * HOUR);
        assert_eq!(chain.len() as u64, STATEMENTS_MAX);
        let with = |count: usize, change| allows(&chain[..count], change, now);
        assert_eq!(with(507, Change::AddAuthority), Ok(()));
        for (count, left) in [(508, 4), (511, 1)] {
            let why = with(count, Change::AddCa).unwrap_err();
            assert_eq!(why, PaceError::NearlyFull { left });
            assert!(why.to_string().contains("begin a new swarm"), "{why}");
            assert_eq!(with(count, Change::RetireCas), Ok(()));
        }
        for change in [Change::AddCa, Change::RetireCas] {
            assert_eq!(with(512, change), Err(PaceError::Full));
        }
    }
}

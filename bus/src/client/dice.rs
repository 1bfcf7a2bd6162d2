//! Ids for messages: drawn from the system many at a time, for each draw is a call to it.
//!
//! Only for what everyone may see. A key or a session is drawn by itself.

use std::sync::{Mutex, PoisonError};

use crate::env::Env;

/// Ids drawn at once.
const IDS: usize = 128;

/// Ids drawn and not yet used.
#[derive(Debug, Default)]
pub(super) struct Dice(Mutex<Vec<[u8; 16]>>);

impl Dice {
    /// An id that nobody had before.
    pub(super) fn draw(&self, env: &dyn Env) -> [u8; 16] {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_empty() {
            drawn.resize(IDS, Default::default());
            env.fill(drawn.as_flattened_mut());
        }
        drawn.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    impl Env for Counting {
        fn now(&self) -> testudo_wire::Timestamp {
            testudo_wire::Timestamp::from_millis(0)
        }

        fn fill(&self, bytes: &mut [u8]) {
            for word in bytes.chunks_mut(8) {
                let n = self.0.fetch_add(1, Ordering::Relaxed) + 1;
                word.copy_from_slice(&n.to_be_bytes()[..word.len()]);
            }
        }
    }

    #[test]
    fn no_id_is_ever_used_twice() {
        let (dice, env) = (Dice::default(), Counting::default());
        let drawn: Vec<_> = (0..2000).map(|_| dice.draw(&env)).collect();
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 2000);
        assert!(drawn.iter().all(|id| *id != [0; 16]));
    }
}

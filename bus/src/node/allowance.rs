//! Whether publishers wait for an agent's subscriptions at all: not for a while after it has held them up. Kept by name, so
//! that another link is no new allowance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testudo_wire::AgentName;
use tokio::time::Instant;

/// Publishers do not wait for so long after the first time; after each further one twice as long ...
const FIRST: Duration = Duration::from_secs(10);
/// ... up to this.
const LONGEST: Duration = Duration::from_secs(320);

#[derive(Clone, Copy, Debug)]
struct Spent {
    until: Instant,
    time: Duration,
}

/// One agent's, for one kind of message.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<Option<Spent>>);

/// The two of one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Both {
    pub(super) small: Arc<Allowance>,
    pub(super) bodies: Arc<Allowance>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Allowance {
    /// Whether a publisher is to wait.
    pub(super) fn is_there(&self, now: Instant) -> bool {
        locked(&self.0).is_none_or(|spent| now >= spent.until)
    }

    /// A publisher has waited too long. What counts is the occasion, however many publications wait then; one that comes
    /// soon after the last is a habit.
    pub(super) fn spend(&self, now: Instant) {
        let mut spent = locked(&self.0);
        let time = match *spent {
            Some(Spent { until, .. }) if now < until => return,
            Some(Spent { until, time }) if now < until + time => (time * 2).min(LONGEST),
            Some(_) | None => FIRST,
        };
        *spent = Some(Spent { until: now + time, time });
    }

    /// Whether it would be the same if nothing were known of it.
    fn is_whole(&self, now: Instant) -> bool {
        locked(&self.0).is_none_or(|Spent { until, time }| now >= until + time)
    }
}

/// So many are kept without a look at which say nothing any more.
const KEPT: usize = 1024;

#[derive(Debug, Default)]
struct All {
    of: HashMap<AgentName, Both>,
    /// How many there were after the last look through them.
    left: usize,
}

/// Those of all agents: of those that have a link, and of those that spent theirs lately; and as many again.
#[derive(Debug, Default)]
pub(crate) struct Allowances(Mutex<All>);

impl Both {
    /// Whether nobody would miss it; `holders` have its parts besides the table.
    fn says_nothing(&self, holders: usize, now: Instant) -> bool {
        [&self.small, &self.bodies]
            .iter()
            .all(|part| Arc::strong_count(part) <= 1 + holders && part.is_whole(now))
    }
}

impl Allowances {
    /// Those of one agent, for a link of it.
    pub(crate) fn of(&self, name: AgentName, now: Instant) -> Both {
        let mut all = locked(&self.0);
        if all.of.len() >= KEPT.max(2 * all.left) {
            all.of.retain(|_, both| !both.says_nothing(0, now));
            all.left = all.of.len();
        }
        all.of.entry(name).or_default().clone()
    }

    /// A link of it has ended, and given back its own. What says nothing is not kept; what another link of it has, is.
    pub(crate) fn link_ended(&self, name: &AgentName, now: Instant) {
        let mut all = locked(&self.0);
        if all.of.get(name).is_some_and(|both| both.says_nothing(1, now)) {
            all.of.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_makes_a_habit_of_it_is_waited_for_ever_less() {
        let allowance = Allowance::default();
        let mut now = Instant::now();
        let mut times = Vec::new();
        for _ in 0..8 {
            assert!(allowance.is_there(now));
            allowance.spend(now);
            allowance.spend(now);
            let began = now;
            while !allowance.is_there(now) {
                now += Duration::from_secs(1);
            }
            times.push((now - began).as_secs());
        }
        assert_eq!(times, [10, 20, 40, 80, 160, 320, 320, 320]);
        now += LONGEST;
        allowance.spend(now);
        assert!(allowance.is_there(now + FIRST), "forgotten after as long again");
    }

    fn name(text: &str) -> AgentName {
        AgentName::parse(text).unwrap()
    }

    #[test]
    fn a_link_that_ends_leaves_nothing_but_what_was_spent() {
        let (allowances, now) = (Allowances::default(), Instant::now());
        let [good, bad] = ["good", "bad"].map(name);
        let _ = allowances.of(good, now);
        allowances.of(bad, now).bodies.spend(now);
        for name in [good, bad] {
            allowances.link_ended(&name, now);
        }
        assert_eq!(locked(&allowances.0).of.len(), 1);
        assert!(!allowances.of(bad, now).bodies.is_there(now), "of another link");
        allowances.link_ended(&bad, now + 2 * FIRST);
        assert!(locked(&allowances.0).of.is_empty());
    }

    #[test]
    fn t_a63_a_link_that_ends_takes_no_allowance_from_a_newer_one() {
        let (allowances, now) = (Allowances::default(), Instant::now());
        let (older, newer) = (allowances.of(name("agent"), now), allowances.of(name("agent"), now));
        allowances.link_ended(&name("agent"), now);
        drop(older);
        newer.small.spend(now);
        assert!(!allowances.of(name("agent"), now).small.is_there(now), "one agent has one");
    }

    #[test]
    fn what_nobody_has_and_nobody_spent_is_swept() {
        let (allowances, now) = (Allowances::default(), Instant::now());
        let kept = allowances.of(name("kept"), now);
        for nth in 0..5 * KEPT {
            let _ = allowances.of(name(&format!("agent-{nth}")), now);
        }
        assert!(locked(&allowances.0).of.len() <= KEPT);
        kept.small.spend(now);
        assert!(!allowances.of(name("kept"), now).small.is_there(now));
    }
}

//! What an agent makes of the heads of the audit log that it is told, and that others say they were told: one story
//! under one key, or an alarm (threat A74, split view).
//!
//! [`View`] is what one agent has seen; [`Alarm`] why it does not go on; [`Peers`] are those whose word it waits for.
//! Knows no link and no clock; who asks whom for what is the bus's part.

mod alarm;
mod peers;
mod view;

pub use alarm::{Alarm, Unproved, apart};
pub use peers::{Heard, PEERS_MAX, Peers, VAIN_MAX};
pub use view::{GAPS_MAX, NotOurs, Pair, Proved, Seen, Told, View};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_peers;

//! Verified messages for which the handler has no room yet, and the acknowledgements that wait for it.
//!
//! A node sends no more than it has room for itself before something is acknowledged; whoever sends more than
//! twice that is no node of ours. What waits too long is refused by name, before the node takes its receiver for
//! dead: a busy agent keeps its link, and its senders hear of it.

use std::collections::VecDeque;
use std::time::Duration;

use testudo_wire::frame::DeliveredAt;
use tokio::time::Instant;

use super::Delivery;
use super::arrival::Turn;

/// Twice what a node may have unacknowledged.
const MESSAGES_MAX: usize = 2 * 16_384;
/// The same in bytes of bodies.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// A node waits 30 s for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message and where it stood.
pub(super) type Placed = (DeliveredAt, Delivery);

#[derive(Debug)]
struct Waiting {
    turn: Turn,
    messages: VecDeque<Placed>,
    since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    turns: VecDeque<Waiting>,
    messages: usize,
    bytes: usize,
}

impl Backlog {
    /// A turn is acknowledged when its last message is taken.
    pub(super) fn push(&mut self, turn: Turn, handled: Vec<Placed>) {
        self.messages += handled.len();
        self.bytes += handled.iter().map(|(_, delivery)| delivery.body_len()).sum::<usize>();
        self.turns.push_back(Waiting { turn, messages: handled.into(), since: Instant::now() });
    }

    /// Whether no message waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether more waits than a node may send.
    pub(super) const fn is_too_long(&self) -> bool {
        self.messages > MESSAGES_MAX || self.bytes > BYTES_MAX
    }

    /// The next message, in the order of arrival.
    pub(super) fn pop(&mut self) -> Option<Delivery> {
        let waiting = self.turns.iter_mut().find(|waiting| !waiting.messages.is_empty())?;
        let (_, delivery) = waiting.messages.pop_front()?;
        self.messages -= 1;
        self.bytes -= delivery.body_len();
        Some(delivery)
    }

    /// When the oldest turn has waited too long.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.turns.front().map(|waiting| waiting.since + PATIENCE)
    }

    /// Refuses what is left of the oldest turn.
    pub(super) fn give_up(&mut self) -> Vec<Delivery> {
        let Some(waiting) = self.turns.front_mut() else { return Vec::new() };
        let given_up = std::mem::take(&mut waiting.messages);
        self.messages -= given_up.len();
        let mut refused = Vec::with_capacity(given_up.len());
        for (at, delivery) in given_up {
            self.bytes -= delivery.body_len();
            waiting.turn.give_up(at);
            refused.push(delivery);
        }
        refused
    }

    /// A turn of which every message is taken; later ones wait for it.
    pub(super) fn done(&mut self) -> Option<Turn> {
        if self.turns.front()?.messages.is_empty() {
            self.turns.pop_front().map(|waiting| waiting.turn)
        } else {
            None
        }
    }
}

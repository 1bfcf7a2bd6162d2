//! How an exporter decides: when to send what, when to wait, and where every event is at every instant.
//!
//! State machines without a clock of their own, each driven by one task: [`Pump`] holds the queue and splits what a
//! receiver refuses, [`Breaker`] keeps a receiver that is down from being asked, an [`Account`](crate::account::Account) is kept of it all.
//!
//! *Invariant*: the log is the real queue. The pump takes no more than it has room for and gives nothing up while
//! it runs, so a receiver that is down costs time, not events.

mod breaker;
mod pump;
mod settings;

pub use breaker::{Breaker, BreakerState};
pub use pump::{NoRoom, Outcome, Pump, Step};
pub use settings::{Settings, SettingsError};

#[cfg(test)]
mod tests;

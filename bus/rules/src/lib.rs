//! The decisions of Testudo, as pure functions over the words of `testudo-wire`.
//!
//! *Invariant*: nothing here reads a clock, draws a random number, opens a file or waits.
//! Time, randomness and what the registry knows come in as arguments.

pub mod account;
pub mod audit;
pub mod event;
pub mod export;
pub mod gossip;
pub mod inspect;
pub mod moment;
pub mod pipeline;
pub mod quota;
pub mod receive;
pub mod replay;
pub mod token;
pub mod trust;

//! QUIC links, the guard and capability actors, the audit writer and routing.
//!
//! Two halves: [`node`] accepts, judges and delivers; [`client`] connects, signs and verifies again. What a
//! message may do is decided in `testudo_rules`, who is here in `testudo_registry`; this crate moves bytes
//! and keeps the order of the steps.
//!
//! *Invariant*: no byte reaches a receiver's stream without an `Inspected` verdict and an `Appended` record.

pub mod audit;
pub mod capability;
pub mod client;
pub mod clock;
mod ending;
pub mod env;
mod guard;
pub mod join;
pub mod metrics;
pub mod node;
pub mod roots;
mod spin;
pub mod stream;
pub mod tls;
mod traced;
pub mod transport;

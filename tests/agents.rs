//! The agents' API over the real bus: whole nodes, hosted agents, real TLS, an in-memory network, a paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

#[path = "agents/delegation.rs"]
mod delegation;
#[path = "agents/faults.rs"]
mod faults;
#[path = "agents/kit.rs"]
mod kit;
#[path = "agents/streams.rs"]
mod streams;
#[path = "agents/topics.rs"]
mod topics;
#[path = "agents/traces.rs"]
mod traces;

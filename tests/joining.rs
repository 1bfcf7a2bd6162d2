//! Joining by invitation over the real port: whole nodes, the operator's own desk, real TLS, an in-memory network, a
//! paused clock; and strangers who try everything else.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

#[path = "joining/hostile.rs"]
mod hostile;
#[path = "joining/kit.rs"]
mod kit;
#[path = "joining/rolled.rs"]
mod rolled;
#[path = "joining/way.rs"]
mod way;

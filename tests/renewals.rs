//! Certificates run out, and links go on: renewal over the bus, by the agents themselves, while they are busy. On one
//! paused clock.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test's helpers may fail the test")]

#[path = "renewals/busy.rs"]
mod busy;
#[path = "renewals/by_hand.rs"]
mod by_hand;
#[path = "renewals/closing.rs"]
mod closing;
#[path = "renewals/ends.rs"]
mod ends;
#[path = "renewals/granted.rs"]
mod granted;
#[path = "renewals/rollover.rs"]
mod rollover;
#[expect(dead_code, reason = "each test binary takes its part of the support")]
mod support;

//! The capability actor: says once what a token means, and makes new ones while the authority's key is at
//! hand.
//!
//! What a token means never changes, so it is cached; whether its holders are in good standing is not
//! asked here but per bundle. Knows no links.

mod actor;
mod counts;
mod door;

pub use door::{CapabilityDoor, CapabilityError};

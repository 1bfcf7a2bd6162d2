//! Capability tokens: Biscuits of one fixed shape, whose meaning is a pure fold over their blocks.
//!
//! biscuit-auth signs and checks the chain of signatures; Datalog that a holder supplied is never run
//! (threat A48, measured fact M3). A block that is not byte for byte what our own builder makes of its
//! facts is foreign, and is refused before any signature is looked at.
//!
//! Knows no registry, clock or source of randomness: standings, times and fresh seeds are arguments.
//!
//! - [`Mint`], [`Attenuation`], [`Delegation`]: what the three kinds of block say.
//! - [`Token`]: for its holder, may be narrowed and handed on. [`SealedToken`]: for everyone else.
//! - [`Meaning`]: what a token that was verified under a [`Trust`] lets its holder do.
//! - [`describe`]: the same for people, also for tokens that nobody vouches for.
//! - [`judge`]: whether a token allows one thing, and if not, which block of it says so.
//!
//! Times have the resolution of Biscuit dates, one second: they are rounded down to a whole second, and
//! a token is good through the whole of the second that it names.

mod ask;
mod block;
mod build;
mod describe;
mod error;
mod facts;
mod meaning;
mod read;
mod shape;
mod text;

pub use ask::{Denial, Question, judge};
pub use block::{Attenuation, Delegation, Mint};
pub use build::{Fresh, SealedToken, Token};
pub use describe::{Description, Form, Step, Vouched, describe};
pub use error::{BuildError, TokenError};
pub use meaning::{Link, Meaning};
pub use read::Trust;
pub use text::bytes_of_text;

#[cfg(test)]
mod tests;

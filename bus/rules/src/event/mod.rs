//! The audit log as others read it: signed CloudEvents 1.0 (<https://github.com/cloudevents/spec>), one for each
//! thing that a record tells.
//!
//! [`events_of`] turns a record into events, [`CloudEvent::sign`] signs one by the CNCF verifiability extension
//! (DSSE, Ed25519), [`Signed::verify`] checks it and returns what was signed and nothing else, [`StreamCheck`]
//! finds gaps in a stream. Exporters carry these bytes; none of them makes its own.
//!
//! *Invariant*: an event holds only what its record holds, and the source that the operator chose. No attribute comes
//! from a peer, so none can shadow another (threat A65), and no number in it is a float, so it is always JSON.

mod canonical;
mod cloud;
mod digest;
mod dsse;
mod flat;
mod kind;
mod make;
mod stream;
mod verify;

pub use canonical::{NotCanonical, canonical};
pub use cloud::{CloudEvent, Content, Extension, ParseError};
pub use dsse::{EventKey, PAYLOAD_TYPE, Signed, batch};
pub use kind::{Kind, Severity};
pub use make::{EventSource, SourceError, events_of, percent_encoded};
pub use stream::{Break, StreamCheck};
pub use verify::{Verified, VerifyError};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_dsse;
#[cfg(test)]
mod tests_make;

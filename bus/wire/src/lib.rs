//! The words of Testudo: ids, keys, envelopes, bundles, frames and their limits.
//!
//! Everything here is bytes and types; `docs/protocol.md` describes the same to the byte.
//!
//! *Invariant*: no I/O, no clock, no randomness, no async. What decodes has exactly one encoding.

pub mod amend;
pub mod bundle;
pub mod canonical;
pub mod delegated;
pub mod frame;

pub mod header;
pub mod id;
pub mod join;
pub mod key;
pub mod limits;
pub mod name;
pub mod purpose;
pub mod refusal;
pub mod span;
pub mod spiffe;
pub mod standing;
mod strict;
mod text;
pub mod time;
pub mod to;
pub mod trace;
pub mod tree;
pub mod trust;

pub use bundle::{Bundle, BundleError, Envelope, Item, Sealed, Sealer};
pub use delegated::{Delegated, DelegatedFormError};
pub use header::{Destination, Header, Part, ReceiptWish, TraceParent};
pub use id::{
    CaFingerprint, CorrelationId, Digest, InvitationId, LogRoot, MessageId, SessionId, SwarmId, TokenFactId,
    TokenId,
};
pub use key::{KeyError, PublicKey, SecretKey, Signature};
pub use limits::Limits;
pub use name::{AgentName, Capability, ContentType, NameError, NodeName, Resource, Verb};
pub use purpose::Purpose;
pub use refusal::Refusal;
pub use span::{Span, SpanId, SpanKind, SpanValue, Spans};
pub use spiffe::{SpiffeError, SpiffeId};
pub use standing::{Grant, Holder, State};
pub use time::{RegistrySequence, Sequence, Timestamp, Ttl};
pub use to::To;
pub use trace::TraceError;

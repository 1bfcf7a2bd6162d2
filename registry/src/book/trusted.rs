//! The trust statement that the book goes by: a number that never goes down, and the authority keys that it names.
//!
//! Knows no signatures: whoever takes a statement up has checked it. What is kept is its number and its digest, so that
//! keys from before it are found out when the next node starts on them (threat A75).

use std::sync::Arc;

use testudo_wire::{Digest, PublicKey, Timestamp};

use super::{Book, Change, ChangeKind};

/// What tells one trust statement from every other of its swarm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TrustMark {
    /// Its number, from 1.
    pub number: u64,
    /// Its digest.
    pub statement: Digest,
}

/// What a registry is to know of the trust statement in force.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trusted {
    /// Which one it is; none before the first.
    pub mark: Option<TrustMark>,
    /// The authority keys whose tokens count.
    pub authorities: Arc<[PublicKey]>,
    /// How many CAs count, for the record.
    pub cas: u8,
}

impl Trusted {
    fn number(&self) -> u64 {
        self.mark.map_or(0, |mark| mark.number)
    }
}

/// Why a trust statement was not taken up; what was in force is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustedError {
    /// The keys are from before.
    #[error(
        "the keys go by trust statement {got}, the registry by {have}: they are an old copy; restore the newest backup of keys/"
    )]
    Old {
        /// The number that was taken up.
        have: u64,
        /// That of the keys.
        got: u64,
    },
    /// Two statements of one number.
    #[error(
        "the keys go by another trust statement {0} than the registry took up; restore the keys/ that belong to this data"
    )]
    Fork(u64),
}

impl Book {
    /// Goes by a trust statement from now on; `None` when it is the one in force.
    ///
    /// # Errors
    /// [`TrustedError`]; the book is as before.
    pub fn take_up(&self, trusted: Trusted, at: Timestamp) -> Result<Option<Change>, TrustedError> {
        let (have, got) = (self.trusted.number(), trusted.number());
        if got < have {
            return Err(TrustedError::Old { have, got });
        }
        if got > have {
            return Ok(Some(self.numbered(at, ChangeKind::Trusted { trusted })));
        }
        if trusted.mark == self.trusted.mark { Ok(None) } else { Err(TrustedError::Fork(have)) }
    }

    /// The statement in force is this one: what is stored of it does not say whose tokens count.
    pub(crate) fn go_by(&mut self, trusted: Trusted) {
        self.trusted = trusted;
    }

    /// The statement in force.
    #[must_use]
    pub const fn trusted(&self) -> &Trusted {
        &self.trusted
    }
}

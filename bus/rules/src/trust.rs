//! What a swarm trusts, statement by statement: a pure fold in which each one is checked by the one before.
//!
//! Knows no clock, file or network. Who holds a [`Trust`] goes by it for certificates and tokens.

use testudo_wire::trust::{AUTHORITIES_MAX, CA_BYTES_MAX, CAS_MAX, SignedStatement, Statement};
use testudo_wire::{Digest, PublicKey, SecretKey, SwarmId, Timestamp};

use crate::token;

/// Why a trust statement does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustError {
    /// Another swarm's.
    #[error("the trust statement is another swarm's")]
    OtherSwarm,
    /// One from before.
    #[error("trust statement {got} is older than {have}, which is in force")]
    Old {
        /// The number in force.
        have: u64,
        /// Its number.
        got: u64,
    },
    /// Some are missing in between.
    #[error("trust statement {got} does not follow {have}; those in between are missing")]
    Gap {
        /// The number in force.
        have: u64,
        /// Its number.
        got: u64,
    },
    /// Two statements of one number: somebody else has an authority key.
    #[error(
        "there are two trust statements of number {0}: somebody else signs with this swarm's authority key, tell the operator"
    )]
    Fork(u64),
    /// Nobody could mint a token any more.
    #[error("a trust statement without an authority key")]
    NoAuthority,
    /// Nobody could be certified any more.
    #[error("a trust statement without a CA")]
    NoCa,
    /// Too much.
    #[error(
        "a trust statement with more than {AUTHORITIES_MAX} authority keys or {CAS_MAX} CAs; retire old ones first"
    )]
    TooMany,
    /// One twice, or a CA that is none.
    #[error("a trust statement that names one twice, or a CA that is no certificate")]
    Unusable,
    /// Signed by a key that may not.
    #[error("the trust statement is not signed by an authority key of the one before")]
    NotByAuthority,
    /// The signature is not that key's.
    #[error("the signature of the trust statement is wrong")]
    Forged,
    /// It would turn the time back (threat A51).
    #[error("the trust statement is dated before the one that is in force")]
    Time,
}

/// What counts now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trust {
    swarm: SwarmId,
    number: u64,
    time: Timestamp,
    authorities: Vec<PublicKey>,
    cas: Vec<Vec<u8>>,
    digest: Option<Digest>,
}

impl Trust {
    /// What a swarm begins with: number 0, which nobody signed. The swarm is the fingerprint of this key.
    #[must_use]
    pub fn genesis(authority: PublicKey, cas: Vec<Vec<u8>>) -> Self {
        let swarm = SwarmId::of(&authority);
        let time = Timestamp::from_millis(0);
        Self { swarm, number: 0, time, authorities: vec![authority], cas, digest: None }
    }

    /// What a statement says, believed because of where it was kept.
    ///
    /// # Errors
    /// [`TrustError`] for what no statement may say.
    pub fn kept(signed: &SignedStatement) -> Result<Self, TrustError> {
        shape(&signed.statement)?;
        if !signed.is_signed() {
            return Err(TrustError::Forged);
        }
        Self::of(signed)
    }

    fn of(signed: &SignedStatement) -> Result<Self, TrustError> {
        let digest = signed.digest().map_err(|_| TrustError::Unusable)?;
        let Statement { swarm, number, time, authorities, cas } = &signed.statement;
        let cas = cas.iter().map(|ca| ca.to_vec()).collect();
        let authorities = authorities.clone();
        Ok(Self { swarm: *swarm, number: *number, time: *time, authorities, cas, digest: Some(digest) })
    }

    /// What counts after this statement; `None` when it is the one in force.
    ///
    /// # Errors
    /// The first [`TrustError`], cheapest checks first; then nothing changes.
    pub fn accept(&self, signed: &SignedStatement) -> Result<Option<Self>, TrustError> {
        let said = &signed.statement;
        let (have, got) = (self.number, said.number);
        if said.swarm != self.swarm {
            return Err(TrustError::OtherSwarm);
        }
        if got < have || got == 0 {
            return Err(TrustError::Old { have, got });
        }
        if got == have {
            return self.same(signed);
        }
        if got - have > 1 {
            return Err(TrustError::Gap { have, got });
        }
        shape(said)?;
        if !self.authorities.contains(&signed.by) {
            return Err(TrustError::NotByAuthority);
        }
        if !signed.is_signed() {
            return Err(TrustError::Forged);
        }
        if said.time < self.time {
            return Err(TrustError::Time);
        }
        Self::of(signed).map(Some)
    }

    /// A statement of the number in force: the same, or a fork.
    fn same(&self, signed: &SignedStatement) -> Result<Option<Self>, TrustError> {
        if !signed.is_signed() {
            Err(TrustError::Forged)
        } else if signed.digest().ok() == self.digest {
            Ok(None)
        } else {
            Err(TrustError::Fork(self.number))
        }
    }

    /// What counts after all of these.
    ///
    /// # Errors
    /// The first [`TrustError`].
    pub fn fold<'a>(self, chain: impl IntoIterator<Item = &'a SignedStatement>) -> Result<Self, TrustError> {
        chain.into_iter().try_fold(self, |trust, signed| Ok(trust.accept(signed)?.unwrap_or(trust)))
    }

    /// The next statement, signed. An authority of this one must sign it.
    ///
    /// # Errors
    /// [`TrustError`] for one that nobody would accept.
    pub fn next(
        &self,
        (authorities, cas): (Vec<PublicKey>, Vec<Vec<u8>>),
        now: Timestamp,
        by: &SecretKey,
    ) -> Result<(SignedStatement, Self), TrustError> {
        let statement = Statement {
            swarm: self.swarm,
            number: self.number.saturating_add(1),
            // A clock that was turned back must not make one that nobody takes.
            time: now.max(self.time),
            authorities,
            cas: cas.into_iter().map(serde_bytes::ByteBuf::from).collect(),
        };
        shape(&statement)?;
        let signed = statement.sign(by).map_err(|_| TrustError::Unusable)?;
        let next = self.accept(&signed)?.ok_or(TrustError::Unusable)?;
        Ok((signed, next))
    }

    /// The swarm, for ever.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// How many statements there were.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Authority keys, oldest first.
    #[must_use]
    pub fn authorities(&self) -> &[PublicKey] {
        &self.authorities
    }

    /// CAs in DER, oldest first.
    #[must_use]
    pub fn cas(&self) -> &[Vec<u8>] {
        &self.cas
    }

    /// The digest of the statement; `None` for number 0.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The key that tokens are minted under.
    #[must_use]
    pub fn minting(&self) -> Option<&PublicKey> {
        self.authorities.last()
    }

    /// Whose tokens count.
    #[must_use]
    pub fn tokens(&self) -> token::Trust {
        token::Trust { swarm: self.swarm, authorities: self.authorities.iter().copied().collect() }
    }
}

/// What no statement may say, whoever signs it.
fn shape(said: &Statement) -> Result<(), TrustError> {
    if said.authorities.is_empty() {
        return Err(TrustError::NoAuthority);
    }
    if said.cas.is_empty() {
        return Err(TrustError::NoCa);
    }
    if said.authorities.len() > AUTHORITIES_MAX || said.cas.len() > CAS_MAX {
        return Err(TrustError::TooMany);
    }
    let usable = |ca: &serde_bytes::ByteBuf| (1..=CA_BYTES_MAX).contains(&ca.len());
    if is_twice(&said.authorities) || is_twice(&said.cas) || !said.cas.iter().all(usable) {
        return Err(TrustError::Unusable);
    }
    Ok(())
}

fn is_twice<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().any(|(at, one)| list.iter().take(at).any(|other| other == one))
}

#[cfg(test)]
mod tests;

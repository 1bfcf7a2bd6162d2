//! Makes tokens: mint, attenuate, delegate, seal. Refuses to write a block that is wider than the ones
//! before it, although a reader would only intersect.

use std::fmt;

use biscuit_auth::builder::BiscuitBuilder;
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::{Algorithm, KeyPair, PrivateKey, UnverifiedBiscuit};
use testudo_wire::{Limits, SecretKey, Timestamp, TokenId};
use zeroize::Zeroizing;

use super::block::{Attenuation, Delegation, Mint, first_outside, whole_second};
use super::error::{BuildError, TokenError};
use super::meaning::Meaning;
use super::read::{self, Seal, Trust};
use super::{shape, text};

/// A seal is a signature of 64 bytes in the place of a secret of 32.
const SEAL_GROWTH: usize = 32;

/// 32 bytes from the operating system's generator, for the key pair that signs the next block. To use
/// the same twice would let the holders of one token write into the other, hence used up by value.
pub struct Fresh(Zeroizing<[u8; 32]>);

impl Fresh {
    /// Takes bytes that nobody has seen or used.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(..)")
    }
}

/// An unsealed token: a secret of its holder, who may narrow it, hand it on or seal it. Of our shape;
/// whether an authority vouches for it, [`Token::verify`] says.
#[derive(Clone)]
pub struct Token {
    bytes: Zeroizing<Vec<u8>>,
    claims: Meaning,
    delegations: u8,
    limits: Limits,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of {})", self.claims.holder().name)
    }
}

impl Mint {
    /// Makes and signs a token.
    ///
    /// # Errors
    /// [`BuildError::WiderCapability`] for a delegatable one that
    /// is no right, [`BuildError::OutOfRange`], or a [`TokenError`] when it grows too large.
    pub fn sign(&self, authority: &SecretKey, fresh: Fresh, limits: &Limits) -> Result<Token, BuildError> {
        if let Some(outside) = first_outside(&self.delegatable, &self.rights) {
            return Err(BuildError::WiderCapability(*outside));
        }
        if i64::try_from(self.minted.0).is_err() {
            return Err(BuildError::OutOfRange("the registry sequence"));
        }
        let root = key_pair(&authority.seed())?;
        let token = BiscuitBuilder::new().merge(shape::authority(self)).build_with_key_pair(
            &root,
            SymbolTable::new(),
            &key_pair(&fresh.0)?,
        )?;
        Token::made(&Zeroizing::new(token.to_vec()?), limits)
    }
}

impl Token {
    /// Takes the bytes of an unsealed token and checks everything but its signatures.
    ///
    /// # Errors
    /// [`TokenError`] when it is sealed, not of our shape, or says something that no chain of holders
    /// can mean.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, TokenError> {
        let parsed = read::parse(bytes, limits)?;
        let claims = Meaning::fold(&parsed.chain)?;
        match parsed.seal {
            Seal::Sealed => Err(TokenError::Sealed),
            Seal::Open => Ok(Self {
                bytes: Zeroizing::new(bytes.to_vec()),
                // One link for the authority's holder and one for each delegation; blocks are bounded.
                delegations: u8::try_from(claims.chain().count() - 1).unwrap_or(u8::MAX),
                claims,
                limits: *limits,
            }),
        }
    }

    /// Takes the text form, `testudo-token:` and base64url.
    ///
    /// # Errors
    /// As [`Token::from_bytes`].
    pub fn from_text(text: &str, limits: &Limits) -> Result<Self, TokenError> {
        Self::from_bytes(&Zeroizing::new(text::bytes_of_text(text, limits)?), limits)
    }

    /// What an authority vouches that it means.
    ///
    /// # Errors
    /// [`TokenError::WrongSwarm`], [`TokenError::Unauthentic`].
    pub fn verify(&self, trust: &Trust) -> Result<Meaning, TokenError> {
        Meaning::of(&self.bytes, trust, &self.limits)
    }

    /// The bytes: a secret, for the holder alone.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text form: a secret, for the holder alone.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(text::encode(&self.bytes, Seal::Open))
    }

    /// Narrows the token for good.
    ///
    /// # Errors
    /// [`BuildError::Empty`], [`BuildError::WiderCapability`], [`BuildError::WiderDestination`],
    /// [`BuildError::WiderExpiry`], or a [`TokenError`] when it grows too large.
    pub fn attenuate(&self, attenuation: &Attenuation, fresh: Fresh) -> Result<Self, BuildError> {
        self.allows_attenuation(attenuation)?;
        let next = key_pair(&fresh.0)?;
        let token = self.unverified()?.append_with_keypair(&next, shape::attenuation(attenuation))?;
        self.extended(&token)
    }

    /// The last second in which it counts, as it says itself: its holder can hand on nothing beyond it.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.claims.expires()
    }

    /// Hands part of the token to somebody else; `key` is that of its holder now. Nothing in the new
    /// token lets its holder back into this one.
    ///
    /// # Errors
    /// [`BuildError::NotHolder`], [`BuildError::NoHops`] and the other ways of asking for too much, or a
    /// [`TokenError`] when it grows too large.
    pub fn delegate(
        &self,
        delegation: &Delegation,
        key: &SecretKey,
        fresh: Fresh,
    ) -> Result<Self, BuildError> {
        self.allows_delegation(delegation)?;
        if key.public() != self.claims.holder().key {
            return Err(BuildError::NotHolder);
        }
        let block = shape::delegation(delegation, self.delegations.saturating_add(1));
        let parent = self.unverified()?;
        let holder = PrivateKey::from_bytes(&*key.seed(), Algorithm::Ed25519).map_err(library)?;
        let signed = parent.third_party_request()?.create_block(&holder, block)?.serialize()?;
        self.extended(&parent.append_third_party_with_keypair(&signed, key_pair(&fresh.0)?)?)
    }

    /// Gives up the power to extend it: the form that nodes and receivers are shown.
    ///
    /// # Errors
    /// [`BuildError::Library`], or [`TokenError::TooLarge`]: a signature is longer than the secret that it
    /// replaces.
    pub fn seal(&self) -> Result<SealedToken, BuildError> {
        let bytes = self.unverified()?.seal()?.to_vec()?;
        Ok(SealedToken::from_bytes(&bytes, &self.limits)?)
    }

    fn allows_attenuation(&self, attenuation: &Attenuation) -> Result<(), BuildError> {
        let Attenuation { only, to, until } = attenuation;
        if *attenuation == Attenuation::default() {
            return Err(BuildError::Empty("restriction"));
        }
        if let Some(only) = only {
            if only.is_empty() {
                return Err(BuildError::Empty("capability"));
            }
            if let Some(outside) = first_outside(only, self.claims.rights()) {
                return Err(BuildError::WiderCapability(*outside));
            }
        }
        if let Some(to) = to {
            if to.is_empty() {
                return Err(BuildError::Empty("destination"));
            }
            if let Some(outside) = self.claims.destinations().and_then(|own| first_outside(to, own)) {
                return Err(BuildError::WiderDestination(*outside));
            }
        }
        until.map_or(Ok(()), |until| self.ends_by(until))
    }

    fn allows_delegation(&self, delegation: &Delegation) -> Result<(), BuildError> {
        let left = self.claims.hops().checked_sub(1).ok_or(BuildError::NoHops)?;
        if delegation.hops > left {
            return Err(BuildError::WiderHops { left });
        }
        if delegation.grant.is_empty() {
            return Err(BuildError::Empty("capability to grant"));
        }
        if let Some(outside) = first_outside(&delegation.grant, self.claims.rights()) {
            return Err(BuildError::WiderCapability(*outside));
        }
        if let Some(outside) = first_outside(&delegation.grant, self.claims.delegatable()) {
            return Err(BuildError::NotDelegatable(*outside));
        }
        if let Some(outside) = first_outside(&delegation.grant_on, &delegation.grant) {
            return Err(BuildError::WiderCapability(*outside));
        }
        self.ends_by(delegation.expires)
    }

    fn ends_by(&self, end: Timestamp) -> Result<(), BuildError> {
        if whole_second(end) > self.claims.expires() { Err(BuildError::WiderExpiry) } else { Ok(()) }
    }

    /// The library's form of it, for appending only.
    fn unverified(&self) -> Result<UnverifiedBiscuit, BuildError> {
        Ok(UnverifiedBiscuit::from(&self.bytes)?)
    }

    fn extended(&self, token: &UnverifiedBiscuit) -> Result<Self, BuildError> {
        Self::made(&Zeroizing::new(token.to_vec()?), &self.limits)
    }

    /// What was made must be readable, and still fit when it is sealed.
    fn made(bytes: &[u8], limits: &Limits) -> Result<Self, BuildError> {
        let max = limits.token_bytes_max;
        if bytes.len().saturating_add(SEAL_GROWTH) > max {
            return Err(TokenError::TooLarge { max }.into());
        }
        Ok(Self::from_bytes(bytes, limits)?)
    }
}

/// A token that nobody can extend. It is no secret: it counts only on the link, and under the signature,
/// of the holder that it names.
#[derive(Clone, Eq, PartialEq)]
pub struct SealedToken {
    bytes: Vec<u8>,
    id: TokenId,
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedToken({})", self.id.short())
    }
}

impl SealedToken {
    /// Takes the bytes of a sealed token and checks everything but its signatures.
    ///
    /// # Errors
    /// [`TokenError`] when it is unsealed or not of our shape.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, TokenError> {
        match read::parse(bytes, limits)?.seal {
            Seal::Open => Err(TokenError::Unsealed),
            Seal::Sealed => Ok(Self { bytes: bytes.to_vec(), id: TokenId::of(bytes) }),
        }
    }

    /// Takes the text form, `testudo-sealed:` and base64url.
    ///
    /// # Errors
    /// As [`SealedToken::from_bytes`].
    pub fn from_text(text: &str, limits: &Limits) -> Result<Self, TokenError> {
        Self::from_bytes(&text::bytes_of_text(text, limits)?, limits)
    }

    /// What a link does with a token that it is shown: all checks, the signatures last.
    ///
    /// # Errors
    /// The first [`TokenError`] found.
    pub fn read(bytes: &[u8], trust: &Trust, limits: &Limits) -> Result<(Self, Meaning), TokenError> {
        let token = Self::from_bytes(bytes, limits)?;
        let meaning = token.verify(trust, limits)?;
        Ok((token, meaning))
    }

    /// What an authority vouches that it means.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, trust: &Trust, limits: &Limits) -> Result<Meaning, TokenError> {
        Meaning::of(&self.bytes, trust, limits)
    }

    /// BLAKE3 of the bytes: what a header names.
    #[must_use]
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::encode(&self.bytes, Seal::Sealed)
    }
}

fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, BuildError> {
    Ok(KeyPair::from(&PrivateKey::from_bytes(seed, Algorithm::Ed25519).map_err(library)?))
}

fn library(error: biscuit_auth::error::Format) -> BuildError {
    BuildError::from(biscuit_auth::error::Token::Format(error))
}

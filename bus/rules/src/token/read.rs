//! From bytes to blocks, cheapest checks first: size, encoding, keys, shape; then the signatures.
//!
//! What a block means is not known here.

use std::collections::BTreeSet;

use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::schema::{self, proof, public_key::Algorithm};
use prost::Message;
use testudo_wire::{Limits, PublicKey, Signature, SwarmId};

use super::block::{Attenuation, Chain, Delegated, Mint, Narrowing, first_outside};
use super::error::TokenError;
use super::facts::Facts;
use super::shape;

/// Signature version of third-party blocks and of everything after one (Biscuit specification).
const CHAINED_SIGNATURE: u32 = 1;

/// Whose tokens count: the swarm and the authority keys that it trusts now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trust {
    /// The swarm that a token must name.
    pub swarm: SwarmId,
    /// The keys of which one must have signed its authority block.
    pub authorities: BTreeSet<PublicKey>,
}

impl Trust {
    /// A swarm that has only ever had this authority key.
    #[must_use]
    pub fn of(authority: PublicKey) -> Self {
        Self { swarm: SwarmId::of(&authority), authorities: BTreeSet::from([authority]) }
    }
}

/// Whether a token can be extended by whoever has its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Seal {
    Open,
    Sealed,
}

/// A token of our shape. Nobody has looked at its signatures yet.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) chain: Chain,
    pub(crate) seal: Seal,
}

/// Everything that can be known without a signature check.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, TokenError> {
    if bytes.len() > limits.token_bytes_max {
        return Err(TokenError::TooLarge { max: limits.token_bytes_max });
    }
    let outer = schema::Biscuit::decode(bytes).map_err(|_| TokenError::Malformed)?;
    // The signatures cover the blocks only: without this, one token would have many byte strings. The
    // root key id is a hint that nobody signs.
    if outer.root_key_id.is_some() || outer.encode_to_vec() != bytes {
        return Err(TokenError::Malformed);
    }
    if outer.blocks.len() >= limits.token_blocks_max {
        return Err(TokenError::TooManyBlocks { max: limits.token_blocks_max });
    }
    let seal = match &outer.proof.content {
        Some(proof::Content::NextSecret(secret)) if secret.len() == 32 => Seal::Open,
        Some(proof::Content::FinalSignature(signature)) if signature.len() == Signature::LEN => Seal::Sealed,
        Some(proof::Content::NextSecret(_) | proof::Content::FinalSignature(_)) | None => {
            return Err(TokenError::Malformed);
        }
    };
    let mut reader = Reader { table: SymbolTable::new(), delegations: 0, block: 1 };
    let mint = reader.authority(&outer.authority)?;
    let narrowings = outer.blocks.iter().map(|block| reader.narrowing(block)).collect::<Result<_, _>>()?;
    Ok(Parsed { chain: Chain { mint, narrowings }, seal })
}

/// Checks the chain of signatures under the trusted keys. Evaluates nothing.
pub(crate) fn verify(bytes: &[u8], chain: &Chain, trust: &Trust) -> Result<PublicKey, TokenError> {
    if chain.mint.swarm != trust.swarm {
        return Err(TokenError::WrongSwarm);
    }
    // A wrong key fails at the first signature, so this costs one check for each trusted key.
    let vouched = trust.authorities.iter().find(|authority| {
        biscuit_auth::PublicKey::from_bytes(authority.as_bytes(), biscuit_auth::Algorithm::Ed25519)
            .is_ok_and(|root| biscuit_auth::Biscuit::from(bytes, root).is_ok())
    });
    vouched.copied().ok_or(TokenError::Unauthentic)
}

/// Reads block after block; what was read of one is needed for the next.
struct Reader {
    /// Symbols of the first-party blocks so far.
    table: SymbolTable,
    delegations: u8,
    block: usize,
}

impl Reader {
    fn authority(&mut self, signed: &schema::SignedBlock) -> Result<Mint, TokenError> {
        if signed.external_signature.is_some() {
            return Err(self.foreign());
        }
        self.envelope(signed)?;
        let payload = self.payload(signed)?;
        let mint = Facts::new(&payload, &self.table).mint().ok_or_else(|| self.foreign())?;
        if first_outside(&mint.delegatable, &mint.rights).is_some() {
            return Err(self.foreign());
        }
        let ours = shape::encode_first_party(&shape::authority(&mint), &mut self.table);
        self.same(&ours, signed)?;
        Ok(mint)
    }

    fn narrowing(&mut self, signed: &schema::SignedBlock) -> Result<Narrowing, TokenError> {
        self.block += 1;
        match &signed.external_signature {
            None => self.attenuation(signed).map(Narrowing::Attenuated),
            Some(external) => {
                let by = self.key(&external.public_key)?;
                if external.signature.len() != Signature::LEN {
                    return Err(TokenError::KeyType { block: self.block });
                }
                self.delegation(by, signed).map(|delegated| Narrowing::Delegated(Box::new(delegated)))
            }
        }
    }

    fn attenuation(&mut self, signed: &schema::SignedBlock) -> Result<Attenuation, TokenError> {
        self.envelope(signed)?;
        let payload = self.payload(signed)?;
        let read = Facts::new(&payload, &self.table).attenuation().ok_or_else(|| self.foreign())?;
        if read == Attenuation::default() {
            return Err(self.foreign());
        }
        let ours = shape::encode_first_party(&shape::attenuation(&read), &mut self.table);
        self.same(&ours, signed)?;
        Ok(read)
    }

    fn delegation(&mut self, by: PublicKey, signed: &schema::SignedBlock) -> Result<Delegated, TokenError> {
        self.delegations = self.delegations.checked_add(1).ok_or_else(|| self.foreign())?;
        self.envelope(signed)?;
        let payload = self.payload(signed)?;
        // A third-party block knows only its own symbols.
        let delegation =
            Facts::new(&payload, &SymbolTable::new()).delegation().ok_or_else(|| self.foreign())?;
        if delegation.grant.is_empty() {
            return Err(self.foreign());
        }
        self.same(&shape::encode_third_party(&shape::delegation(&delegation, self.delegations)), signed)?;
        Ok(Delegated { by, delegation })
    }

    /// What surrounds every block: an Ed25519 signature, a next key, the one signature version.
    fn envelope(&self, signed: &schema::SignedBlock) -> Result<(), TokenError> {
        self.key(&signed.next_key)?;
        if signed.signature.len() != Signature::LEN {
            return Err(TokenError::KeyType { block: self.block });
        }
        let version = (self.delegations > 0).then_some(CHAINED_SIGNATURE);
        if signed.version == version { Ok(()) } else { Err(self.foreign()) }
    }

    fn key(&self, key: &schema::PublicKey) -> Result<PublicKey, TokenError> {
        let wrong = TokenError::KeyType { block: self.block };
        if key.algorithm != Algorithm::Ed25519 as i32 {
            return Err(wrong);
        }
        let bytes = key.key.as_slice().try_into().map_err(|_| wrong)?;
        PublicKey::parse(bytes).map_err(|_| wrong)
    }

    fn payload(&self, signed: &schema::SignedBlock) -> Result<schema::Block, TokenError> {
        schema::Block::decode(signed.block.as_slice()).map_err(|_| self.foreign())
    }

    /// Refuses whatever the facts do not account for: rules, other checks, scopes, order, unknown fields.
    fn same(&self, ours: &[u8], signed: &schema::SignedBlock) -> Result<(), TokenError> {
        if ours == signed.block { Ok(()) } else { Err(self.foreign()) }
    }

    const fn foreign(&self) -> TokenError {
        TokenError::Foreign { block: self.block }
    }
}

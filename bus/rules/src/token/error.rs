//! Why a token is not accepted or cannot be made. Each message says what to do; none quotes a token.

use testudo_wire::{AgentName, Capability, Refusal};

/// Why bytes are not a token that counts here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// A block whose bytes are not what our builder makes of its facts (threats A45, A48).
    #[error("block {block} is not one that testudo makes: make tokens with `testudo token`")]
    Foreign {
        /// Number of the block, the authority block being 1.
        block: usize,
    },
    /// More delegations than an earlier block allows.
    #[error("block {block} delegates further than allowed: ask for a token with more hops")]
    HopsExhausted {
        /// Number of the block.
        block: usize,
    },
    /// A key or signature that is not Ed25519's (measured fact M4).
    #[error("block {block} uses a key that is not Ed25519: make tokens with `testudo token`")]
    KeyType {
        /// Number of the block.
        block: usize,
    },
    /// Not the one encoding of a Biscuit.
    #[error("not a token, or not all of it: copy it whole, as `testudo token` printed it")]
    Malformed,
    /// Delegated by somebody who did not hold the token at that point (threat A43).
    #[error("block {block} is not signed by the token's holder: ask the holder to delegate it")]
    NotByHolder {
        /// Number of the block.
        block: usize,
    },
    /// Sealed where an unsealed token is wanted.
    #[error("the token is sealed and cannot be changed: use the unsealed one")]
    Sealed,
    /// More bytes than the limit.
    #[error("the token is larger than {max} bytes: grant fewer capabilities or delegate fewer times")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// More blocks than the limit.
    #[error("the token has more than {max} blocks: ask for a new one from nearer the authority")]
    TooManyBlocks {
        /// The limit.
        max: usize,
    },
    /// No trusted authority key began the chain, or a signature in it is wrong.
    #[error(
        "no authority of this swarm vouches for the token, or the one that did is retired: ask the swarm's issuer for one"
    )]
    Unauthentic,
    /// Unsealed where only sealed tokens are shown (it holds the secret to extend it).
    #[error("the token is not sealed: seal it before showing it to anyone")]
    Unsealed,
    /// Minted for another swarm.
    #[error("the token is for another swarm: ask this swarm's issuer for one")]
    WrongSwarm,
}

impl TokenError {
    /// Number of the block at fault, the authority block being 1; `None` when it is none in particular.
    #[must_use]
    pub const fn block(self) -> Option<usize> {
        match self {
            Self::Foreign { block }
            | Self::HopsExhausted { block }
            | Self::KeyType { block }
            | Self::NotByHolder { block } => Some(block),
            Self::Malformed
            | Self::Sealed
            | Self::TooLarge { .. }
            | Self::TooManyBlocks { .. }
            | Self::Unauthentic
            | Self::Unsealed
            | Self::WrongSwarm => None,
        }
    }

    /// What the pipeline answers, and the audit log records.
    #[must_use]
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Foreign { .. } | Self::KeyType { .. } => Refusal::ForeignBlock,
            Self::Malformed | Self::Sealed | Self::Unsealed => Refusal::Malformed,
            Self::TooLarge { .. } | Self::TooManyBlocks { .. } => Refusal::Oversized,
            Self::HopsExhausted { .. } | Self::NotByHolder { .. } | Self::Unauthentic | Self::WrongSwarm => {
                Refusal::Unauthorised
            }
        }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        error.refusal()
    }
}

/// Why a token cannot be minted, narrowed, delegated or sealed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A block that would change nothing, or a set that would allow nothing.
    #[error("name at least one {0}")]
    Empty(&'static str),
    /// biscuit-auth failed, which it does not on blocks of our shape.
    #[error("the token library failed")]
    Library(#[source] Box<biscuit_auth::error::Token>),
    /// The parent allows no further delegation.
    #[error("the token may not be delegated further: ask for one with more hops")]
    NoHops,
    /// The parent does not let this be handed on.
    #[error("{0} is not delegatable with this token: leave it out, or ask for a token that delegates it")]
    NotDelegatable(Capability),
    /// The key is not that of the token's holder.
    #[error("the key is not the token holder's: delegate with the identity that holds the token")]
    NotHolder,
    /// A number or a date that a Biscuit cannot hold.
    #[error("{0} is too large")]
    OutOfRange(&'static str),
    /// What was made, or was to be extended, is not a token that counts.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A capability beyond the parent's, or a delegatable one outside the rights.
    #[error("{0} goes beyond what the token allows: leave it out")]
    WiderCapability(Capability),
    /// A destination beyond the parent's.
    #[error("destination {0} goes beyond what the token allows: leave it out")]
    WiderDestination(AgentName),
    /// An end later than the parent's.
    #[error("the token itself ends earlier: choose an end that is not after its own")]
    WiderExpiry,
    /// More hops than the parent leaves.
    #[error("the token leaves {left} further delegations: choose no more")]
    WiderHops {
        /// How many delegations may follow this one.
        left: u8,
    },
}

impl From<biscuit_auth::error::Token> for BuildError {
    fn from(error: biscuit_auth::error::Token) -> Self {
        Self::Library(Box::new(error))
    }
}

//! Tokens as an agent handles them: opaque text that it gets, gives and never reads.
//!
//! What a token means is decided elsewhere; here it only must not leak, neither by `Debug` nor after its drop.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use testudo_wire::delegated::is_token_text;
use testudo_wire::{AgentName, Capability};
use zeroize::Zeroizing;

pub use testudo_wire::delegated::TOKEN_TEXT_BYTES_MAX;

/// Text that cannot be a token's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a token's text form (1 to {TOKEN_TEXT_BYTES_MAX} of A-Z a-z 0-9 _ - :)")]
pub struct TokenTextError;

/// The text form of an unsealed token, as `testudo token delegate` prints it. Whoever holds it and the key of
/// its holder may act under it and hand it on: it goes to its next holder and nowhere else.
#[derive(Clone, Eq, PartialEq)]
pub struct TokenText(Zeroizing<String>);

impl TokenText {
    /// Takes text that has the looks of a token. Whether it is one, only [`crate::Bus::on_behalf`] shows.
    ///
    /// # Errors
    /// [`TokenTextError`].
    pub fn parse(text: &str) -> Result<Self, TokenTextError> {
        if !is_token_text(text) {
            return Err(TokenTextError);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({} bytes)", self.0.len())
    }
}

/// What part of a token is handed to whom. Of what the token does not allow, nothing is handed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delegate {
    /// The new holder.
    pub to: AgentName,
    /// What it may do; at least one.
    pub capabilities: BTreeSet<Capability>,
    /// The part of it that it may hand on.
    pub onward: BTreeSet<Capability>,
    /// How many delegations may follow this one.
    pub hops: u8,
    /// How long it counts; never longer than the token that it comes from.
    pub lives: Duration,
}

impl Delegate {
    /// How long a delegation counts when nothing else is said.
    pub const LIVES: Duration = Duration::from_secs(600);

    /// A delegation that ends with its holder, for ten minutes.
    #[must_use]
    pub fn new(to: AgentName, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        let capabilities = capabilities.into_iter().collect();
        Self { to, capabilities, onward: BTreeSet::new(), hops: 0, lives: Self::LIVES }
    }

    /// Lets the new holder hand this part on, so many times.
    #[must_use]
    pub fn onward(mut self, capabilities: impl IntoIterator<Item = Capability>, hops: u8) -> Self {
        self.onward = capabilities.into_iter().collect();
        self.hops = hops;
        self
    }

    /// Lets it count for so long.
    #[must_use]
    pub const fn lives(mut self, lives: Duration) -> Self {
        self.lives = lives;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_text_is_bounded_plain_and_never_shown() {
        let longest = "a".repeat(TOKEN_TEXT_BYTES_MAX);
        for good in ["testudo-token:En8KFQ_-", &longest] {
            let text = TokenText::parse(good).unwrap();
            assert_eq!(text.as_str(), good);
            assert!(!format!("{text:?}").contains(good), "{text:?}");
        }
        for bad in ["", "testudo token", "a\n", "é", "a=", &"a".repeat(TOKEN_TEXT_BYTES_MAX + 1)] {
            assert_eq!(TokenText::parse(bad), Err(TokenTextError), "{bad}");
        }
    }
}

//! Tokens as a hostile holder makes them: with the stock Biscuit library, past every check of our builder.

use std::collections::HashMap;

use biscuit_auth::builder::{BlockBuilder, Term};
use biscuit_auth::error::Token as BiscuitError;
use biscuit_auth::{Algorithm, PrivateKey, UnverifiedBiscuit};
use testudo::rules::token::Token;
use testudo::wire::{Capability, Holder, SecretKey, Timestamp, TokenFactId};

/// A first delegation by docs/protocol.md, that may not be handed on.
const DELEGATION: &str = r#"
check if request($operation, $resource), grant($operation, $resource);
check if time($time), $time <= {end};
check if delegations(1), to_holder($user, $k), sender($user, $k) or to_holder($user, $k), delegation(2, $k);
check if delegations(1) or request($operation, $resource), grant_on($operation, $resource);
check if delegations($n), $n <= 1;
"#;

/// A right that the holder grants itself, and a check that would keep an engine busy.
const DATALOG: &str = r#"
right($verb, "admin") <- request($verb, $any);
check if request($verb, $any), $any.matches("((a|aa)+)+$");
"#;

/// What is handed on.
#[derive(Clone, Copy)]
pub(super) struct Handover<'a> {
    pub(super) id: TokenFactId,
    pub(super) to: Holder,
    /// In the order of names, as our builder writes them.
    pub(super) grant: &'a [Capability],
    pub(super) until: Timestamp,
}

impl Handover<'_> {
    fn code(&self) -> String {
        let grants: String = self
            .grant
            .iter()
            .map(|capability| format!("grant(\"{}\", \"{}\");\n", capability.verb(), capability.resource()))
            .collect();
        let Holder { name, key } = self.to;
        let id = self.id;
        format!(
            "id(hex:{id});\nto_holder(\"{name}\", hex:{key});\n{grants}expires({{end}});\nhops(0);{DELEGATION}"
        )
    }

    /// A block that says so, signed by `key` for exactly this parent; any grant goes.
    pub(super) fn sign(&self, parent: &Token, key: &SecretKey) -> Result<Vec<u8>, BiscuitError> {
        let end = HashMap::from([("end".to_owned(), Term::Date(self.until.as_secs()))]);
        let block = BlockBuilder::new().code_with_params(self.code(), end, HashMap::new())?;
        let key = PrivateKey::from_bytes(&*key.seed(), Algorithm::Ed25519)?;
        open(parent)?.third_party_request()?.create_block(&key, block)?.serialize()
    }
}

/// Puts a signed block into its parent, under a next key that was never used, and seals the whole.
pub(super) fn wrap(parent: &Token, block: &[u8]) -> Result<Vec<u8>, BiscuitError> {
    open(parent)?.append_third_party(block)?.seal()?.to_vec()
}

/// The token with Datalog of its holder's own, sealed.
pub(super) fn with_datalog(parent: &Token) -> Result<Vec<u8>, BiscuitError> {
    open(parent)?.append(BlockBuilder::new().code(DATALOG)?)?.seal()?.to_vec()
}

fn open(token: &Token) -> Result<UnverifiedBiscuit, BiscuitError> {
    UnverifiedBiscuit::from(token.bytes())
}

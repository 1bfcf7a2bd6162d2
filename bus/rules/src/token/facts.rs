//! Reads the facts of one block, in the order in which [`super::shape`] writes them.
//!
//! Lenient by itself: the reader writes again what was read here and compares bytes, so what is skipped
//! or merged here is noticed there.

use std::collections::BTreeSet;

use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::schema::{self, Term, term::Content};
use testudo_wire::{
    AgentName, Capability, Holder, PublicKey, RegistrySequence, SwarmId, Timestamp, TokenFactId,
};

use super::block::{Attenuation, Delegation, Mint};

/// Symbols below are the ones that every Biscuit library knows (Biscuit specification).
const FIRST_OWN_SYMBOL: u64 = 1024;

/// The facts of a block, and where reading stands.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    block: &'a schema::Block,
    table: &'a SymbolTable,
    read: usize,
}

impl<'a> Facts<'a> {
    /// `table` holds the symbols of the blocks before.
    pub(crate) const fn new(block: &'a schema::Block, table: &'a SymbolTable) -> Self {
        Self { block, table, read: 0 }
    }

    pub(crate) fn mint(&mut self) -> Option<Mint> {
        Some(Mint {
            swarm: SwarmId::new(array(self.one("swarm")?)?),
            id: TokenFactId::new(array(self.one("id")?)?),
            holder: self.holder("holder")?,
            rights: self.capabilities("right")?,
            delegatable: self.capabilities("delegatable")?,
            expires: date(self.one("expires")?)?,
            minted: RegistrySequence(u64::try_from(integer(self.one("minted")?)?).ok()?),
            hops: u8::try_from(integer(self.one("hops")?)?).ok()?,
        })
    }

    pub(crate) fn attenuation(&mut self) -> Option<Attenuation> {
        let only = self.capabilities("only")?;
        let mut to = BTreeSet::new();
        while let Some(terms) = self.next("to") {
            let [name] = terms else { return None };
            to.insert(AgentName::parse(self.text(name)?).ok()?);
        }
        let until = match self.next("until") {
            None => None,
            Some([until]) => Some(date(until)?),
            Some(_) => return None,
        };
        Some(Attenuation {
            only: (!only.is_empty()).then_some(only),
            to: (!to.is_empty()).then_some(to),
            until,
        })
    }

    pub(crate) fn delegation(&mut self) -> Option<Delegation> {
        Some(Delegation {
            id: TokenFactId::new(array(self.one("id")?)?),
            to: self.holder("to_holder")?,
            grant: self.capabilities("grant")?,
            grant_on: self.capabilities("grant_on")?,
            expires: date(self.one("expires")?)?,
            hops: u8::try_from(integer(self.one("hops")?)?).ok()?,
        })
    }

    /// The terms of the next fact, if it has this name.
    fn next(&mut self, name: &str) -> Option<&'a [Term]> {
        let predicate = &self.block.facts.get(self.read)?.predicate;
        if self.symbol(predicate.name)? != name {
            return None;
        }
        self.read += 1;
        Some(&predicate.terms)
    }

    fn one(&mut self, name: &str) -> Option<&'a Term> {
        let [term] = self.next(name)? else { return None };
        Some(term)
    }

    fn holder(&mut self, name: &str) -> Option<Holder> {
        let [name, key] = self.next(name)? else { return None };
        let name = AgentName::parse(self.text(name)?).ok()?;
        Some(Holder { name, key: PublicKey::parse(&array(key)?).ok()? })
    }

    fn capabilities(&mut self, name: &str) -> Option<BTreeSet<Capability>> {
        let mut set = BTreeSet::new();
        while let Some(terms) = self.next(name) {
            let [verb, resource] = terms else { return None };
            set.insert(Capability::of(self.text(verb)?, self.text(resource)?).ok()?);
        }
        Some(set)
    }

    fn text(&self, term: &Term) -> Option<&'a str> {
        let Some(Content::String(symbol)) = term.content else { return None };
        self.symbol(symbol)
    }

    fn symbol(&self, symbol: u64) -> Option<&'a str> {
        self.table.get_symbol(symbol).or_else(|| {
            let own = usize::try_from(symbol.checked_sub(FIRST_OWN_SYMBOL)?).ok()?;
            self.block.symbols.get(own.checked_sub(self.table.current_offset())?).map(String::as_str)
        })
    }
}

fn array<const N: usize>(term: &Term) -> Option<[u8; N]> {
    let Some(Content::Bytes(bytes)) = &term.content else { return None };
    bytes.as_slice().try_into().ok()
}

fn integer(term: &Term) -> Option<i64> {
    let Some(Content::Integer(integer)) = term.content else { return None };
    Some(integer)
}

fn date(term: &Term) -> Option<Timestamp> {
    let Some(Content::Date(seconds)) = term.content else { return None };
    seconds.checked_mul(1000).map(Timestamp::from_millis)
}

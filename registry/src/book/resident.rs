//! The resident: an agent that is a part of the node, for as long as the node runs.
//!
//! It is in the book so that links, tokens and routes treat it as any agent, and in no store, on no list and under no verb:
//! nobody enrols under its name, revokes it, or changes what it serves.

use testudo_wire::standing::{Grant, Holder};
use testudo_wire::{AgentName, RegistrySequence};

use super::Book;
use super::entry::Entry;
use super::verbs::burns_phase;

/// Why the node has no resident.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HouseError {
    /// There is one.
    #[error("the node has its own agent already")]
    Housed,
    /// Somebody was enrolled under this name before it was reserved.
    #[error("an agent is enrolled under the node's own name: revoke it, then start the node again")]
    Taken,
    /// Another name than the one that is kept free.
    #[error("the name is not the one that the rules reserve")]
    Unreserved,
}

impl Book {
    /// Takes the node's own agent in, without a number and for this run alone. `holder` has a key that nobody had
    /// before.
    ///
    /// # Errors
    /// [`HouseError`]; the book is as before.
    pub fn house(&mut self, holder: Holder, grant: Grant) -> Result<(), HouseError> {
        if self.rules.resident != Some(holder.name) {
            return Err(HouseError::Unreserved);
        }
        if self.resident.is_some() {
            return Err(HouseError::Housed);
        }
        // Who was revoked for good under this name stays so, on disk.
        match self.agents.get(&holder.name) {
            Some(entry) if !burns_phase(entry.phase) => return Err(HouseError::Taken),
            Some(entry) => drop(self.keys.remove(&entry.holder.key)),
            None => {}
        }
        self.keys.insert(holder.key, holder.name);
        self.agents.insert(holder.name, Entry::new(holder, grant.into(), RegistrySequence(0)));
        self.resident = Some(holder.name);
        Ok(())
    }

    /// Whether this is the node's own agent.
    pub(super) fn is_resident(&self, name: &AgentName) -> bool {
        self.resident.as_ref() == Some(name)
    }

    /// An agent that verbs may touch.
    pub(super) fn enrolled(&self, name: &AgentName) -> Option<&Entry> {
        self.agents.get(name).filter(|_| !self.is_resident(name))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testudo_wire::standing::RevocationCause;
    use testudo_wire::{RegistrySequence, SessionId};

    use super::*;
    use crate::book::tests_support::{AT, key, name};
    use crate::book::{BookRules, EnrolError, Login, ReinstateError, RevokeError};
    use crate::store::Contents;

    fn rules() -> BookRules {
        BookRules { resident: Some(name("office")), ..BookRules::default() }
    }

    fn office() -> Holder {
        Holder { name: name("office"), key: key(9) }
    }

    fn housed() -> Book {
        let mut book = Book::new(rules());
        book.house(office(), Grant::default()).unwrap();
        book
    }

    #[test]
    fn t_a36_no_verb_touches_the_resident_and_nobody_is_enrolled_in_its_place() {
        for mut book in [Book::new(rules()), housed()] {
            let taken = book.enrol(Holder { key: key(1), ..office() }, Grant::default(), AT);
            assert_eq!(taken.unwrap_err(), EnrolError::Reserved);
            assert_eq!(
                book.revoke(&name("office"), RevocationCause::Operator, AT).unwrap_err(),
                RevokeError::Unknown
            );
            assert_eq!(book.reinstate(&name("office"), AT).unwrap_err(), ReinstateError::Unknown);
            assert!(book.narrow(&name("office"), Grant::default(), AT).is_err());
            assert!(book.regrant(&name("office"), Grant::default(), AT).is_err());
            assert!(book.fail(&name("office"), SessionId::new([1; 16]), AT).is_err());
            assert_eq!((book.get(&name("office")), book.list().count()), (None, 0));
            assert_eq!(book.record(&name("office")), None, "no store hears of it");
            assert!(book.tick(Duration::from_secs(1)).is_empty());
        }
    }

    #[test]
    fn the_resident_links_and_is_never_put_out_as_silent() {
        let mut book = housed();
        let login = Login {
            holder: office(),
            session: SessionId::new([1; 16]),
            remote: ([127, 0, 0, 1], 1).into(),
            renews: None,
        };
        book.login(&login, Duration::ZERO, AT).unwrap();
        for second in 1..400 {
            assert!(book.tick(Duration::from_secs(second)).is_empty());
        }
        assert_eq!(book.sequence(), RegistrySequence(0), "it counts for nothing");
        assert!(book.standing(&name("office")).unwrap().is_good());
    }

    #[test]
    fn who_had_the_name_before_it_was_reserved_keeps_it_until_revoked_for_good() {
        let mut older = Book::new(BookRules::default());
        let enrolled = older.enrol(Holder { key: key(1), ..office() }, Grant::default(), AT).unwrap();
        older.apply(&enrolled);
        let stored = |book: &Book| Contents {
            sequence: book.sequence(),
            agents: book.record(&name("office")).into_iter().collect(),
            burnt: book.burnt(&name("office")).into_iter().collect(),
            ..Contents::default()
        };
        let mut book = Book::restore(stored(&older), rules(), Duration::ZERO).unwrap();
        assert_eq!(book.house(office(), Grant::default()), Err(HouseError::Taken));
        let out = book.revoke(&name("office"), RevocationCause::Operator, AT).unwrap().unwrap();
        book.apply(&out);
        let mut book = Book::restore(stored(&book), rules(), Duration::ZERO).unwrap();
        assert_eq!(book.house(office(), Grant::default()), Ok(()));
        assert_eq!(book.house(office(), Grant::default()), Err(HouseError::Housed));
        let again = book.enrol(Holder { name: name("b"), key: key(1) }, Grant::default(), AT);
        assert_eq!(again.unwrap_err(), EnrolError::BurntKey, "its key is burnt as before");
    }
}

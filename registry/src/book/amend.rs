//! A grant that is changed in part. Decided where the grant is, so that nobody's change undoes another's.

use testudo_wire::amend::Amendment;
use testudo_wire::{AgentName, Timestamp};

use super::{Book, Change, GrantError};

impl Book {
    /// What an amendment of an agent's grant comes to: a smaller grant, another one, or nothing.
    ///
    /// # Errors
    /// [`GrantError`]; the book is as before.
    pub fn amend(
        &self,
        name: &AgentName,
        amendment: &Amendment,
        at: Timestamp,
    ) -> Result<Option<Change>, GrantError> {
        let old = &self.grantee(name)?.grant;
        let grant = amendment.of(old);
        if grant == **old {
            return Ok(None);
        }
        match self.narrow(name, grant.clone(), at) {
            Err(GrantError::Widens) => self.regrant(name, grant, at).map(Some),
            narrowed => narrowed.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use testudo_wire::Grant;
    use testudo_wire::amend::Lists;

    use super::super::tests_support::{AT, grant, holder, name};
    use super::super::{BookRules, ChangeKind};
    use super::*;

    fn lists(right: &[&str]) -> Lists {
        Lists { right: grant(right).right, ..Lists::default() }
    }

    #[test]
    fn what_only_takes_narrows_and_what_gives_is_a_grant_of_its_own() {
        let mut book = Book::new(BookRules::default());
        let change = book.enrol(holder("a", 1), grant(&["read:logs"]), AT).unwrap();
        book.apply(&change);
        let had = book.get(&name("a")).unwrap().grant.right.clone();
        let more = Amendment { add: lists(&["write:more"]), ..Amendment::default() };
        let change = book.amend(&name("a"), &more, AT).unwrap().unwrap();
        assert!(
            matches!(&change.kind, ChangeKind::Regranted { grant, .. } if grant.right.len() == had.len() + 1)
        );
        book.apply(&change);
        assert_eq!(book.amend(&name("a"), &more, AT), Ok(None), "it has that");
        let less = Amendment { remove: lists(&["write:more"]), ..Amendment::default() };
        let change = book.amend(&name("a"), &less, AT).unwrap().unwrap();
        assert!(matches!(&change.kind, ChangeKind::Narrowed { grant, .. } if grant.right == had));
        book.apply(&change);
        let on = Lists { delegatable: grant(&["no:right"]).right, ..Lists::default() };
        let beyond = Amendment { add: on, ..Amendment::default() };
        assert_eq!(book.amend(&name("a"), &beyond, AT), Err(GrantError::DelegatableBeyondRight));
        let mute = Amendment { bundles_per_second: Some(0), ..Amendment::default() };
        assert_eq!(book.amend(&name("a"), &mute, AT), Err(GrantError::NoQuota));
        assert_eq!(book.amend(&name("x"), &more, AT), Err(GrantError::Unknown));
        assert_eq!(book.get(&name("a")).unwrap().grant.as_ref(), &Grant { right: had, ..grant(&[]) });
    }
}

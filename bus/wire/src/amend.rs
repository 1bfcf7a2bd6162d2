//! What is to be different about a grant: what comes, what goes, and not a word on what stays. So two who change one
//! grant at the same time undo nothing of each other's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Capability;
use crate::standing::{Grant, Quota};

/// Capabilities of each kind that a grant has.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lists {
    /// It may exercise them, and be given tokens for them.
    pub right: BTreeSet<Capability>,
    /// Others may ask it for them.
    pub serve: BTreeSet<Capability>,
    /// It may hand them on.
    pub delegatable: BTreeSet<Capability>,
}

/// A change of a grant.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amendment {
    /// What it is to have.
    pub add: Lists,
    /// What it is not to have, whatever is added; a right that goes is handed on no more, either.
    pub remove: Lists,
    /// Whether it acts under tokens of others alone; as before if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated_only: Option<bool>,
    /// Bundles a second that it may send; as before if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundles_per_second: Option<u32>,
}

fn amended(
    old: &BTreeSet<Capability>,
    add: &BTreeSet<Capability>,
    remove: &BTreeSet<Capability>,
) -> BTreeSet<Capability> {
    old.union(add).filter(|capability| !remove.contains(*capability)).copied().collect()
}

impl Amendment {
    /// The grant that this makes of another. Whether it is one that an agent may have is the registry's to say.
    #[must_use]
    pub fn of(&self, old: &Grant) -> Grant {
        let Self { add, remove, delegated_only, bundles_per_second } = self;
        let delegatable = amended(&old.delegatable, &add.delegatable, &remove.delegatable);
        Grant {
            right: amended(&old.right, &add.right, &remove.right),
            serve: amended(&old.serve, &add.serve, &remove.serve),
            delegatable: &delegatable - &remove.right,
            quota: Quota {
                bundles_per_second: bundles_per_second.unwrap_or(old.quota.bundles_per_second),
                ..old.quota
            },
            delegated_only: delegated_only.unwrap_or(old.delegated_only),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> BTreeSet<Capability> {
        texts.iter().map(|text| Capability::parse(text).unwrap()).collect()
    }

    fn lists(right: &[&str], serve: &[&str], delegatable: &[&str]) -> Lists {
        Lists { right: set(right), serve: set(serve), delegatable: set(delegatable) }
    }

    #[test]
    fn what_is_not_named_stays_and_what_goes_goes_whatever_comes() {
        let old = Grant {
            right: set(&["read:logs", "read:mail"]),
            serve: set(&["sum:up"]),
            delegatable: set(&["read:mail"]),
            ..Grant::default()
        };
        assert_eq!(Amendment::default().of(&old), old);
        let change = Amendment {
            add: lists(&["write:logs", "read:logs", "read:mail"], &["ask:me"], &["write:logs", "read:mail"]),
            remove: lists(&["read:mail"], &["sum:up", "never:had"], &[]),
            bundles_per_second: Some(7),
            ..Amendment::default()
        };
        let new = change.of(&old);
        assert_eq!((new.right, new.serve), (set(&["read:logs", "write:logs"]), set(&["ask:me"])));
        assert_eq!(new.delegatable, set(&["write:logs"]), "not what it has no more");
        assert_eq!((new.quota.bundles_per_second, new.delegated_only), (7, false));
        assert_eq!(new.quota.bytes_per_second, old.quota.bytes_per_second);
        let bound = Amendment { delegated_only: Some(true), ..Amendment::default() }.of(&old);
        assert!(bound.delegated_only && Amendment::default().of(&bound).delegated_only);
    }
}

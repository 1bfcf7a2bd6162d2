//! What an agent is to be allowed, as flags: the same for who is enrolled and for who is invited.

use std::collections::BTreeSet;

use clap::Args;
use testudo::operator::Verb;
use testudo::wire::standing::Quota;
use testudo::wire::{Capability, Grant};

use super::CliError;

#[derive(Args, Debug)]
pub(super) struct Rights {
    /// Capabilities it may exercise
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    allow: Vec<Capability>,
    /// It is an operator: everything that `operate:` names, see docs/operations.md; narrower with --allow operate:...
    #[arg(long)]
    operator: bool,
    /// Capabilities for which others may ask it
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    serve: Vec<Capability>,
    /// The part of --allow that it may hand on
    #[arg(long, value_name = "VERB:RESOURCE", num_args = 1..)]
    delegatable: Vec<Capability>,
    /// It acts only under tokens that other agents hand it, never under its own
    #[arg(long)]
    delegated_only: bool,
    /// Bundles a second that it may send
    #[arg(long, value_name = "N", default_value_t = Quota::default().bundles_per_second, value_parser = clap::value_parser!(u32).range(1..))]
    bundles_per_second: u32,
}

impl Rights {
    /// The grant of these flags.
    pub(super) fn grant(self) -> Result<Grant, CliError> {
        let quota = Quota { bundles_per_second: self.bundles_per_second, ..Quota::default() };
        let set = |list: Vec<Capability>| list.into_iter().collect::<BTreeSet<_>>();
        let operator = if self.operator { Verb::ordinary() } else { BTreeSet::new() };
        let grant = Grant {
            right: &set(self.allow) | &operator,
            serve: set(self.serve),
            delegatable: set(self.delegatable),
            quota,
            delegated_only: self.delegated_only,
        };
        if let Some(wide) = grant.delegatable.difference(&grant.right).next() {
            return Err(CliError::Usage(format!("--delegatable {wide} is not in --allow; add it there too")));
        }
        if grant.delegated_only && !grant.delegatable.is_empty() {
            let why = "--delegated-only leaves it nothing of its own to hand on; leave out --delegatable";
            return Err(CliError::Usage(why.into()));
        }
        if grant.right.is_empty() && grant.serve.is_empty() && !grant.delegated_only {
            return Err(CliError::Usage("nothing to do for it; give --allow, --serve or both".into()));
        }
        Ok(grant)
    }

    /// Whether any of them was given.
    pub(super) fn are_given(&self) -> bool {
        self.delegated_only
            || self.operator
            || !(self.allow.is_empty() && self.serve.is_empty() && self.delegatable.is_empty())
    }
}

//! What an agent is in a swarm, in words that chain; what is wrong with one of them shows when it is used.

use std::collections::BTreeSet;

use testudo_wire::standing::Quota;
use testudo_wire::{Capability, Grant, NameError};

/// Why a role cannot be given to an agent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RoleError {
    /// A capability or topic breaks the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What may be handed on must be held.
    #[error("the role may hand on {0} but not do it; add allow(\"{0}\") too")]
    DelegatableBeyondRight(Capability),
    /// Whoever acts only under tokens of others has nothing of its own to hand on.
    #[error("delegated_only() leaves it nothing of its own to hand on; leave out delegatable(\"{0}\")")]
    DelegatableOfNothing(Capability),
    /// Nothing in it.
    #[error("the role may do nothing; add allow(..), serve(..), publish(..) or subscribe(..)")]
    Empty,
}

/// What an agent may do, and what others may ask of it. Nothing, to begin with.
///
/// ```
/// # use testudo::Role;
/// let analyst = Role::new().allow("read:logs").serve("analyse:logs").publish("findings");
/// assert!(analyst.grant().is_ok());
/// assert!(Role::new().allow("everything").grant().is_err());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Role {
    grant: Grant,
    wrong: Option<NameError>,
}

impl Role {
    /// May do nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// May exercise a capability such as `read:logs` at whoever serves it.
    pub fn allow(self, capability: &str) -> Self {
        self.with(capability, |grant| &mut grant.right)
    }

    /// May be asked for a capability.
    pub fn serve(self, capability: &str) -> Self {
        self.with(capability, |grant| &mut grant.serve)
    }

    /// May hand on to others what it is also allowed.
    pub fn delegatable(self, capability: &str) -> Self {
        self.with(capability, |grant| &mut grant.delegatable)
    }

    /// May publish on a topic: `allow("publish:TOPIC")`.
    pub fn publish(self, topic: &str) -> Self {
        self.allow(&format!("publish:{topic}"))
    }

    /// May subscribe to a topic: `allow("subscribe:TOPIC")`.
    pub fn subscribe(self, topic: &str) -> Self {
        self.allow(&format!("subscribe:{topic}"))
    }

    /// Acts only under tokens that other agents hand it, never on its own authority. It still answers whoever
    /// asks it.
    ///
    /// ```
    /// # use testudo::Role;
    /// assert!(Role::new().serve("review:logs").delegated_only().grant().is_ok());
    /// ```
    pub const fn delegated_only(mut self) -> Self {
        self.grant.delegated_only = true;
        self
    }

    /// How fast it may send.
    pub const fn quota(mut self, quota: Quota) -> Self {
        self.grant.quota = quota;
        self
    }

    /// The role as the registry keeps it.
    ///
    /// # Errors
    /// [`RoleError`], the first one.
    pub fn grant(self) -> Result<Grant, RoleError> {
        let Self { grant, wrong } = self;
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        if let Some(wide) = grant.delegatable.difference(&grant.right).next() {
            return Err(RoleError::DelegatableBeyondRight(*wide));
        }
        if let (true, Some(own)) = (grant.delegated_only, grant.delegatable.first()) {
            return Err(RoleError::DelegatableOfNothing(*own));
        }
        if grant.right.is_empty() && grant.serve.is_empty() && !grant.delegated_only {
            return Err(RoleError::Empty);
        }
        Ok(grant)
    }

    fn with(mut self, capability: &str, set: impl FnOnce(&mut Grant) -> &mut BTreeSet<Capability>) -> Self {
        match Capability::parse(capability) {
            Ok(capability) => {
                set(&mut self.grant).insert(capability);
            }
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }
}

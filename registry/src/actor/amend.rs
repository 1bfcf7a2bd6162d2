//! A grant that is changed in part, in the keeper's two orders: what only takes is in effect whatever the disk does, what
//! gives is durable first. What does both is durable first as a whole: who must take something whatever the disk does takes
//! it in an amendment of its own.

use testudo_wire::amend::Amendment;
use testudo_wire::{AgentName, RegistrySequence};

use super::VerbError;
use super::door::RegistryDoor;
use super::keeper::Keeper;
use super::run::Verb;
use crate::book::{ChangeKind, GrantError};

struct Amend {
    name: AgentName,
    amendment: Amendment,
}

impl RegistryDoor {
    /// Changes a part of a grant; what is not named stays as it is, whoever changes it at the same time. What is taken is
    /// taken everywhere on this node on return, and every token that the agent was given before is void. Nothing happens
    /// when it is so already.
    ///
    /// # Errors
    /// [`VerbError`]: of an amendment that only takes as for [`RegistryDoor::revoke`], else nothing changed unless it
    /// says so, nor was anything taken.
    pub async fn amend(
        &self,
        name: AgentName,
        amendment: Amendment,
    ) -> Result<RegistrySequence, VerbError<GrantError>> {
        self.ask(&self.operators, Amend { name, amendment }).await
    }
}

impl Verb for Amend {
    type Answer = Result<RegistrySequence, VerbError<GrantError>>;

    async fn run(self, keeper: &mut Keeper) -> Self::Answer {
        let change = keeper.book.amend(&self.name, &self.amendment, keeper.wall());
        match change.map_err(VerbError::Refused)? {
            Some(change) if matches!(change.kind, ChangeKind::Regranted { .. }) => {
                Ok(keeper.replace(change).await?)
            }
            change => keeper.withhold(change).await,
        }
    }
}

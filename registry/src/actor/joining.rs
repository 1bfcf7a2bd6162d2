//! The verbs of invitations, in the keeper's two orders: what lets somebody in is durable first, what keeps somebody
//! out takes effect whatever the disk does.

use testudo_wire::{InvitationId, RegistrySequence, Timestamp};
use tokio::sync::watch;

use super::VerbError;
use super::door::RegistryDoor;
use super::keeper::Keeper;
use super::run::Verb;
use crate::book::{
    AgentView, Invitation, InvitationState, InviteError, Join, JoinError, Newcomer, UninviteError,
};

struct Invite(Invitation);
struct Cancel(InvitationId);
struct Invitations;
struct AskToJoin(Newcomer);

impl RegistryDoor {
    /// Lets somebody join. Durable on return.
    ///
    /// # Errors
    /// [`VerbError`]; nothing changed unless it says so.
    pub async fn invite(&self, invitation: Invitation) -> Result<RegistrySequence, VerbError<InviteError>> {
        self.ask(&self.operators, Invite(invitation)).await
    }

    /// Takes an invitation back. In effect on return.
    ///
    /// # Errors
    /// [`VerbError`], as for [`RegistryDoor::revoke`].
    pub async fn uninvite(&self, id: InvitationId) -> Result<RegistrySequence, VerbError<UninviteError>> {
        self.ask(&self.operators, Cancel(id)).await
    }

    /// All invitations, and where each is in its life.
    ///
    /// # Errors
    /// [`VerbError::Closed`].
    pub async fn invitations(
        &self,
    ) -> Result<Vec<(Invitation, InvitationState)>, VerbError<std::convert::Infallible>> {
        self.ask(&self.links, Invitations).await
    }

    /// Lets a newcomer in who proves its invitation: enrolled, and the invitation spent, durably and at once. The same
    /// key may ask again. A wrong proof is counted.
    ///
    /// # Errors
    /// [`VerbError`]; nobody was enrolled unless it says so.
    pub async fn join(&self, newcomer: Newcomer) -> Result<AgentView, VerbError<JoinError>> {
        self.ask(&self.links, AskToJoin(newcomer)).await
    }

    /// Until when somebody may join, on the wall clock; `None` while nobody may.
    #[must_use]
    pub fn invited(&self) -> watch::Receiver<Option<Timestamp>> {
        self.invited.clone()
    }
}

impl Verb for Invite {
    type Answer = Result<RegistrySequence, VerbError<InviteError>>;

    async fn run(self, keeper: &mut Keeper) -> Self::Answer {
        let change = keeper.book.invite(self.0, keeper.wall()).map_err(VerbError::Refused)?;
        Ok(keeper.admit(change).await?)
    }
}

impl Verb for Cancel {
    type Answer = Result<RegistrySequence, VerbError<UninviteError>>;

    async fn run(self, keeper: &mut Keeper) -> Self::Answer {
        let change = keeper.book.uninvite(&self.0, keeper.wall()).map_err(VerbError::Refused)?;
        keeper.withhold(Some(change)).await
    }
}

impl Verb for Invitations {
    type Answer = Result<Vec<(Invitation, InvitationState)>, VerbError<std::convert::Infallible>>;

    async fn run(self, keeper: &mut Keeper) -> Self::Answer {
        let now = keeper.wall();
        Ok(keeper.book.invitations().map(|one| (one.clone(), one.state(now))).collect())
    }
}

impl Verb for AskToJoin {
    type Answer = Result<AgentView, VerbError<JoinError>>;

    async fn run(self, keeper: &mut Keeper) -> Self::Answer {
        let Self(newcomer) = self;
        match keeper.book.join(&newcomer, keeper.wall()) {
            Ok(Join::Again(view)) => Ok(view),
            Ok(Join::First(change)) => {
                let name = change.kind.agent().copied();
                keeper.admit(change).await?;
                name.and_then(|name| keeper.get(&name)).ok_or(VerbError::Unavailable)
            }
            Err(refused) => {
                if matches!(refused, JoinError::WrongSignature(_)) {
                    keeper.miss(newcomer.id).await;
                }
                Err(VerbError::Refused(refused))
            }
        }
    }
}

impl Keeper {
    /// Counts a wrong signature in memory at once and on disk as soon as it takes it.
    async fn miss(&mut self, id: InvitationId) {
        self.book.miss(&id);
        self.vault.owe_invitation(id);
        self.vault.flush(&self.book).await;
        self.report();
    }
}

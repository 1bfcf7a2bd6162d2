//! The verbs of invitations, in the keeper's two orders: what lets somebody in is durable first, what keeps somebody
//! out takes effect whatever the disk does.

use testudo_wire::{InvitationId, RegistrySequence};

use super::VerbError;
use super::keeper::Keeper;
use super::run::Verb;
use crate::book::{
    AgentView, Invitation, InvitationState, InviteError, Join, JoinError, Newcomer, UninviteError,
};

pub(super) struct Invite(pub(super) Invitation);
pub(super) struct Cancel(pub(super) InvitationId);
pub(super) struct Invitations;
pub(super) struct AskToJoin(pub(super) Newcomer);

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

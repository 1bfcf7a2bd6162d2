//! What each verb does, in which order: the one place where book, store, audit, directory, links and
//! barrier meet. Plain code, run by one actor one verb at a time.
//!
//! Two orders. What gives authority is durable first, then in effect; if it cannot be made durable it does
//! not happen. What takes authority away takes effect within the second, durable or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use testudo_wire::standing::{Grant, Holder, RevocationCause};
use testudo_wire::{AgentName, RegistrySequence, SessionId, Timestamp, TokenFactId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::door::{Offers, Shared};
use super::vault::{Durability, Vault};
use super::{LinkClose, LinkControl, LinkRequest, VerbError, WallClock};
use crate::barrier::WriterBarrier;
use crate::book::{
    AgentView, Beat, Book, Change, ChangeKind, EnrolError, FailError, GrantError, HouseError, LoginError,
    ReinstateError, RevokeError, TokenError, Trusted, TrustedError,
};
use crate::snapshot::{Publisher, Update};
use crate::store::Batch;

/// How long a link writer may take to acknowledge a change (design.md, section 7).
const BARRIER_LIMIT: Duration = Duration::from_millis(50);
/// The present link and one that drains after a renewal.
const LINKS_MAX: usize = 2;

/// A link and how to close it.
type Controlled = (SessionId, Arc<dyn LinkControl>);

/// Every link that the registry can close. Dropping it closes all: without a registry nobody is connected.
#[derive(Default)]
pub(super) struct Links {
    by_name: BTreeMap<AgentName, Vec<Controlled>>,
}

impl Links {
    fn insert(&mut self, name: AgentName, session: SessionId, control: Arc<dyn LinkControl>) {
        let links = self.by_name.entry(name).or_default();
        links.push((session, control));
        if links.len() > LINKS_MAX {
            let (_, oldest) = links.remove(0);
            oldest.close(LinkClose::Displaced);
        }
    }

    fn remove(&mut self, name: &AgentName, session: SessionId) -> Option<Arc<dyn LinkControl>> {
        let links = self.by_name.get_mut(name)?;
        let at = links.iter().position(|(known, _)| *known == session)?;
        let (_, control) = links.remove(at);
        if links.is_empty() {
            self.by_name.remove(name);
        }
        Some(control)
    }

    fn close(&mut self, name: &AgentName, session: SessionId, reason: LinkClose) {
        if let Some(control) = self.remove(name, session) {
            control.close(reason);
        }
    }

    fn close_agent(&mut self, name: &AgentName, reason: LinkClose) {
        for (_, control) in self.by_name.remove(name).unwrap_or_default() {
            control.close(reason);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for (_, control) in std::mem::take(&mut self.by_name).into_values().flatten() {
            control.close(LinkClose::Shutdown);
        }
    }
}

pub(super) struct Keeper {
    pub(super) book: Book,
    pub(super) vault: Vault,
    pub(super) publisher: Publisher,
    pub(super) barrier: WriterBarrier,
    pub(super) links: Links,
    pub(super) clock: WallClock,
    pub(super) shared: Arc<Shared>,
    pub(super) ticked: Instant,
    /// Until when anybody may join, for whoever opens the door.
    pub(super) invited: watch::Sender<Option<Timestamp>>,
}

/// The store or the audit log takes no writes.
pub(super) struct Down;

impl<E: std::error::Error + 'static> From<Down> for VerbError<E> {
    fn from(Down: Down) -> Self {
        Self::Unavailable
    }
}

impl Keeper {
    pub(super) fn wall(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes everything that was offered at the door so, and ticks if that is due: a verb never judges by
    /// links that are known to be gone, and no flood of verbs keeps silence from being noticed.
    pub(super) async fn catch_up(&mut self) {
        self.take_offers();
        if self.ticked.elapsed() >= self.book.rules().tick() {
            self.tick().await;
        }
    }

    fn take_offers(&mut self) {
        let Offers { beats, lost } = self.shared.take_offers();
        let (now, wall) = (self.shared.now(), self.wall());
        for (session, (name, at)) in beats {
            // The time of arrival counts, not the time at which the registry came to it (threat F26).
            self.book.heartbeat(&name, session, at, wall.before(now.saturating_sub(at)));
        }
        for (session, name) in lost {
            self.links.remove(&name, session);
            self.book.link_lost(&name, session);
        }
    }

    /// Pays debts, then puts out who was silent.
    pub(super) async fn tick(&mut self) {
        self.ticked = Instant::now();
        self.take_offers();
        self.vault.reclaim().await;
        let now = self.shared.now();
        let changes: Vec<Change> = self
            .book
            .tick(now)
            .iter()
            .filter_map(|name| {
                let change = self.book.revoke(name, RevocationCause::Silent, (self.clock)()).ok()??;
                self.book.apply(&change);
                Some(change)
            })
            .collect();
        if !changes.is_empty() {
            self.enforce(changes).await;
        } else if self.vault.backlog() > 0 {
            self.vault.flush(&self.book).await;
        }
        self.vault.flush_presence(&self.book).await;
        self.report();
    }

    pub(super) fn report(&self) {
        let failing_at = self.vault.is_failing().then(|| self.wall());
        self.shared.report(self.vault.backlog(), failing_at);
        let until = self.book.invited_until(self.wall());
        self.invited.send_if_modified(|known| std::mem::replace(known, until) != until);
    }

    fn publish(&mut self, changes: &[Change]) {
        let mut update = Update { sequence: self.book.sequence(), ..Update::default() };
        for change in changes {
            if let Some(name) = change.kind.agent() {
                update.standings.extend(self.book.standing(name).map(|standing| (*name, standing)));
            }
            if let ChangeKind::TokenRevoked { id } = change.kind {
                update.tokens.push(id);
            }
            if let ChangeKind::Trusted { trusted } = &change.kind {
                update.authorities = Some(trusted.authorities.clone());
            }
        }
        self.publisher.publish(update);
    }

    /// After changes that take authority away were applied: (1) rows and records committed, (2) directory
    /// published, (3) links cut, every writer past the barrier. A failing disk delays (2) and (3) by its
    /// patience at most and never stops them.
    async fn enforce(&mut self, changes: Vec<Change>) -> Durability {
        for change in &changes {
            tracing::info!(sequence = %change.sequence, kind = change.kind.as_str(), agent = ?change.kind.agent(), "registry change");
            self.vault.owe(change.clone());
        }
        let durability = self.vault.flush(&self.book).await;
        self.publish(&changes);
        for change in &changes {
            if let ChangeKind::Revoked { holder, cause } = &change.kind {
                self.links.close_agent(&holder.name, LinkClose::Revoked(*cause));
            }
        }
        self.pass_barrier().await;
        self.report();
        durability
    }

    pub(super) async fn pass_barrier(&self) {
        for late in self.barrier.wait(self.book.sequence(), BARRIER_LIMIT).await {
            tracing::warn!(agent = %late.name, "closed a link whose writer did not follow the directory");
        }
    }

    /// Makes a change durable, then so. Else withdraws it: its number is used, its rows are written anew.
    pub(super) async fn admit(&mut self, change: Change) -> Result<RegistrySequence, Down> {
        if !self.vault.is_ready() {
            return Err(Down);
        }
        let agents = self.book.record_after(&change).into_iter().collect();
        let mut batch = Batch { sequence: change.sequence, agents, ..Batch::default() };
        for (id, invitation) in self.book.invitations_after(&change) {
            match invitation {
                Some(invitation) => batch.invitations.push(invitation),
                None => batch.uninvited.push(id),
            }
        }
        let written = self.vault.write(batch).await.map_err(|error| error.to_string());
        let durable = match written {
            Ok(()) => self.vault.record(&change).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let outcome = match durable {
            Ok(()) => change,
            Err(error) => self.withdrawal_of(&change, &error).ok_or(Down)?,
        };
        self.book.apply(&outcome);
        self.publish(std::slice::from_ref(&outcome));
        let withdrawn = matches!(outcome.kind, ChangeKind::Withdrawn { .. });
        let sequence = outcome.sequence;
        if withdrawn {
            self.vault.owe(outcome);
        }
        self.report();
        if withdrawn { Err(Down) } else { Ok(sequence) }
    }

    fn withdrawal_of(&self, change: &Change, error: &str) -> Option<Change> {
        tracing::error!(error, sequence = %change.sequence, "a registry change was withdrawn");
        change.kind.agent().map(|name| self.book.withdraw(change, *name, self.wall()))
    }

    pub(super) async fn enrol(
        &mut self,
        holder: Holder,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<EnrolError>> {
        let change = self.book.enrol(holder, grant, self.wall()).map_err(VerbError::Refused)?;
        Ok(self.admit(change).await?)
    }

    pub(super) async fn regrant(
        &mut self,
        name: AgentName,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<GrantError>> {
        let change = self.book.regrant(&name, grant, self.wall()).map_err(VerbError::Refused)?;
        Ok(self.replace(change).await?)
    }

    /// Another grant: durable first, like whatever gives.
    pub(super) async fn replace(&mut self, change: Change) -> Result<RegistrySequence, Down> {
        let sequence = self.admit(change).await?;
        // It may also have taken something away.
        self.pass_barrier().await;
        Ok(sequence)
    }

    pub(super) async fn reinstate(
        &mut self,
        name: AgentName,
    ) -> Result<RegistrySequence, VerbError<ReinstateError>> {
        let change = self.book.reinstate(&name, self.wall()).map_err(VerbError::Refused)?;
        Ok(self.admit(change).await?)
    }

    /// Applies and enforces; without a change, pays what may still be owed of the earlier one.
    pub(super) async fn withhold<E: std::error::Error + 'static>(
        &mut self,
        change: Option<Change>,
    ) -> Result<RegistrySequence, VerbError<E>> {
        let durability = match change {
            Some(change) => {
                self.book.apply(&change);
                self.enforce(vec![change]).await
            }
            None => self.vault.flush(&self.book).await,
        };
        let sequence = self.book.sequence();
        match durability {
            Durability::Durable => Ok(sequence),
            Durability::Owed => Err(VerbError::NotYetDurable { sequence }),
        }
    }

    pub(super) async fn narrow(
        &mut self,
        name: AgentName,
        grant: Grant,
    ) -> Result<RegistrySequence, VerbError<GrantError>> {
        let change = self.book.narrow(&name, grant, self.wall()).map_err(VerbError::Refused)?;
        self.withhold(Some(change)).await
    }

    pub(super) async fn revoke(
        &mut self,
        name: AgentName,
        cause: RevocationCause,
    ) -> Result<RegistrySequence, VerbError<RevokeError>> {
        let change = self.book.revoke(&name, cause, self.wall()).map_err(VerbError::Refused)?;
        self.withhold(change).await
    }

    pub(super) async fn fail(
        &mut self,
        name: AgentName,
        session: SessionId,
    ) -> Result<RegistrySequence, VerbError<FailError>> {
        let change = self.book.fail(&name, session, self.wall()).map_err(VerbError::Refused)?;
        self.withhold(Some(change)).await
    }

    pub(super) async fn revoke_token(
        &mut self,
        id: TokenFactId,
    ) -> Result<RegistrySequence, VerbError<TokenError>> {
        let change = self.book.revoke_token(id, self.wall()).map_err(VerbError::Refused)?;
        self.withhold(change).await
    }

    /// Another trust statement is in force. It may take authority away, and is durable elsewhere already.
    pub(super) async fn trust(
        &mut self,
        trusted: Trusted,
    ) -> Result<RegistrySequence, VerbError<TrustedError>> {
        let change = self.book.take_up(trusted, self.wall()).map_err(VerbError::Refused)?;
        self.withhold(change).await
    }

    pub(super) async fn login(
        &mut self,
        request: LinkRequest,
    ) -> Result<RegistrySequence, VerbError<LoginError>> {
        let LinkRequest { login, control } = request;
        if let Some(change) = self.book.return_of(&login.holder, self.wall()) {
            self.admit(change).await?;
        }
        let name = login.holder.name;
        let admitted = match self.book.login(&login, self.shared.now(), self.wall()) {
            Ok(admitted) => admitted,
            Err(refused) => return Err(self.refuse(&name, refused).await),
        };
        self.note_presence(name);
        self.links.insert(name, login.session, control);
        let audited = match &admitted.notice {
            Some(notice) => self.vault.note(notice).await,
            None => Ok(()),
        };
        if let Some(displaced) = admitted.displaced {
            self.links.close(&name, displaced, LinkClose::Displaced);
        }
        if let Err(error) = audited {
            tracing::error!(%error, agent = %name, "a displacement could not be recorded: both links closed");
            self.links.close(&name, login.session, LinkClose::Shutdown);
            self.book.link_lost(&name, login.session);
            return Err(VerbError::Unavailable);
        }
        Ok(self.book.sequence())
    }

    async fn refuse(&mut self, name: &AgentName, refused: LoginError) -> VerbError<LoginError> {
        if let LoginError::DisplacedTooOften { older, notice } = &refused {
            self.links.close(name, *older, LinkClose::DisplacedTooOften);
            if let Some(notice) = notice {
                tracing::warn!(agent = %name, "an identity is used from two places: its links displace each other");
                if let Err(error) = self.vault.note(notice).await {
                    tracing::error!(%error, agent = %name, "the alert could not be recorded");
                }
            }
        }
        VerbError::Refused(refused)
    }

    pub(super) fn goodbye(&mut self, name: &AgentName, session: SessionId) -> Beat {
        self.links.remove(name, session);
        self.note_presence(*name);
        self.book.goodbye(name, session, self.wall())
    }

    /// Worth a row, unless it is the node's own agent, which has none.
    fn note_presence(&mut self, name: AgentName) {
        if self.book.record(&name).is_some() {
            self.vault.note_presence(name);
        }
    }

    /// Takes the node's own agent in. There is nothing to store and nothing to number.
    pub(super) fn house(&mut self, holder: Holder, grant: Grant) -> Result<(), VerbError<HouseError>> {
        self.book.house(holder, grant).map_err(VerbError::Refused)?;
        let standings = self.book.standing(&holder.name).map(|standing| (holder.name, standing));
        let standings = standings.into_iter().collect();
        let (sequence, resident) = (self.book.sequence(), Some(holder.name));
        self.publisher.publish(Update { sequence, standings, resident, ..Update::default() });
        Ok(())
    }

    pub(super) fn get(&self, name: &AgentName) -> Option<AgentView> {
        self.book.get(name)
    }

    pub(super) fn list(&self) -> Vec<AgentView> {
        self.book.list().collect()
    }

    /// Pays what can be paid and closes every link.
    pub(super) async fn shut_down(&mut self) -> Durability {
        let durability = self.vault.flush(&self.book).await;
        self.vault.flush_presence(&self.book).await;
        self.links = Links::default();
        durability
    }
}

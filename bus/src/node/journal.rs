//! The registry's changes on the audit log.

use std::net::SocketAddr;
use std::sync::Arc;

use testudo_registry::{Change, ChangeKind, Journal, JournalError, Trusted};
use testudo_rules::audit::{
    Event, LinkChange, LinkEvent, NodeEvent, Note, Record, RegistryChange, RegistryEvent,
};
use testudo_wire::{AgentName, Digest, Timestamp};

use crate::audit::AuditLog;

/// Writes a change at once and resolves when it is durable.
pub(crate) struct AuditJournal(pub(crate) Arc<AuditLog>);

fn displaced(name: AgentName, older: SocketAddr, what: LinkChange) -> Event {
    let (agent, remote) = (Some(name), Note::new(&older.to_string()));
    Event::Link(LinkEvent { agent, session: None, remote, what })
}

fn trust(Trusted { mark, authorities, cas }: &Trusted) -> Event {
    let (number, statement) = mark.map_or((0, Digest::new([0; 32])), |mark| (mark.number, mark.statement));
    let authorities = u8::try_from(authorities.len()).unwrap_or(u8::MAX);
    Event::Node(NodeEvent::Trust { number, authorities, cas: *cas, statement })
}

fn event(kind: &ChangeKind) -> Event {
    let change = match kind {
        ChangeKind::Displaced { name, older, newer } => {
            return displaced(*name, *older, LinkChange::Displaced { by: Note::new(&newer.to_string()) });
        }
        ChangeKind::DisplacedTooOften { name, older, newer } => {
            let by = Note::new(&newer.to_string());
            return displaced(*name, *older, LinkChange::DisplacedTooOften { by });
        }
        ChangeKind::Enrolled { by: Some(id), .. } => RegistryChange::Joined { id: *id },
        ChangeKind::Enrolled { replaces: None, .. } => RegistryChange::Enrolled,
        ChangeKind::Enrolled { replaces: Some(_), .. } => RegistryChange::Rekeyed,
        ChangeKind::Invited { invitation, .. } => RegistryChange::Invited { id: invitation.id },
        ChangeKind::Narrowed { .. } => RegistryChange::Narrowed,
        ChangeKind::Regranted { .. } => RegistryChange::Regranted,
        ChangeKind::Reinstated { .. } => RegistryChange::Reinstated,
        ChangeKind::Revoked { cause, .. } => RegistryChange::Revoked(*cause),
        ChangeKind::Trusted { trusted } => return trust(trusted),
        ChangeKind::TokenRevoked { id } => RegistryChange::TokenRevoked { id: *id },
        ChangeKind::Uninvited { id, .. } => RegistryChange::InvitationCancelled { id: *id },
        ChangeKind::Withdrawn { .. } => RegistryChange::Withdrawn,
    };
    Event::Registry(RegistryEvent { agent: kind.agent().copied(), change })
}

impl Journal for AuditJournal {
    fn record(&self, change: &Change, at: Timestamp) -> testudo_registry::Recorded {
        let record = Record { at, registry: change.sequence, event: event(&change.kind) };
        let appended = self.0.append(&record).map_err(|error| JournalError(error.to_string()));
        let log = self.0.clone();
        Box::pin(async move {
            let appended = appended?;
            log.wait_synced(appended.index()).await.map_err(|error| JournalError(error.to_string()))
        })
    }
}

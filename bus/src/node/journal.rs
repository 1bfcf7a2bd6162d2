//! The registry's changes on the audit log.

use std::sync::Arc;

use testudo_registry::{Change, ChangeKind, Journal, JournalError};
use testudo_rules::audit::{Event, LinkChange, LinkEvent, Note, Record, RegistryChange, RegistryEvent};
use testudo_wire::Timestamp;

use crate::audit::AuditLog;

/// Writes a change at once and resolves when it is durable.
pub(crate) struct AuditJournal(pub(crate) Arc<AuditLog>);

fn event(kind: &ChangeKind) -> Event {
    let change = match kind {
        ChangeKind::Displaced { name, older, newer }
        | ChangeKind::DisplacedTooOften { name, older, newer } => {
            return Event::Link(LinkEvent {
                agent: Some(*name),
                session: None,
                remote: Note::new(&older.to_string()),
                what: LinkChange::Displaced { by: Note::new(&newer.to_string()) },
            });
        }
        ChangeKind::Enrolled { replaces: None, .. } => RegistryChange::Enrolled,
        ChangeKind::Enrolled { replaces: Some(_), .. } => RegistryChange::Rekeyed,
        ChangeKind::Narrowed { .. } => RegistryChange::Narrowed,
        ChangeKind::Regranted { .. } => RegistryChange::Regranted,
        ChangeKind::Reinstated { .. } => RegistryChange::Reinstated,
        ChangeKind::Revoked { cause, .. } => RegistryChange::Revoked(*cause),
        ChangeKind::TokenRevoked { id } => RegistryChange::TokenRevoked { id: *id },
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

//! The table of invitations: its shape and its rows.
//!
//! Knows rows, not what they mean; the seed of an invitation is never here, only its public key.

use std::sync::Arc;

use rusqlite::{Row, Transaction, params};
use testudo_wire::standing::Grant;
use testudo_wire::{AgentName, InvitationId, Limits, PublicKey, Timestamp, canonical};

use super::Batch;
use super::sqlite::{Bad, get, number, signed, unfit};
use crate::book::{Invitation, MISSES_MAX};

pub(super) const SCHEMA: &str = "
CREATE TABLE invitation (
  id BLOB PRIMARY KEY CHECK (length(id) = 16),
  key BLOB NOT NULL CHECK (length(key) = 32),
  name TEXT NOT NULL,
  rights BLOB NOT NULL,
  until INTEGER NOT NULL,
  misses INTEGER NOT NULL,
  spent BLOB CHECK (length(spent) = 32)
) STRICT, WITHOUT ROWID;
";

pub(super) const SELECT: &str = "SELECT id, key, name, rights, until, misses, spent FROM invitation";

pub(super) fn write(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut gone = transaction.prepare_cached("DELETE FROM invitation WHERE id = ?1")?;
    for id in batch.uninvited.iter().chain(batch.invitations.iter().map(|one| &one.id)) {
        gone.execute([id.as_bytes()])?;
    }
    let mut invitation = transaction.prepare_cached(
        "INSERT INTO invitation (id, key, name, rights, until, misses, spent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for one in &batch.invitations {
        invitation.execute(params![
            one.id.as_bytes(),
            one.key.as_bytes(),
            one.name.as_str(),
            canonical::encode(one.grant.as_ref()).map_err(unfit)?,
            signed(one.until.as_millis())?,
            one.misses,
            one.spent.as_ref().map(PublicKey::as_bytes),
        ])?;
    }
    Ok(())
}

pub(super) fn read(row: &Row<'_>) -> Result<Invitation, Bad> {
    let bad = |error: &dyn std::fmt::Display| Bad(error.to_string());
    let key = |bytes: [u8; 32]| PublicKey::parse(&bytes).map_err(|error| bad(&error));
    let grant: Grant = canonical::decode(&get::<Vec<u8>>(row, 3)?, &Limits::standard())
        .map_err(|error| Bad(format!("an unreadable grant ({error})")))?;
    let misses = u8::try_from(number(row, 5)?).ok().filter(|misses| *misses <= MISSES_MAX);
    Ok(Invitation {
        id: InvitationId::new(get(row, 0)?),
        key: key(get(row, 1)?)?,
        name: AgentName::parse(&get::<String>(row, 2)?).map_err(|error| bad(&error))?,
        grant: Arc::new(grant),
        until: Timestamp::from_millis(number(row, 4)?),
        misses: misses.ok_or_else(|| Bad("an impossible number of wrong signatures".into()))?,
        spent: get::<Option<[u8; 32]>>(row, 6)?.map(key).transpose()?,
    })
}

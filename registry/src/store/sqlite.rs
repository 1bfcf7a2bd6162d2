//! The store of one node: SQLite (<https://sqlite.org/fileformat2.html>), write-ahead log, fully synced.
//!
//! Knows rows, not what they mean. Every name, key, number and grant is parsed strictly on load.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, params};
use testudo_wire::standing::{Grant, Holder, RevocationCause};
use testudo_wire::{
    AgentName, Limits, PublicKey, RegistrySequence, SwarmId, Timestamp, TokenFactId, canonical,
};

use super::{Batch, Contents, Store, StoreError, StoreKey, invitations, trust};
use crate::book::{Burnt, Condition, Record};

/// `TSTD`: marks the file as ours, see <https://sqlite.org/pragma.html#pragma_application_id>.
const APPLICATION_ID: i64 = 0x5453_5444;
/// Format of the tables below.
const VERSION: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  swarm BLOB NOT NULL CHECK (length(swarm) = 32),
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  seal BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT;
CREATE TABLE agent (
  name TEXT PRIMARY KEY,
  key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
  rights BLOB NOT NULL,
  condition TEXT NOT NULL,
  revoked_at INTEGER,
  valid_from INTEGER NOT NULL,
  last_seen INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE burnt (
  key BLOB PRIMARY KEY CHECK (length(key) = 32),
  name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE token (
  id BLOB PRIMARY KEY CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;
";

/// A registry store in one SQLite file. Holds it alone: a second process is refused (threat F33). Every
/// commit seals what is then there, and opening believes nothing without its seal.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    key: StoreKey,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the store of `swarm` at `path`, sealed with `key`, or makes it, readable by its owner only.
    ///
    /// # Errors
    /// [`StoreError`], each with its own message: newer, foreign, another swarm's, corrupt, tampered with,
    /// read-only, in use.
    pub fn open(path: &Path, swarm: &SwarmId, key: StoreKey) -> Result<Self, StoreError> {
        let told = |error| tell(path, &error);
        create_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(told)?;
        if connection.is_readonly("main").map_err(told)? {
            return Err(StoreError::ReadOnly { path: path.into() });
        }
        let id = pragma(&connection, "application_id").map_err(told)?;
        let version = pragma(&connection, "user_version").map_err(told)?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(told)?;
        let fresh = (id, version, tables) == (0, 0, 0);
        if !fresh && id != APPLICATION_ID {
            return Err(StoreError::Foreign { path: path.into() });
        }
        if version > VERSION {
            return Err(StoreError::Newer { path: path.into(), found: version, known: VERSION });
        }
        settle(&connection).map_err(told)?;
        if fresh {
            create(&mut connection, swarm, &key).map_err(told)?;
        }
        let mut store = Self { connection, key, path: path.into() };
        if !fresh && version < VERSION {
            store.migrate(version)?;
        }
        store.check(swarm)?;
        Ok(store)
    }

    /// Brings an older format to ours, once its own seal is found good.
    fn migrate(&mut self, from: i64) -> Result<(), StoreError> {
        let path = self.path.clone();
        let good = was_sealed(&self.connection, &self.key, from);
        if !good.map_err(|error| unread(&path, &error))? {
            return Err(StoreError::Tampered { path });
        }
        let told = |error| tell(&path, &error);
        let transaction = self.connection.transaction().map_err(told)?;
        if from < 2 {
            transaction.execute_batch(invitations::SCHEMA).map_err(told)?;
        }
        transaction.execute_batch(trust::SCHEMA).map_err(told)?;
        seal(&transaction, &self.key).map_err(told)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(told)?;
        transaction.commit().map_err(told)
    }

    fn check(&self, swarm: &SwarmId) -> Result<(), StoreError> {
        let told = |error| tell(&self.path, &error);
        let path = || self.path.clone();
        let sound: String =
            self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(told)?;
        if sound != "ok" {
            return Err(StoreError::Corrupt { path: path(), detail: sound });
        }
        let unread = |error| unread(&self.path, &error);
        let found = self.connection.query_row("SELECT swarm, seal FROM meta", [], |row| {
            Ok((SwarmId::new(row.get(0)?), blake3::Hash::from_bytes(row.get(1)?)))
        });
        let (found, seal) = found.map_err(unread)?;
        if found != *swarm {
            return Err(StoreError::ForeignSwarm { path: path(), found, wanted: *swarm });
        }
        if self.key.seal(&self.connection).map_err(unread)? == seal {
            Ok(())
        } else {
            Err(StoreError::Tampered { path: path() })
        }
    }

    /// The number of the latest change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sequence(&self) -> Result<RegistrySequence, StoreError> {
        let sequence = self.rows("SELECT 1, sequence FROM meta", "meta", |row| number(row, 1))?;
        Ok(RegistrySequence(sequence.first().copied().unwrap_or_default()))
    }

    fn rows<T>(
        &self,
        sql: &str,
        table: &'static str,
        parse: fn(&Row<'_>) -> Result<T, Bad>,
    ) -> Result<Vec<T>, StoreError> {
        let told = |error| tell(&self.path, &error);
        let mut statement = self.connection.prepare(sql).map_err(told)?;
        let mut rows = statement.query([]).map_err(told)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(told)? {
            let bad = |Bad(reason)| StoreError::BadRow { table, row: key_of(row), reason };
            all.push(parse(row).map_err(bad)?);
        }
        Ok(all)
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Contents, StoreError> {
        let sequence = self.sequence()?;
        let agents = self.rows(
            "SELECT name, key, rights, condition, revoked_at, valid_from, last_seen FROM agent",
            "agent",
            record,
        )?;
        let burnt = self.rows("SELECT name, key FROM burnt", "burnt", burnt)?;
        let tokens = self.rows("SELECT id FROM token", "token", |row| Ok(TokenFactId::new(get(row, 0)?)))?;
        let invitations = self.rows(invitations::SELECT, "invitation", invitations::read)?;
        let trust = self.rows(trust::SELECT, "trust", trust::read)?.into_iter().next();
        Ok(Contents { sequence, agents, burnt, tokens, invitations, trust })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let path = self.path.clone();
        let told = |error| tell(&path, &error);
        let transaction = self.connection.transaction().map_err(told)?;
        let stored: i64 =
            transaction.query_row("SELECT sequence FROM meta", [], |row| row.get(0)).map_err(told)?;
        let stored = RegistrySequence(stored.unsigned_abs());
        if batch.sequence < stored {
            return Err(StoreError::Regressed { stored, offered: batch.sequence });
        }
        write(&transaction, batch).map_err(told)?;
        seal(&transaction, &self.key).map_err(told)?;
        transaction.commit().map_err(told)
    }
}

fn write(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut gone = transaction.prepare_cached("DELETE FROM agent WHERE name = ?1")?;
    for name in batch.gone.iter().chain(batch.agents.iter().map(|record| &record.holder.name)) {
        gone.execute([name.as_str()])?;
    }
    let mut agent = transaction.prepare_cached(
        "INSERT INTO agent (name, key, rights, condition, revoked_at, valid_from, last_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for record in &batch.agents {
        let (condition, revoked_at) = condition_text(record.condition);
        let rights = canonical::encode(record.grant.as_ref()).map_err(unfit)?;
        agent.execute(params![
            record.holder.name.as_str(),
            record.holder.key.as_bytes(),
            rights,
            condition,
            revoked_at.map(|at| signed(at.as_millis())).transpose()?,
            signed(record.valid_from.0)?,
            record.last_seen.map(|at| signed(at.as_millis())).transpose()?,
        ])?;
    }
    let mut burnt = transaction.prepare_cached("INSERT OR IGNORE INTO burnt (key, name) VALUES (?1, ?2)")?;
    for one in &batch.burnt {
        burnt.execute(params![one.key.as_bytes(), one.name.as_str()])?;
    }
    let mut token = transaction.prepare_cached("INSERT OR IGNORE INTO token (id) VALUES (?1)")?;
    for id in &batch.tokens {
        token.execute([id.as_bytes()])?;
    }
    invitations::write(transaction, batch)?;
    batch.trust.map_or(Ok(()), |mark| trust::write(transaction, mark))?;
    transaction.execute("UPDATE meta SET sequence = ?1", [signed(batch.sequence.0)?]).map(|_| ())
}

/// Seals everything that the transaction is about to commit.
fn seal(transaction: &Transaction<'_>, key: &StoreKey) -> rusqlite::Result<()> {
    let seal = key.seal(transaction)?;
    transaction.execute("UPDATE meta SET seal = ?1", [seal.as_bytes()]).map(|_| ())
}

/// Whether a store of an older format has its seal: later tables were not among what it sealed.
fn was_sealed(connection: &Connection, key: &StoreKey, format: i64) -> rusqlite::Result<bool> {
    let seal = connection.query_row("SELECT seal FROM meta", [], |row| row.get(0))?;
    let made = key.seal_of_format(connection, format)?;
    Ok(made.is_some_and(|made| made == blake3::Hash::from_bytes(seal)))
}

/// Makes the file if it is missing, for its owner only: grants and names are nobody else's business.
fn create_private(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) {
            StoreError::ReadOnly { path: path.into() }
        } else {
            StoreError::Io(format!("cannot open {}: {error}", path.display()))
        }
    })
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Alone with the file, every commit synced before it returns.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The exclusive lock is taken by the first write and then kept.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT")
}

fn create(connection: &mut Connection, swarm: &SwarmId, key: &StoreKey) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(invitations::SCHEMA)?;
    transaction.execute_batch(trust::SCHEMA)?;
    transaction.execute("INSERT INTO meta VALUES (1, ?1, 0, zeroblob(32))", [swarm.as_bytes()])?;
    seal(&transaction, key)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// SQLite's error in our words.
fn tell(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = || path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path() },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path: path(), detail: error.to_string() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path: path() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { path: path() },
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Io(error.to_string()),
    }
}

/// A statement that no longer fits the tables, or a row that is gone, is an edit as well.
fn unread(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::Unknown) => StoreError::Tampered { path: path.to_path_buf() },
        Some(_) => tell(path, error),
    }
}

/// What is wrong with a row.
pub(super) struct Bad(pub(super) String);

pub(super) fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, Bad> {
    row.get(column).map_err(|error| Bad(error.to_string()))
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64, Bad> {
    get::<i64>(row, column)?.try_into().map_err(|_| Bad("a negative number".into()))
}

fn time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Bad> {
    match get::<Option<i64>>(row, column)? {
        None => Ok(None),
        Some(_) => Ok(Some(Timestamp::from_millis(number(row, column)?))),
    }
}

fn holder(row: &Row<'_>) -> Result<Holder, Bad> {
    let name = AgentName::parse(&get::<String>(row, 0)?).map_err(|error| Bad(error.to_string()))?;
    let key = PublicKey::parse(&get(row, 1)?).map_err(|error| Bad(error.to_string()))?;
    Ok(Holder { name, key })
}

fn burnt(row: &Row<'_>) -> Result<Burnt, Bad> {
    let Holder { name, key } = holder(row)?;
    Ok(Burnt { key, name })
}

fn record(row: &Row<'_>) -> Result<Record, Bad> {
    let grant: Grant = canonical::decode(&get::<Vec<u8>>(row, 2)?, &Limits::standard())
        .map_err(|error| Bad(format!("an unreadable grant ({error})")))?;
    Ok(Record {
        holder: holder(row)?,
        grant: Arc::new(grant),
        condition: condition(&get::<String>(row, 3)?, time(row, 4)?)?,
        valid_from: RegistrySequence(number(row, 5)?),
        last_seen: time(row, 6)?,
    })
}

const fn condition_text(condition: Condition) -> (&'static str, Option<Timestamp>) {
    match condition {
        Condition::Enrolled => ("enrolled", None),
        Condition::Leased => ("leased", None),
        Condition::Offline => ("offline", None),
        Condition::Revoked { cause, at } => (cause_text(cause), Some(at)),
    }
}

const fn cause_text(cause: RevocationCause) -> &'static str {
    match cause {
        RevocationCause::Compromised => "revoked: compromised",
        RevocationCause::Failed => "revoked: failed",
        RevocationCause::Operator => "revoked: operator",
        RevocationCause::Silent => "revoked: silent",
    }
}

fn condition(text: &str, revoked_at: Option<Timestamp>) -> Result<Condition, Bad> {
    let revoked = |cause, at| Ok(Condition::Revoked { cause, at });
    match (text, revoked_at) {
        ("enrolled", None) => Ok(Condition::Enrolled),
        ("leased", None) => Ok(Condition::Leased),
        ("offline", None) => Ok(Condition::Offline),
        ("revoked: compromised", Some(at)) => revoked(RevocationCause::Compromised, at),
        ("revoked: failed", Some(at)) => revoked(RevocationCause::Failed, at),
        ("revoked: operator", Some(at)) => revoked(RevocationCause::Operator, at),
        ("revoked: silent", Some(at)) => revoked(RevocationCause::Silent, at),
        _ => Err(Bad(format!("an unknown condition {:?}", text.chars().take(40).collect::<String>()))),
    }
}

/// A row's key for the message: names escaped, bytes as hex.
fn key_of(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(value) if value.data_type() == Type::Text => {
            let text: String = value.as_str().unwrap_or("?").chars().take(80).collect();
            format!("{text:?}")
        }
        Ok(value) if value.data_type() == Type::Blob => {
            value.as_blob().unwrap_or_default().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
        }
        Ok(_) | Err(_) => "?".into(),
    }
}

pub(super) fn signed(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(unfit)
}

pub(super) fn unfit(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

#[cfg(test)]
impl SqliteStore {
    /// What SQLite says of one of its settings; `name = value` changes it.
    pub(super) fn setting(&self, name: &str) -> String {
        let mut statement = self.connection.prepare(&format!("PRAGMA {name}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        match rows.next().unwrap().map(|row| row.get(0).unwrap()) {
            Some(rusqlite::types::Value::Integer(number)) => number.to_string(),
            Some(rusqlite::types::Value::Text(text)) => text,
            other => format!("{other:?}"),
        }
    }
}

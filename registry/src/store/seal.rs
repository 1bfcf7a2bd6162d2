//! The seal of a store: whoever edits the file without the node's key is found out when it is opened.
//!
//! Knows tables and bytes, not what they mean. An older copy has a good seal too: the witnessed sequence
//! tells that one (threat A75).

use std::fmt;

use blake3::Hasher;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use zeroize::Zeroizing;

/// What is sealed, always in this order. The schema is part of it: a planted trigger would otherwise change
/// rows inside our own transaction, and we would seal its work.
const SEALED: [(&str, &str); 7] = [
    ("schema", "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"),
    ("meta", "SELECT one, swarm, sequence FROM meta ORDER BY one"),
    (
        "agent",
        "SELECT name, key, rights, condition, revoked_at, valid_from, last_seen FROM agent ORDER BY name",
    ),
    ("burnt", "SELECT key, name FROM burnt ORDER BY key"),
    ("token", "SELECT id FROM token ORDER BY id"),
    ("invitation", "SELECT id, key, name, rights, until, misses, spent FROM invitation ORDER BY id"),
    ("trust", "SELECT one, number, statement FROM trust ORDER BY one"),
];
/// So many of them were sealed in formats 1 and 2.
const SEALED_BEFORE: [usize; 2] = [5, 6];

/// The secret that seals a store. Derive it from a key that is kept elsewhere than the store, for this
/// purpose only.
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// The key of these 32 secret bytes.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// The keyed BLAKE3 hash (<https://github.com/BLAKE3-team/BLAKE3-specs>, 2.3) over everything in the
    /// store. Comparing two takes the same time wherever they differ.
    pub(super) fn seal(&self, connection: &Connection) -> rusqlite::Result<blake3::Hash> {
        self.seal_of(connection, &SEALED)
    }

    /// The same for a store of an older format; `None` for one that never was.
    pub(super) fn seal_of_format(
        &self,
        connection: &Connection,
        format: i64,
    ) -> rusqlite::Result<Option<blake3::Hash>> {
        let before =
            usize::try_from(format).ok().and_then(|format| SEALED_BEFORE.get(format.checked_sub(1)?));
        let tables = before.and_then(|tables| SEALED.get(..*tables));
        tables.map(|tables| self.seal_of(connection, tables)).transpose()
    }

    fn seal_of(&self, connection: &Connection, tables: &[(&str, &str)]) -> rusqlite::Result<blake3::Hash> {
        let mut hasher = Hasher::new_keyed(&self.0);
        for (table, sql) in tables {
            field(&mut hasher, b'T', table.as_bytes());
            let mut statement = connection.prepare_cached(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                hasher.update(b"R");
                for column in 0..columns {
                    value(&mut hasher, row.get_ref(column)?);
                }
            }
        }
        Ok(hasher.finalize())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

fn value(hasher: &mut Hasher, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => field(hasher, b'n', &[]),
        ValueRef::Integer(number) => field(hasher, b'i', &number.to_le_bytes()),
        ValueRef::Real(number) => field(hasher, b'f', &number.to_bits().to_le_bytes()),
        ValueRef::Text(text) => field(hasher, b't', text),
        ValueRef::Blob(bytes) => field(hasher, b'b', bytes),
    }
}

/// A kind, the length as eight bytes (little end first), the bytes: no two stores read the same.
fn field(hasher: &mut Hasher, kind: u8, bytes: &[u8]) {
    hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

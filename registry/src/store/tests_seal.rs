//! The seal: every edit of a closed store is noticed, and nothing else is taken for one.

use rusqlite::Connection;
use testudo_wire::{RegistrySequence, SwarmId, TokenFactId};

use super::tests::{Place, SWARM, sealing};
use super::*;

#[track_caller]
fn noticed(place: &Place, what: &str) {
    let error = place.open().err().unwrap_or_else(|| panic!("{what} went unnoticed"));
    assert_eq!(error, StoreError::Tampered { path: place.path() }, "{what}");
}

#[track_caller]
fn notices(edits: &[&str]) {
    for sql in edits {
        let place = Place::filled();
        place.edit(sql);
        noticed(&place, sql);
    }
}

#[test]
fn the_key_is_not_shown_and_the_message_says_what_to_do() {
    assert_eq!(format!("{:?}", sealing(7)), "StoreKey(..)");
    let place = Place::filled();
    place.edit("DELETE FROM token");
    let said = place.open().unwrap_err().to_string();
    assert!(said.ends_with("was changed by something else than this node; restore a backup"), "{said}");
}

#[test]
fn untouched_stores_open_again_and_again_however_they_were_written() {
    let place = Place::new();
    drop(place.open().unwrap());
    let mut store = place.open().unwrap();
    assert_eq!(store.sequence(), Ok(RegistrySequence(0)));
    for n in 1..4 {
        let (sequence, tokens) = (RegistrySequence(n), vec![TokenFactId::new([n as u8; 16])]);
        store.commit(&Batch { sequence, tokens, ..Batch::default() }).unwrap();
    }
    drop(store);
    place.edit("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    let mut store = place.open().unwrap();
    assert_eq!(store.sequence(), Ok(RegistrySequence(3)));
    assert_eq!(store.load().unwrap().tokens.len(), 3);
    let refused = Batch { sequence: RegistrySequence(2), ..Batch::default() };
    assert!(store.commit(&refused).is_err());
    drop(store);
    assert!(place.open().is_ok(), "a refused batch leaves the seal of the last one");
}

#[test]
fn a_burnt_agent_is_not_brought_back_by_sql() {
    notices(&[
        "UPDATE agent SET condition = 'offline', revoked_at = NULL, valid_from = 0; DELETE FROM burnt",
        "UPDATE agent SET condition = 'offline', revoked_at = NULL WHERE name = 'f'",
        "DELETE FROM burnt WHERE name = 'f'",
    ]);
}

#[test]
fn every_column_that_is_edited_is_noticed() {
    let place = Place::filled();
    let connection = Connection::open(place.path()).unwrap();
    let sql = "SELECT m.name, c.name, c.type FROM sqlite_schema m, pragma_table_info(m.name) c \
               WHERE m.type = 'table'";
    let mut statement = connection.prepare(sql).unwrap();
    let columns: Vec<(String, String, String)> =
        statement.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap).collect();
    assert_eq!(columns.len(), 4 + 7 + 2 + 1 + 7 + 3, "{columns:?}");
    for (table, column, kind) in columns.iter().filter(|(_, column, _)| column != "swarm" && column != "one")
    {
        let other = match kind.as_str() {
            "INTEGER" => format!("coalesce({column}, 0) + 1"),
            "TEXT" => format!("{column} || 'x'"),
            _ => format!("CAST(substr(coalesce({column}, zeroblob(32)), 2) || x'5a' AS BLOB)"),
        };
        let place = Place::filled();
        let which = format!("(SELECT {column} FROM {table} LIMIT 1)");
        place.edit(&format!("UPDATE {table} SET {column} = {other} WHERE {column} IS {which}"));
        noticed(&place, &format!("{table}.{column}"));
    }
    let place = Place::filled();
    place.edit("UPDATE meta SET swarm = zeroblob(32)");
    let zero = SwarmId::new([0; 32]);
    assert!(matches!(place.open(), Err(StoreError::ForeignSwarm { .. })));
    let moved = SqliteStore::open(&place.path(), &zero, sealing(1)).unwrap_err();
    assert_eq!(moved, StoreError::Tampered { path: place.path() }, "a store moved to another swarm");
}

#[test]
fn a_value_of_another_type_or_in_another_column_is_noticed() {
    notices(&[
        "UPDATE agent SET last_seen = revoked_at, revoked_at = last_seen WHERE name = 'f'",
        "UPDATE agent SET last_seen = 0 WHERE last_seen IS NULL AND name = 'a'",
        "UPDATE agent SET last_seen = NULL WHERE name = 'b'",
        "UPDATE burnt SET name = CASE name WHEN 'e' THEN 'f' ELSE 'e' END",
    ]);
}

#[test]
fn rows_that_are_deleted_or_added_are_noticed() {
    notices(&[
        "DELETE FROM agent WHERE name = 'a'",
        "DELETE FROM agent",
        "DELETE FROM burnt",
        "DELETE FROM token",
        "INSERT INTO agent SELECT 'z', zeroblob(32), rights, condition, NULL, 0, NULL FROM agent LIMIT 1",
        "INSERT INTO burnt VALUES (zeroblob(32), 'a')",
        "INSERT INTO token VALUES (zeroblob(16))",
        "DELETE FROM invitation WHERE misses = 5",
        "UPDATE invitation SET spent = NULL, misses = 0",
        "DELETE FROM trust",
        "UPDATE trust SET number = 1",
    ]);
}

#[test]
fn a_seal_that_is_gone_is_noticed() {
    notices(&[
        "UPDATE meta SET seal = zeroblob(32)",
        "DELETE FROM meta",
        "DROP TABLE meta",
        "CREATE TABLE m (one INTEGER, swarm BLOB, sequence INTEGER); \
         INSERT INTO m SELECT one, swarm, sequence FROM meta; DROP TABLE meta; ALTER TABLE m RENAME TO meta",
        "DROP TABLE agent; DROP TABLE burnt; DROP TABLE token; DROP TABLE meta",
        "PRAGMA user_version = 0",
    ]);
}

#[test]
fn what_breaks_the_rules_of_a_table_is_corrupt_already() {
    for sql in [
        "UPDATE meta SET seal = x''",
        "UPDATE meta SET one = 2",
        "INSERT INTO meta SELECT 2, swarm, sequence, seal FROM meta",
    ] {
        let place = Place::filled();
        place.edit(&format!("PRAGMA ignore_check_constraints = 1; {sql}"));
        assert!(matches!(place.open(), Err(StoreError::Corrupt { .. })), "{sql}");
    }
}

#[test]
fn a_planted_trigger_table_or_view_is_noticed() {
    notices(&[
        "CREATE TRIGGER t AFTER UPDATE OF sequence ON meta BEGIN DELETE FROM burnt; END",
        "CREATE TABLE more (one INTEGER)",
        "CREATE INDEX agent_seen ON agent (last_seen)",
        "ALTER TABLE burnt RENAME TO b; CREATE VIEW burnt AS SELECT * FROM b",
        "ALTER TABLE agent ADD COLUMN more INTEGER",
    ]);
}

#[test]
fn another_key_does_not_open_it() {
    let place = Place::filled();
    let other = SqliteStore::open(&place.path(), &SWARM, sealing(2)).unwrap_err();
    assert_eq!(other, StoreError::Tampered { path: place.path() });
    assert!(place.open().is_ok(), "and changes nothing");
}

#[test]
fn a_seal_of_an_older_state_does_not_fit_a_newer_one() {
    let place = Place::filled();
    let seal: Vec<u8> = Connection::open(place.path())
        .unwrap()
        .query_row("SELECT seal FROM meta", [], |row| row.get(0))
        .unwrap();
    let newer = Batch { sequence: RegistrySequence(10), ..Batch::default() };
    place.open().unwrap().commit(&newer).unwrap();
    let hex: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
    place.edit(&format!("UPDATE meta SET seal = x'{hex}'"));
    noticed(&place, "an older seal");
}

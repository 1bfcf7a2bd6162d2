//! The SQLite store: what survives, what is refused, and with which words.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;
use testudo_wire::standing::RevocationCause;
use testudo_wire::{Capability, Timestamp};

use super::*;
use crate::book::Condition;
use crate::book::tests_support::{grant, holder, key, name};

pub(super) const SWARM: SwarmId = SwarmId::new([7; 32]);

pub(super) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("registry.db")
    }

    pub(super) fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path(), &SWARM, sealing(1))
    }

    /// A store with one batch in it, closed.
    pub(super) fn filled() -> Self {
        let place = Self::new();
        place.open().unwrap().commit(&batch()).unwrap();
        place
    }

    /// Runs SQL on the closed store as an intruder or an accident would.
    pub(super) fn edit(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    /// The same, then sealed as if the node had written it.
    pub(super) fn edit_sealed(&self, sql: &str) {
        self.edit(sql);
        let connection = Connection::open(self.path()).unwrap();
        let seal = sealing(1).seal(&connection).unwrap();
        connection.execute("UPDATE meta SET seal = ?1", [seal.as_bytes()]).unwrap();
    }
}

pub(super) fn sealing(byte: u8) -> StoreKey {
    StoreKey::new(zeroize::Zeroizing::new([byte; 32]))
}

fn record(text: &str, seed: u8, condition: Condition) -> Record {
    Record {
        holder: holder(text, seed),
        grant: Arc::new(grant(&["read:logs", "write:logs"])),
        condition,
        valid_from: RegistrySequence(2),
        last_seen: None,
    }
}

pub(super) fn invitation(number: u8) -> Invitation {
    Invitation {
        id: InvitationId::new([number; 16]),
        key: key(100 + number),
        name: name("new"),
        grant: Arc::new(grant(&["read:logs"])),
        until: Timestamp::from_millis(1_700_000_000_000),
        misses: 0,
        spent: None,
    }
}

fn batch() -> Batch {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let out = |cause| Condition::Revoked { cause, at };
    Batch {
        sequence: RegistrySequence(9),
        agents: vec![
            record("a", 1, Condition::Enrolled),
            Record { last_seen: Some(at), ..record("b", 2, Condition::Leased) },
            record("c", 3, Condition::Offline),
            record("d", 4, out(RevocationCause::Silent)),
            record("e", 5, out(RevocationCause::Operator)),
            record("f", 6, out(RevocationCause::Compromised)),
            record("g", 7, out(RevocationCause::Failed)),
        ],
        gone: vec![],
        burnt: vec![Burnt { key: key(5), name: name("e") }, Burnt { key: key(6), name: name("f") }],
        tokens: vec![TokenFactId::new([3; 16])],
        invitations: vec![invitation(1), Invitation { misses: 5, spent: Some(key(1)), ..invitation(2) }],
        uninvited: vec![],
        trust: Some(TrustMark { number: 3, statement: testudo_wire::Digest::new([4; 32]) }),
    }
}

fn expect(contents: &Contents) {
    let Batch { sequence, agents, tokens, mut burnt, invitations, trust, .. } = batch();
    let mut found = contents.burnt.clone();
    found.sort_by_key(|burnt| burnt.key);
    burnt.sort_by_key(|burnt| burnt.key);
    assert_eq!((contents.sequence, &contents.agents, &contents.tokens), (sequence, &agents, &tokens));
    assert_eq!(found, burnt);
    assert_eq!((&contents.invitations, contents.trust), (&invitations, trust));
}

#[test]
fn a_new_store_is_empty_private_and_synced() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    assert_eq!(store.load().unwrap(), Contents::default());
    assert_eq!(store.setting("synchronous"), "2");
    assert_eq!(store.setting("journal_mode"), "wal");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn everything_is_there_after_reopening_and_the_same_batch_twice_is_once() {
    let place = Place::filled();
    let mut store = place.open().unwrap();
    expect(&store.load().unwrap());
    store.commit(&batch()).unwrap();
    expect(&store.load().unwrap());
    let gone = Batch { gone: vec![name("a")], sequence: RegistrySequence(10), ..Batch::default() };
    store.commit(&gone).unwrap();
    let rekeyed = Batch { agents: vec![record("e", 8, Condition::Enrolled)], ..gone.clone() };
    store.commit(&Batch { gone: vec![], ..rekeyed }).unwrap();
    let contents = store.load().unwrap();
    assert!(contents.agents.iter().all(|record| record.holder.name != name("a")));
    assert!(contents.agents.iter().any(|record| record.holder == holder("e", 8)));
    assert_eq!(contents.burnt.len(), 2, "what is burnt stays burnt");
}

#[test]
fn a_grant_that_acts_only_under_delegated_tokens_comes_back_as_one() {
    let place = Place::filled();
    let bound = testudo_wire::Grant { delegated_only: true, ..grant(&["read:logs"]) };
    let one = Record { grant: Arc::new(bound), ..record("a", 1, Condition::Enrolled) };
    let batch = Batch { sequence: RegistrySequence(10), agents: vec![one.clone()], ..Batch::default() };
    place.open().unwrap().commit(&batch).unwrap();
    let agents = place.open().unwrap().load().unwrap().agents;
    assert_eq!((&agents[0], agents[1].grant.delegated_only), (&one, false));
}

#[test]
fn a_store_from_before_delegated_only_opens_and_its_grants_are_written_as_ever() {
    // `right`, `serve`, `delegatable`, `quota`, as version 0.1.0 wrote them.
    let before = "9492a9726561643a6c6f6773aa77726974653a6c6f6773909092cd1388ce20000000";
    let place = Place::filled();
    let stored: String = Connection::open(place.path())
        .unwrap()
        .query_row("SELECT hex(rights) FROM agent WHERE name = 'a'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(stored.to_lowercase(), before);
    place.edit_sealed(&format!("UPDATE agent SET rights = x'{before}'"));
    expect(&place.open().unwrap().load().unwrap());
}

#[test]
fn t_p04_a_commit_survives_kill_9_right_after_it() {
    let place = Place::new();
    let mut store = place.open().unwrap();
    store.commit(&batch()).unwrap();
    // What a killed process leaves: the files as they are, nothing closed, nothing checkpointed.
    let crash = Place::new();
    for file in fs::read_dir(place.dir.path()).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), crash.dir.path().join(file.file_name())).unwrap();
    }
    expect(&crash.open().unwrap().load().unwrap());
    drop(store);
}

#[test]
fn a_batch_that_fails_in_the_middle_leaves_nothing() {
    let place = Place::filled();
    let mut store = place.open().unwrap();
    let twice = vec![record("new", 20, Condition::Enrolled), record("other", 1, Condition::Enrolled)];
    let tokens = vec![TokenFactId::new([9; 16])];
    let bad = Batch { sequence: RegistrySequence(10), agents: twice, tokens, ..Batch::default() };
    assert!(matches!(store.commit(&bad), Err(StoreError::Io(_))), "the second takes the key of a");
    expect(&store.load().unwrap());
    let huge = Batch { sequence: RegistrySequence(u64::MAX), ..bad };
    assert!(store.commit(&huge).is_err());
    drop(store);
    expect(&place.open().unwrap().load().unwrap());
}

#[test]
fn the_sequence_never_goes_down() {
    let place = Place::filled();
    let mut store = place.open().unwrap();
    let (stored, offered) = (RegistrySequence(9), RegistrySequence(8));
    let old = Batch { sequence: offered, ..Batch::default() };
    assert_eq!(store.commit(&old), Err(StoreError::Regressed { stored, offered }));
}

#[test]
fn t_f33_a_second_process_is_refused() {
    let place = Place::filled();
    let first = place.open().unwrap();
    assert_eq!(place.open().unwrap_err(), StoreError::InUse { path: place.path() });
    drop(first);
    assert!(place.open().is_ok());
}

#[test]
fn newer_foreign_and_other_swarms_stores_are_refused_by_name() {
    let place = Place::filled();
    let found = SWARM;
    let wanted = SwarmId::new([8; 32]);
    let refused = SqliteStore::open(&place.path(), &wanted, sealing(1)).unwrap_err();
    assert_eq!(refused, StoreError::ForeignSwarm { path: place.path(), found, wanted });

    place.edit("PRAGMA user_version = 4");
    let refused = place.open().unwrap_err();
    assert_eq!(refused, StoreError::Newer { path: place.path(), found: 4, known: 3 });
    assert!(refused.to_string().contains("update testudo"));

    place.edit("PRAGMA application_id = 1");
    assert_eq!(place.open().unwrap_err(), StoreError::Foreign { path: place.path() });

    let text = Place::new();
    fs::write(text.path(), "dear diary, ".repeat(100)).unwrap();
    assert_eq!(text.open().unwrap_err(), StoreError::Foreign { path: text.path() });

    let other = Place::new();
    other.edit("CREATE TABLE cats (name TEXT)");
    assert_eq!(other.open().unwrap_err(), StoreError::Foreign { path: other.path() });
    let nowhere = SqliteStore::open(Path::new("/nowhere/at/all"), &SWARM, sealing(1));
    assert!(matches!(nowhere, Err(StoreError::Io(_))));
}

#[test]
fn a_corrupt_file_is_refused() {
    let place = Place::filled();
    let mut bytes = fs::read(place.path()).unwrap();
    for byte in bytes.iter_mut().skip(4096 + 8).take(3000) {
        *byte ^= 0x5a;
    }
    fs::write(place.path(), bytes).unwrap();
    assert!(matches!(place.open(), Err(StoreError::Corrupt { .. })), "{:?}", place.open());
    fs::write(place.path(), &fs::read(place.path()).unwrap()[..5000]).unwrap();
    assert!(matches!(place.open(), Err(StoreError::Corrupt { .. })), "{:?}", place.open());
}

#[test]
fn a_bad_row_is_refused_and_named() {
    for (sql, table, row) in [
        ("UPDATE agent SET name = 'Ä' WHERE name = 'a'", "agent", "\"Ä\""),
        ("UPDATE agent SET key = zeroblob(32) WHERE name = 'b'", "agent", "\"b\""),
        ("UPDATE agent SET condition = 'well' WHERE name = 'a'", "agent", "\"a\""),
        ("UPDATE agent SET condition = 'enrolled' WHERE name = 'e'", "agent", "\"e\""),
        ("UPDATE agent SET rights = x'c0' WHERE name = 'c'", "agent", "\"c\""),
        ("UPDATE agent SET rights = CAST(rights || x'00' AS BLOB) WHERE name = 'c'", "agent", "\"c\""),
        ("UPDATE agent SET valid_from = -1 WHERE name = 'd'", "agent", "\"d\""),
        ("UPDATE burnt SET name = '' WHERE name = 'e'", "burnt", "\"e\""),
        (
            "UPDATE invitation SET misses = 6 WHERE misses = 0",
            "invitation",
            "01010101010101010101010101010101",
        ),
        ("UPDATE invitation SET key = zeroblob(32)", "invitation", "01010101010101010101010101010101"),
    ] {
        let place = Place::filled();
        place.edit_sealed(sql);
        let Err(StoreError::BadRow { table: found, row: key, reason }) = place.open().unwrap().load() else {
            panic!("{sql} went unnoticed")
        };
        let row = if table == "burnt" { "\"\"" } else { row };
        assert_eq!((found, key.as_str()), (table, row), "{sql}");
        assert!(!reason.is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused() {
    let place = Place::filled();
    let mut permissions = fs::metadata(place.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(place.path(), permissions).unwrap();
    match place.open() {
        Err(error) => assert_eq!(error, StoreError::ReadOnly { path: place.path() }),
        // A superuser may write anything: then there is nothing to refuse.
        Ok(store) => drop(store),
    }
}

#[test]
fn a_file_that_turns_read_only_is_told_apart() {
    let place = Place::filled();
    let mut store = place.open().unwrap();
    store.setting("query_only = 1");
    assert_eq!(store.commit(&batch()), Err(StoreError::ReadOnly { path: place.path() }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_grant_comes_back_as_it_was(rights in prop::collection::btree_set("[a-z]{1,8}:[a-z0-9]{1,20}", 0..200)) {
        let place = Place::new();
        let right: std::collections::BTreeSet<Capability> = rights.iter().map(|r| r.parse().unwrap()).collect();
        let mut one = record("a", 1, Condition::Enrolled);
        one.grant = Arc::new(testudo_wire::Grant { serve: right.clone(), delegatable: right.clone(), right, ..Default::default() });
        let batch = Batch { sequence: RegistrySequence(2), agents: vec![one.clone()], ..Batch::default() };
        let mut store = place.open().unwrap();
        store.commit(&batch).unwrap();
        prop_assert_eq!(store.load().unwrap().agents, vec![one]);
    }
}

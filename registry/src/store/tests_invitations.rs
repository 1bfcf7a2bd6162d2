//! Invitations on disk, and stores from before there were any.

use rusqlite::Connection;
use testudo_wire::InvitationId;

use super::tests::{Place, SWARM, invitation, sealing};
use super::*;

/// Makes a store as an older version wrote it: without what came later, sealed as its format has it.
fn of_format(format: i64, place: &Place) {
    place.edit("DROP TABLE trust; PRAGMA user_version = 2");
    if format == 1 {
        place.edit("DROP TABLE invitation; PRAGMA user_version = 1");
    }
    let connection = Connection::open(place.path()).unwrap();
    let seal = sealing(1).seal_of_format(&connection, format).unwrap().unwrap();
    connection.execute("UPDATE meta SET seal = ?1", [seal.as_bytes()]).unwrap();
}

fn of_format_1(place: &Place) {
    of_format(1, place);
}

#[test]
fn a_store_of_an_older_format_is_brought_to_ours_with_everything_in_it() {
    for format in [1, 2] {
        let place = Place::filled();
        let mut before = place.open().unwrap().load().unwrap();
        of_format(format, &place);
        let mut store = place.open().unwrap();
        before.trust = None;
        if format == 1 {
            before.invitations.clear();
        }
        assert_eq!(store.load().unwrap(), before, "format {format}");
        let trust = Some(TrustMark { number: 7, statement: testudo_wire::Digest::new([7; 32]) });
        let invitations = vec![invitation(3)];
        store.commit(&Batch { sequence: before.sequence, invitations, trust, ..Batch::default() }).unwrap();
        drop(store);
        let after = place.open().unwrap().load().unwrap();
        assert!(after.invitations.contains(&invitation(3)), "format {format}");
        assert_eq!(after.trust, trust, "format {format}");
    }
}

#[test]
fn no_other_format_has_a_way_to_ours() {
    for format in [0, -1, i64::MIN] {
        let place = Place::filled();
        of_format(2, &place);
        place.edit(&format!("PRAGMA user_version = {}", format.max(-1)));
        assert_eq!(place.open().unwrap_err(), StoreError::Tampered { path: place.path() }, "{format}");
    }
}

#[test]
fn a_store_of_format_1_that_was_edited_is_not_brought_to_anything() {
    for edit in
        ["DELETE FROM burnt", "UPDATE meta SET seal = zeroblob(32)", "CREATE TABLE more (one INTEGER)"]
    {
        let place = Place::filled();
        of_format_1(&place);
        place.edit(edit);
        assert_eq!(place.open().unwrap_err(), StoreError::Tampered { path: place.path() }, "{edit}");
    }
    let place = Place::filled();
    place.edit("PRAGMA user_version = 1");
    assert_eq!(
        place.open().unwrap_err(),
        StoreError::Tampered { path: place.path() },
        "no way back to format 1"
    );
    let place = Place::filled();
    of_format_1(&place);
    let other = SwarmId::new([8; 32]);
    let refused = SqliteStore::open(&place.path(), &other, sealing(1)).unwrap_err();
    assert_eq!(refused, StoreError::ForeignSwarm { path: place.path(), found: SWARM, wanted: other });
}

#[test]
fn an_invitation_is_replaced_and_removed_by_its_id() {
    let place = Place::filled();
    let mut store = place.open().unwrap();
    let sequence = RegistrySequence(10);
    let changed = crate::Invitation { misses: 3, ..invitation(1) };
    let batch = Batch {
        sequence,
        invitations: vec![changed.clone()],
        uninvited: vec![InvitationId::new([2; 16]), InvitationId::new([9; 16])],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    store.commit(&batch).unwrap();
    assert_eq!(store.load().unwrap().invitations, [changed]);
}

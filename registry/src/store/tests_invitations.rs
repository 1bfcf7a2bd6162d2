//! Invitations on disk, and stores from before there were any.

use rusqlite::Connection;
use testudo_wire::InvitationId;

use super::tests::{Place, SWARM, invitation, sealing};
use super::*;

/// Makes a store as version 0.1.0 wrote it: without the table, sealed as format 1.
fn of_format_1(place: &Place) {
    place.edit("DROP TABLE invitation; PRAGMA user_version = 1");
    let connection = Connection::open(place.path()).unwrap();
    let seal = sealing(1).seal_of_format_1(&connection).unwrap();
    connection.execute("UPDATE meta SET seal = ?1", [seal.as_bytes()]).unwrap();
}

#[test]
fn a_store_of_format_1_is_brought_to_format_2_with_everything_in_it() {
    let place = Place::filled();
    let mut before = place.open().unwrap().load().unwrap();
    of_format_1(&place);
    let mut store = place.open().unwrap();
    before.invitations.clear();
    assert_eq!(store.load().unwrap(), before);
    let one = Batch { sequence: before.sequence, invitations: vec![invitation(3)], ..Batch::default() };
    store.commit(&one).unwrap();
    drop(store);
    assert_eq!(place.open().unwrap().load().unwrap().invitations, [invitation(3)]);
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

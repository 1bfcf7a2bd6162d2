//! Cursors that the log does not bear out, and logs that cannot be read: told, and nothing stepped over.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use testudo_bus::audit::{AuditConfig, AuditLog, Cursor, CursorFile, lowest_cursor};
use testudo_rules::audit::Origin;
use testudo_rules::export::Settings;
use testudo_wire::{RegistrySequence, SecretKey};

use super::tests::{AT, Got, MINUTE, Scene, ids, swarm, taker, write};

/// Where the segments of a log begin.
fn segments(scene: &Scene) -> Vec<u64> {
    let names = std::fs::read_dir(scene.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut first: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".log").map(|digits| digits.parse().unwrap())).collect();
    first.sort_unstable();
    first
}

fn restore(scene: &Scene, name: &str, cursor: Cursor) {
    CursorFile::open(scene.dir.path(), name).unwrap().0.write(cursor).unwrap();
}

#[tokio::test(start_paused = true)]
async fn r_a14_an_exporter_behind_what_retention_removed_says_so_and_holds_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        AuditConfig { segment_bytes_max: 16 * 1024, keep_bytes: Some(40 * 1024), ..AuditConfig::default() };
    let (origin, key) = (Origin::of_swarm(&swarm()), SecretKey::from_seed(&[9; 32]));
    let log = AuditLog::open_with(dir.path(), origin, key, AT, RegistrySequence(0), config).unwrap().0;
    let scene = Scene::of(dir, log);
    scene.write(100).await;
    let got = Got::default();
    assert!(scene.run("off", Settings::default(), taker(&got)).end(MINUTE).await.0);
    let came_to = lowest_cursor(scene.dir.path(), ["off"]).unwrap();
    assert_eq!(came_to, 101);
    // Taken out of the configuration for long: nobody holds the log for it.
    let last = scene.write(2000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let removed = scene.log.retain(AT).await.unwrap().unwrap();
    assert!(removed.first > came_to && segments(&scene)[0] == removed.first);

    let run = scene.run("off", Settings::default(), taker(&got));
    run.until(|state| state.stopped.is_some()).await;
    let state = run.shared.get();
    let amiss = state.amiss().unwrap();
    let told = format!("records 101 to {} were removed", removed.first - 1);
    assert!(amiss.contains(&told), "{amiss}");
    assert!(amiss.contains(&format!("({} records)", removed.first - 101)), "counted: {amiss}");
    assert!(amiss.contains("exporters/off"), "and what to do: {amiss}");
    assert_eq!((state.record, state.behind), (101, last + 1 - 101), "it stands where it stood");
    assert_eq!(lowest_cursor(scene.dir.path(), ["off"]), Some(101), "nothing was stepped over");
    assert_eq!(got.order(), ids(101), "and nothing sent");

    // What the operator is told to do.
    std::fs::remove_file(scene.dir.path().join("exporters/off")).unwrap();
    let again = Got::default();
    assert!(scene.run("off", Settings::default(), taker(&again)).end(MINUTE).await.0);
    assert_eq!(again.order(), ids(last + 1)[usize::try_from(removed.first).unwrap()..]);
}

#[tokio::test(start_paused = true)]
async fn r_a14_a_cursor_ahead_of_the_log_is_an_older_copy_of_one_of_them_and_never_waits_in_silence() {
    let scene = Scene::new();
    let last = scene.write(10).await;
    for (record, place) in [(last + 2, 0), (last + 1, 3), (5_000, 0)] {
        restore(&scene, "ahead", Cursor { record, place });
        let run = scene.run("ahead", Settings::default(), taker(&Got::default()));
        run.until(|state| state.stopped.is_some()).await;
        let amiss = run.shared.get().amiss().unwrap();
        assert!(
            amiss.contains(&format!("had come to record {record}, but the log ends at {}", last + 1)),
            "{amiss}"
        );
        assert_eq!(lowest_cursor(scene.dir.path(), ["ahead"]), Some(record));
    }
    restore(&scene, "ahead", Cursor { record: last + 1, place: 0 });
    assert!(
        scene.run("ahead", Settings::default(), taker(&Got::default())).end(MINUTE).await.0,
        "at its end"
    );
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_a_damaged_record_is_exported_and_the_place_is_that_record() {
    let scene = Scene::new();
    scene.write(20).await;
    // One bit of the tenth record: all frames but the first are alike.
    let path = scene.dir.path().join(format!("{:020}.log", 0));
    let bytes = std::fs::read(&path).unwrap();
    let mut at = 0;
    for _ in 0..10 {
        let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        at += 44 + usize::try_from(len).unwrap();
    }
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64 + 44)).unwrap();
    file.write_all(&[bytes[at + 44] ^ 1]).unwrap();
    let got = Got::default();
    let run = scene.run("out", Settings::default(), taker(&got));
    run.until(|state| state.stopped.is_some()).await;
    assert!(run.shared.get().amiss().unwrap().contains("record 10 of the audit log is damaged"));
    let cursor = lowest_cursor(scene.dir.path(), ["out"]).unwrap();
    let delivered = got.order();
    assert_eq!(delivered[..], ids(10)[..delivered.len()]);
    assert_eq!(cursor, delivered.len() as u64, "what was not delivered comes again");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_for_a_while_is_read_again() {
    let scene = Scene::new();
    let last = scene.write(2000).await;
    let second = scene.dir.path().join(format!("{:020}.log", segments(&scene)[1]));
    let away = scene.dir.path().join("away");
    // The system refuses for a reason that passes: here, a folder where the segment should be.
    std::fs::rename(&second, &away).unwrap();
    std::fs::create_dir(&second).unwrap();
    let got = Got::default();
    let run = scene.run("out", Settings::default(), taker(&got));
    run.until(|state| state.log_trouble.is_some()).await;
    assert_eq!(run.shared.get().stopped, None);
    assert!(run.shared.get().amiss().unwrap().starts_with("exporter out: the audit log cannot be read"));
    std::fs::remove_dir(&second).unwrap();
    std::fs::rename(&away, &second).unwrap();
    run.until(|state| state.counts.delivered == last + 1).await;
    assert_eq!(got.order(), ids(last + 1));
    let state = run.shared.get();
    assert_eq!((state.log_trouble.clone(), state.amiss()), (None, None), "r_h18: it is well again");
    write(&scene.log);
    assert!(run.end(MINUTE).await.0);
}

/// What is durable was there: where it is no more, nobody waits for it.
#[tokio::test(start_paused = true)]
async fn r_a14_a_durable_record_that_is_gone_from_the_end_is_told_and_not_waited_for() {
    let scene = Scene::new();
    let last = scene.write(20).await;
    let path = scene.dir.path().join(format!("{:020}.log", segments(&scene)[0]));
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let run = scene.run("out", Settings::default(), taker(&Got::default()));
    run.until(|state| state.stopped.is_some()).await;
    let state = run.shared.get();
    assert!(state.record <= last, "it stands where the log ends");
    assert!(state.amiss().is_some());
}

/// What was sent since comes again after a kill: that it cannot be noted is amiss, until it can.
#[tokio::test(start_paused = true)]
async fn r_h18_a_place_that_cannot_be_written_is_told_until_it_can_be() {
    let scene = Scene::new();
    let run = scene.run("out", Settings::default(), taker(&Got::default()));
    let last = scene.write(20).await;
    run.until(|state| state.counts.delivered == last + 1).await;
    // Where it is written before it takes the old one's place.
    let beside = scene.dir.path().join("exporters/.out");
    while std::fs::create_dir(&beside).is_err() {
        tokio::task::yield_now().await;
    }
    let last = scene.write(5).await;
    run.until(|state| state.log_trouble.is_some()).await;
    let amiss = run.shared.get().amiss().unwrap();
    assert!(amiss.starts_with("exporter out: its place in the log cannot be written"), "{amiss}");
    run.until(|state| state.counts.delivered == last + 1).await;
    std::fs::remove_dir(&beside).unwrap();
    run.until(|state| state.log_trouble.is_none()).await;
    assert_eq!(run.shared.get().amiss(), None);
    assert!(run.end(MINUTE).await.0);
}

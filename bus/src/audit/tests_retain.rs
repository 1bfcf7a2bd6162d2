//! Retention: what goes, what stays, who holds it back, and a kill at every step of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use testudo_rules::audit::{Cut, Fault, FaultKind, Frontier, Outcome, Proof, Record, VerifierKey};
use testudo_wire::{RegistrySequence, SecretKey, Timestamp};

use super::files::Tail;
use super::tests::{key, open_with, origin, settled, small, verdicts};
use super::*;
use crate::env::Env;

fn by() -> VerifierKey {
    VerifierKey { origin: origin(), key: key().public() }
}

fn keeping(bytes: u64) -> AuditConfig {
    AuditConfig { keep_bytes: Some(bytes), ..small() }
}

/// So many settled bundles.
fn fill(log: &AuditLog, bundles: u64) {
    for _ in 0..bundles {
        let of = log.append(&verdicts()).unwrap().index();
        let _ = log.append(&settled(of, &[0, 2], Outcome::Delivered)).unwrap();
    }
}

fn bytes(dir: &Path) -> u64 {
    let segments = files::segments(dir).unwrap().into_iter();
    segments.map(|first| fs::metadata(files::segment_path(dir, first)).unwrap().len()).sum()
}

fn verified(dir: &Path) -> testudo_rules::audit::Verified {
    verify_dir(dir, &key().public(), &origin()).unwrap()
}

/// Another folder with the same files.
fn copy(dir: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn sealed(dir: &Path, config: AuditConfig, bundles: u64) -> Arc<AuditLog> {
    let (log, _) = open_with(dir, config).unwrap();
    fill(&log, bundles);
    drop(log);
    open_with(dir, config).unwrap().0
}

#[tokio::test(start_paused = true)]
async fn old_segments_go_by_size_and_the_rest_verifies_proves_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(6_000), 60);
    let before = read_all(dir.path());
    assert!(bytes(dir.path()) > 15_000);
    let retained = log.retain(Timestamp::default()).await.unwrap().unwrap();
    assert!(bytes(dir.path()) <= 6_000 && bytes(dir.path()) > 4_000, "{}", bytes(dir.path()));
    assert_eq!((log.first(), verified(dir.path()).first), (retained.first, retained.first));
    assert_eq!(log.retain(Timestamp::default()).await.unwrap(), None, "enough");
    assert_eq!(read_all(dir.path()), before[usize::try_from(retained.first).unwrap()..]);
    let missing = LogReader::new(dir.path(), retained.first - 1).next();
    assert!(matches!(missing, Some(Err(ReadError::Missing { .. }))), "{missing:?}");
    for index in retained.first..log.records() {
        let text = prove(dir.path(), index, &by()).unwrap().to_text();
        assert_eq!(Proof::parse(text.as_bytes()).unwrap().verify(&by()).unwrap().index, index);
    }
    let gone = prove(dir.path(), retained.first - 1, &by());
    assert!(matches!(gone, Err(ProveError::Read(ReadError::Missing { .. }))), "{gone:?}");

    fill(&log, 40);
    let records = log.records();
    log.shutdown().await.unwrap();
    drop(log);
    let (log, recovery) = open_with(dir.path(), keeping(6_000)).unwrap();
    assert_eq!((recovery.records, recovery.crashed), (records, 0));
    assert_eq!(log.first(), retained.first);
    let again = log.retain(Timestamp::default()).await.unwrap().unwrap();
    assert!(again.first > retained.first && again.bytes > 0 && again.segments > 0);
    assert_eq!(verified(dir.path()).unsealed, 0);
    let checkpoints = fs::read_to_string(dir.path().join(files::CHECKPOINTS)).unwrap();
    assert!(checkpoints.matches(origin().as_str()).count() <= 4, "those of what went go, too: {checkpoints}");
}

fn read_all(dir: &Path) -> Vec<Record> {
    LogReader::oldest(dir).unwrap().map(|one| one.unwrap().1).collect()
}

#[tokio::test(start_paused = true)]
async fn old_segments_go_by_age() {
    let dir = TempDir::new().unwrap();
    let config = AuditConfig { keep_for: Some(Duration::from_millis(1_000)), ..small() };
    let (log, _) = open_with(dir.path(), config).unwrap();
    for at in 0..200 {
        let record = Record { at: Timestamp::from_millis(at * 10), ..settled(0, &[0], Outcome::Delivered) };
        let _ = log.append(&record).unwrap();
    }
    drop(log);
    let (log, _) = open_with(dir.path(), config).unwrap();
    assert_eq!(log.retain(Timestamp::from_millis(1_000)).await.unwrap(), None, "none is older than a second");
    log.retain(Timestamp::from_millis(2_000)).await.unwrap().unwrap();
    let records = read_all(dir.path());
    assert!(
        records[0].at <= Timestamp::from_millis(1_000),
        "no record is gone that is not old: {:?}",
        records[0]
    );
    assert!(records[0].at >= Timestamp::from_millis(700), "but a segment's worth: {:?}", records[0]);
    verified(dir.path());
}

#[derive(Debug)]
struct Wall(AtomicU64);

impl Env for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn fill(&self, _: &mut [u8]) {}
}

/// Whoever sets the clock must not be able to have the record removed.
#[tokio::test(start_paused = true)]
async fn t_a78_records_grow_no_older_than_the_log_has_run() {
    let dir = TempDir::new().unwrap();
    let hour = Duration::from_secs(60 * 60);
    let config = AuditConfig { keep_for: Some(hour), ..small() };
    let log = sealed(dir.path(), config, 60);
    let wall = Arc::new(Wall(AtomicU64::new(1_000)));
    tokio::spawn(log.clone().run_retention(wall.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A year and more, for as long as it may be.
    wall.0.store(40_000_000_000, Ordering::Relaxed);
    tokio::time::sleep(hour - Duration::from_secs(120)).await;
    assert_eq!(log.first(), 0);
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert!(log.first() > 0, "now they are old");
}

/// The last record says where the next start goes on from, in time too.
#[tokio::test(start_paused = true)]
async fn t_a51_the_last_record_stays_though_the_next_segment_has_none_yet() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(1), 60);
    {
        // A segment was begun, and then there was no room in it.
        let mut state = log.state();
        let (size, frontier) = (state.frontier.size(), state.frontier.clone());
        state.segment = Tail::new(files::create_segment(dir.path(), size).unwrap(), 0);
        state.starts.push_back((size, frontier));
    }
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    assert!(log.first() > 0 && log.first() < log.records());
    assert!(!read_all(dir.path()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_that_an_exporter_a_message_or_a_checkpoint_needs() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(1), 60);
    let cursor = Arc::new(AtomicU64::new(0));
    let of = cursor.clone();
    log.hold(move || Some(of.load(Ordering::Relaxed)));
    log.hold(|| None);
    assert_eq!(log.retain(Timestamp::default()).await.unwrap(), None, "the exporter has seen nothing");
    let mut last = 0;
    for at in 1..=log.records() {
        cursor.store(at, Ordering::Relaxed);
        let _ = log.retain(Timestamp::default()).await.unwrap();
        assert!((last..=at).contains(&log.first()), "{} with a cursor at {at}", log.first());
        last = log.first();
        assert!(LogReader::new(dir.path(), at).next().is_none_or(|next| next.is_ok()), "it reads on");
    }
    // A message under way: its outcome may be an hour off.
    let open = log.append(&verdicts()).unwrap().index();
    cursor.store(u64::MAX, Ordering::Relaxed);
    fill(&log, 30);
    let sealed = log.retain(Timestamp::default()).await.unwrap();
    assert!(sealed.is_none_or(|retained| retained.first <= last + 20), "behind the checkpoint: {sealed:?}");
    drop(log);
    let (log, recovery) = open_with(dir.path(), keeping(1)).unwrap();
    assert_eq!(recovery.crashed, 2, "the crash finds it");
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    assert!(log.first() > open, "and then it is settled");

    let open = log.append(&verdicts()).unwrap().index();
    fill(&log, 30);
    log.shutdown().await.unwrap();
    let _ = log.retain(Timestamp::default()).await.unwrap();
    assert!(log.first() <= open, "sealed, and still under way");
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_step_of_a_cut_leaves_a_log_that_opens_and_verifies() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(4_000), 40);
    let (full, segments) = (copy(dir.path()), files::segments(dir.path()).unwrap());
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    let first = log.first();
    let records = log.records();
    drop(log);
    let statement = fs::read(dir.path().join(files::CUT)).unwrap();
    let pruned = fs::read(dir.path().join(files::CHECKPOINTS)).unwrap();
    let gone: Vec<_> = segments.into_iter().filter(|old| *old < first).collect();
    // Half a statement beside its place; the statement with some of the segments gone; a half new file of checkpoints.
    for step in 0..=gone.len() + 2 {
        let killed = copy(full.path());
        let put = |name: &str, bytes: &[u8]| fs::write(killed.path().join(name), bytes).unwrap();
        match step {
            0 => put("cut.new", &statement[..20]),
            _ => put(files::CUT, &statement),
        }
        for old in gone.iter().take(step.saturating_sub(1)) {
            fs::remove_file(files::segment_path(killed.path(), *old)).unwrap();
        }
        match step - step.min(gone.len()) {
            1 => put("checkpoints.new", &pruned[..10]),
            2 => put(files::CHECKPOINTS, &pruned),
            _ => {}
        }
        let expected = if step == 0 { 0 } else { first };
        assert_eq!(
            (verified(killed.path()).first, verified(killed.path()).records),
            (expected, records),
            "{step}"
        );
        let (log, recovery) = open_with(killed.path(), keeping(4_000)).unwrap();
        assert_eq!((recovery.records, recovery.recovered_bytes), (records, 0), "{step}");
        assert_eq!(log.first(), expected);
        assert!(files::segments(killed.path()).unwrap()[0] == expected, "the rest of the cut is done");
        let _ = log.retain(Timestamp::default()).await.unwrap();
        verified(killed.path());
    }
}

#[tokio::test(start_paused = true)]
async fn t_a71_a_removed_beginning_is_no_cut_and_a_cut_is_of_this_log() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(4_000), 40);
    let full = copy(dir.path());
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    drop(log);
    let at = |dir: &Path| match verify_dir(dir, &key().public(), &origin()) {
        Err(DirError::Fault(fault)) => Ok((fault.index, matches!(fault.what, FaultKind::OutOfOrder { .. }))),
        other => Err(Box::new(other)),
    };
    // Segments removed without a statement.
    let hidden = copy(dir.path());
    fs::remove_file(hidden.path().join(files::CUT)).unwrap();
    assert_eq!(at(hidden.path()).unwrap(), (0, true));
    assert!(matches!(
        open_with(hidden.path(), small()),
        Err(OpenError::Rewritten { .. } | OpenError::Damaged { .. })
    ));
    // More removed than the statement says.
    let more = copy(dir.path());
    let first = files::segments(more.path()).unwrap()[0];
    fs::remove_file(files::segment_path(more.path(), first)).unwrap();
    assert_eq!(at(more.path()).unwrap(), (first, true));
    // A statement that somebody else signed, or of other records.
    let cut = |base: Frontier, key: &SecretKey| Cut { base }.sign(&origin(), key);
    let mut base = Frontier::new();
    (0..first).for_each(|n| base.append(testudo_rules::audit::merkle::leaf_hash(&n.to_be_bytes())));
    for (note, is_signed) in
        [(cut(base.clone(), &SecretKey::from_seed(&[1; 32])), false), (cut(base, &key()), true)]
    {
        fs::write(full.path().join(files::CUT), note).unwrap();
        let result = verify_dir(full.path(), &key().public(), &origin());
        let opened = open_with(full.path(), small());
        if is_signed {
            assert!(matches!(result, Err(DirError::Fault(Fault { what: FaultKind::Rewritten { .. }, .. }))));
            assert!(matches!(opened, Err(OpenError::Rewritten { .. })), "{opened:?}");
        } else {
            assert!(matches!(result, Err(DirError::Cut(_))), "{result:?}");
            assert!(matches!(opened, Err(OpenError::Cut(_))), "{opened:?}");
        }
    }
    // An old file of checkpoints beside a later cut: nobody says whether anything that followed it is missing.
    let old = copy(dir.path());
    fs::write(old.path().join(files::CHECKPOINTS), "").unwrap();
    assert_eq!(verified(old.path()).sealed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_somebody_edited_is_not_made_good_by_removing_it() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(4_000), 40);
    // Another record with its right hash in place of the first: all of it would go.
    let path = files::segment_path(dir.path(), 0);
    let whole = fs::read(&path).unwrap();
    let len = testudo_rules::audit::frame::Header::parse(whole.first_chunk().unwrap()).unwrap().len;
    let mut forged = Vec::new();
    let payload = Record { registry: RegistrySequence(99), ..verdicts() }.encode().unwrap();
    assert!(testudo_rules::audit::frame::encode(0, &payload, &mut forged).is_some());
    forged.extend_from_slice(&whole[44 + len..]);
    fs::write(&path, &forged).unwrap();
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    assert_eq!(verified(dir.path()).unsealed, 0, "the cut says what was written, not what was read");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_overtaken_by_retention_is_told() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), keeping(1), 40);
    let mut reader = LogReader::oldest(dir.path()).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().0, 0);
    log.retain(Timestamp::default()).await.unwrap().unwrap();
    let end = reader.find_map(Result::err);
    assert!(matches!(end, Some(ReadError::Missing { .. })), "not waiting for ever: {end:?}");
}

#[tokio::test(start_paused = true)]
async fn by_default_all_is_kept() {
    let dir = TempDir::new().unwrap();
    let log = sealed(dir.path(), small(), 40);
    assert_eq!(log.retain(Timestamp::from_millis(u64::MAX / 2)).await.unwrap(), None);
    assert_eq!((log.first(), verified(dir.path()).first), (0, 0));
}

//! A log from opening to reading; torn tails, crashes, damage.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use testudo_rules::audit::checkpoint::last_whole;
use testudo_rules::audit::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use testudo_rules::audit::{
    Cause, EnvelopeRecord, Event, FaultKind, NodeEvent, Origin, Outcome, OutcomeOf, Outcomes, Record,
    Verdict, Verdicts, VerifierKey,
};
use testudo_wire::{
    AgentName, CorrelationId, Destination, Digest, MessageId, Refusal, RegistrySequence, SecretKey, Sequence,
    SessionId, Timestamp,
};

use super::*;

pub(super) fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

pub(super) fn origin() -> Origin {
    Origin::parse("testudo/test").unwrap()
}

pub(super) fn record(event: impl Into<Event>) -> Record {
    Record { at: Timestamp::from_millis(5), registry: RegistrySequence(3), event: event.into() }
}

/// The verdicts on a bundle: allowed, refused, allowed.
pub(super) fn verdicts() -> Record {
    let name = AgentName::parse("reader-1").unwrap();
    let envelope = |n: u8, verdict| EnvelopeRecord {
        message: MessageId::new([n; 16]),
        digest: Digest::new([n; 32]),
        sequence: Sequence(u64::from(n)),
        destination: EnvelopeRecord::destination_note(&Destination::Agent(name)),
        capability: None,
        correlation: CorrelationId::new([n; 16]),
        trace: None,
        verdict,
    };
    record(Verdicts {
        session: SessionId::new([3; 16]),
        sender: name,
        key: key().public(),
        lane: 0,
        root: Digest::new([5; 32]),
        envelopes: vec![
            envelope(1, Verdict::allowed([], 1)),
            envelope(2, Verdict::refused(Refusal::Poisoned, ["x"])),
            envelope(3, Verdict::allowed(["y"], 1)),
        ],
    })
}

pub(super) fn settled(of: u64, positions: &[u16], outcome: Outcome) -> Record {
    let outcomes = positions.iter().map(|position| OutcomeOf { position: *position, outcome }).collect();
    let to = (outcome != Outcome::Failed(Cause::Crash)).then(|| AgentName::parse("reader-1").unwrap());
    record(Outcomes { of, to, outcomes })
}

pub(super) fn small() -> AuditConfig {
    AuditConfig { segment_bytes_max: 2_000, ..AuditConfig::default() }
}

pub(super) fn open(dir: &Path) -> Result<(Arc<AuditLog>, Recovery), OpenError> {
    open_with(dir, AuditConfig::default())
}

pub(super) fn open_with(dir: &Path, config: AuditConfig) -> Result<(Arc<AuditLog>, Recovery), OpenError> {
    AuditLog::open_with(dir, origin(), key(), Timestamp::from_millis(7), RegistrySequence(4), config)
}

pub(super) fn read(dir: &Path) -> Vec<Record> {
    let records: Vec<_> = LogReader::new(dir, 0).map(Result::unwrap).collect();
    assert!(records.iter().zip(0..).all(|((index, _), n)| *index == n));
    records.into_iter().map(|(_, record)| record).collect()
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    files::segments(dir).unwrap().into_iter().map(|first| files::segment_path(dir, first)).collect()
}

/// A log of so many settled bundles in one segment, closed by a kill; the offsets at which its records end.
fn killed(dir: &Path, bundles: u64) -> Vec<usize> {
    let (log, _) = open(dir).unwrap();
    let path = files::segment_path(dir, 0);
    let len = || fs::metadata(&path).unwrap().len() as usize;
    let mut ends = vec![len()];
    for _ in 0..bundles {
        let of = log.append(&verdicts()).unwrap().index();
        ends.push(len());
        let _ = log.append(&settled(of, &[0, 2], Outcome::Delivered)).unwrap();
        ends.push(len());
    }
    ends
}

#[test]
fn a_log_is_written_read_followed_and_verified() {
    let dir = TempDir::new().unwrap();
    let (log, recovery) = open(dir.path()).unwrap();
    assert_eq!(recovery, Recovery::default());
    assert!(log.health().is_working());
    let mut follower = LogReader::new(dir.path(), 1);
    assert!(follower.next().is_none(), "nothing yet");
    for index in 1..=5 {
        assert_eq!(log.append(&verdicts()).unwrap().index(), index);
        assert_eq!(follower.next_record().unwrap(), Some((index, verdicts())));
        assert!(follower.next().is_none());
    }
    assert_eq!((log.records(), follower.cursor()), (6, 6));
    let verified = verify_dir(dir.path(), &key().public(), &origin()).unwrap();
    assert_eq!((verified.records, verified.sealed, verified.unsealed), (6, 1, 5));
    assert_eq!(read(dir.path())[0].event, NodeEvent::Started { records: 0, recovered_bytes: 0 }.into());
}

#[test]
fn t_a70_files_are_for_their_owner_only_and_one_writer_has_them() {
    let top = TempDir::new().unwrap();
    let dir = top.path().join("a/b");
    let (log, _) = open(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(matches!(open(&dir), Err(OpenError::InUse)));
    drop(log);
    assert!(open(&dir).is_ok());
}

#[test]
fn segments_follow_one_another_and_a_reader_follows_them() {
    let dir = TempDir::new().unwrap();
    let mut follower = LogReader::new(dir.path(), 0);
    assert!(follower.next().is_none(), "no log yet");
    let (log, _) = open_with(dir.path(), small()).unwrap();
    let mut seen = 0;
    for _ in 0..40 {
        let of = log.append(&verdicts()).unwrap().index();
        let _ = log.append(&settled(of, &[0, 2], Outcome::Delivered)).unwrap();
        seen += follower.by_ref().map(Result::unwrap).count() as u64;
        assert_eq!(seen, log.records());
    }
    let segments = segment_files(dir.path());
    assert!(segments.len() > 5, "{segments:?}");
    assert!(segments.iter().all(|path| fs::metadata(path).unwrap().len() <= 2_000));
    assert_eq!(segments[0].file_name().unwrap(), "00000000000000000000.log");
    for from in 0..log.records() {
        assert_eq!(LogReader::new(dir.path(), from).next().unwrap().unwrap().0, from);
    }
    drop(log);
    let (_, recovery) = open_with(dir.path(), small()).unwrap();
    assert_eq!(recovery, Recovery { records: 81, ..Recovery::default() });
    assert_eq!(verify_dir(dir.path(), &key().public(), &origin()).unwrap().records, 82);

    fs::remove_file(&segments[0]).unwrap();
    assert!(matches!(LogReader::new(dir.path(), 0).next(), Some(Err(ReadError::Missing { index: 0 }))));
    assert!(matches!(open_with(dir.path(), small()), Err(OpenError::Damaged { index: 0, .. })));
}

#[test]
fn t_a71_a_reader_does_not_take_a_missing_segment_for_the_end() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), small()).unwrap();
    while files::segments(dir.path()).unwrap().len() < 4 {
        let _ = log.append(&verdicts()).unwrap();
    }
    let firsts = files::segments(dir.path()).unwrap();
    std::fs::remove_file(files::segment_path(dir.path(), firsts[2])).unwrap();
    for from in [0, firsts[1], firsts[2] - 1, firsts[2]] {
        let mut reader = LogReader::new(dir.path(), from);
        let found = reader.by_ref().take_while(Result::is_ok).count() as u64;
        assert_eq!(found, firsts[2] - from, "what stands before it is read");
        let mut reader = LogReader::new(dir.path(), firsts[2]);
        match reader.next_record() {
            Err(ReadError::Damaged { index, what }) => {
                assert_eq!(index, firsts[2]);
                assert_eq!(what, format!("it is missing, and record {} follows", firsts[3]));
            }
            other => panic!("{other:?}"),
        }
    }
    // An empty one is no better, and the last may be empty.
    std::fs::write(files::segment_path(dir.path(), firsts[2]), "").unwrap();
    assert!(matches!(LogReader::new(dir.path(), firsts[2]).next_record(), Err(ReadError::Damaged { .. })));
    std::fs::write(files::segment_path(dir.path(), firsts[3] + 99), "").unwrap();
    let last = LogReader::new(dir.path(), firsts[3] + 99).next_record();
    assert!(matches!(last, Ok(None)), "not written yet: {last:?}");
}

#[test]
fn t_f01_after_a_kill_nothing_is_lost_and_what_was_open_has_failed() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    for _ in 0..3 {
        let _ = log.append(&verdicts()).unwrap();
    }
    let _ = log.append(&settled(1, &[0, 2], Outcome::Delivered)).unwrap();
    let _ = log.append(&settled(2, &[2], Outcome::Dropped(Cause::Expired))).unwrap();
    drop(log);

    let (log, recovery) = open(dir.path()).unwrap();
    assert_eq!(recovery, Recovery { records: 6, recovered_bytes: 0, crashed: 3 });
    let records = read(dir.path());
    let crash = Outcome::Failed(Cause::Crash);
    assert_eq!(records[6].event, settled(2, &[0], crash).event);
    assert_eq!(records[7].event, settled(3, &[0, 2], crash).event);
    assert_eq!(records[8].event, NodeEvent::Started { records: 6, recovered_bytes: 0 }.into());
    assert_eq!((records[8].at, records[8].registry), (Timestamp::from_millis(7), RegistrySequence(4)));
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.crashed, 0, "settled once");
}

/// The verdicts on one message to a topic with so many subscribers, and one to somebody.
fn published(subscribers: u32) -> Record {
    let Event::Verdicts(mut verdicts) = verdicts().event else { panic!("verdicts") };
    verdicts.envelopes[0].verdict = Verdict::allowed([], subscribers);
    record(verdicts)
}

#[test]
fn t_f01_after_a_kill_what_each_copy_left_open_has_failed_one_by_one() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let of = log.append(&published(300)).unwrap().index();
    let nobody = log.append(&published(0)).unwrap().index();
    let _ = log.append(&settled(nobody, &[2], Outcome::Delivered)).unwrap();
    let _ = log.append(&settled(of, &[0, 2], Outcome::Delivered)).unwrap();
    let _ = log.append(&settled(of, &[0], Outcome::Dropped(Cause::Overflow))).unwrap();
    drop(log);

    let (log, recovery) = open(dir.path()).unwrap();
    assert_eq!(recovery, Recovery { records: 6, recovered_bytes: 0, crashed: 298 });
    let crash = Outcome::Failed(Cause::Crash);
    let records = read(dir.path());
    assert_eq!(records[6].event, settled(of, &[0; 256], crash).event);
    assert_eq!(records[7].event, settled(of, &[0; 42], crash).event);
    assert!(matches!(records[8].event, Event::Node(NodeEvent::Started { records: 6, .. })));
    drop(log);

    // A second kill, before the second of these records was written.
    let path = files::segment_path(dir.path(), 0);
    let bytes = fs::read(&path).unwrap();
    let mut frames = testudo_rules::audit::frame::FrameReader::new(bytes.as_slice());
    (0..7).for_each(|_| assert!(frames.next_frame().unwrap().is_some()));
    fs::write(&path, &bytes[..frames.offset() as usize]).unwrap();
    fs::remove_file(dir.path().join(files::CHECKPOINTS)).unwrap();
    let (log, recovery) = open(dir.path()).unwrap();
    assert_eq!((recovery.records, recovery.crashed), (7, 42));
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.crashed, 0, "settled once");
}

#[test]
fn t_f08_a_log_cut_at_any_byte_of_its_last_three_records_recovers() {
    let source = TempDir::new().unwrap();
    let ends = killed(source.path(), 4);
    let bytes = fs::read(files::segment_path(source.path(), 0)).unwrap();
    let checkpoints = fs::read(source.path().join(files::CHECKPOINTS)).unwrap();
    for cut in ends[ends.len() - 4]..=bytes.len() {
        let dir = TempDir::new().unwrap();
        fs::write(files::segment_path(dir.path(), 0), &bytes[..cut]).unwrap();
        fs::write(dir.path().join(files::CHECKPOINTS), &checkpoints).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (log, recovery) = open(dir.path()).unwrap();
        assert_eq!(recovery.records, whole as u64, "cut at {cut}");
        assert_eq!(recovery.recovered_bytes, (cut - ends[whole - 1]) as u64, "cut at {cut}");
        let _ = log.append(&verdicts()).unwrap();
        let records = read(dir.path());
        assert_eq!(records.len() as u64, log.records());
        let started = NodeEvent::Started { records: whole as u64, recovered_bytes: recovery.recovered_bytes };
        assert!(records.contains(&Record {
            at: Timestamp::from_millis(7),
            registry: RegistrySequence(4),
            event: started.into()
        }));
        assert!(verify_dir(dir.path(), &key().public(), &origin()).is_ok());
    }
}

#[test]
fn t_f02_a_tail_of_zeros_is_torn_too() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 2);
    let file = OpenOptions::new().append(true).open(files::segment_path(dir.path(), 0)).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len + 3_000_000).unwrap();
    assert_eq!(open(dir.path()).unwrap().1.recovered_bytes, 3_000_000);
}

#[test]
fn t_f09_a_flipped_bit_before_the_tail_is_refused_by_its_index() {
    let source = TempDir::new().unwrap();
    let ends = killed(source.path(), 4);
    let bytes = fs::read(files::segment_path(source.path(), 0)).unwrap();
    let checkpoints = fs::read(source.path().join(files::CHECKPOINTS)).unwrap();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(files::CHECKPOINTS), &checkpoints).unwrap();
    let last = ends[ends.len() - 2];
    for at in 0..last {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(files::segment_path(dir.path(), 0), &bad).unwrap();
        let expected = ends.iter().filter(|end| **end <= at).count() as u64;
        match open(dir.path()) {
            Err(error @ OpenError::Damaged { .. }) => {
                assert!(
                    error.to_string().starts_with(&format!("record {expected} of")),
                    "byte {at}: {error}"
                );
                assert!(error.to_string().contains("testudo audit verify"));
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(files::segment_path(dir.path(), 0)).unwrap(), bad, "evidence is left alone");
    }
}

#[tokio::test(start_paused = true)]
async fn t_a72_a_log_shorter_than_its_checkpoint_is_refused() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let path = files::segment_path(dir.path(), 0);
    let _ = log.append(&verdicts()).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    let _ = log.append(&verdicts()).unwrap();
    log.shutdown().await.unwrap();
    drop(log);
    let len = fs::metadata(&path).unwrap().len();
    for cut in [len - 1, before + 1, before] {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(
            error,
            OpenError::Damaged { index: 2, .. } | OpenError::Shorter { records: 2, sealed: 3 }
        ));
        let Err(DirError::Fault(fault)) = verify_dir(dir.path(), &key().public(), &origin()) else {
            panic!()
        };
        assert!(matches!((fault.index, fault.what), (2, FaultKind::Truncated { sealed: 3 })));
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Shorter { records: 0, sealed: 3 })));
}

#[test]
fn a_torn_checkpoint_is_cut_off_and_a_bad_one_refused() {
    let dir = TempDir::new().unwrap();
    killed(dir.path(), 1);
    drop(open(dir.path()).unwrap());
    let path = dir.path().join(files::CHECKPOINTS);
    let whole = fs::read(&path).unwrap();
    let one = last_whole(&whole).unwrap().start;
    for cut in one..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        drop(open(dir.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}")));
        assert!(verify_dir(dir.path(), &key().public(), &origin()).is_ok(), "cut at {cut}");
    }
    let whole = fs::read(&path).unwrap();
    let start = last_whole(&whole).unwrap().start;
    for at in start..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let opened = open(dir.path());
        assert!(matches!(opened, Err(OpenError::Checkpoint(_))), "byte {at}: {opened:?}");
    }
    fs::write(&path, &whole).unwrap();
    let other = SecretKey::from_seed(&[1; 32]);
    let refused = AuditLog::open(dir.path(), origin(), other, Timestamp::default(), RegistrySequence(0));
    assert!(matches!(refused, Err(OpenError::Checkpoint(_))));
}

#[test]
fn proofs_are_made_from_the_files() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), small()).unwrap();
    for _ in 0..20 {
        let _ = log.append(&verdicts()).unwrap();
    }
    drop(log);
    let (_log, _) = open_with(dir.path(), small()).unwrap();
    let (checkpoint, _) = latest_checkpoint(dir.path(), &key().public(), &origin()).unwrap().unwrap();
    let by = VerifierKey { origin: origin(), key: key().public() };
    let proof = prove(dir.path(), 7, &by).unwrap();
    let leaf = leaf_hash(&proof.record);
    assert_eq!(verify_inclusion(&leaf, 7, checkpoint.size, &proof.path, &checkpoint.root), Ok(()));
    let first = leaf_hash(&read(dir.path())[0].encode().unwrap());
    let proof = extension(dir.path(), 1, &by).unwrap().unwrap().proof;
    assert_eq!(verify_consistency((1, &first), (checkpoint.size, &checkpoint.root), &proof), Ok(()));
    assert!(matches!(extension(dir.path(), 10_000, &by), Err(ProveError::Shorter { old: 10_000, .. })));
}

#[tokio::test(start_paused = true)]
async fn t_m15_records_become_durable_in_groups_and_checkpoints_keep_their_distance() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let sync = tokio::spawn(Arc::clone(&log).run_sync());
    let started = tokio::time::Instant::now();
    for index in 1..=50 {
        assert_eq!(log.append(&verdicts()).unwrap().index(), index);
        log.wait_synced(index).await.unwrap();
    }
    assert_eq!(*log.synced().borrow(), 51);
    assert!(started.elapsed() < Duration::from_millis(100), "durability waits for no checkpoint");
    let checkpoints =
        || fs::read_to_string(dir.path().join(files::CHECKPOINTS)).unwrap().matches('\u{2014}').count();
    assert!(checkpoints() <= 2, "one at opening and at most one since");
    tokio::time::sleep(Duration::from_millis(101)).await;
    log.append(&verdicts()).map(drop).unwrap();
    log.wait_synced(51).await.unwrap();
    assert!((2..=3).contains(&checkpoints()));

    log.shutdown().await.unwrap();
    sync.await.unwrap();
    assert_eq!((log.health(), log.is_sync_over()), (Health::Closed, true), "in good order");
    assert!(matches!(log.append(&verdicts()), Err(AppendError::Closed)));
    assert_eq!(log.wait_synced(52).await, Err(NotDurable), "there will be no such record");
    let verified = verify_dir(dir.path(), &key().public(), &origin()).unwrap();
    assert_eq!((verified.records, verified.unsealed), (52, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_alone_makes_everything_durable_and_sealed() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), small()).unwrap();
    for _ in 0..30 {
        let _ = log.append(&verdicts()).unwrap();
    }
    assert_eq!(*log.synced().borrow(), 1);
    log.shutdown().await.unwrap();
    log.shutdown().await.unwrap();
    assert_eq!(*log.synced().borrow(), 31);
    assert_eq!(verify_dir(dir.path(), &key().public(), &origin()).unwrap().unsealed, 0);
}

/// A clock that was turned back does not turn the log back, unless the operator says that it is right.
#[test]
fn t_a51_a_log_goes_on_from_its_last_record() {
    let dir = TempDir::new().unwrap();
    let at = |record: &Record| record.at.as_millis();
    let open_at = |ms: u64, clock_is_right: bool| {
        let config = AuditConfig { clock_is_right, ..AuditConfig::default() };
        let now = Timestamp::from_millis(ms);
        let (log, _) =
            AuditLog::open_with(dir.path(), origin(), key(), now, RegistrySequence(4), config).unwrap();
        assert_eq!(at(read(dir.path()).last().unwrap()), log.began().as_millis());
        log
    };
    assert_eq!(open_at(1_000, false).began(), Timestamp::from_millis(1_000));
    let log = open_at(2_000, false);
    // Open, so that the next start settles them; and an hour later.
    let _ = log.append(&Record { at: Timestamp::from_millis(3_602_000), ..verdicts() }).unwrap();
    drop(log);
    for _ in 0..2 {
        assert_eq!(open_at(5_000, false).began(), Timestamp::from_millis(3_602_000), "again and again");
    }
    assert_eq!(open_at(6_000, true).began(), Timestamp::from_millis(6_000));
    assert_eq!(open_at(7_000, false).began(), Timestamp::from_millis(7_000), "once is enough");
}

//! Disks that fill up, fail, and come back.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use testudo_rules::audit::{Event, NodeEvent, Outcome};

use super::files::{Medium, Tail};
use super::tests::{key, open, open_with, origin, read, record, settled, small, verdicts};
use super::*;

/// A file on a disk with so many bytes left, whose sync and truncation can be made to fail.
#[derive(Debug)]
struct Disk {
    file: File,
    free: AtomicI64,
    sync_fails: AtomicBool,
    cut_fails: AtomicBool,
}

impl Medium for Disk {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let free = usize::try_from(self.free.load(Ordering::Relaxed)).unwrap();
        let part = &bytes[..free.min(bytes.len())];
        self.free.fetch_sub(part.len() as i64, Ordering::Relaxed);
        Medium::write_all(&self.file, part)?;
        if part.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.cut_fails.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let freed = self.file.metadata()?.len() as i64 - len as i64;
        self.free.fetch_add(freed, Ordering::Relaxed);
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.sync_fails.load(Ordering::Relaxed) {
            Err(io::Error::other("EIO"))
        } else {
            self.file.sync_data()
        }
    }
}

fn disk(dir: &TempDir, name: &str) -> (Arc<Disk>, Tail) {
    let file = OpenOptions::new().append(true).open(dir.path().join(name)).unwrap();
    let len = file.metadata().unwrap().len();
    let disk =
        Disk { file, free: AtomicI64::new(i64::MAX), sync_fails: false.into(), cut_fails: false.into() };
    let disk = Arc::new(disk);
    let medium: Arc<dyn Medium> = Arc::clone(&disk) as _;
    (disk, Tail::of(medium, len))
}

/// A log whose segment lies on such a disk.
fn log(dir: &TempDir) -> (Arc<AuditLog>, Arc<Disk>) {
    let (log, _) = open(dir.path()).unwrap();
    let (disk, tail) = disk(dir, "00000000000000000000.log");
    log.state().segment = tail;
    (log, disk)
}

fn resumed(refused: u64, lost: u64) -> Event {
    NodeEvent::Resumed { refused, lost }.into()
}

#[tokio::test(start_paused = true)]
async fn t_f03_a_full_disk_records_nothing_and_works_again_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    let (log, disk) = log(&dir);
    let _ = log.append(&verdicts()).unwrap();
    for free in [0, 1, 44, 45, 60] {
        disk.free.store(free, Ordering::Relaxed);
        assert!(matches!(log.append(&verdicts()), Err(AppendError::Write(_))));
        assert!(matches!(log.health(), Health::Failing { .. }));
        assert_eq!(read(dir.path()).len(), 2, "no half record");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    disk.free.store(i64::MAX / 2, Ordering::Relaxed);
    assert_eq!(log.append(&verdicts()).unwrap().index(), 3);
    assert!(log.health().is_working());
    let records = read(dir.path());
    assert_eq!((records.len(), &records[2].event), (4, &resumed(5 * 3, 0)), "all that was refused is said");
    assert!(verify_dir(dir.path(), &key().public(), &origin()).is_ok());
}

#[test]
fn t_f03_at_every_number_of_free_bytes_nothing_is_half_recorded() {
    let whole = {
        let mut frame = Vec::new();
        let payload = verdicts().encode().unwrap();
        assert!(testudo_rules::audit::frame::encode(1, &payload, &mut frame).is_some());
        frame.len() as i64
    };
    for free in 0..=whole {
        let dir = TempDir::new().unwrap();
        let (log, disk) = log(&dir);
        disk.free.store(free, Ordering::Relaxed);
        assert_eq!(log.append(&verdicts()).is_ok(), free == whole, "{free} bytes free");
        assert_eq!(read(dir.path()).len(), if free == whole { 2 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn t_f03_outcomes_wait_for_room_and_nobody_need_send_to_find_it() {
    let dir = TempDir::new().unwrap();
    let (log, disk) = log(&dir);
    let sync = tokio::spawn(Arc::clone(&log).run_sync());
    let of = log.append(&verdicts()).unwrap().index();
    disk.free.store(0, Ordering::Relaxed);
    let outcomes = settled(of, &[0, 2], Outcome::Delivered);
    assert!(log.keep(outcomes.clone()).is_ok(), "it waits");
    assert!(log.append(&verdicts()).is_err());
    for _ in 0..1030 {
        assert!(log.keep(record(NodeEvent::Stopped)).is_ok());
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(log.health(), Health::Failing { .. }), "still no room");
    assert_eq!(read(dir.path()).len(), 2);
    disk.free.store(i64::MAX / 2, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(log.health().is_working(), "without a restart, without a message");
    let records = read(dir.path());
    assert_eq!(records[2], outcomes);
    assert_eq!(records.len(), 3 + 1024 + 1);
    let last = records.last().unwrap();
    assert_eq!(last.event, resumed(3, 6));
    assert!(last.at.as_millis() >= 5 + 3000, "its time is that of the recovery: {:?}", last.at);
    log.shutdown().await.unwrap();
    sync.await.unwrap();
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.crashed, 0, "every copy has its outcome");
}

#[tokio::test(start_paused = true)]
async fn t_f07_a_half_record_that_cannot_be_taken_back_is_taken_back_before_the_next() {
    let dir = TempDir::new().unwrap();
    let (log, disk) = log(&dir);
    disk.free.store(10, Ordering::Relaxed);
    disk.cut_fails.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(matches!(log.append(&verdicts()), Err(AppendError::Write(_))));
    }
    disk.free.store(i64::MAX / 2, Ordering::Relaxed);
    assert!(matches!(log.append(&verdicts()), Err(AppendError::Write(_))), "nothing behind half a record");
    assert_eq!(read(dir.path()).len(), 1);
    disk.cut_fails.store(false, Ordering::Relaxed);
    assert!(log.append(&verdicts()).is_err(), "not tried again for every message");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(log.append(&verdicts()).unwrap().index(), 2);
    assert!(log.health().is_working());
    log.shutdown().await.unwrap();
    assert!(verify_dir(dir.path(), &key().public(), &origin()).is_ok());
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.recovered_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn t_f07_a_node_that_ends_with_half_a_record_is_recovered_by_the_next() {
    let dir = TempDir::new().unwrap();
    let (log, disk) = log(&dir);
    disk.free.store(10, Ordering::Relaxed);
    disk.cut_fails.store(true, Ordering::Relaxed);
    assert!(log.append(&verdicts()).is_err());
    assert!(log.keep(record(NodeEvent::Stopped)).is_ok());
    assert_eq!(log.shutdown().await, Err(NotDurable), "what waited was never written");
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.recovered_bytes, 10);
}

#[test]
fn t_f03_a_device_that_is_always_full_records_nothing() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: no /dev/full here");
        return;
    };
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    log.state().segment = Tail::new(full, 0);
    for _ in 0..3 {
        assert!(matches!(log.append(&verdicts()), Err(AppendError::Write(_))));
        assert!(matches!(log.health(), Health::Failing { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn t_f03_a_log_that_cannot_begin_its_next_segment_waits_for_it() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open_with(dir.path(), small()).unwrap();
    while files::segments(dir.path()).unwrap().len() < 2 {
        let _ = log.append(&verdicts()).unwrap();
    }
    // A folder in the way of each segment that could come next.
    let next = log.records();
    let blocked: Vec<_> = (next..next + 20).map(|first| files::segment_path(dir.path(), first)).collect();
    blocked.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    while log.append(&verdicts()).is_ok() {}
    assert!(matches!(log.health(), Health::Failing { .. }));
    let records = log.records();
    blocked.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(log.append(&verdicts()).unwrap().index(), records + 1);
    drop(log);
    assert_eq!(open_with(dir.path(), small()).unwrap().1.records, records + 2);
}

#[tokio::test(start_paused = true)]
async fn t_f06_a_failed_sync_ends_the_log_and_is_never_tried_again() {
    let dir = TempDir::new().unwrap();
    let (log, disk) = log(&dir);
    let sync = tokio::spawn(Arc::clone(&log).run_sync());
    disk.sync_fails.store(true, Ordering::Relaxed);
    let index = log.append(&verdicts()).unwrap().index();
    assert_eq!(log.wait_synced(index).await, Err(NotDurable));
    sync.await.unwrap();
    disk.sync_fails.store(false, Ordering::Relaxed);
    assert!(matches!(log.append(&verdicts()), Err(AppendError::Poisoned(_))));
    assert_eq!(log.shutdown().await, Err(NotDurable));
    assert_eq!(*log.synced().borrow(), 1, "nobody is told that it is durable");
    assert!(matches!(log.health(), Health::Poisoned { .. }));
}

/// Nobody would make records durable or sign them any more, and whoever waits for that would wait for ever.
#[tokio::test(start_paused = true)]
async fn t_f06_a_sync_task_that_ends_before_the_log_does_ends_the_log() {
    let dir = TempDir::new().unwrap();
    let (log, _) = log(&dir);
    let sync = tokio::spawn(Arc::clone(&log).run_sync());
    let index = log.append(&verdicts()).unwrap().index();
    log.wait_synced(index).await.unwrap();
    assert!(!log.is_sync_over() && log.health().is_working());
    let waiter = log.clone();
    let waiting = tokio::spawn(async move { waiter.wait_synced(index + 1).await });
    tokio::task::yield_now().await;
    sync.abort();
    assert!(sync.await.unwrap_err().is_cancelled());
    assert_eq!(waiting.await.unwrap(), Err(NotDurable));
    assert!(log.is_sync_over());
    assert!(matches!(log.health(), Health::Poisoned { reason } if reason.contains("durable")));
    assert!(matches!(log.append(&verdicts()), Err(AppendError::Poisoned(_))), "and nothing is delivered");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_written_is_unhealthy_and_tried_again() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let (disk, tail) = disk(&dir, "checkpoints");
    log.syncer.lock().await.checkpoints = tail;
    disk.free.store(20, Ordering::Relaxed);
    let sync = tokio::spawn(Arc::clone(&log).run_sync());
    let index = log.append(&verdicts()).unwrap().index();
    log.wait_synced(index).await.unwrap();
    tokio::time::sleep(small_while()).await;
    assert!(matches!(log.health(), Health::Failing { reason } if reason.starts_with("checkpoint")));
    assert!(log.append(&verdicts()).is_ok(), "records go on");
    disk.free.store(i64::MAX / 2, Ordering::Relaxed);
    tokio::time::sleep(small_while()).await;
    assert!(log.health().is_working());
    log.shutdown().await.unwrap();
    sync.await.unwrap();
    assert_eq!(verify_dir(dir.path(), &key().public(), &origin()).unwrap().unsealed, 0);
}

/// More than the distance of two checkpoints, on the paused clock.
fn small_while() -> Duration {
    AuditConfig::default().checkpoint_interval * 2
}

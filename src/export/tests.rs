//! A log, receivers that do as they are told, and what must hold whatever those do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testudo_bus::audit::{AuditConfig, AuditLog, Cursor, CursorFile, lowest_cursor};
use testudo_rules::account::Account;
use testudo_rules::audit::{NodeEvent, Origin, Record, RegistryChange, RegistryEvent};
use testudo_rules::event::{EventSource, Signed};
use testudo_rules::export::{Outcome, Settings};
use testudo_wire::{NodeName, RegistrySequence, SecretKey, SwarmId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::config::{Exporter, Target};
use super::sink::{Off, Sending, Sent, Sink};
use super::source::Item;
use super::state::Shared;
use super::task::Task;
use super::{Breaker, Following};

pub(super) const AT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// A log with its syncer.
pub(super) struct Scene {
    pub(super) dir: TempDir,
    pub(super) log: Arc<AuditLog>,
    syncer: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.syncer.abort();
    }
}

pub(super) fn swarm() -> SwarmId {
    SwarmId::new([0xab; 32])
}

pub(super) fn open(dir: &TempDir) -> Arc<AuditLog> {
    let key = SecretKey::from_seed(&[9; 32]);
    let config = AuditConfig { segment_bytes_max: 16 * 1024, ..AuditConfig::default() };
    let origin = Origin::of_swarm(&swarm());
    let opened = AuditLog::open_with(dir.path(), origin, key, AT, RegistrySequence(0), config);
    opened.unwrap().0
}

/// One record more.
pub(super) fn write(log: &AuditLog) -> u64 {
    let event = RegistryEvent { agent: None, change: RegistryChange::Enrolled };
    let record = Record { at: AT, registry: RegistrySequence(1), event: event.into() };
    log.append(&record).unwrap().index()
}

impl Scene {
    /// A log that holds the record of its start.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&dir);
        Self::of(dir, log)
    }

    /// A log that was opened already.
    pub(super) fn of(dir: TempDir, log: Arc<AuditLog>) -> Self {
        let syncer = tokio::spawn(log.clone().run_sync());
        Self { dir, log, syncer }
    }

    /// Writes records and waits until they are durable; the last one's index.
    pub(super) async fn write(&self, n: usize) -> u64 {
        let last = (0..n).fold(0, |_, _| write(&self.log));
        self.log.wait_synced(last).await.unwrap();
        last
    }

    pub(super) fn following(&self) -> Following {
        let source = EventSource::of_node(swarm(), NodeName::parse("node-1").unwrap());
        Following { log: self.log.clone(), dir: self.dir.path().to_owned(), source }
    }

    pub(super) fn run(&self, name: &str, settings: Settings, sink: impl Sink + 'static) -> Run {
        let exporter = exporter(name, settings, sink);
        let (stop, stopping) = watch::channel(None);
        let task = Task::new(exporter, &self.following(), stopping);
        let shared = task.shared();
        Run { shared, stop, task: tokio::spawn(task.run()) }
    }
}

pub(super) fn exporter(name: &str, settings: Settings, sink: impl Sink + 'static) -> Exporter {
    let target = Target::Test(Box::new(sink));
    Exporter {
        name: NodeName::parse(name).unwrap(),
        settings,
        events: Vec::new(),
        target,
        source: None,
        flat: false,
        enabled: true,
    }
}

/// An exporter's task.
pub(super) struct Run {
    pub(super) shared: Shared,
    pub(super) stop: watch::Sender<Option<Instant>>,
    pub(super) task: JoinHandle<bool>,
}

impl Run {
    pub(super) fn counts(&self) -> Account {
        let counts = self.shared.get().counts;
        assert!(counts.is_balanced(), "{counts:?}");
        counts
    }

    /// Until it is so, and balanced on the way.
    pub(super) async fn until(&self, wanted: impl Fn(&super::ExporterStatus) -> bool) {
        let reached = async {
            while !wanted(&self.shared.get()) {
                self.counts();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let limit = tokio::time::timeout(Duration::from_secs(3600), reached).await;
        assert!(limit.is_ok(), "{:?}", self.shared.get());
    }

    /// Ends it within so much time; whether all was delivered.
    pub(super) async fn end(self, within: Duration) -> (bool, Account) {
        self.stop.send_replace(Some(Instant::now() + within));
        let clean = self.task.await.unwrap();
        let counts = self.shared.get().counts;
        assert!(counts.is_balanced() && counts.queued + counts.in_flight == 0, "{counts:?}");
        (clean, counts)
    }
}

/// What a receiver got: how often, by id, and in which order first.
#[derive(Clone, Default)]
pub(super) struct Got(Arc<Mutex<Seen>>);

/// Ids in the order of their first coming, and how often each came.
type Seen = (Vec<String>, BTreeMap<String, usize>);

impl Got {
    pub(super) fn note(&self, batch: &[Arc<Item>]) {
        let mut got = self.0.lock().unwrap();
        for item in batch {
            let json: Value = serde_json::from_str(&item.line).unwrap();
            let id = json["id"].as_str().unwrap().to_owned();
            if !got.1.contains_key(&id) {
                got.0.push(id.clone());
            }
            *got.1.entry(id).or_default() += 1;
        }
    }

    pub(super) fn order(&self) -> Vec<String> {
        self.0.lock().unwrap().0.clone()
    }

    pub(super) fn most(&self) -> usize {
        self.0.lock().unwrap().1.values().copied().max().unwrap_or_default()
    }
}

/// A receiver that does with a batch what a function says.
pub(super) struct Told<F>(pub(super) F);

impl<F: FnMut(&[Arc<Item>]) -> Sent + Send> Sink for Told<F> {
    fn send<'a>(&'a mut self, batch: &'a [Arc<Item>]) -> Sending<'a> {
        Box::pin(std::future::ready((self.0)(batch)))
    }
}

pub(super) fn taker(got: &Got) -> impl Sink + use<> {
    let got = got.clone();
    Told(move |batch: &[Arc<Item>]| {
        got.note(batch);
        Sent::delivered()
    })
}

/// Ids of the records `0..n`, which hold one event each.
pub(super) fn ids(n: u64) -> Vec<String> {
    (0..n).map(|record| format!("{record}-0")).collect()
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn r_a01_all_that_is_durable_arrives_once_in_order_and_the_cursor_is_behind_it() {
    let scene = Scene::new();
    let got = Got::default();
    let run = scene.run("good", Settings::default(), taker(&got));
    let last = scene.write(250).await;
    run.until(|state| state.counts.delivered == last + 1).await;
    assert_eq!((got.order(), got.most()), (ids(last + 1), 1));
    let last = scene.write(1).await;
    let (clean, counts) = run.end(MINUTE).await;
    assert!(clean, "what came last went without company");
    assert_eq!((counts.submitted, counts.delivered), (last + 1, last + 1));
    assert_eq!(lowest_cursor(scene.dir.path(), ["good"]), Some(last + 1));

    let run = scene.run("good", Settings::default(), taker(&got));
    let last = scene.write(3).await;
    let (clean, counts) = run.end(MINUTE).await;
    assert_eq!((clean, counts.submitted), (true, 3), "it goes on where it was");
    assert_eq!((got.order(), got.most()), (ids(last + 1), 1));
}

#[tokio::test(start_paused = true)]
async fn r_a04_r_c21_one_that_is_off_drops_and_reaches_for_nothing() {
    let scene = Scene::new();
    let run = scene.run("off", Settings::default(), Off);
    let last = scene.write(10).await;
    run.until(|state| state.counts.dropped == last + 1).await;
    assert_eq!(run.shared.get().breaker, Breaker::Closed);
    assert!(run.shared.get().amiss().unwrap().contains("dropped 11 events"), "r_H18");
    let (clean, counts) = run.end(MINUTE).await;
    assert_eq!((clean, counts.delivered, counts.failed), (false, 0, 0), "never a success");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_durable_goes_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    // Nobody syncs: what is written now is not durable, though anybody could read it.
    let scene = Scene { syncer: tokio::spawn(std::future::pending()), dir, log };
    write(&scene.log);
    let got = Got::default();
    let run = scene.run("careful", Settings::default(), taker(&got));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(got.order(), ids(1), "the record of the start, which opening made durable");
    let syncing = tokio::spawn(scene.log.clone().run_sync());
    run.until(|state| state.counts.delivered == 2).await;
    syncing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_filter_passes_what_it_names_and_the_cursor_passes_all() {
    let scene = Scene::new();
    let last = scene.write(5000).await;
    let got = Got::default();
    let mut only = exporter("starts", Settings::default(), taker(&got));
    only.events = vec!["node".to_owned()];
    let (stop, stopping) = watch::channel(None);
    let task = Task::new(only, &scene.following(), stopping);
    let run = Run { shared: task.shared(), stop, task: tokio::spawn(task.run()) };
    let (clean, counts) = run.end(MINUTE).await;
    assert_eq!((clean, counts.submitted, got.order()), (true, 1, ids(1)));
    assert_eq!(lowest_cursor(scene.dir.path(), ["starts"]), Some(last + 1));
}

#[tokio::test(start_paused = true)]
async fn an_exporter_goes_on_in_the_middle_of_a_record() {
    let scene = Scene::new();
    scene.write(3).await;
    let (file, _) = CursorFile::open(scene.dir.path(), "middle").unwrap();
    file.write(Cursor { record: 2, place: 0 }).unwrap();
    let got = Got::default();
    let (_, counts) = scene.run("middle", Settings::default(), taker(&got)).end(MINUTE).await;
    assert_eq!((counts.submitted, got.order()), (2, ids(4)[2..].to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_damaged_or_too_old_stops_its_exporter_and_says_what_to_do() {
    let scene = Scene::new();
    scene.write(1).await;
    drop(CursorFile::open(scene.dir.path(), "bad").unwrap());
    std::fs::write(scene.dir.path().join("exporters/bad"), "7").unwrap();
    let run = scene.run("bad", Settings::default(), taker(&Got::default()));
    run.until(|state| state.stopped.is_some()).await;
    let amiss = run.shared.get().amiss().unwrap();
    assert!(amiss.contains("exporters/bad is damaged; remove it"), "{amiss}");

    let last = scene.write(2000).await;
    assert!(std::fs::remove_file(scene.dir.path().join(format!("{:020}.log", 0))).is_ok());
    let (file, _) = CursorFile::open(scene.dir.path(), "old").unwrap();
    file.write(Cursor { record: 1, place: 0 }).unwrap();
    let run = scene.run("old", Settings::default(), taker(&Got::default()));
    run.until(|state| state.stopped.is_some()).await;
    let amiss = run.shared.get().amiss().unwrap();
    assert!(amiss.contains("stopped: records 1 to ") && amiss.contains("remove "), "{amiss}");
    let got = Got::default();
    let (clean, counts) = scene.run("new", Settings::default(), taker(&got)).end(MINUTE).await;
    assert!(clean && counts.delivered > 0 && counts.delivered < last, "a new one takes what there is");
    assert_eq!(got.order().last(), ids(last + 1).last());
}

#[tokio::test(start_paused = true)]
async fn r_c20_every_line_parses_and_verifies() {
    let scene = Scene::new();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = lines.clone();
    let sink = Told(move |batch: &[Arc<Item>]| {
        seen.lock().unwrap().extend(batch.iter().map(|item| item.line.clone()));
        Sent { outcome: Outcome::Delivered, reason: None }
    });
    let run = scene.run("lines", Settings::default(), sink);
    let stopped = Record { at: AT, registry: RegistrySequence(1), event: NodeEvent::Stopped.into() };
    let _ = scene.log.append(&stopped).unwrap();
    scene.write(1).await;
    run.end(MINUTE).await;
    let by = testudo_rules::audit::VerifierKey {
        origin: Origin::of_swarm(&swarm()),
        key: SecretKey::from_seed(&[9; 32]).public(),
    };
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 3);
    for line in lines.iter() {
        assert!(!line.contains('\n'));
        let event = Signed::parse(&serde_json::from_str(line).unwrap()).unwrap();
        assert!(event.verify(&by).is_ok());
    }
}

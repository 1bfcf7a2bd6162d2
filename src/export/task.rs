//! One exporter: it takes from the log what it has room for, sends, and remembers how far it came.

mod cursor;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use testudo_bus::audit::{Cursor, CursorFile, ReadError};
use testudo_bus::env::random;
use testudo_rules::event::{EventKey, EventSource};
use testudo_rules::export::{Outcome, Pump, Settings, Step};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Following;
use super::config::Exporter;
use super::place::{self, There};
use super::sink::{Sent, Sink};
use super::source::{Item, Source, Written};
use super::state::Shared;
use crate::env::System;

/// An exporter that is about to run.
pub(super) struct Task {
    name: String,
    settings: Settings,
    filter: Vec<String>,
    sink: Box<dyn Sink>,
    /// Durable records; the log itself is its node's alone.
    synced: watch::Receiver<u64>,
    dir: PathBuf,
    source: EventSource,
    flat: bool,
    key: EventKey,
    shared: Shared,
    stop: watch::Receiver<Option<Instant>>,
}

/// What an exporter does on the disk.
#[derive(Clone, Copy)]
enum Work {
    /// It writes down how far it came.
    Place,
    /// It reads the log.
    Read,
}

/// An exporter that runs.
struct Running {
    pump: Pump<Arc<Item>>,
    settings: Settings,
    /// `None` only while another thread reads from it.
    source: Option<Source>,
    dir: PathBuf,
    position: Cursor,
    sink: Box<dyn Sink>,
    synced: watch::Receiver<u64>,
    file: Arc<CursorFile>,
    written: Option<Cursor>,
    /// When it was written last.
    written_at: Option<Instant>,
    /// Whether a batch has ended since.
    has_sent: bool,
    /// Why work on the disk failed, of that which has not been done since: on its place, and reading.
    failing: (Option<String>, Option<String>),
    shared: Shared,
    stop: watch::Receiver<Option<Instant>>,
    began: Instant,
}

/// After which a log that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Why an exporter stops for good.
type Fault = String;

impl Task {
    pub(super) fn new(
        exporter: Exporter,
        following: &Following,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let Exporter { name, settings, events, target, source, flat, enabled } = exporter;
        let Following { log, dir, source: own } = following.clone();
        let shared = Shared::new(name.as_str(), target.kind());
        let (key, synced) = (log.event_key(), log.synced());
        let sink = target.sink(enabled);
        Self {
            name: name.as_str().to_owned(),
            settings,
            filter: events,
            sink,
            synced,
            dir,
            source: source.unwrap_or(own),
            flat,
            key,
            shared,
            stop,
        }
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Runs until it is told to stop. Whether every event was delivered.
    pub(super) async fn run(self) -> bool {
        let (name, shared) = (self.name.clone(), self.shared.clone());
        let ended = AssertUnwindSafe(self.follow()).catch_unwind().await;
        let fault = match ended {
            Ok(Ok(clean)) => return clean,
            Ok(Err(fault)) => fault,
            Err(_) => "it panicked; see the log, and restart the node".to_owned(),
        };
        tracing::error!(exporter = name, fault, "an exporter has stopped");
        shared.change(|state| {
            // What a panic left where it was comes again after the next start.
            let counts = &mut state.counts;
            counts.failed += std::mem::take(&mut counts.queued) + std::mem::take(&mut counts.in_flight);
            state.stopped = Some(fault);
        });
        false
    }

    async fn follow(self) -> Result<bool, Fault> {
        let (file, cursor) = CursorFile::open(&self.dir, &self.name).map_err(|error| error.to_string())?;
        let end = *self.synced.borrow();
        let there = There::of(&self.dir, end).map_err(|error| error.to_string())?;
        self.shared.change(|state| {
            state.record = cursor.map_or(there.oldest, |cursor| cursor.record);
            state.behind = end.saturating_sub(state.record);
        });
        let from = there.begin(cursor, file.path())?;
        let written = if self.flat { Written::Flat } else { Written::Signed(Box::new(self.key)) };
        let source = Source::new(&self.dir, self.source, written, self.filter, from);
        let mut running = Running {
            pump: Pump::new(self.settings),
            settings: self.settings,
            source: Some(source),
            dir: self.dir,
            position: from,
            sink: self.sink,
            synced: self.synced,
            file: Arc::new(file),
            written: cursor,
            written_at: None,
            has_sent: false,
            failing: (None, None),
            shared: self.shared,
            stop: self.stop,
            began: Instant::now(),
        };
        let followed = running.follow().await;
        running.write_cursor().await;
        let clean = running.pump.give_up();
        running.publish();
        followed.map(|()| clean)
    }
}

impl Running {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// When it has to end, once it was told to.
    fn deadline(&self) -> Option<Instant> {
        *self.stop.borrow()
    }

    async fn follow(&mut self) -> Result<(), Fault> {
        loop {
            let stopping = self.deadline();
            if stopping.is_some() {
                self.pump.hurry();
            }
            let more = self.fill().await?;
            match self.pump.poll(self.now()) {
                Step::Send(_) => self.send().await?,
                // To wait for a receiver that fails is for the next start.
                Step::Wait(_) if stopping.is_some() => return Ok(()),
                Step::Idle | Step::Wait(_) if more => {}
                Step::Idle if stopping.is_some() => return Ok(()),
                Step::Idle => self.wait(self.cursor_due()).await,
                Step::Wait(at) => {
                    let at = self.began + at;
                    self.wait(Some(self.cursor_due().map_or(at, |due| due.min(at)))).await;
                }
            }
            if stopping.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
        }
    }

    /// Takes from the log what there is room for; whether there is more of both.
    async fn fill(&mut self) -> Result<bool, Fault> {
        let (room, synced) = (self.pump.room(), *self.synced.borrow_and_update());
        if room > 0 && self.position.record < synced {
            let mut source = self.source.take().ok_or("its place in the log is lost; restart the node")?;
            let read = tokio::task::spawn_blocking(move || {
                let taken = source.take(room, synced);
                (source, taken)
            });
            let (source, taken) = read.await.map_err(|error| error.to_string())?;
            self.position = source.position();
            self.source = Some(source);
            let taken = match taken {
                Ok(taken) => taken,
                Err(error) => return self.unread(error).await.map(|()| true),
            };
            self.worked(Work::Read, None);
            for _ in 0..taken.spoilt {
                self.pump.spoilt();
            }
            let now = self.now();
            for item in taken.items {
                self.pump.submit(item, now).map_err(|error| error.to_string())?;
            }
        }
        self.publish();
        self.remember().await;
        Ok(self.pump.room() > 0 && self.position.record < synced)
    }

    /// The log could not be read. When the system said so it is tried again after a while.
    async fn unread(&mut self, error: ReadError) -> Result<(), Fault> {
        if !matches!(error, ReadError::Io(_)) || self.deadline().is_some() {
            return Err(place::why(&self.dir, *self.synced.borrow(), &error));
        }
        let trouble = error.to_string();
        tracing::warn!(exporter = self.shared.get().name, trouble, "an exporter will read again");
        self.worked(Work::Read, Some(trouble));
        let _ = timeout(READ_AGAIN, self.stop.changed()).await;
        Ok(())
    }

    /// Sends the batch that the pump has begun.
    async fn send(&mut self) -> Result<(), Fault> {
        let batch: Vec<_> = self.pump.batch().cloned().collect();
        self.publish();
        let mut stop = self.stop.clone();
        let deadline = async {
            let deadline = stop.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // The call itself may panic, not only the future that it returns.
        let attempt = AssertUnwindSafe(async { self.sink.send(&batch).await }).catch_unwind();
        let limit = self.settings.timeout;
        let sent = tokio::select! {
            biased;
            sent = timeout(limit, attempt) => match sent {
                Ok(Ok(sent)) => sent,
                Ok(Err(_)) => Sent::failed("it panicked"),
                Err(_) => Sent::failed(format!("no answer within {} ms", limit.as_millis())),
            },
            () = deadline => Sent::failed("not done when the node ended"),
        };
        self.tell(&sent);
        self.pump.ended(sent.outcome, self.now(), u64::from_be_bytes(random(&System)));
        self.has_sent = true;
        self.publish();
        self.remember().await;
        Ok(())
    }

    fn tell(&self, sent: &Sent) {
        let trouble = sent.reason.clone();
        let n = self.pump.counts().in_flight;
        let name = self.shared.get().name;
        match sent.outcome {
            Outcome::Delivered | Outcome::Dropped => self.shared.change(|state| state.trouble = None),
            Outcome::Failed { .. } => {
                tracing::warn!(exporter = name, trouble, "an exporter could not send; it will try again");
                self.shared.change(|state| state.trouble = trouble);
            }
            // Which of them was refused comes out when they are sent one by one.
            Outcome::Refused if n > 1 => self.shared.change(|state| state.trouble = None),
            Outcome::Partly { .. } | Outcome::Refused => {
                tracing::warn!(exporter = name, trouble, "a receiver refused an event");
                self.shared.change(|state| (state.trouble, state.refusal) = (None, trouble));
            }
        }
    }

    /// How work on the disk went; until what failed works again, others see why.
    fn worked(&mut self, work: Work, failure: Option<String>) {
        let kept = match work {
            Work::Place => &mut self.failing.0,
            Work::Read => &mut self.failing.1,
        };
        if *kept != failure {
            *kept = failure;
            let (place, read) = &self.failing;
            let trouble = read.as_ref().or(place.as_ref()).cloned();
            self.shared.change(|state| state.log_trouble = trouble);
        }
    }

    fn publish(&self) {
        let (counts, breaker) = (self.pump.counts(), self.pump.breaker().into());
        let (record, behind) =
            (self.cursor().record, self.synced.borrow().saturating_sub(self.position.record));
        self.shared.change(|state| {
            (state.counts, state.breaker, state.record, state.behind) = (counts, breaker, record, behind);
        });
    }

    /// Until the pump has something to do, the log something new, or the end comes.
    async fn wait(&mut self, until: Option<Instant>) {
        let has_room = self.pump.room() > 0;
        let due = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let (synced, stop) = (&mut self.synced, &mut self.stop);
        tokio::select! {
            changed = synced.changed(), if has_room => {
                if changed.is_err() {
                    // The log is gone with its node: only the end can come.
                    let _ = stop.changed().await;
                }
            }
            _ = stop.changed() => {}
            () = due => {}
        }
    }
}

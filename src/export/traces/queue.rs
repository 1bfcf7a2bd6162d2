//! Where spans wait: taken from whoever hands them over, given to the task that sends them. One lock, held for moments,
//! so that the books balance at every sample.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use testudo_bus::env::{SharedEnv, random};
use testudo_rules::account::Account;
use testudo_rules::export::{Outcome, Pump, Step};
use testudo_wire::{AgentName, Span, SpanId, Spans, TraceParent};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::Plan;
use super::sampler::Sampler;
use super::{Sampled, TracesStatus};
use crate::export::otlp::Stamped;

/// A clock on the wall that was set by more than this is believed.
const SET: Duration = Duration::from_millis(100);

/// What the runtime's clock showed when the one on the wall showed this, in nanoseconds of Unix time.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Moment,
    wall: u64,
}

impl Anchor {
    /// What the clock on the wall showed at a moment: finer than it tells, and the same for all spans of a process.
    fn wall_at(&self, moment: Moment) -> u64 {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(later) => self.wall.saturating_add(nanos(later)),
            None => self.wall.saturating_sub(nanos(self.at.saturating_duration_since(moment))),
        }
    }
}

#[derive(Debug)]
struct State {
    sampler: Sampler,
    anchor: Anchor,
    /// Not yet with the pump, whose clock is its thread's.
    waiting: VecDeque<Arc<Stamped>>,
    pump: Pump<Arc<Stamped>>,
    over_limit: u64,
    no_room: u64,
    messages: Sampled,
    trouble: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    env: SharedEnv,
    began: Instant,
    batch: usize,
    state: Mutex<State>,
    more: Notify,
}

/// What the task is to do.
#[derive(Debug)]
pub(super) enum Next {
    Idle,
    Wait(Duration),
    Send(Vec<Arc<Stamped>>),
}

fn wall(env: &SharedEnv) -> u64 {
    env.now().as_millis().saturating_mul(1_000_000)
}

impl Queue {
    pub(super) fn new(plan: &Plan, env: SharedEnv) -> Self {
        let began = Instant::now();
        let state = State {
            sampler: Sampler::new(plan.ratio, plan.spans_per_second),
            anchor: Anchor { at: began.into_std(), wall: wall(&env) },
            waiting: VecDeque::new(),
            pump: Pump::new(plan.settings),
            over_limit: 0,
            no_room: 0,
            messages: Sampled::default(),
            trouble: None,
        };
        let batch = plan.settings.batch;
        Self { env, began, batch, state: Mutex::new(state), more: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> TracesStatus {
        let state = self.state();
        let (counts, waiting) = (state.pump.counts(), state.waiting.len() as u64);
        let shed = state.over_limit + state.no_room;
        TracesStatus {
            counts: Account {
                submitted: counts.submitted + waiting + shed,
                dropped: counts.dropped + shed,
                queued: counts.queued + waiting,
                ..counts
            },
            over_limit: state.over_limit,
            // Those that its end found with the pump are among them.
            no_room: state.no_room + counts.dropped,
            messages: state.messages,
            breaker: state.pump.breaker().into(),
            trouble: state.trouble.clone(),
        }
    }

    /// What to do at `now`, on the task's clock; in a hurry, nothing waits for company.
    pub(super) fn next(&self, now: Duration, hurry: bool) -> Next {
        let mut state = self.state();
        let State { waiting, pump, .. } = &mut *state;
        while pump.room() > 0
            && let Some(stamped) = waiting.pop_front()
        {
            // There is room: it was asked just now.
            let _ = pump.submit(stamped, now);
        }
        if hurry {
            pump.hurry();
        }
        match pump.poll(now) {
            Step::Idle => Next::Idle,
            Step::Wait(until) => Next::Wait(until),
            Step::Send(_) => Next::Send(pump.batch().cloned().collect()),
        }
    }

    /// What came of sending.
    pub(super) fn ended(&self, outcome: Outcome, trouble: Option<String>, now: Duration, random: u64) {
        let mut state = self.state();
        state.pump.ended(outcome, now, random);
        // Why some were refused is told for as long as they count; why none could be sent, until one can.
        if trouble.is_some() || state.pump.counts().failed == 0 {
            state.trouble = trouble;
        }
    }

    /// Nothing is sent any more. Whether every span was.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.state();
        state.no_room += state.waiting.len() as u64;
        state.waiting.clear();
        state.pump.give_up() && state.no_room == 0
    }

    /// Ready when there may be something to do.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}

impl Spans for Queue {
    fn wants(&self, trace: &TraceParent, sender: &AgentName, spans: u32) -> bool {
        let now = self.began.elapsed();
        let mut state = self.state();
        state.messages.offered += 1;
        if !state.sampler.is_of_share(trace) {
            state.messages.beyond_ratio += 1;
            return false;
        }
        let fits = state.sampler.promise(sender, spans, now);
        state.messages.traced += u64::from(fits);
        state.messages.declined += u64::from(!fits);
        fits
    }

    fn id(&self) -> SpanId {
        SpanId::new(random(&*self.env))
    }

    fn take(&self, span: Span) {
        let (now, elapsed, wall) = (Instant::now().into_std(), self.began.elapsed(), wall(&self.env));
        let mut state = self.state();
        if !state.sampler.take(elapsed) {
            state.over_limit += 1;
            return;
        }
        if state.waiting.len() >= state.pump.room() {
            state.no_room += 1;
            return;
        }
        if u128::from(state.anchor.wall_at(now).abs_diff(wall)) > SET.as_nanos() {
            state.anchor = Anchor { at: now, wall };
        }
        let anchor = state.anchor;
        let events = span.events.iter().map(|(_, at)| anchor.wall_at(*at)).collect();
        let (start, end) = (anchor.wall_at(span.start), anchor.wall_at(span.end));
        state.waiting.push_back(Arc::new(Stamped { span, start, end, events }));
        let waiting = state.waiting.len() + usize::try_from(state.pump.counts().queued).unwrap_or(usize::MAX);
        drop(state);
        // The first makes the task look at its clock, a whole batch makes it send.
        if waiting == 1 || waiting == self.batch {
            self.more.notify_one();
        }
    }
}

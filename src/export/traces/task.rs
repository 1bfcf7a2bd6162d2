//! Sends what waits: one attempt at a time, again and ever later when it fails, none while the breaker is open.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use prost::Message as _;
use testudo_bus::env::random;
use testudo_rules::export::Outcome;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::Plan;
use super::queue::{Next, Queue};
use crate::env::System;
use crate::export::otlp::{Stamped, trace_request};
use crate::export::sink::{HttpSink, Sent, Wire};

/// See the module.
pub(super) struct Task {
    queue: Arc<Queue>,
    sink: HttpSink,
    within: Duration,
    service: String,
    instance: String,
    stop: watch::Receiver<Option<Instant>>,
}

impl Task {
    pub(super) fn new(
        plan: Plan,
        queue: Arc<Queue>,
        (service, instance): (String, String),
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let Plan { url, bearer, ca, settings, .. } = plan;
        let sink = HttpSink::new(Wire::Otlp, url, bearer, ca);
        Self { queue, sink, within: settings.timeout, service, instance, stop }
    }

    /// Runs until it is told to stop. Whether every span was delivered.
    pub(super) async fn run(mut self) -> bool {
        let began = Instant::now();
        loop {
            let deadline = *self.stop.borrow();
            match self.queue.next(began.elapsed(), deadline.is_some()) {
                Next::Send(batch) => {
                    let Sent { outcome, reason } = self.send(&batch).await;
                    tell(outcome, reason.as_deref());
                    let dice = u64::from_be_bytes(random(&System));
                    self.queue.ended(outcome, reason, began.elapsed(), dice);
                }
                // To wait for a collector that fails is for no end.
                Next::Idle | Next::Wait(_) if deadline.is_some() => break,
                Next::Idle => self.wait(None).await,
                Next::Wait(until) => self.wait(Some(began + until)).await,
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        self.queue.give_up()
    }

    async fn send(&mut self, batch: &[Arc<Stamped>]) -> Sent {
        let mut stop = self.stop.clone();
        let deadline = async {
            match stop.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline) {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let body = trace_request(&self.service, &self.instance, batch).encode_to_vec();
        let attempt = AssertUnwindSafe(self.sink.post(body)).catch_unwind();
        tokio::select! {
            biased;
            sent = timeout(self.within, attempt) => match sent {
                Ok(Ok(sent)) => sent,
                Ok(Err(_)) => Sent::failed("it panicked"),
                Err(_) => Sent::failed(format!("no answer within {} ms", self.within.as_millis())),
            },
            () = deadline => Sent::failed("not done at the end"),
        }
    }

    /// Until there is something to do, or the end comes.
    async fn wait(&mut self, until: Option<Instant>) {
        let due = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.queue.more() => {}
            _ = self.stop.changed() => {}
            () = due => {}
        }
    }
}

fn tell(outcome: Outcome, trouble: Option<&str>) {
    let trouble = trouble.unwrap_or("no reason given");
    match outcome {
        Outcome::Delivered | Outcome::Dropped => {}
        Outcome::Failed { .. } => {
            tracing::warn!(trouble, "spans could not be sent; they wait, as far as there is room")
        }
        Outcome::Partly { .. } | Outcome::Refused => tracing::warn!(trouble, "a collector refused spans"),
    }
}

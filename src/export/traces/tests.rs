//! The queue by itself: bounds, books, and that nobody who hands over a span ever waits.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use testudo_bus::env::SharedEnv;
use testudo_rules::export::Outcome;
use testudo_wire::{AgentName, Span, SpanId, Spans, Timestamp, TraceParent};
use tokio::time::Instant;

use super::config::TracesSection;
use super::queue::{Next, Queue};
use super::{Sampled, TracesStatus};
use crate::export::config::ExportSection;

#[derive(Debug)]
struct Wall(Instant);

impl testudo_bus::env::Env for Wall {
    fn now(&self) -> Timestamp {
        let since = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_800_000_000_000 + since)
    }
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn queue(section: &TracesSection) -> Arc<Queue> {
    let plan = section.plan(ExportSection::default()).unwrap().unwrap();
    let env: SharedEnv = Arc::new(Wall(Instant::now()));
    Arc::new(Queue::new(&plan, env))
}

fn section(queue: u32, batch: u32, spans_per_second: u32) -> TracesSection {
    TracesSection { queue, batch, spans_per_second, ..TracesSection::to("http://127.0.0.1:4318/v1/traces") }
}

fn span(start: Moment) -> Span {
    Span::under(&TraceParent([1; 25]), SpanId::new([2; 8]), "route", (start, start))
}

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_books_balance_under_faults_and_what_finds_no_room_is_counted() {
    let queue = queue(&section(50, 10, 1_000_000));
    let began = Instant::now();
    let mut answers = [
        Outcome::Delivered,
        Outcome::Failed { after: None },
        Outcome::Refused,
        Outcome::Partly { failed: 3 },
        Outcome::Delivered,
    ]
    .into_iter()
    .cycle();
    for round in 0..200_u64 {
        for _ in 0..round % 40 {
            queue.take(span(began.into_std()));
            assert!(queue.status().counts.is_balanced());
        }
        if let Next::Send(batch) = queue.next(began.elapsed(), false) {
            assert!(batch.len() <= 10 && queue.status().counts.is_balanced());
            queue.ended(answers.next().unwrap(), None, began.elapsed(), round);
        }
        let status = queue.status();
        assert!(status.counts.is_balanced() && status.counts.queued <= 50, "{status:?}");
        tokio::time::advance(Duration::from_millis(700)).await;
    }
    let before = queue.status();
    assert!(before.no_room > 0 && before.counts.delivered > 0 && before.counts.failed > 0, "{before:?}");
    assert!(!queue.give_up());
    queue.take(span(began.into_std()));
    let after = queue.status();
    assert_eq!((after.counts.queued, after.counts.in_flight), (0, 0));
    assert_eq!(after.counts.submitted, before.counts.submitted + 1);
    assert!(after.counts.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn a_flood_costs_no_more_memory_than_the_queue_and_no_more_spans_than_the_rate() {
    let queue = queue(&section(4096, 512, 100));
    let (flag, sender) = (TraceParent([1; 25]), name("flooder"));
    let wanted = (0..100_000).filter(|_| queue.wants(&flag, &sender, 8)).count();
    assert_eq!(wanted, 6, "half of a hundred spans");
    for _ in 0..100_000 {
        queue.take(span(Instant::now().into_std()));
    }
    let status = queue.status();
    let Sampled { offered, traced, beyond_ratio, declined } = status.messages;
    assert_eq!((offered, traced, beyond_ratio, declined), (100_000, 6, 0, 99_994));
    assert_eq!((status.counts.queued, status.over_limit), (100, 99_900));
    assert!(status.counts.is_balanced());
}

/// That what was offered is what became of it: messages, and spans.
fn sums(status: &TracesStatus) {
    let TracesStatus { counts, over_limit, no_room, messages, .. } = status;
    assert_eq!(messages.offered, messages.traced + messages.beyond_ratio + messages.declined, "{status:?}");
    assert!(counts.is_balanced(), "{status:?}");
    assert_eq!(counts.dropped, over_limit + no_room, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_is_traced_declined_or_beyond_the_ratio_and_every_span_has_one_end() {
    let queue = queue(&TracesSection { ratio: 0.5, ..section(64, 16, 400) });
    let began = Instant::now();
    let ends = [
        Outcome::Delivered,
        Outcome::Failed { after: None },
        Outcome::Refused,
        Outcome::Partly { failed: 1 },
    ];
    let (mut offered, mut handed) = (0, 0);
    for round in 0..600_u64 {
        for n in 0..round % 23 {
            let mut trace = [1; 25];
            trace[8..16].copy_from_slice(&(round * 23 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            offered += 1;
            let sender = name(["a", "b", "c"][usize::try_from(n).unwrap() % 3]);
            if queue.wants(&TraceParent(trace), &sender, 8) {
                // A publication has more spans than its message was taken for.
                for _ in 0..8 + n {
                    queue.take(span(Instant::now().into_std()));
                    handed += 1;
                }
            }
            sums(&queue.status());
        }
        if let Next::Send(_) = queue.next(began.elapsed(), false) {
            sums(&queue.status());
            let end = ends[usize::try_from(round).unwrap() % ends.len()];
            queue.ended(end, None, began.elapsed(), round);
        }
        sums(&queue.status());
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let _ = queue.give_up();
    queue.take(span(Instant::now().into_std()));
    let status = queue.status();
    sums(&status);
    assert_eq!((status.messages.offered, status.counts.submitted), (offered, handed + 1));
    assert_eq!((status.counts.queued, status.counts.in_flight), (0, 0));
    let Sampled { traced, beyond_ratio, declined, .. } = status.messages;
    let ends = [traced, beyond_ratio, declined, status.over_limit, status.no_room, status.counts.failed];
    assert!(ends.iter().all(|n| *n > 0) && status.counts.delivered > 0, "each of them came: {status:?}");
}

#[test]
fn the_books_of_spans_balance_while_threads_hand_them_over() {
    let queue = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _in = runtime.enter();
        queue(&TracesSection { ratio: 0.5, ..section(64, 16, 100_000) })
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let then = Instant::now().into_std();
    std::thread::scope(|scope| {
        let handing: Vec<_> = (0..4_u64)
            .map(|thread| {
                let queue = &queue;
                scope.spawn(move || {
                    for n in 0..2_000_u64 {
                        let mut trace = [1; 25];
                        let id = (n * 4 + thread).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        trace[8..16].copy_from_slice(&id.to_be_bytes());
                        if queue.wants(&TraceParent(trace), &name("a"), 2) {
                            queue.take(span(then));
                        }
                    }
                })
            })
            .collect();
        let sending = scope.spawn(|| {
            let mut now = Duration::ZERO;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                now += Duration::from_millis(700);
                sums(&queue.status());
                if let Next::Send(_) = queue.next(now, true) {
                    sums(&queue.status());
                    queue.ended(Outcome::Delivered, None, now, 1);
                }
            }
        });
        handing.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        sending.join().unwrap();
    });
    sums(&queue.status());
    assert_eq!(queue.status().messages.offered, 8_000);
}

#[tokio::test(start_paused = true)]
async fn times_are_those_of_the_wall_and_follow_it_when_it_is_set() {
    let queue = queue(&section(100, 1, 1000));
    tokio::time::advance(Duration::from_micros(1_500_250)).await;
    queue.take(span(Instant::now().into_std()));
    let Next::Send(batch) = queue.next(Duration::from_secs(9), true) else { panic!("one waits") };
    assert_eq!(batch[0].start, 1_800_000_001_500_250_000, "finer than the clock on the wall");
}

#[test]
fn sections_have_bounds_and_secrets_no_place_in_an_address() {
    let good = section(4096, 512, 1000);
    let common = ExportSection::default();
    assert!(TracesSection::default().plan(common).unwrap().is_none(), "off unless it is said where to");
    for (bad, what) in [
        (TracesSection { ratio: 1.1, ..good.clone() }, "traces.ratio"),
        (TracesSection { ratio: f64::NAN, ..good.clone() }, "traces.ratio"),
        (TracesSection { spans_per_second: 0, ..good.clone() }, "traces.spans_per_second"),
        (TracesSection { queue: 0, ..good.clone() }, "traces.queue"),
        (TracesSection { batch: 5000, ..good.clone() }, "traces.batch"),
        (TracesSection { url: Some("http://collector:4318/".into()), ..good.clone() }, "https"),
        (TracesSection { url: Some("https://u:p@c/".into()), ..good.clone() }, "password"),
        (TracesSection { url: None, ca: Some("ca.pem".into()), ..good.clone() }, "traces.url"),
    ] {
        let error = bad.check(common).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(good.check(common), Ok(()));
}

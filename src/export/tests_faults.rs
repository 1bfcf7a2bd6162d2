//! Receivers that fail, refuse, hang and panic; kills; and all at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testudo_rules::export::{Outcome, Settings};
use tokio::time::Instant;

use super::sink::{LinesSink, Sending, Sent, Sink};
use super::source::Item;
use super::tests::{Got, MINUTE, Scene, Told, exporter, ids, taker, write};
use super::{Breaker, Exporters};

/// A receiver that never answers.
struct Hung;

impl Sink for Hung {
    fn send<'a>(&'a mut self, _: &'a [Arc<Item>]) -> Sending<'a> {
        Box::pin(std::future::pending())
    }
}

/// A pipe that nobody reads, until it is dropped.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl std::io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r_a02_r_a03_failing_and_panicking_receivers_cost_nothing_but_time() {
    for panics in [false, true] {
        let scene = Scene::new();
        let (broken, got) = (Arc::new(AtomicBool::new(true)), Got::default());
        let (is_broken, seen) = (broken.clone(), got.clone());
        let run = scene.run(
            "broken",
            Settings::default(),
            Told(move |batch: &[Arc<Item>]| {
                if is_broken.load(Ordering::Relaxed) {
                    assert!(!panics, "the test's own fault");
                    return Sent::failed("503");
                }
                seen.note(batch);
                Sent::delivered()
            }),
        );
        let last = scene.write(49).await;
        run.until(|state| state.breaker == Breaker::Open).await;
        let state = run.shared.get();
        assert_eq!((state.counts.queued, state.counts.failed), (50, 0), "r_A20: kept");
        assert!(state.amiss().unwrap().contains("cannot send"), "r_H18");
        broken.store(false, Ordering::Relaxed);
        run.until(|state| state.counts.delivered == last + 1).await;
        let state = run.shared.get();
        assert_eq!((state.breaker, state.amiss(), state.trouble), (Breaker::Closed, None, None));
        assert_eq!((got.order(), got.most()), (ids(last + 1), 1));
        assert!(run.end(MINUTE).await.0);
    }
}

#[tokio::test(start_paused = true)]
async fn r_a02_what_still_fails_at_the_end_is_failed_here_and_comes_again_after_the_next_start() {
    let scene = Scene::new();
    let run = scene.run("down", Settings::default(), Told(|_: &[Arc<Item>]| Sent::failed("503")));
    let last = scene.write(49).await;
    run.until(|state| state.trouble.is_some()).await;
    let (clean, counts) = run.end(MINUTE).await;
    assert_eq!((clean, counts.submitted, counts.failed, counts.delivered), (false, 50, 50, 0));
    let got = Got::default();
    assert!(scene.run("down", Settings::default(), taker(&got)).end(MINUTE).await.0);
    assert_eq!(got.order(), ids(last + 1));
}

#[tokio::test(start_paused = true)]
async fn r_a13_an_attempt_that_hangs_is_given_up_at_its_time_and_the_end_has_a_bound() {
    let scene = Scene::new();
    let run = scene.run("hung", Settings::default(), Hung);
    scene.write(49).await;
    let began = Instant::now();
    run.until(|state| state.trouble.is_some()).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(13), "{took:?}");
    assert!(run.shared.get().trouble.unwrap().contains("no answer within 10000 ms"));
    run.until(|state| state.counts.in_flight > 0).await;
    let began = Instant::now();
    let (clean, counts) = run.end(Duration::from_secs(3)).await;
    assert!(began.elapsed() <= Duration::from_millis(3_100), "{:?}", began.elapsed());
    assert_eq!((clean, counts.failed), (false, 50));
}

/// A receiver of its own for each exporter, so each of them ends each event: one that has it does not hide one that
/// has not, as one count for all would.
#[tokio::test(start_paused = true)]
async fn r_a07_r_a16_of_two_receivers_each_has_its_own_books() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Does {
        Drop,
        Fail,
        Take,
    }
    use Does::{Drop, Fail, Take};
    for [one, two] in [[Fail, Take], [Fail, Drop], [Drop, Drop], [Drop, Take], [Take, Take], [Fail, Fail]] {
        let scene = Scene::new();
        let last = scene.write(9).await;
        let gots = [Got::default(), Got::default()];
        let runs: Vec<_> = [("one", one), ("two", two)]
            .into_iter()
            .zip(&gots)
            .map(|((name, does), got)| {
                let got = got.clone();
                let sink = Told(move |batch: &[Arc<Item>]| match does {
                    Drop => Sent { outcome: Outcome::Dropped, reason: None },
                    Fail => Sent::failed("503"),
                    Take => {
                        got.note(batch);
                        Sent::delivered()
                    }
                });
                scene.run(name, Settings::default(), sink)
            })
            .collect();
        for ((run, got), does) in runs.into_iter().zip(&gots).zip([one, two]) {
            let (clean, counts) = run.end(MINUTE).await;
            let ends = (counts.delivered, counts.failed, counts.dropped);
            let all = last + 1;
            let expected = match does {
                Drop => (0, 0, all),
                Fail => (0, all, 0),
                Take => (all, 0, 0),
            };
            assert_eq!((counts.submitted, ends, clean), (all, expected, does == Take), "{one:?} {two:?}");
            assert_eq!(got.order().len() as u64, counts.delivered);
        }
    }
    // Without any, nothing is taken from the log, and nothing is claimed.
    let scene = Scene::new();
    scene.write(9).await;
    let none = Exporters::start(Vec::new(), &scene.following()).unwrap();
    assert!(none.states().is_empty() && none.shut_down().await);
}

/// On real threads: a write that blocks its thread for ever harms neither the others nor the end.
#[tokio::test]
async fn r_a12_r_a13_r_a19_a_pipe_that_nobody_reads_delays_nobody_else() {
    let scene = Scene::new();
    let (hold, stuck) = std::sync::mpsc::channel();
    let settings = Settings {
        timeout: Duration::from_millis(50),
        interval: Duration::from_millis(5),
        open: Duration::from_millis(10),
        ..Settings::default()
    };
    let got = Got::default();
    let exporters = vec![
        exporter("stuck", settings, LinesSink::new(Box::new(Stuck(stuck)))),
        exporter("hung", settings, Hung),
        exporter("broken", settings, Told(|_: &[Arc<Item>]| panic!("the test's own fault"))),
        exporter("good", settings, taker(&got)),
    ];
    let exporters = Exporters::start(exporters, &scene.following()).unwrap();
    let last = scene.write(2000).await;
    let states = exporters.states();
    while states.all()[3].counts.delivered < last + 1 {
        assert!(states.all().iter().all(|state| state.counts.is_balanced()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((got.order(), got.most()), (ids(last + 1), 1));
    let began = Instant::now();
    assert!(!exporters.shut_down().await);
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    for state in states.all() {
        assert!(state.counts.is_balanced() && state.counts.queued + state.counts.in_flight == 0, "{state:?}");
        assert_eq!(state.counts.delivered == state.counts.submitted, state.name == "good");
    }
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn r_a15_r_a17_a_refused_event_fails_alone_and_the_end_says_that_not_all_was_delivered() {
    let scene = Scene::new();
    let got = Got::default();
    let seen = got.clone();
    let run = scene.run(
        "picky",
        Settings::default(),
        Told(move |batch: &[Arc<Item>]| {
            if batch.iter().any(|item| item.event.id() == "40-0") {
                return Sent::refused("400");
            }
            seen.note(batch);
            Sent::delivered()
        }),
    );
    let last = scene.write(99).await;
    run.until(|state| state.counts.failed == 1 && state.counts.delivered == last).await;
    let mut expected = ids(last + 1);
    expected.remove(40);
    assert_eq!((got.order(), got.most()), (expected, 1));
    let state = run.shared.get();
    assert_eq!(state.breaker, Breaker::Closed);
    assert!(state.amiss().unwrap().contains("1 events were refused: 400"), "{state:?}");
    assert!(!run.end(MINUTE).await.0, "r_A17");
}

/// Numbers that look random and are the same each time.
fn dice(seed: u64) -> impl FnMut() -> u64 + Send + use<> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Eight producers write while receivers do what the dice say and exporters are killed and started anew; the books
/// balance at every sample, and after a good end every durable record has arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_a14_eight_producers_random_faults_random_kills() {
    const EACH: usize = 300;
    let scene = Scene::new();
    let settings = Settings {
        queue: 64,
        batch: 16,
        interval: Duration::from_millis(1),
        timeout: Duration::from_millis(5),
        failures: 1_000_000,
        open: Duration::from_millis(1),
    };
    let (got, samples) = (Got::default(), Arc::new(AtomicUsize::new(0)));
    let refused = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let producers: Vec<_> = (0..8)
        .map(|_| {
            let log = scene.log.clone();
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    write(&log);
                    std::thread::sleep(Duration::from_micros(300));
                }
            })
        })
        .collect();
    let mut roll = dice(7);
    let start = |n: u64| {
        let (mut roll, got, refused) = (dice(n + 100), got.clone(), refused.clone());
        scene.run(
            "chaos",
            settings,
            Told(move |batch: &[Arc<Item>]| match roll() % 8 {
                0 if batch.len() == 1 => {
                    refused.lock().unwrap().insert(batch[0].event.id().to_owned());
                    Sent::refused("bad")
                }
                1 => panic!("the test's own fault"),
                2 => Sent { outcome: Outcome::Refused, reason: None }.unless_alone(batch),
                _ => {
                    got.note(batch);
                    Sent::delivered()
                }
            }),
        )
    };
    for n in 0..20 {
        let run = start(n);
        let until = Instant::now() + Duration::from_millis(roll() % 40);
        while Instant::now() < until {
            run.counts();
            samples.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        // As a kill: no last word, no last cursor.
        run.task.abort();
        let _ = run.task.await;
    }
    for producer in producers {
        producer.join().unwrap();
    }
    let last = scene.write(1).await;
    assert_eq!(last, 8 * EACH as u64 + 1);
    let run = scene.run("chaos", settings, taker(&got));
    let (clean, counts) = run.end(MINUTE).await;
    assert!(clean, "{counts:?}");
    let mut arrived: std::collections::BTreeSet<_> = got.order().into_iter().collect();
    arrived.extend(refused.lock().unwrap().iter().cloned());
    assert_eq!(arrived.len() as u64, last + 1, "each arrived, or was refused for itself");
    assert!(samples.load(Ordering::Relaxed) > 100);
}

impl Sent {
    /// A batch of one is not refused for nothing.
    fn unless_alone(self, batch: &[Arc<Item>]) -> Self {
        if batch.len() == 1 { Self::failed("alone") } else { self }
    }
}

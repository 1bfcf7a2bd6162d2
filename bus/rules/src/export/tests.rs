//! The reference cases of accounting, and random lives of a pump against a model.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A pump with a clock that goes to whatever it waits for.
struct Scene {
    pump: Pump<u32>,
    now: Duration,
    sends: usize,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        Self { pump: Pump::new(settings.checked().unwrap()), now: MS(1), sends: 0 }
    }

    fn submit(&mut self, items: impl IntoIterator<Item = u32>) {
        for item in items {
            self.pump.submit(item, self.now).unwrap();
        }
    }

    /// Runs until nothing is left or `until`, with a receiver that says what it does to a batch.
    fn run(&mut self, until: Duration, mut receiver: impl FnMut(&[u32]) -> Outcome) {
        while self.now <= until {
            match self.pump.poll(self.now) {
                Step::Idle => return,
                Step::Send(n) => {
                    let batch: Vec<_> = self.pump.batch().copied().collect();
                    assert_eq!(batch.len(), n);
                    self.sends += 1;
                    assert!(self.pump.counts().is_balanced());
                    self.pump.ended(receiver(&batch), self.now, 0);
                    assert!(self.pump.counts().is_balanced());
                }
                Step::Wait(at) => {
                    assert!(at > self.now);
                    self.now = at;
                }
            }
        }
    }

    /// Submitted, delivered, failed, dropped, after the end.
    fn end(&mut self) -> [u64; 4] {
        self.pump.give_up();
        let counts = self.pump.counts();
        assert!(counts.is_balanced() && counts.queued + counts.in_flight == 0);
        [counts.submitted, counts.delivered, counts.failed, counts.dropped]
    }
}

const FAILED: Outcome = Outcome::Failed { after: None };

#[test]
fn r_a01_r_a02_r_a04_r_a05_all_good_all_failing_all_off_and_after_the_end() {
    let hour = MS(3_600_000);
    let cases = [(Outcome::Delivered, [50, 50, 0, 0]), (Outcome::Dropped, [50, 0, 0, 50])];
    for (outcome, books) in cases {
        let mut scene = Scene::new(Settings::default());
        scene.submit(0..50);
        scene.run(hour, |_| outcome);
        assert_eq!(scene.end(), books);
    }
    let mut scene = Scene::new(Settings::default());
    scene.submit(0..50);
    scene.run(MS(30_000), |_| FAILED);
    assert_eq!(scene.pump.counts().queued, 50, "nothing is given up while it runs");
    assert_eq!(scene.end(), [50, 0, 50, 0]);
    scene.submit(0..3);
    assert_eq!(scene.end(), [53, 0, 50, 3]);
    assert_eq!(scene.pump.poll(hour), Step::Idle, "nothing is sent after the end");
}

/// Ours keeps what the reference drops: the log is the queue, so a full pump takes no more.
#[test]
fn r_a06_r_a20_a_full_pump_takes_no_more_and_drops_nothing() {
    let mut scene = Scene::new(Settings { queue: 5, batch: 5, ..Settings::default() });
    scene.submit(0..5);
    assert_eq!(scene.pump.submit(5, scene.now), Err(NoRoom));
    scene.run(MS(500_000), |_| FAILED);
    assert_eq!(scene.pump.submit(5, scene.now), Err(NoRoom));
    assert_eq!((scene.pump.room(), scene.pump.counts().submitted), (0, 5));
    let mut got = Vec::new();
    scene.run(MS(10_000_000), |batch| {
        got.extend_from_slice(batch);
        Outcome::Delivered
    });
    assert_eq!((got, scene.pump.room()), ((0..5).collect(), 5));
}

#[test]
fn r_a08_an_open_breaker_asks_nobody() {
    for batch in [1, 10] {
        let mut scene = Scene::new(Settings { batch, failures: 3, ..Settings::default() });
        scene.submit(0..100);
        scene.run(MS(20_000), |_| FAILED);
        assert_eq!(scene.sends, 3);
        assert!(matches!(scene.pump.breaker(), BreakerState::Open { .. }));
        assert_eq!(scene.pump.counts().queued, 100, "kept (r_A20), where the reference fails them");
    }
}

#[test]
fn r_a09_r_a11_after_the_wait_exactly_one_probe_decides() {
    let mut breaker = Breaker::new(3, MS(60_000));
    breaker.failed(MS(1));
    breaker.failed(MS(2));
    breaker.succeeded();
    breaker.failed(MS(3));
    breaker.failed(MS(4));
    assert_eq!(breaker.state(), BreakerState::Closed, "a success resets the count");
    breaker.failed(MS(5));
    assert!(!breaker.admits(MS(60_004)));
    let probes = (0..8).filter(|_| breaker.admits(MS(60_005))).count();
    assert_eq!((probes, breaker.state()), (1, BreakerState::HalfOpen));
    breaker.failed(MS(60_006));
    assert_eq!(breaker.state(), BreakerState::Open { until: MS(120_006) }, "at once");
    assert!(breaker.admits(MS(120_006)) && !breaker.admits(MS(120_007)));
    breaker.succeeded();
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(breaker.admits(MS(120_008)) && breaker.admits(MS(120_009)));
}

#[test]
fn r_a10_to_drop_neither_opens_nor_closes_a_breaker() {
    let mut breaker = Breaker::new(2, MS(1_000));
    breaker.failed(MS(1));
    breaker.undecided(MS(2));
    breaker.failed(MS(3));
    assert_eq!(breaker.state(), BreakerState::Open { until: MS(1_003) });
    assert!(breaker.admits(MS(1_003)));
    breaker.undecided(MS(1_004));
    assert_eq!(breaker.state(), BreakerState::Open { until: MS(1_004) }, "the next one decides");
    assert!(breaker.admits(MS(1_004)) && !breaker.admits(MS(1_004)));
}

#[test]
fn r_a15_a_bad_event_fails_alone_and_its_neighbours_go_in_order() {
    let bad = [0, 7, 8, 63, 99];
    let mut scene = Scene::new(Settings::default());
    scene.submit(0..100);
    let mut got = Vec::new();
    scene.run(MS(10_000), |batch| {
        if batch.iter().any(|item| bad.contains(item)) {
            return Outcome::Refused;
        }
        got.extend_from_slice(batch);
        Outcome::Delivered
    });
    assert_eq!(got, (0..100).filter(|item| !bad.contains(item)).collect::<Vec<_>>());
    assert_eq!(scene.pump.breaker(), BreakerState::Closed);
    assert_eq!(scene.end(), [100, 95, 5, 0]);
    assert!(scene.sends < 70, "bisected: {} attempts", scene.sends);
}

#[test]
fn a_receiver_that_refuses_everything_gets_no_more_than_a_batch_wasted() {
    let mut scene = Scene::new(Settings::default());
    scene.submit(0..1000);
    scene.run(MS(3_600_000), |_| Outcome::Refused);
    let counts = scene.pump.counts();
    assert_eq!((counts.failed, counts.queued), (100, 900));
    assert!(matches!(scene.pump.breaker(), BreakerState::Open { .. }));
    let mut got = Vec::new();
    scene.run(MS(7_200_000), |batch| {
        got.extend_from_slice(batch);
        Outcome::Delivered
    });
    assert_eq!(got, (100..1000).collect::<Vec<_>>(), "put right, it gets the rest");
}

#[test]
fn a_bad_event_alone_does_not_close_a_breaker_that_its_probe_was_to_decide() {
    let mut scene = Scene::new(Settings { failures: 1, ..Settings::default() });
    scene.submit([1, 2]);
    let mut answers = vec![Outcome::Delivered, Outcome::Refused, Outcome::Refused, FAILED];
    scene.run(MS(1_000_000), |_| answers.pop().unwrap());
    assert_eq!(scene.end(), [2, 1, 1, 0]);
}

#[test]
fn r_a18_r_a21_settings_have_bounds_and_the_reference_defaults() {
    let good = Settings::default();
    assert_eq!((good.queue, good.batch, good.interval), (1024, 100, MS(2_000)));
    assert_eq!((good.timeout, good.failures, good.open), (MS(10_000), 5, MS(60_000)));
    for bad in [
        Settings { queue: 0, ..good },
        Settings { batch: 0, ..good },
        Settings { queue: 10, batch: 11, ..good },
        Settings { interval: Duration::ZERO, ..good },
        Settings { timeout: Duration::ZERO, ..good },
        Settings { failures: 0, ..good },
        Settings { open: Duration::ZERO, ..good },
        Settings { timeout: Duration::MAX, ..good },
    ] {
        assert!(bad.checked().is_err(), "{bad:?}");
    }
    assert_eq!(good.checked(), Ok(good));
}

#[test]
fn an_event_waits_for_company_but_no_longer_than_the_interval() {
    let mut scene = Scene::new(Settings { batch: 3, ..Settings::default() });
    scene.submit([1]);
    assert_eq!(scene.pump.poll(MS(2)), Step::Wait(MS(2_001)));
    scene.submit([2, 3]);
    assert_eq!(scene.pump.poll(MS(3)), Step::Send(3));
    scene.pump.ended(Outcome::Delivered, MS(4), 0);
    scene.submit([4]);
    scene.pump.hurry();
    assert_eq!(scene.pump.poll(MS(5)), Step::Send(1), "nothing waits at the end");
}

#[test]
fn a_failing_receiver_is_asked_ever_less_often_and_as_late_as_it_wishes() {
    let mut pump = Pump::new(Settings { failures: 1000, ..Settings::default() });
    pump.submit((), MS(0)).unwrap();
    let mut now = MS(2_000);
    let mut waits = Vec::new();
    for random in [0, u64::MAX, 0, u64::MAX, 0, 0, 0, 0, u64::MAX] {
        assert_eq!(pump.poll(now), Step::Send(1));
        pump.ended(FAILED, now, random);
        let Step::Wait(at) = pump.poll(now) else { panic!("it waits") };
        waits.push((at - now).as_millis());
        now = at;
    }
    assert_eq!(waits, [250, 999, 1000, 3999, 4000, 8000, 15000, 15000, 29999]);
    assert_eq!(pump.poll(now), Step::Send(1));
    pump.ended(Outcome::Failed { after: Some(MS(45_000)) }, now, 0);
    assert_eq!(pump.poll(now), Step::Wait(now + MS(45_000)));
}

#[derive(Clone, Debug)]
enum Act {
    Submit(u8),
    Spoilt,
    Poll,
    End(Outcome),
    Pass(u16),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Delivered),
        1 => Just(Outcome::Dropped),
        1 => (0..9_usize).prop_map(|failed| Outcome::Partly { failed }),
        2 => Just(Outcome::Refused),
        3 => Just(FAILED),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1..20_u8).prop_map(Act::Submit),
        1 => Just(Act::Spoilt),
        4 => Just(Act::Poll),
        4 => outcome().prop_map(Act::End),
        2 => any::<u16>().prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The books balance at every sample; each event is done once, in order; one attempt at a time; an open breaker
    /// lets nothing through; after the end nothing is left.
    #[test]
    fn r_a14_whatever_happens_the_books_balance_at_every_sample(
        acts in prop::collection::vec(act(), 0..200),
        queue in 1..40_usize,
        failures in 1..4_u32,
    ) {
        let settings = Settings { queue, batch: queue.div_ceil(3), failures, ..Settings::default() };
        let mut pump = Pump::new(settings.checked().unwrap());
        let (mut now, mut next, mut done, mut sent) = (MS(1), 0_u32, Vec::new(), None::<Vec<u32>>);
        let mut refused = 0;
        for act in acts {
            match act {
                Act::Submit(n) => for _ in 0..n {
                    if pump.submit(next, now).is_ok() { next += 1; } else { prop_assert_eq!(pump.room(), 0); }
                },
                Act::Spoilt => pump.spoilt(),
                Act::Poll => {
                    let open = match pump.breaker() {
                        BreakerState::Open { until } => now < until,
                        BreakerState::Closed | BreakerState::HalfOpen => false,
                    };
                    if let Step::Send(n) = pump.poll(now) {
                        prop_assert!(sent.is_none() && !open && n > 0 && n <= settings.batch);
                        sent = Some(pump.batch().copied().collect());
                    }
                }
                Act::End(outcome) => if let Some(batch) = sent.take() {
                    pump.ended(outcome, now, 7);
                    match outcome {
                        Outcome::Delivered | Outcome::Partly { .. } => {
                            refused = 0;
                            done.extend(batch);
                        }
                        Outcome::Dropped => done.extend(batch),
                        Outcome::Refused if batch.len() == 1 && refused < settings.batch => {
                            refused += 1;
                            done.extend(batch);
                        }
                        Outcome::Refused | Outcome::Failed { .. } => {}
                    }
                },
                Act::Pass(ms) => now += MS(ms.into()),
            }
            let counts = pump.counts();
            prop_assert!(counts.is_balanced(), "{:?}", counts);
            prop_assert_eq!(&done, &(0..u32::try_from(done.len()).unwrap()).collect::<Vec<_>>());
            prop_assert_eq!(counts.in_flight, sent.as_ref().map_or(0, |batch| batch.len() as u64));
            prop_assert!(counts.queued + counts.in_flight <= queue as u64);
            prop_assert_eq!(counts.queued + counts.in_flight, u64::from(next) - done.len() as u64);
        }
        let clean = pump.give_up();
        let counts = pump.counts();
        prop_assert!(counts.is_balanced() && counts.queued == 0 && counts.in_flight == 0);
        prop_assert_eq!(clean, counts.delivered == counts.submitted, "r_A17");
    }
}

//! Answers in parts: their order, back-pressure, cancellation, and that every stream has an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::net::{BODY_MAX, CREDIT, Net, Number, agent, can, remote, run, secs, settle};
use crate::{
    Agent, AgentError, AnswerParts, Bus, Context, Handlers, HostOptions, Incoming, Message, Outcome,
    ReplyError, SendFailure, Stopped, host,
};

/// Counts up to a number, as a story needs it.
#[derive(Clone, Default)]
struct Counter {
    starts: Arc<AtomicU32>,
    sent: Arc<AtomicU32>,
    /// How its streams failed.
    failures: Option<mpsc::Sender<SendFailure>>,
}

impl Counter {
    async fn count(&self, up_to: u64, stream: &mut crate::ReplyStream) -> Result<(), AgentError> {
        for n in 0..up_to {
            match stream.send(&Number { n }).await {
                Ok(()) => self.sent.fetch_add(1, Ordering::SeqCst),
                Err(ReplyError::Send(failure)) => {
                    self.failures.as_ref().unwrap().try_send(failure.clone()).unwrap();
                    return Err(failure.into());
                }
                Err(other) => return Err(other.into()),
            };
        }
        Ok(())
    }
}

impl Agent for Counter {
    async fn on_start(&mut self, _: &Bus) -> Result<(), AgentError> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn handle(&mut self, incoming: Incoming, context: &Context) -> Result<Outcome, AgentError> {
        let up_to = incoming.json::<Number>().map_err(AgentError::bad_request)?.n;
        let mut stream = context.stream()?;
        match incoming.capability.resource() {
            "on" => {
                self.count(up_to, &mut stream).await?;
                stream.finish().await?;
            }
            "with-a-last-word" => {
                self.count(up_to, &mut stream).await?;
                stream.finish_with(&Number { n: 99 }).await?;
            }
            "unfinished" => self.count(up_to, &mut stream).await?,
            "and-fail" => {
                self.count(up_to, &mut stream).await?;
                return Err(AgentError::failed("no more"));
            }
            "and-panic" => {
                self.count(up_to, &mut stream).await?;
                panic!("in the middle");
            }
            "and-wait" => {
                self.count(up_to, &mut stream).await?;
                context.cancelled().await;
                self.failures.as_ref().unwrap().try_send(SendFailure::Cancelled).unwrap();
                sleep(secs(3600)).await;
            }
            "later" | "later-and-panic" => {
                let (this, panics) = (self.clone(), incoming.capability.resource() == "later-and-panic");
                tokio::spawn(async move {
                    sleep(secs(1)).await;
                    this.count(up_to, &mut stream).await.unwrap();
                    assert!(!panics, "in the middle");
                });
            }
            "too-much" => {
                let body = vec![b'a'; BODY_MAX + 1];
                let text = String::from_utf8(body).unwrap();
                assert!(matches!(
                    stream.send_text(text).await,
                    Err(ReplyError::Send(SendFailure::TooLarge { .. }))
                ));
                stream.send_text("less").await?;
                stream.finish().await?;
            }
            other => panic!("{other}"),
        }
        Ok(Outcome::Done)
    }
}

struct Scene {
    net: Arc<Net>,
    bus: Bus,
    counter: Counter,
    failures: mpsc::Receiver<SendFailure>,
    handle: crate::HostHandle,
}

fn scene() -> Scene {
    let net = Net::new();
    let (sender, failures) = mpsc::channel(100);
    let counter = Counter { failures: Some(sender), ..Counter::default() };
    let (wire, inbox) = net.join("a");
    let of = counter.clone();
    let handle = host(wire, inbox, move || of.clone(), HostOptions::default());
    Scene { bus: net.caller(), net, counter, failures, handle }
}

fn count(how: &str, n: u64) -> Message {
    Message::json(agent("a"), can(&format!("count:{how}")), &Number { n }).unwrap()
}

/// The numbers that come, and the error at the end if there is one.
async fn all(parts: &mut AnswerParts) -> (Vec<u64>, Option<(String, String)>) {
    let mut numbers = Vec::new();
    loop {
        match parts.next_json::<Number>().await {
            None => return (numbers, None),
            Some(Ok(number)) => numbers.push(number.n),
            Some(Err(crate::AskError::Send(failure))) => {
                assert!(parts.next().await.is_none(), "an error is the last word");
                return (numbers, Some(remote(failure)));
            }
            Some(Err(other)) => panic!("{other}"),
        }
    }
}

#[test]
fn parts_arrive_in_order_and_end() {
    run(async {
        let scene = scene();
        for (how, n, expected) in [
            ("on", 20, (0..20).collect::<Vec<_>>()),
            ("with-a-last-word", 3, vec![0, 1, 2, 99]),
            ("on", 0, vec![]),
        ] {
            let mut parts = scene.bus.stream(count(how, n)).await.unwrap();
            assert_eq!(all(&mut parts).await, (expected, None), "{how}");
            assert!(parts.next().await.is_none());
        }
    });
}

#[test]
fn a_replier_cannot_run_ahead_of_its_credit() {
    run(async {
        let scene = scene();
        let mut parts = scene.bus.stream(count("on", 50)).await.unwrap();
        for taken in 0..20 {
            settle().await;
            assert_eq!(scene.counter.sent.load(Ordering::SeqCst), u32::try_from(CREDIT).unwrap() + taken);
            parts.next().await.unwrap().unwrap();
        }
        assert_eq!(all(&mut parts).await.0.len(), 30);
    });
}

#[test]
fn who_drops_the_parts_cancels_and_the_replier_s_next_part_says_so() {
    run(async {
        let mut scene = scene();
        let mut parts = scene.bus.stream(count("on", 50)).await.unwrap();
        parts.next().await.unwrap().unwrap();
        settle().await;
        drop(parts);
        assert_eq!(scene.failures.recv().await, Some(SendFailure::Cancelled), "in the middle of waiting");
        let mut parts = scene.bus.stream(count("and-wait", 1)).await.unwrap();
        parts.next().await.unwrap().unwrap();
        settle().await;
        assert!(scene.failures.try_recv().is_err(), "nobody has cancelled yet");
        drop(parts);
        assert_eq!(scene.failures.recv().await, Some(SendFailure::Cancelled));
        assert_eq!(scene.handle.faults(), 0, "no fault of the agent");
    });
}

#[test]
fn a_part_that_nobody_waits_for_is_cancelled_at_once() {
    run(async {
        let mut scene = scene();
        scene.bus.tell(count("on", 5)).await.unwrap();
        assert_eq!(scene.failures.recv().await, Some(SendFailure::Cancelled));
        assert_eq!(scene.counter.sent.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_stream_that_is_not_finished_ends_with_an_error() {
    run(async {
        let scene = scene();
        for (how, error) in [
            ("unfinished", ("failed", "the agent left its answer unfinished")),
            ("and-fail", ("failed", "no more")),
            ("later", ("failed", "the agent left its answer unfinished")),
        ] {
            let mut parts = scene.bus.stream(count(how, 3)).await.unwrap();
            let error = Some((error.0.to_owned(), error.1.to_owned()));
            assert_eq!(all(&mut parts).await, (vec![0, 1, 2], error), "{how}");
        }
    });
}

#[test]
fn t_a58_a_panic_in_the_middle_ends_the_stream_and_no_slow_asker_keeps_the_agent_from_being_rebuilt() {
    run(async {
        let scene = scene();
        for (how, n) in [("and-panic", 2), ("and-panic", CREDIT as u64), ("later-and-panic", 2)] {
            let starts = scene.counter.starts.load(Ordering::SeqCst);
            let mut parts = scene.bus.stream(count(how, n)).await.unwrap();
            settle().await;
            let rebuilt = scene.counter.starts.load(Ordering::SeqCst) - starts;
            assert_eq!(rebuilt, u32::from(how == "and-panic") + u32::from(starts == 0), "{how} {n}");
            let (numbers, error) = all(&mut parts).await;
            assert_eq!((numbers.len() as u64, error.unwrap().0.as_str()), (n, "agent-fault"), "{how}");
        }
        assert_eq!(scene.handle.faults(), 2, "a task of its own is no fault of the agent");
    });
}

#[test]
fn a_stream_may_outlive_its_handler_and_holds_nobody_up() {
    run(async {
        let scene = scene();
        let before = tokio::time::Instant::now();
        let mut later = scene.bus.stream(count("later", 2)).await.unwrap();
        let mut now = scene.bus.stream(count("on", 2)).await.unwrap();
        assert_eq!(all(&mut now).await, (vec![0, 1], None));
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(all(&mut later).await.0, [0, 1]);
        assert_eq!(before.elapsed(), secs(1));
    });
}

#[test]
fn a_stop_that_runs_out_of_patience_ends_the_stream() {
    run(async {
        let scene = scene();
        let mut parts = scene.bus.stream(count("and-wait", 2)).await.unwrap();
        settle().await;
        scene.handle.stop();
        assert_eq!(scene.handle.stopped().await, Stopped::Asked);
        let (numbers, error) = all(&mut parts).await;
        assert_eq!((numbers, error.unwrap().0.as_str()), (vec![0, 1], "agent-stopped"));
    });
}

#[test]
fn after_its_end_nothing_more_is_said() {
    run(async {
        let mut scene = scene();
        let said = |scene: &Scene| scene.net.said.swap(0, Ordering::SeqCst);
        let mut parts = scene.bus.stream(count("on", 3)).await.unwrap();
        all(&mut parts).await;
        settle().await;
        assert_eq!(said(&scene), 4, "three parts and the end");
        drop(scene.bus.stream(count("on", 3)).await.unwrap());
        assert_eq!(scene.failures.recv().await, Some(SendFailure::Cancelled));
        settle().await;
        assert_eq!(said(&scene), 1, "the part that was cancelled");
    });
}

#[test]
fn a_part_that_is_too_large_costs_only_itself() {
    run(async {
        let scene = scene();
        let mut parts = scene.bus.stream(count("too-much", 0)).await.unwrap();
        assert_eq!(parts.next().await.unwrap().unwrap().body, "less");
        assert!(parts.next().await.is_none());
    });
}

#[test]
fn one_answer_and_several_are_not_mistaken_for_each_other() {
    run(async {
        let scene = scene();
        assert_eq!(scene.bus.request(count("on", 3)).await.unwrap_err(), SendFailure::InParts);
        let error = scene.bus.request(count("and-fail", 0)).await.unwrap_err();
        assert_eq!(remote(error).1, "no more", "an error is an error, in parts or not");
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let echo = Handlers::new().on("count:on", |n: Number, _| async move { Ok(n) }).build().unwrap();
        host(wire, inbox, move || echo.clone(), HostOptions::default());
        let mut parts = net.caller().stream(count("on", 7)).await.unwrap();
        assert_eq!(all(&mut parts).await, (vec![7], None));
    });
}

#[test]
fn closures_stream_and_several_at_once_do_not_hold_each_other_up() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let served = Handlers::new()
            .on_stream("count:on", |up_to: Number, _, mut stream| async move {
                for n in 0..up_to.n {
                    stream.send(&Number { n }).await?;
                }
                Ok(stream.finish().await?)
            })
            .build()
            .unwrap();
        let options = HostOptions { concurrency: 3.try_into().unwrap(), ..HostOptions::default() };
        let handle = host(wire, inbox, move || served.clone(), options);
        let bus = net.caller();
        let mut stuck = Vec::new();
        for _ in 0..2 {
            stuck.push(bus.stream(count("on", 50)).await.unwrap());
        }
        settle().await;
        for _ in 0..5 {
            let mut parts = bus.stream(count("on", 10)).await.unwrap();
            assert_eq!(all(&mut parts).await, ((0..10).collect(), None));
        }
        let mut third = bus.stream(count("on", 50)).await.unwrap();
        let waits = bus.stream(count("on", 1)).await.unwrap();
        settle().await;
        assert_eq!(net.taken(), 2 + 5 + 1, "no more are taken than run");
        assert_eq!(all(&mut third).await.0.len(), 50);
        for mut parts in stuck {
            assert_eq!(all(&mut parts).await.0.len(), 50);
        }
        drop(waits);
        let refused = bus.request(Message::json(agent("a"), can("count:on"), &"x").unwrap()).await;
        assert_eq!(remote(refused.unwrap_err()).0, "bad-request");
        handle.stop();
        assert_eq!(handle.stopped().await, Stopped::Asked);
        assert_eq!(net.diary(), ["a leaves"]);
    });
}

//! One message at a time, faults contained, neighbours unharmed, the door bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::net::{BODY_MAX, Net, agent, remote, run, secs, settle, text};
use crate::{Agent, AgentError, Bus, Context, HostOptions, Incoming, Outcome, SendFailure, Stopped, host};

/// Counts its messages and obeys the body.
#[derive(Default)]
struct Obedient {
    handled: u32,
    busy: Arc<AtomicU32>,
    peak: Arc<AtomicU32>,
    starts: Arc<AtomicU32>,
}

impl Agent for Obedient {
    async fn on_start(&mut self, _: &Bus) -> Result<(), AgentError> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn handle(&mut self, incoming: Incoming, _: &Context) -> Result<Outcome, AgentError> {
        self.handled += 1;
        match &incoming.body[..] {
            b"panic" => panic!("poison"),
            b"panic with a bomb" => std::panic::panic_any(Bomb),
            b"fail" => return Err(AgentError::failed("no")),
            b"nothing" => return Ok(Outcome::Done),
            b"too much" => {
                return Ok(Outcome::Reply {
                    content_type: incoming.content_type,
                    body: vec![0; BODY_MAX + 1].into(),
                });
            }
            b"slowly" => {
                let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
                self.peak.fetch_max(busy, Ordering::SeqCst);
                sleep(Duration::from_millis(100)).await;
                self.busy.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(Outcome::json(&self.handled).unwrap())
    }
}

/// Panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

async fn say(bus: &Bus, to: &str, body: &str) -> Result<u32, SendFailure> {
    Ok(bus.request(text(to, body)).await?.json().unwrap())
}

#[test]
fn a_request_is_answered_by_one_agent_with_one_state() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        host(wire, inbox, Obedient::default, HostOptions::default());
        let bus = net.caller();
        bus.tell(text("a", "hello")).await.unwrap();
        assert_eq!(say(&bus, "a", "hello").await, Ok(2));
        assert_eq!(remote(say(&bus, "a", "fail").await.unwrap_err()), ("failed".to_owned(), "no".to_owned()));
        bus.tell(text("a", "fail")).await.unwrap();
        let done = bus.request(text("a", "nothing")).await.unwrap();
        assert_eq!((done.sender.name, done.body.len()), (agent("a"), 0));
        let (code, message) = remote(say(&bus, "a", "too much").await.unwrap_err());
        assert_eq!((code.as_str(), message.contains("larger")), ("failed", true));
    });
}

#[test]
fn t_a58_a_panic_is_answered_and_the_agent_rebuilt_with_fresh_state_at_once() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let starts = Arc::new(AtomicU32::new(0));
        let of = starts.clone();
        let factory = move || Obedient { starts: of.clone(), ..Obedient::default() };
        let handle = host(wire, inbox, factory, HostOptions::default());
        let bus = net.caller();
        assert_eq!(say(&bus, "a", "hello").await, Ok(1));
        let before = Instant::now();
        for poison in ["panic", "panic with a bomb"] {
            let (code, message) = remote(say(&bus, "a", poison).await.unwrap_err());
            assert_eq!((code.as_str(), message.contains("poison")), ("agent-fault", false), "{message}");
            assert_eq!(say(&bus, "a", "hello").await, Ok(1), "fresh state");
        }
        bus.tell(text("a", "panic")).await.unwrap();
        assert_eq!(say(&bus, "a", "hello").await, Ok(1));
        assert_eq!((handle.faults(), starts.load(Ordering::SeqCst)), (3, 4));
        assert_eq!(before.elapsed(), Duration::ZERO, "no time passed");
    });
}

#[test]
fn t_a58_too_many_faults_in_a_short_time_stop_the_host_and_tell_who_waits() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let handle = host(wire, inbox, Obedient::default, HostOptions::default());
        let bus = net.caller();
        for _ in 0..2 {
            // Five within ten seconds are borne, again and again.
            for _ in 0..5 {
                assert_eq!(remote(say(&bus, "a", "panic").await.unwrap_err()).0, "agent-fault");
            }
            assert_eq!(say(&bus, "a", "hello").await, Ok(1));
            sleep(secs(11)).await;
        }
        let asks = (0..7).map(|_| say(&bus, "a", "panic"));
        let codes: Vec<_> = futures_util::future::join_all(asks).await;
        let codes: Vec<_> = codes.into_iter().map(|said| remote(said.unwrap_err()).0).collect();
        assert_eq!(codes[..6], ["agent-fault"; 6]);
        assert_eq!(codes[6], "agent-stopped");
        assert_eq!(handle.stopped().await, Stopped::TooManyFaults);
        assert_eq!(net.diary(), ["a failed", "a leaves"], "said once, and before it leaves");
        assert_eq!(handle.faults(), 16);
        assert!(matches!(say(&bus, "a", "hello").await, Err(SendFailure::Refused { .. })));
    });
}

#[test]
fn a_factory_or_a_start_that_fails_counts_as_a_fault() {
    struct Stillborn;
    impl Agent for Stillborn {
        async fn on_start(&mut self, _: &Bus) -> Result<(), AgentError> {
            Err(AgentError::failed("no"))
        }
        async fn handle(&mut self, _: Incoming, _: &Context) -> Result<Outcome, AgentError> {
            panic!("never reached");
        }
    }
    fn broken() -> Stillborn {
        panic!("broken factory")
    }
    run(async {
        let net = Net::new();
        for factory in [|| Stillborn, broken as fn() -> Stillborn] {
            let (wire, inbox) = net.join("a");
            let handle = host(wire, inbox, factory, HostOptions::default());
            assert_eq!((handle.stopped().await, handle.faults()), (Stopped::TooManyFaults, 6));
        }
    });
}

#[test]
fn t_a58_a_neighbour_on_the_same_arbiter_is_unharmed() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("bad");
        let bad = host(wire, inbox, Obedient::default, HostOptions::default());
        let (wire, inbox) = net.join("good");
        let good = host(wire, inbox, Obedient::default, HostOptions::default());
        let bus = net.caller();
        for n in 1..=6 {
            assert_eq!(remote(say(&bus, "bad", "panic").await.unwrap_err()).0, "agent-fault");
            assert_eq!(say(&bus, "good", "hello").await, Ok(n));
        }
        assert_eq!(bad.stopped().await, Stopped::TooManyFaults);
        assert_eq!((say(&bus, "good", "hello").await, good.faults()), (Ok(7), 0));
    });
}

#[test]
fn t_a62_the_door_holds_no_more_than_its_queue_and_one_message_runs_at_a_time() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let peak = Arc::new(AtomicU32::new(0));
        let (of, busy) = (peak.clone(), Arc::new(AtomicU32::new(0)));
        let factory = move || Obedient { peak: of.clone(), busy: busy.clone(), ..Obedient::default() };
        let options = HostOptions { queue: 4.try_into().unwrap(), ..HostOptions::default() };
        host(wire, inbox, factory, options);
        let bus = net.caller();
        for _ in 0..500 {
            bus.tell(text("a", "slowly")).await.unwrap();
        }
        for done in 0..50 {
            settle().await;
            assert_eq!(net.taken(), done + 4, "four in the door, the rest waits in the inbox");
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(say(&bus, "a", "hello").await, Err(SendFailure::NoAnswer { after_ms: 30_000 }));
        sleep(secs(60)).await;
        assert_eq!(say(&bus, "a", "hello").await, Ok(502), "in order, none lost");
        assert_eq!(peak.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn faults_while_the_last_messages_are_handled_are_reported_too() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let handle = host(wire, inbox, Obedient::default, HostOptions::default());
        let bus = net.caller();
        for _ in 0..6 {
            bus.post(text("a", "panic")).await.unwrap();
        }
        net.cut("a");
        assert_eq!(handle.stopped().await, Stopped::TooManyFaults);
        assert_eq!(net.diary(), ["a failed", "a leaves"]);
    });
}

#[test]
fn agents_that_share_an_inbox_share_their_restart_intensity() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let starts = Arc::new(AtomicU32::new(0));
        let of = starts.clone();
        let factory = move || Obedient { starts: of.clone(), ..Obedient::default() };
        let options = HostOptions { concurrency: 4.try_into().unwrap(), ..HostOptions::default() };
        let handle = host(wire, inbox, factory, options);
        let bus = net.caller();
        settle().await;
        assert_eq!(starts.load(Ordering::SeqCst), 4);
        for _ in 0..6 {
            assert_eq!(remote(say(&bus, "a", "panic").await.unwrap_err()).0, "agent-fault");
        }
        assert_eq!((handle.stopped().await, handle.faults()), (Stopped::TooManyFaults, 6));
        assert_eq!(net.diary(), ["a failed", "a leaves"]);
        assert_eq!(starts.load(Ordering::SeqCst), 9);
    });
}

//! Every way a host ends: asked, cut off, out of patience; and that it ends in bounded time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::net::{Net, remote, run, secs, settle, text};
use crate::{Agent, AgentError, Bus, Context, HostOptions, Incoming, Outcome, SendFailure, Stopped, host};

type Diary = Arc<Mutex<Vec<String>>>;

/// Works for so long on each message and writes a diary.
struct Worker {
    takes: Duration,
    diary: Diary,
}

impl Worker {
    fn write(&self, entry: &str) {
        self.diary.lock().unwrap().push(entry.to_owned());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.write("dropped");
    }
}

impl Agent for Worker {
    async fn handle(&mut self, incoming: Incoming, _: &Context) -> Result<Outcome, AgentError> {
        self.write("begins");
        sleep(self.takes).await;
        self.write("ends");
        Ok(Outcome::Reply { content_type: incoming.content_type, body: incoming.body })
    }

    async fn on_stop(&mut self, _: &Bus) {
        self.write("stops");
    }
}

struct Scene {
    net: Arc<Net>,
    bus: Bus,
    handle: crate::HostHandle,
    diary: Diary,
}

fn scene(takes: Duration) -> Scene {
    let net = Net::new();
    let (wire, inbox) = net.join("a");
    let diary = Diary::default();
    let of = diary.clone();
    let handle = host(wire, inbox, move || Worker { takes, diary: of.clone() }, HostOptions::default());
    Scene { bus: net.caller(), net, handle, diary }
}

impl Scene {
    fn ask(&self) -> tokio::task::JoinHandle<Result<crate::Answer, SendFailure>> {
        let bus = self.bus.clone();
        tokio::spawn(async move { bus.request(text("a", "work")).await })
    }

    fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }
}

#[test]
fn a_stop_finishes_what_runs_turns_away_what_waits_and_says_goodbye() {
    run(async {
        let scene = scene(secs(1));
        let (first, second) = (scene.ask(), scene.ask());
        settle().await;
        let asked = Instant::now();
        scene.handle.stop();
        assert_eq!(scene.handle.stopped().await, Stopped::Asked);
        assert_eq!(asked.elapsed().as_secs(), 1);
        assert_eq!(first.await.unwrap().unwrap().body, "work");
        assert_eq!(remote(second.await.unwrap().unwrap_err()).0, "agent-stopped");
        assert_eq!(scene.diary(), ["begins", "ends", "stops", "dropped"]);
        assert_eq!(scene.net.diary(), ["a leaves"]);
        assert_eq!(scene.handle.stopped().await, Stopped::Asked, "may be asked again");
    });
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    run(async {
        let scene = scene(secs(3600));
        let (first, second) = (scene.ask(), scene.ask());
        settle().await;
        let asked = Instant::now();
        scene.handle.stop();
        assert_eq!(scene.handle.stopped().await, Stopped::Asked);
        assert!(asked.elapsed() <= secs(5), "{:?}", asked.elapsed());
        for asked in [first, second] {
            assert_eq!(remote(asked.await.unwrap().unwrap_err()).0, "agent-stopped");
        }
        assert_eq!(scene.diary(), ["begins", "dropped"]);
        assert_eq!(scene.net.diary(), ["a leaves"]);
    });
}

#[test]
fn an_idle_host_stops_at_once_and_takes_no_more() {
    run(async {
        let scene = scene(secs(1));
        settle().await;
        scene.handle.stop();
        let late = scene.bus.tell(text("a", "late")).await;
        assert!(late.is_ok(), "it had not said goodbye yet");
        assert_eq!(scene.handle.stopped().await, Stopped::Asked);
        assert_eq!((scene.diary(), scene.net.taken()), (vec!["stops".to_owned(), "dropped".to_owned()], 0));
    });
}

#[test]
fn when_the_link_ends_what_has_arrived_is_still_handled() {
    run(async {
        let scene = scene(secs(1));
        for _ in 0..2 {
            scene.bus.tell(text("a", "work")).await.unwrap();
        }
        settle().await;
        scene.net.cut("a");
        assert_eq!(scene.handle.stopped().await, Stopped::LinkEnded);
        assert_eq!(scene.diary(), ["begins", "ends", "begins", "ends", "stops", "dropped"]);
    });
}

#[test]
fn a_host_whose_runtime_goes_away_is_reported_as_crashed() {
    let mut handle = None;
    run(async {
        let scene = scene(secs(1));
        settle().await;
        handle = Some(scene.handle.clone());
    });
    run(async {
        assert_eq!(handle.take().unwrap().stopped().await, Stopped::Crashed);
    });
}

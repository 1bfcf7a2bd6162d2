//! Answers in parts over the real bus: back-pressure, cancellation, and requests that nobody waits for any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testudo::agents::{Context, Handlers, HostOptions, Message, ReplyStream, Served};
use tokio::sync::mpsc;

use super::kit::{agent, ask, caller, can, grant, hosted, stop};
use crate::support::{World, pass, sim};
use testudo_wire::Limits;

/// Bytes of each part.
const PART: usize = 16 * 1024;

/// What a requester must be willing to keep, in parts.
fn window() -> u32 {
    u32::try_from(Limits::standard().stream_window_bytes / PART).unwrap()
}

/// Streams as many parts as it is asked for and counts those that it was let send.
fn talker(sent: &Arc<AtomicU32>) -> Served {
    let sent = sent.clone();
    Handlers::new()
        .on_stream("say:much", move |parts: u32, _, mut stream: ReplyStream| {
            let sent = sent.clone();
            async move {
                for n in 0..parts {
                    stream.send_text(format!("{n:0>PART$}")).await?;
                    sent.fetch_add(1, Ordering::SeqCst);
                }
                Ok(stream.finish().await?)
            }
        })
        .build()
        .unwrap()
}

/// Never answers; says when nobody waits any more.
fn ponderer(heard: mpsc::Sender<&'static str>) -> Served {
    let hears = move |context: Context| {
        let heard = heard.clone();
        async move {
            context.cancelled().await;
            heard.send("cancelled").await.unwrap();
        }
    };
    let also = hears.clone();
    Handlers::new()
        .on("ponder:alone", move |_: u64, context| {
            let hears = hears(context);
            async move {
                hears.await;
                Ok(0)
            }
        })
        .on_stream("ponder:aloud", move |_: u64, context, mut stream| {
            let hears = also(context);
            async move {
                stream.send(&"well").await?;
                hears.await;
                Ok(stream.finish().await?)
            }
        })
        .build()
        .unwrap()
}

#[test]
fn a_replier_is_held_back_by_a_requester_that_takes_its_time() {
    sim(async {
        let world = World::new(91);
        let sent = Arc::new(AtomicU32::new(0));
        let talks = talker(&sent);
        let serves = grant(&[], &["say:much"]);
        let host = hosted(&world, "talker", &serves, move || talks.clone(), HostOptions::default()).await;
        let asker = caller(&world, "asker", &["say:much"]).await;
        let parts = 3 * window();
        let question = Message::json(agent("talker"), can("say:much"), &parts).unwrap();
        let mut answer = asker.bus.stream(question).await.unwrap();

        for taken in 0..parts {
            // Long enough for all that may come; short of the time that a part may take.
            pass(Duration::from_secs(5)).await;
            let ahead = sent.load(Ordering::SeqCst) - taken;
            assert!(ahead <= window(), "{ahead} parts ahead of a requester that has taken {taken}");
            let half = (parts - taken).min(window() / 2 - 1);
            assert!(ahead >= half, "{ahead} parts ahead: the replier is held back for nothing");
            let part = answer.next().await.unwrap().unwrap();
            assert_eq!(part.body, format!("{taken:0>PART$}"));
        }
        assert!(answer.next().await.is_none());
        stop([host]).await;
        world.end().await;
    });
}

#[test]
fn whoever_gives_up_is_heard_by_the_handler_and_leaves_nothing_open() {
    sim(async {
        let world = World::new(92);
        let (hears, mut heard) = mpsc::channel(4);
        let served = ponderer(hears);
        let serves = grant(&[], &["ponder:alone", "ponder:aloud"]);
        let host = hosted(&world, "ponderer", &serves, move || served.clone(), HostOptions::default()).await;
        let asker = caller(&world, "asker", &["ponder:alone", "ponder:aloud"]).await;

        let question = Message::json(agent("ponderer"), can("ponder:aloud"), &1).unwrap();
        let mut parts = asker.bus.stream(question).await.unwrap();
        assert_eq!(parts.next_json::<String>().await.unwrap().unwrap(), "well");
        drop(parts);
        let soon = Duration::from_millis(100);
        assert_eq!(tokio::time::timeout(soon, heard.recv()).await, Ok(Some("cancelled")));

        let dropped = tokio::time::timeout(soon, ask(&asker.bus, "ponderer", "ponder:alone", 1)).await;
        assert!(dropped.is_err(), "the future of the request is dropped");
        assert_eq!(tokio::time::timeout(soon, heard.recv()).await, Ok(Some("cancelled")));
        stop([host]).await;
        world.end().await;
    });
}

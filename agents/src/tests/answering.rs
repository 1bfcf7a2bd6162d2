//! Early answers, and receipts: what is said once, and to whom.

use std::sync::{Arc, Mutex};

use testudo_wire::ContentType;
use tokio::time::{Instant, sleep};

use super::net::{BODY_MAX, Net, Number, agent, can, remote, run, secs, settle, text};
use crate::{AgentError, Bus, Context, Handlers, HostOptions, Message, ReplyError, SendFailure, Wish, host};

type Kept = Arc<Mutex<Option<Context>>>;

fn scene() -> (Arc<Net>, Bus, Kept) {
    let (net, kept) = (Net::new(), Kept::default());
    let (wire, inbox) = net.join("a");
    let of = kept.clone();
    let served = Handlers::new()
        .on("do:early", |request: Number, context| async move {
            context.reply(&request).await?;
            assert!(matches!(context.reply(&request).await, Err(ReplyError::Answered)));
            assert!(matches!(context.stream(), Err(ReplyError::Answered)));
            sleep(secs(5)).await;
            if request.n == 1 { Err(AgentError::failed("too late to say")) } else { Ok(Number { n: 99 }) }
        })
        .on("do:too-much", |request: Number, context| async move {
            let sent = context.reply_with(ContentType::text(), vec![b'a'; BODY_MAX + 1]).await;
            assert!(matches!(sent, Err(ReplyError::Send(SendFailure::TooLarge { .. }))), "{sent:?}");
            if request.n == 1 {
                sent?;
            }
            Ok(Number { n: 3 })
        })
        .on("do:keep", move |request: Number, context| {
            *of.lock().unwrap() = Some(context);
            async move { Ok(request) }
        })
        .build()
        .unwrap();
    host(wire, inbox, move || served.clone(), HostOptions::default());
    let bus = net.caller();
    (net, bus, kept)
}

fn ask(what: &str, n: u64) -> Message {
    Message::json(agent("a"), can(what), &Number { n }).unwrap()
}

#[test]
fn an_early_answer_is_the_answer_whatever_the_handler_returns() {
    run(async {
        let (_net, bus, _) = scene();
        for n in [0, 1] {
            let before = Instant::now();
            assert_eq!(bus.request(ask("do:early", n)).await.unwrap().json::<Number>().unwrap().n, n);
            assert_eq!(before.elapsed().as_secs(), 5 * n, "before its handler ends, after the one before it");
        }
        bus.tell(ask("do:early", 2)).await.unwrap();
        assert_eq!(bus.request(ask("do:keep", 4)).await.unwrap().json::<Number>().unwrap().n, 4);
    });
}

#[test]
fn an_early_answer_that_is_too_large_leaves_the_message_open() {
    run(async {
        let (_net, bus, _) = scene();
        assert_eq!(bus.request(ask("do:too-much", 0)).await.unwrap().json::<Number>().unwrap().n, 3);
        let (code, message) = remote(bus.request(ask("do:too-much", 1)).await.unwrap_err());
        assert_eq!((code.as_str(), message.contains("larger")), ("failed", true), "{message}");
    });
}

#[test]
fn a_context_that_outlives_its_handler_has_nothing_to_say() {
    run(async {
        let (_net, bus, kept) = scene();
        bus.request(ask("do:keep", 0)).await.unwrap();
        settle().await;
        let context = kept.lock().unwrap().take().unwrap();
        assert!(matches!(context.reply(&1).await, Err(ReplyError::Answered)));
        assert!(matches!(context.stream(), Err(ReplyError::Answered)));
    });
}

#[test]
fn a_receipt_says_who_signed_it() {
    run(async {
        let (net, bus, _) = scene();
        net.servers.lock().unwrap().insert(can("do:keep"), agent("a"));
        let accepted = bus.tell(text("a", "x")).await.unwrap();
        assert_eq!((accepted.record, accepted.delivered_by), (Some(0), None));
        let service = Message::service_json(can("do:keep"), &Number { n: 1 }).unwrap();
        let delivered = bus.tell(service).receipt(Wish::Delivered).await.unwrap();
        assert_eq!(delivered.delivered_by.map(|holder| holder.name), Some(agent("a")));
        assert_eq!(
            bus.post(ask("nobody:there", 0)).await.map(drop),
            Ok(()),
            "it says nothing but that it left"
        );
        let unsent = bus.tell(ask("do:early", 0));
        settle().await;
        assert_eq!(net.taken(), 3);
        drop(unsent);
    });
}

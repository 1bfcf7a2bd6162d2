//! Topics and services: heard from the start and once, told apart from what is addressed by name.

use std::sync::{Arc, Mutex};

use super::net::{Net, Number, agent, can, remote, run, settle, topic};
use crate::{
    Agent, AgentError, Bus, Context, Handlers, HandlersError, HostOptions, Incoming, Message, Outcome,
    SendFailure, Stopped, To, host,
};

type Heard = Arc<Mutex<Vec<u64>>>;

fn listener(heard: &Heard) -> crate::Served {
    let heard = heard.clone();
    Handlers::new()
        .on_topic("alerts", move |event: Number, context| {
            assert_eq!(context.incoming().to, To::Topic(topic("alerts")));
            assert_eq!(context.incoming().capability, can("publish:alerts"));
            heard.lock().unwrap().push(event.n);
            async move { if event.n == 13 { panic!("unlucky") } else { Ok(()) } }
        })
        .on("double:numbers", |n: Number, _| async move { Ok(Number { n: n.n * 2 }) })
        .build()
        .unwrap()
}

#[test]
fn an_event_reaches_all_who_hear_its_topic_and_a_rebuilt_agent_is_not_subscribed_twice() {
    run(async {
        let net = Net::new();
        let heard = [Heard::default(), Heard::default()];
        for (name, heard) in ["a", "b"].into_iter().zip(&heard) {
            let (wire, inbox) = net.join(name);
            let served = listener(heard);
            host(wire, inbox, move || served.clone(), HostOptions::default());
        }
        settle().await;
        let bus = net.caller();
        for n in [1, 13, 2] {
            bus.publish(topic("alerts"), &Number { n }).await.unwrap();
        }
        settle().await;
        for heard in &heard {
            assert_eq!(*heard.lock().unwrap(), [1, 13, 2]);
        }
        let shout = Message::topic(topic("alerts"), testudo_wire::ContentType::text(), "no json");
        bus.tell(shout).await.unwrap();
        settle().await;
        assert_eq!(net.diary(), ["a hears alerts", "b hears alerts"]);
    });
}

#[test]
fn a_host_is_ready_when_its_agent_hears_its_topics_or_never() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let served = listener(&Heard::default());
        let ready = host(wire, inbox, move || served.clone(), HostOptions::default());
        assert_eq!(ready.ready().await, Ok(()));
        assert_eq!(net.diary(), ["a hears alerts"]);
        ready.stop();
        ready.stopped().await;
        assert_eq!(ready.ready().await, Ok(()), "it was");

        let (wire, inbox) = net.join("b");
        let broken = || -> crate::Served { panic!("the test's own fault") };
        let broken = host(wire, inbox, broken, HostOptions::default());
        assert_eq!(broken.ready().await, Err(Stopped::TooManyFaults));
    });
}

#[test]
fn an_agent_subscribes_before_it_starts_and_whenever_it_likes() {
    struct Late(Heard);
    impl Agent for Late {
        fn topics(&self) -> Vec<testudo_wire::Resource> {
            vec![topic("early"), topic("early")]
        }
        async fn on_start(&mut self, bus: &Bus) -> Result<(), AgentError> {
            // It hears itself: it is subscribed already.
            bus.publish(topic("early"), &Number { n: 1 }).await?;
            Ok(bus.subscribe(topic("late")).await?)
        }
        async fn handle(&mut self, incoming: Incoming, context: &Context) -> Result<Outcome, AgentError> {
            let n = incoming.json::<Number>().unwrap().n;
            self.0.lock().unwrap().push(n);
            if n == 3 {
                context.bus().unsubscribe(topic("late")).await?;
            }
            Ok(Outcome::Done)
        }
    }
    run(async {
        let (net, heard) = (Net::new(), Heard::default());
        let (wire, inbox) = net.join("a");
        let of = heard.clone();
        host(wire, inbox, move || Late(of.clone()), HostOptions::default());
        settle().await;
        let bus = net.caller();
        bus.publish(topic("late"), &Number { n: 3 }).await.unwrap();
        settle().await;
        assert!(bus.publish(topic("late"), &Number { n: 4 }).await.is_err(), "nobody hears it any more");
        bus.publish(topic("early"), &Number { n: 5 }).await.unwrap();
        settle().await;
        assert_eq!(*heard.lock().unwrap(), [1, 3, 5]);
        assert_eq!(net.diary(), ["a hears early", "a hears late"]);
    });
}

#[test]
fn a_topic_that_it_may_not_hear_stops_the_host_without_a_fault() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let served = Handlers::new().on_topic("forbidden", |_: Number, _| async { Ok(()) }).build().unwrap();
        let handle = host(wire, inbox, move || served.clone(), HostOptions::default());
        assert_eq!(handle.stopped().await, Stopped::NotSubscribed(topic("forbidden")));
        assert_eq!((net.diary(), handle.faults()), (vec!["a leaves".to_owned()], 0));
    });
}

#[test]
fn a_link_that_ends_while_an_agent_subscribes_is_not_the_end_of_the_agent() {
    run(async {
        let net = Net::new();
        net.ending.store(3, std::sync::atomic::Ordering::SeqCst);
        let (wire, inbox) = net.join("a");
        let served = listener(&Heard::default());
        let handle = host(wire, inbox, move || served.clone(), HostOptions::default());
        assert_eq!(handle.ready().await, Ok(()));
        assert_eq!((net.diary(), handle.faults()), (vec!["a hears alerts".to_owned()], 0));

        net.ending.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
        let (wire, inbox) = net.join("b");
        let served = listener(&Heard::default());
        let handle = host(wire, inbox, move || served.clone(), HostOptions::default());
        settle().await;
        handle.stop();
        assert_eq!(handle.stopped().await, Stopped::Asked);
    });
}

#[test]
fn what_is_addressed_by_name_is_no_event_and_an_event_no_request() {
    run(async {
        let (net, heard) = (Net::new(), Heard::default());
        let (wire, inbox) = net.join("a");
        let served = listener(&heard);
        host(wire, inbox, move || served.clone(), HostOptions::default());
        settle().await;
        let bus = net.caller();
        let asked = bus.ask::<_, Number>(agent("a"), can("publish:alerts"), &Number { n: 1 }).await;
        let Err(crate::AskError::Send(failure)) = asked else { panic!("{asked:?}") };
        assert_eq!(remote(failure).0, "not-served");
        assert!(heard.lock().unwrap().is_empty());
    });
}

#[test]
fn a_service_is_asked_without_a_name() {
    run(async {
        let net = Net::new();
        let (wire, inbox) = net.join("a");
        let served = listener(&Heard::default());
        host(wire, inbox, move || served.clone(), HostOptions::default());
        let bus = net.caller();
        let none = bus.ask::<_, Number>(To::Service, can("double:numbers"), &Number { n: 2 }).await;
        assert!(matches!(none, Err(crate::AskError::Send(SendFailure::Refused { .. }))), "{none:?}");
        net.servers.lock().unwrap().insert(can("double:numbers"), agent("a"));
        let n: Number = bus.ask(To::Service, can("double:numbers"), &Number { n: 2 }).await.unwrap();
        assert_eq!(n.n, 4);
    });
}

#[test]
fn a_topic_has_one_handler_and_a_name() {
    let hear = |_: Number, _| async { Ok(()) };
    let twice = Handlers::new().on_topic("alerts", hear).on_topic("alerts", hear).build();
    assert_eq!(twice.unwrap_err(), HandlersError::TopicTwice(topic("alerts")));
    let wild = Handlers::new().on_topic("alerts/*", hear).build();
    assert!(matches!(wild, Err(HandlersError::Name(_))), "{wild:?}");
    let both =
        Handlers::new().on_topic("alerts", hear).on("publish:alerts", |n: Number, _| async move { Ok(n) });
    assert!(both.build().is_ok());
}

//! Topics, services and receipts as agents use them.

use testudo::agents::{Context, Handlers, HostOptions, Message, Served, Stopped, To, Wish};
use testudo_wire::ContentType;
use tokio::sync::mpsc;

use super::kit::{agent, caller, can, grant, hosted, stop, topic};
use crate::support::swarm::key_of;
use crate::support::{World, sim};

type Heard = (&'static str, String, String);

/// Tells what it hears on the topic, under its own name.
fn listener(me: &'static str, heard: mpsc::Sender<Heard>) -> Served {
    Handlers::new()
        .on_topic("alerts", move |alert: String, context: Context| {
            let heard = heard.clone();
            async move {
                let by = context.sender().name.to_string();
                heard.send((me, by, alert)).await.unwrap();
                Ok(())
            }
        })
        .on("name:yourself", move |(): (), _| async move { Ok(me) })
        .build()
        .unwrap()
}

#[test]
fn what_is_published_reaches_every_handler_of_the_topic_once_and_in_order() {
    sim(async {
        let world = World::new(101);
        let (hears, mut heard) = mpsc::channel(16);
        let mut hosts = Vec::new();
        for me in ["ear-1", "ear-2"] {
            let served = listener(me, hears.clone());
            let may = grant(&["subscribe:alerts"], &[]);
            hosts.push(hosted(&world, me, &may, move || served.clone(), HostOptions::default()).await);
        }
        let (served, may) = (listener("deaf", hears), grant(&[], &["name:yourself"]));
        let deaf = hosted(&world, "deaf", &may, move || served.clone(), HostOptions::default()).await;
        assert_eq!(deaf.stopped().await, Stopped::NotSubscribed(topic("alerts")));

        for host in &hosts {
            host.ready().await.unwrap();
        }
        let crier = caller(&world, "crier", &["publish:alerts"]).await;
        for alert in ["one", "two"] {
            crier.bus.publish(topic("alerts"), &alert).await.unwrap();
        }
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(heard.recv().await.unwrap());
        }
        for me in ["ear-1", "ear-2"] {
            let of: Vec<_> = all
                .iter()
                .filter(|(who, ..)| *who == me)
                .map(|(_, by, what)| (by.as_str(), what.as_str()))
                .collect();
            assert_eq!(of, [("crier", "one"), ("crier", "two")]);
        }
        stop(hosts).await;
        let (account, _) = world.end().await;
        assert_eq!((account.submitted, account.delivered), (4, 4), "two messages to two, nothing twice");
    });
}

#[test]
fn a_receipt_names_who_has_the_message_and_a_service_is_served_by_one() {
    sim(async {
        let world = World::new(102);
        let (hears, _heard) = mpsc::channel(16);
        let mut hosts = Vec::new();
        for me in ["ear-1", "ear-2"] {
            let served = listener(me, hears.clone());
            let may = grant(&["subscribe:alerts"], &["name:yourself"]);
            hosts.push(hosted(&world, me, &may, move || served.clone(), HostOptions::default()).await);
        }
        let teller = caller(&world, "teller", &["name:yourself"]).await;
        let message = Message::new(agent("ear-2"), can("name:yourself"), ContentType::json(), "null");
        let accepted = teller.bus.tell(message.clone()).await.unwrap();
        assert!(accepted.delivered_by.is_none() && accepted.record.is_some(), "{accepted:?}");
        let delivered = teller.bus.tell(message).receipt(Wish::Delivered).await.unwrap();
        let by = delivered.delivered_by.unwrap();
        assert_eq!((by.name, by.key), (agent("ear-2"), key_of("ear-2").public()));
        assert_ne!((delivered.message, delivered.digest), (accepted.message, accepted.digest));

        let mut names = Vec::new();
        for _ in 0..4 {
            names.push(teller.bus.ask::<_, String>(To::Service, can("name:yourself"), &()).await.unwrap());
        }
        names.sort();
        assert_eq!(names, ["ear-1", "ear-1", "ear-2", "ear-2"], "in turn");
        stop(hosts).await;
        world.end().await;
    });
}

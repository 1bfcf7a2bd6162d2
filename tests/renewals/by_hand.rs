//! Links renewed by hand, as often as a node certifies: what goes over and what does not, over good lines and bad.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testudo_bus::client::{
    Client, ClientIdentity, DialError, Member, Outgoing, RenewError, SendError, dial_renewing,
};
use testudo_bus::tls::Csr;
use testudo_bus::transport::Endpoint;
use testudo_rules::audit::{LinkChange, LinkEvent};
use testudo_rules::token::Token;
use testudo_wire::frame::{CloseReason, FromAgent, FromNode, Renew};
use testudo_wire::{ContentType, Header, Limits, Refusal, Resource, SecretKey, SpiffeId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::mallory::Mallory;
use crate::support::swarm::{capability, grant, name};
use crate::support::world::{Agent, message};
use crate::support::{World, pass, sim};

const SECOND: Duration = Duration::from_secs(1);
/// A node certifies an agent no sooner again.
const MINUTE: Duration = Duration::from_secs(61);

async fn renew(world: &World, client: &Client) -> Arc<ClientIdentity> {
    let identity = Arc::new(client.certify().await.unwrap());
    let (_, endpoint) = world.endpoint();
    client.renew(&endpoint, identity.clone()).await.unwrap();
    identity
}

#[test]
fn an_open_request_a_topic_and_a_token_of_somebody_else_go_over_and_the_old_link_is_closed_in_time() {
    sim(async {
        let world = World::new(20);
        let mut reader = world.agent("reader", &["subscribe:news"], &["read:logs"]).await;
        let asker = world.agent("asker", &["read:logs", "publish:news"], &[]).await;
        let owner = world.enrol("owner", &["read:logs"], &[]).await;
        let token = world.swarm.delegated(&owner, &asker.client.identity(), "read:logs").seal().unwrap();
        let token = asker.client.present(&token).await.unwrap();
        let news = Resource::parse("news").unwrap();
        reader.client.subscribe(news).await.unwrap();
        let asking = asker.client.clone();
        let open = tokio::spawn(async move { asking.request(message("reader", "read:logs", "early")).await });
        let early = reader.next().await.unwrap();
        let before = [asker.client.session(), reader.client.session()];
        for client in [&asker.client, &reader.client] {
            renew(&world, client).await;
        }
        assert!(before[0] != asker.client.session() && before[1] != reader.client.session());
        reader.client.reply(&early, ContentType::text(), "late").await.unwrap();
        assert_eq!(open.await.unwrap().unwrap().body(), "late");
        let mut delegated = message("reader", "read:logs", "under another's token");
        delegated.token = Some(token);
        asker.client.deliver(delegated).await.unwrap();
        asker.client.tell(Outgoing::topic(news, "\"news\"")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "under another's token");
        assert_eq!(reader.next().await.unwrap().topic(), Some(news));
        assert_eq!(reader.client.topics(), [news].into());
        pass(6 * SECOND).await;
        let closed = |link: &&testudo_rules::audit::LinkEvent| matches!(&link.what, LinkChange::Closed { reason } if reason.as_str() == "renewed on another link");
        let ledger = world.ledger();
        let closed: Vec<_> = ledger.links().filter(closed).map(|link| link.session.unwrap()).collect();
        assert_eq!(closed, before, "and nothing but those two");
        let certified = ledger.links().filter(|link| matches!(link.what, LinkChange::Certified { .. }));
        assert_eq!(certified.count(), 2);
        assert_eq!(asker.client.lost(), 0);
        world.end().await;
    });
}

#[test]
fn a_node_certifies_once_a_minute_the_same_key_and_name_and_only_who_is_in_good_standing() {
    sim(async {
        let world = World::new(21);
        let agent = world.agent("agent", &["read:logs", "read:mail"], &[]).await;
        let first = agent.client.certify().await.unwrap();
        let before = agent.client.identity();
        assert_eq!((first.holder(), first.key.public()), (before.holder(), before.key.public()));
        assert!(first.chain != before.chain && first.token.bytes() != before.token.bytes());
        let again = agent.client.certify().await;
        let busy = SendError::Refused { refusal: Refusal::OverQuota, rules: Vec::new() };
        assert!(matches!(&again, Err(RenewError::Refused(why)) if *why == busy), "{again:?}");
        pass(MINUTE).await;
        // What the grant says now is what the new token says.
        let narrower = grant(&["read:mail"], &[]);
        world.node.registry().narrow(name("agent"), narrower).await.unwrap();
        let second = agent.client.certify().await.unwrap();
        let meaning = second.token.verify(&second.authority).unwrap();
        assert_eq!(meaning.rights(), &[capability("read:mail")].into());
        world.end().await;
    });
}

#[test]
fn t_a13_nobody_takes_a_link_over_with_a_copy_of_the_key_and_the_session() {
    sim(async {
        let world = World::new(22);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let agent = world.agent("agent", &["read:logs"], &[]).await;
        let stolen = agent.client.identity();
        let session = agent.client.session();
        // It has the key, the certificate of the file, and the session that every receiver sees.
        let (_, endpoint) = world.endpoint();
        let take_over = async |identity: &ClientIdentity, endpoint: &Endpoint| {
            let env = world.swarm.env.another();
            dial_renewing(endpoint, world.address, identity, None, Some(session), env).await
        };
        let refused =
            |dialled: &Result<_, DialError>| matches!(dialled, Err(DialError::Closed(CloseReason::Protocol)));
        assert!(refused(&take_over(&stolen, &endpoint).await.map(drop)));
        // Nor while the agent has a new certificate and has not used it.
        let identity = Arc::new(agent.client.certify().await.unwrap());
        assert!(refused(&take_over(&stolen, &endpoint).await.map(drop)));
        agent.client.renew(&endpoint, identity.clone()).await.unwrap();
        assert!(refused(&take_over(&identity, &endpoint).await.map(drop)), "it was used");
        agent.client.tell(message("reader", "read:logs", "still here")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "still here");
        assert_eq!(
            world.ledger().links().filter(|link| matches!(link.what, LinkChange::Displaced { .. })).count(),
            0
        );
        world.end().await;
    });
}

/// What the node gives the holder of a link that asks.
pub(crate) async fn certified(link: &mut Mallory) -> ClientIdentity {
    link.say(FromAgent::Renew(Renew { csr: None })).await;
    let FromNode::Renewed(renewed) = link.hear().await else { panic!("no certificate") };
    let token = Token::from_bytes(&renewed.token.unwrap(), &Limits::standard()).unwrap();
    let chain = renewed.chain.into_iter().map(|der| der.into_vec().into()).collect();
    ClientIdentity { chain, token, ..link.identity.clone() }
}

#[test]
fn t_a14_a_request_for_anything_but_this_name_and_key_gets_no_certificate() {
    sim(async {
        let world = World::new(24);
        let other = SecretKey::from_seed(&[77; 32]);
        let id = |who: &str| SpiffeId::Agent(world.swarm.id, name(who));
        for (who, ask, refusal) in [
            ("a", "b", Refusal::Unauthentic),
            ("b", "", Refusal::Malformed),
            ("c", "other key", Refusal::Unauthentic),
        ] {
            let identity = world.enrol(who, &["read:logs"], &[]).await;
            let csr = match ask {
                "" => vec![0x30, 0],
                "other key" => Csr::make(&id(who), &other).unwrap().der().to_vec(),
                ask => Csr::make(&id(ask), &identity.key).unwrap().der().to_vec(),
            };
            let mut link = Mallory::dial(&world, identity).await;
            link.say(FromAgent::Renew(Renew { csr: Some(csr.into()) })).await;
            let FromNode::Renewed(renewed) = link.hear().await else { panic!("no answer") };
            assert_eq!((renewed.refusal, renewed.chain.len(), renewed.token), (Some(refusal), 0, None));
        }
        let certified = |link: &LinkEvent| matches!(link.what, LinkChange::Certified { .. });
        assert_eq!(world.ledger().links().filter(|link| certified(link)).count(), 0);
        world.end().await;
    });
}

#[test]
fn what_is_said_on_the_older_link_meanwhile_counts_on_the_newer_and_keeps_its_place() {
    sim(async {
        let world = World::new(23);
        let mut reader = world.agent("reader", &["publish:news"], &["read:logs"]).await;
        let owner = world.enrol("owner", &["read:logs"], &[]).await;
        let identity = world.enrol("mallory", &["read:logs", "subscribe:news"], &[]).await;
        let mut older = Mallory::dial(&world, identity).await;
        let identity = certified(&mut older).await;
        let session = older.link.welcome.seen.session;
        let mut newer = Mallory::dial_renewing(&world, identity.clone(), Some(session)).await;
        let token = world.swarm.delegated(&owner, &identity, "read:logs").seal().unwrap();
        assert_eq!(older.present(&token).await, None);
        assert_eq!(older.subscribe("news").await, None);
        // On the newer link first, and yet after everything on the older.
        let header = Header { token: token.id(), ..newer.plain("reader", "read:logs") };
        let second = newer.with_body(header, b"second", &Limits::standard());
        newer.send(second.bytes()).await;
        pass(SECOND).await;
        let header = older.plain("reader", "read:logs");
        let first = older.with_body(header, b"first", &Limits::standard());
        older.send(first.bytes()).await;
        older.link.data.finish().unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "first");
        assert_eq!(reader.next().await.unwrap().body(), "second");
        reader.client.tell(Outgoing::topic(Resource::parse("news").unwrap(), "\"news\"")).await.unwrap();
        assert_eq!(newer.given().await.unwrap().ids().len(), 1, "the copy comes on the newer link");
        older.say(FromAgent::Goodbye).await;
        let began = Instant::now();
        assert_eq!(older.closed().await, CloseReason::Renewed);
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
        assert!(world.node.linked().contains(&name("mallory")), "a goodbye to the older link alone");
        world.end().await;
    });
}

#[test]
fn an_older_link_that_never_ends_is_ended_after_five_seconds_and_no_third_one_renews_it() {
    sim(async {
        let world = World::new(24);
        let identity = world.enrol("mallory", &["read:logs"], &["read:logs"]).await;
        let sender = world.agent("sender", &["read:logs"], &[]).await;
        let mut older = Mallory::dial(&world, identity).await;
        sender.client.post(message("mallory", "read:logs", "never acknowledged")).await.unwrap();
        older.take().await.unwrap();
        let identity = certified(&mut older).await;
        let session = Some(older.link.welcome.seen.session);
        let began = Instant::now();
        let newer = Mallory::dial_renewing(&world, identity.clone(), session).await;
        let (_, endpoint) = world.endpoint();
        let env = world.swarm.env.another();
        let third = dial_renewing(&endpoint, world.address, &identity, None, session, env).await;
        assert!(matches!(third, Err(DialError::Closed(CloseReason::Protocol))), "{third:?}");
        assert_eq!(older.closed().await, CloseReason::Renewed);
        let took = began.elapsed();
        assert!(took > 4 * SECOND && took < 8 * SECOND, "{took:?}");
        pass(SECOND).await;
        assert_eq!(sender.client.lost(), 1, "nobody can know what became of it");
        assert!(newer.link.connection.close_reason().is_none());
        world.end().await;
    });
}

#[test]
fn a_second_link_that_does_not_come_about_leaves_the_first_alone_and_is_tried_again() {
    sim(async {
        let world = World::new(25);
        let mut reader = world.agent("reader", &["write:nothing"], &["read:logs"]).await;
        let identity = world.enrol("member", &["read:logs"], &[]).await;
        let ((_, good), (away, bad)) = (world.endpoint(), world.endpoint());
        world.net.cut(away, world.address);
        let dials = AtomicUsize::new(0);
        let endpoints = move || {
            let dial = dials.fetch_add(1, Ordering::Relaxed);
            Ok(if dial == 1 { bad.clone() } else { good.clone() })
        };
        let env = world.swarm.env.another();
        let (member, _arrivals) = Member::join(endpoints, world.address, Arc::new(identity), None, env);
        member.connected().await.unwrap();
        let (first, mut renewals) = (member.session(), member.renewals());
        renewals.changed().await.unwrap();
        pass(10 * SECOND).await;
        assert_eq!(member.session(), first, "the second link cannot be opened");
        member.tell(message("reader", "read:logs", "still here")).await.unwrap();
        pass(3 * MINUTE).await;
        assert!(member.session().is_some_and(|session| Some(session) != first), "the next try");
        member.tell(message("reader", "read:logs", "and here")).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body(), "still here");
        assert_eq!(reader.next().await.unwrap().body(), "and here");
        world.end().await;
    });
}

/// Datagrams are lost, and each agent renews its link every minute or so, whatever is under way.
#[test]
fn on_bad_lines_renewals_lose_nothing_and_double_nothing() {
    for seed in 0..2 {
        sim(on_bad_lines(seed));
    }
}

async fn on_bad_lines(seed: u64) {
    let world = World::new(30 + seed);
    let mut agents = Vec::new();
    for who in ["b0", "b1"] {
        agents.push(world.agent(who, &["read:logs"], &["read:logs"]).await);
    }
    world.net.lose(20);
    let end = Instant::now() + 3 * MINUTE;
    let (mut work, mut handlers) = (JoinSet::new(), JoinSet::new());
    for (n, Agent { client, mut inbox, .. }) in agents.into_iter().enumerate() {
        let (next, replying) = (["b1", "b0"][n], client.clone());
        handlers.spawn(async move {
            let mut posts = Vec::new();
            while let Some(delivery) = inbox.next().await {
                if delivery.wants_reply() {
                    replying.reply(&delivery, ContentType::text(), delivery.body()).await.unwrap();
                } else {
                    posts.push(String::from_utf8(delivery.body().to_vec()).unwrap().parse::<u64>().unwrap());
                }
            }
            posts
        });
        let (_, endpoint) = world.endpoint();
        let renewing = client.clone();
        work.spawn(async move {
            let mut renewed = 0;
            while Instant::now() < end {
                pass(MINUTE + Duration::from_millis(seed * 137 + n as u64 * 11)).await;
                let identity = Arc::new(renewing.certify().await.unwrap());
                renewing.renew(&endpoint, identity).await.unwrap();
                renewed += 1;
            }
            renewed
        });
        work.spawn(async move {
            let mut open = JoinSet::new();
            let mut number = 0;
            while Instant::now() < end {
                let client = client.clone();
                client.post(message(next, "read:logs", &number.to_string())).await.unwrap();
                open.spawn(async move {
                    let body = format!("request {number}");
                    let asked = client.request(message(next, "read:logs", &body)).await;
                    assert_eq!(
                        asked.unwrap_or_else(|why| panic!("{body} of seed {seed}: {why}")).body(),
                        body
                    );
                });
                number += 1;
                pass(Duration::from_millis(50 + number % 197)).await;
                while open.try_join_next().transpose().unwrap().is_some() {}
            }
            while open.join_next().await.transpose().unwrap().is_some() {}
            client.flush().await;
            assert_eq!((client.lost(), client.refused()), (0, BTreeMap::new()));
            pass(10 * SECOND).await;
            client.goodbye().await;
            number
        });
    }
    let mut done = work.join_all().await;
    done.sort_unstable();
    assert!(done[..2].iter().all(|renewals| *renewals >= 3), "{done:?}");
    let mut heard = handlers.join_all().await;
    heard.sort_by_key(Vec::len);
    for (heard, sent) in heard.iter().zip(&done[2..]) {
        assert_eq!(*heard, (0..*sent).collect::<Vec<_>>(), "seed {seed}");
    }
    let (account, _) = world.end().await;
    assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
}

/// Part after part while the requester, or the replier, goes over to another link, on lines that lose one datagram in 25: none
/// overtakes another.
#[test]
fn parts_of_an_answer_keep_their_order_from_one_link_to_the_next() {
    for seed in 0..4 {
        sim(parts_in_order(seed));
    }
}

async fn parts_in_order(seed: u64) {
    let world = World::new(50 + seed);
    let mut replier = world.agent("replier", &["write:nothing"], &["read:logs"]).await;
    let asker = world.agent("asker", &["read:logs"], &[]).await;
    let mut parts = asker.client.stream(message("replier", "read:logs", "all")).await.unwrap();
    let request = replier.next().await.unwrap();
    let replying = replier.client.clone();
    let answering = tokio::spawn(async move {
        for index in 0..1_500 {
            let part = testudo_wire::Part { index, last: index == 1_499 };
            let sent = replying.reply_part(&request, part, ContentType::text(), index.to_string()).await;
            sent.unwrap_or_else(|why| panic!("part {index}: {why}"));
            pass(Duration::from_millis(1)).await;
        }
    });
    let renewing = [asker.client.clone(), replier.client.clone()][usize::try_from(seed % 2).unwrap()].clone();
    let (_, endpoint) = world.endpoint();
    let net = world.net.clone();
    let renewing = tokio::spawn(async move {
        net.lose(40);
        let identity = Arc::new(renewing.certify().await.unwrap());
        renewing.renew(&endpoint, identity).await.unwrap();
        pass(SECOND).await;
        net.lose(0);
    });
    let mut next = 0;
    while let Some(part) = parts.next().await {
        let part = part.unwrap_or_else(|why| panic!("after {next} parts, seed {seed}: {why}"));
        assert_eq!(part.body(), next.to_string());
        next += 1;
    }
    assert_eq!(next, 1_500, "seed {seed}");
    answering.await.unwrap();
    renewing.await.unwrap();
    world.end().await;
}

/// The first part is lost on the older link and comes there again when the second is on the newer one already.
#[test]
fn a_part_that_is_late_on_the_older_link_is_waited_for_on_the_newer() {
    sim(async {
        let world = World::new(80);
        let mut replier = world.agent("replier", &["write:nothing"], &["read:logs"]).await;
        let asker = world.agent("asker", &["read:logs"], &[]).await;
        let mut parts = asker.client.stream(message("replier", "read:logs", "all")).await.unwrap();
        let request = replier.next().await.unwrap();
        let identity = Arc::new(asker.client.certify().await.unwrap());
        let say = async |index: u32| {
            let part = testudo_wire::Part { index, last: index == 1 };
            replier.client.reply_part(&request, part, ContentType::text(), index.to_string()).await.unwrap();
        };
        world.net.cut_one(world.address, asker.address);
        say(0).await;
        pass(SECOND / 10).await;
        let (_, endpoint) = world.endpoint();
        asker.client.renew(&endpoint, identity).await.unwrap();
        say(1).await;
        pass(SECOND / 2).await;
        world.net.heal(world.address, asker.address);
        for index in 0..2 {
            let part = parts.next().await.unwrap().unwrap_or_else(|why| panic!("part {index}: {why}"));
            assert_eq!(part.body(), index.to_string());
        }
        assert!(parts.next().await.is_none());
        world.end().await;
    });
}

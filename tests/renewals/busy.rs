//! Agents that never rest, over three days: whatever they say arrives once, in order, whichever of their links it
//! went on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testudo_bus::client::{Arrivals, Delivery, Member, Outgoing};
use testudo_bus::env::Env as _;
use testudo_rules::audit::LinkChange;
use testudo_wire::{AgentName, ContentType, Part, Resource, SessionId, Ttl};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::support::ledger::Ledger;
use crate::support::site::{Site, Staying};
use crate::support::swarm::name;
use crate::support::tally::Tally;
use crate::support::world::message;
use crate::support::{pass, sim};

const HOUR: Duration = Duration::from_secs(3600);
/// Between two words while nobody renews.
const CALM: Duration = Duration::from_secs(600);
/// Words of each kind while somebody does.
const BURST: u32 = 150;
const NAMES: [&str; 3] = ["a0", "a1", "a2"];

fn news() -> Resource {
    Resource::parse("news").unwrap()
}

/// What one agent has heard, by sender and kind, in order.
type Heard = Arc<Mutex<BTreeMap<(AgentName, String), Vec<u64>>>>;

/// When all are to be busy: whenever somebody renews.
#[derive(Clone)]
struct Busy(watch::Receiver<u64>, Instant);

impl Busy {
    /// The next round; `None` when the days are over. Close together while somebody renews.
    async fn next(&mut self, left: &mut u32) -> Option<()> {
        if Instant::now() >= self.1 {
            return None;
        }
        match left.checked_sub(1) {
            Some(less) => {
                *left = less;
                pass(Duration::from_millis(u64::from(less % 6))).await;
            }
            None if timeout(CALM, self.0.changed()).await.is_ok() => *left = BURST,
            None => {}
        }
        Some(())
    }
}

/// Takes what comes, answers requests: whole, or in parts for as long as the test runs.
fn serve(member: Member, mut arrivals: Arrivals, heard: Heard, busy: Busy) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut answering = JoinSet::new();
        while let Some(delivery) = arrivals.next().await {
            if delivery.body() == "for ever" {
                answering.spawn(parts(member.clone(), delivery, busy.clone()));
                continue;
            }
            let body = String::from_utf8(delivery.body().to_vec()).unwrap();
            let mut words = body.split(' ');
            let (kind, number) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
            heard.lock().unwrap().entry((delivery.sender().name, kind)).or_default().push(number);
            if delivery.wants_reply() {
                member.reply(&delivery, ContentType::text(), delivery.body()).await.unwrap();
            }
        }
        while answering.join_next().await.transpose().unwrap().is_some() {}
    })
}

/// An answer that is open across every renewal of both ends.
async fn parts(member: Member, request: Delivery, mut busy: Busy) {
    let mut left = 0;
    for index in 0.. {
        let last = busy.next(&mut left).await.is_none();
        let part = Part { index, last };
        member.reply_part(&request, part, ContentType::text(), index.to_string()).await.unwrap();
        if last {
            return;
        }
    }
}

fn to(next: &str, kind: &str, number: u64) -> Outgoing {
    message(
        next,
        "read:logs",
        &format!("{kind} {number} {}", if kind == "large" { "x".repeat(150_000) } else { String::new() }),
    )
}

/// Says a word of every kind in each round; how many rounds there were.
async fn speak(member: Member, next: &'static str, mut busy: Busy) -> u64 {
    let (mut left, mut open) = (0, JoinSet::new());
    for number in 0.. {
        if busy.next(&mut left).await.is_none() {
            while open.join_next().await.transpose().unwrap().is_some() {}
            return number;
        }
        member.post(to(next, "post", number)).await.unwrap();
        member
            .post(Outgoing {
                content_type: ContentType::text(),
                ..Outgoing::topic(news(), format!("news {number} "))
            })
            .await
            .unwrap();
        let words = [member.clone(), member.clone(), member.clone()];
        open.spawn(async move {
            let [teller, deliverer, asker] = words;
            let (told, delivered, answer) = tokio::join!(
                teller.tell(to(next, "tell", number)),
                deliverer.deliver(to(next, "deliver", number)),
                asker.request(to(next, "request", number)),
            );
            told.unwrap_or_else(|why| panic!("tell {number}: {why}"));
            delivered.unwrap_or_else(|why| panic!("deliver {number}: {why}"));
            let answer = answer.unwrap_or_else(|why| panic!("request {number}: {why}"));
            assert!(answer.body().starts_with(format!("request {number} ").as_bytes()));
        });
        if number % 50 == 0 {
            let member = member.clone();
            open.spawn(async move {
                member.tell(to(next, "large", number)).await.unwrap();
            });
        }
        while open.try_join_next().transpose().unwrap().is_some() {}
    }
    unreachable!("rounds without end")
}

/// The sessions that a member has had; tells all others when it is about to have another.
fn watch_sessions(member: Member, tell: Arc<watch::Sender<u64>>) -> Arc<Mutex<BTreeSet<SessionId>>> {
    let sessions = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = sessions.clone();
    tokio::spawn(async move {
        let mut renewals = member.renewals();
        seen.lock().unwrap().extend(member.session());
        while renewals.changed().await.is_ok() {
            tell.send_modify(|n| *n += 1);
            pass(Duration::from_secs(2)).await;
            seen.lock().unwrap().extend(member.session());
        }
    });
    sessions
}

#[test]
fn over_three_days_of_renewals_a_busy_swarm_loses_nothing_and_hears_nothing_twice() {
    sim(async {
        let mut site = Site::new(11);
        let end = Instant::now() + 72 * HOUR;
        let (tell, told) = watch::channel(0);
        let (tell, busy) = (Arc::new(tell), Busy(told, end));
        let mut agents = Vec::new();
        for who in NAMES {
            let identity =
                site.enrol(who, &["read:logs", "publish:news", "subscribe:news"], &["read:logs"]).await;
            let Staying { member, arrivals, .. } = site.join(identity);
            member.connected().await.unwrap();
            member.subscribe(news()).await.unwrap();
            let heard = Heard::default();
            let serving = serve(member.clone(), arrivals, heard.clone(), busy.clone());
            let sessions = watch_sessions(member.clone(), tell.clone());
            agents.push((member, heard, serving, sessions));
        }
        let mut endless = message("a1", "read:logs", "for ever");
        endless.ttl = Ttl::clamped(HOUR);
        let mut answer = agents[0].0.stream(endless).await.unwrap();
        let listening = tokio::spawn(async move {
            let mut parts = 0;
            while let Some(part) = answer.next().await {
                assert_eq!(
                    part.unwrap_or_else(|why| panic!("after {parts} parts: {why}")).body(),
                    parts.to_string()
                );
                parts += 1;
            }
            parts
        });
        let speaking: Vec<_> = (0..3)
            .map(|n| tokio::spawn(speak(agents[n].0.clone(), NAMES[(n + 1) % 3], busy.clone())))
            .collect();
        let mut rounds = Vec::new();
        for one in speaking {
            rounds.push(one.await.unwrap());
        }
        let parts = listening.await.unwrap();
        assert!(parts > 432 + 3 * u64::from(BURST), "{parts}");
        pass(Duration::from_secs(10)).await;

        for (n, (member, heard, _, sessions)) in agents.iter().enumerate() {
            let sessions = sessions.lock().unwrap().len();
            assert!((5..12).contains(&sessions), "{sessions} links in 72 hours");
            assert_eq!(
                (member.lost(), member.refused(), member.copies_refused()),
                (0, BTreeMap::new(), BTreeMap::new())
            );
            assert!(
                member.identity().token.verify(&member.identity().authority).unwrap().expires()
                    > site.swarm.env.now()
            );
            let before = (n + 2) % 3;
            let heard = heard.lock().unwrap();
            let of = |sender: usize, kind: &str| heard[&(name(NAMES[sender]), kind.to_owned())].clone();
            let all: Vec<_> = (0..rounds[before]).collect();
            for kind in ["post", "tell", "deliver", "request"] {
                assert_eq!(of(before, kind), all, "{kind} of {}", NAMES[before]);
            }
            assert_eq!(of(before, "large").len() as u64, rounds[before].div_ceil(50));
            for sender in 0..3 {
                assert_eq!(
                    of(sender, "news"),
                    (0..rounds[sender]).collect::<Vec<_>>(),
                    "news of {}",
                    NAMES[sender]
                );
            }
        }
        for (member, _, serving, _) in agents {
            member.goodbye().await;
            drop(member);
            serving.await.unwrap();
        }
        let metrics = site.node().metrics().clone();
        let account = site.stop().await;
        assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
        let log = site.dir.path().join("audit");
        let ledger = Ledger::read(&log);
        let is_displaced = |what: &LinkChange| {
            matches!(what, LinkChange::Displaced { .. } | LinkChange::DisplacedTooOften { .. })
        };
        assert_eq!(ledger.links().filter(|link| is_displaced(&link.what)).count(), 0);
        let mut tally = Tally::default();
        tally.read(&log);
        tally.agrees_with(&account, &metrics);
    });
}

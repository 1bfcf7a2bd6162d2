//! One run: five agents, one node after the other, and what happens to them. Looked at ten times a second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use testudo_bus::audit::verify_dir;
use testudo_rules::audit::Outcome;
use testudo_wire::standing::RevocationCause;
use tokio::time::{Instant, timeout};

use crate::agent::{Habits, Player};
use crate::dice::Dice;
use crate::support::site::Site;
use crate::support::swarm::name;
use crate::support::tally::Tally;
use crate::support::{pass, until};
use crate::verdict::{Counts, Known};

const SAMPLE: Duration = Duration::from_millis(100);
/// Longer than any message, and any link that nobody answers on.
const PATIENCE: Duration = Duration::from_secs(400);
const NAMES: [&str; 5] = ["a0", "a1", "a2", "a3", "a4"];

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// So many of a thousand datagrams are lost from now on.
    Lose(u64),
    /// Nothing passes between this agent and the node any more.
    Cut(usize),
    /// The same, for so long that the node gives up on its link, and may call it silent.
    CutOff(usize),
    /// Everything passes again.
    Heal(usize),
    /// This agent renews its certificate and its link.
    Renew(usize),
    /// This agent is revoked.
    Revoke(usize),
    /// The node ends: killed, or in good order.
    Kill,
    Stop,
    /// The node comes back.
    Start,
}

/// A run before it begins.
pub(crate) struct Run {
    seed: u64,
    habits: Habits,
    events: Vec<(Duration, Event)>,
    calm: bool,
}

impl Run {
    /// Nothing happens.
    pub(crate) fn calm(seed: u64) -> Self {
        let habits = Habits { messages: 60, slow: 2 * (seed % 2), flood: false };
        Self { seed, habits, events: Vec::new(), calm: true }
    }

    /// Nothing happens but that everyone renews, in the middle of whatever it does.
    pub(crate) fn renewing(seed: u64) -> Self {
        Self { events: renewals(seed), ..Self::calm(seed) }
    }

    /// Everyone writes to one who sleeps: its queue overflows, messages expire in it, and it may lose its link.
    pub(crate) fn flood(seed: u64) -> Self {
        let habits = Habits { messages: 200, slow: 0, flood: true };
        let lossy = vec![(Duration::from_secs(1), Event::Lose(seed % 3 * 20))];
        Self { seed, habits, events: lossy, calm: false }
    }

    /// Everything happens.
    pub(crate) fn storm(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x57_0412);
        let habits = Habits { messages: 50, slow: dice.below(8), flood: false };
        let mut events = Vec::new();
        for _ in 0..2 + dice.below(4) {
            let (at, lasts) = (dice.ms(12_000), dice.ms(6_000));
            let agent = usize::try_from(dice.below(5)).unwrap();
            let mut happens = |begins, ends| events.extend([(at, begins), (at + lasts, ends)]);
            match dice.below(9) {
                0 | 1 => happens(Event::Lose(10 + dice.below(250)), Event::Lose(0)),
                2 => {
                    let ends = at / 3 + Duration::from_secs(33) + lasts;
                    events.extend([(at / 3, Event::CutOff(agent)), (ends, Event::Heal(agent))]);
                }
                3 | 4 => happens(Event::Cut(agent), Event::Heal(agent)),
                5 => happens(Event::Revoke(agent), Event::Lose(0)),
                6 | 7 => {
                    // What it killed was waiting for somebody's acknowledgement.
                    happens(Event::Kill, Event::Start);
                    events.extend([
                        (at.saturating_sub(lasts / 4), Event::Cut(agent)),
                        (at, Event::Heal(agent)),
                    ]);
                }
                _ => happens(Event::Stop, Event::Start),
            }
        }
        events.extend(renewals(seed));
        events.sort_by_key(|(at, _)| *at);
        Self { seed, habits, events, calm: false }
    }

    /// Runs it; every look and the last account must be right.
    pub(crate) async fn played(self) -> Counts {
        let mut stage = Stage::open(&self).await;
        stage.play(self.events).await;
        stage.end(self.calm, self.habits.flood).await
    }
}

fn renewals(seed: u64) -> Vec<(Duration, Event)> {
    let mut dice = Dice::new(seed ^ 0x2e_4e_a1);
    let mut renewals: Vec<_> = (0..NAMES.len()).map(|agent| (dice.ms(5_000), Event::Renew(agent))).collect();
    renewals.sort_by_key(|(at, _)| *at);
    renewals
}

struct Stage {
    site: Site,
    tally: Tally,
    players: Vec<Player>,
    /// Or perhaps.
    revoked: BTreeSet<testudo_wire::AgentName>,
    is_up: bool,
}

impl Stage {
    async fn open(run: &Run) -> Self {
        let site = Site::new(run.seed);
        let mut dice = Dice::new(run.seed);
        let mut players = Vec::new();
        for (n, who) in NAMES.into_iter().enumerate() {
            let right = ["read:logs", "read:mail", "publish:news", "subscribe:news"];
            // Not everyone may publish, nor subscribe; not everyone serves.
            let right = &right[..right.len() - n / 3];
            let serve: &[_] = if n % 2 == 0 { &["read:logs", "read:mail"] } else { &["read:logs"] };
            let identity = site.enrol(who, right, serve).await;
            players.push(Player::start(who, site.join(identity), run.habits, dice.split()));
        }
        let (tally, revoked) = (Tally::default(), BTreeSet::new());
        Self { site, tally, players, revoked, is_up: true }
    }

    /// Lets time pass, and things happen, until every agent has done what it wanted.
    async fn play(&mut self, events: Vec<(Duration, Event)>) {
        let begun = Instant::now();
        let mut events = events.into_iter().peekable();
        while self.is_busy() || events.peek().is_some() {
            self.look();
            while let Some((_, event)) = events.next_if(|(at, _)| begun.elapsed() >= *at) {
                self.happens(event).await;
            }
            pass(SAMPLE).await;
            assert!(begun.elapsed() < PATIENCE, "stuck: {:?}", self.stuck());
        }
        for player in &mut self.players {
            player.sending.take().unwrap().await.unwrap();
        }
    }

    fn is_busy(&self) -> bool {
        self.players.iter().any(|player| player.sending.as_ref().is_some_and(|task| !task.is_finished()))
    }

    fn stuck(&self) -> Vec<String> {
        let open = |player: &Player| {
            let book = player.ledger.open();
            let open: Vec<_> = book.sent.iter().filter(|(_, sent)| sent.heard.is_none()).collect();
            format!("{} (connected: {}): {open:?}", player.name, player.member.is_connected())
        };
        self.players.iter().map(open).collect()
    }

    async fn happens(&mut self, event: Event) {
        let node = self.site.address;
        match event {
            Event::Lose(of_thousand) => self.site.net.lose(of_thousand),
            Event::Cut(agent) => self.site.net.cut(self.players[agent].address, node),
            Event::CutOff(agent) => {
                self.site.net.cut(self.players[agent].address, node);
                self.revoked.insert(name(NAMES[agent]));
            }
            Event::Renew(agent) => self.players[agent].member.renew(),
            Event::Heal(agent) => self.site.net.heal(self.players[agent].address, node),
            Event::Revoke(agent) if self.is_up => {
                let who = name(NAMES[agent]);
                let _ = self.site.node().registry().revoke(who, RevocationCause::Operator).await;
                self.revoked.insert(who);
            }
            Event::Kill if self.is_up => {
                self.look();
                self.site.kill();
                self.is_up = false;
            }
            Event::Stop if self.is_up => {
                let metrics = self.site.node().metrics().clone();
                let account = self.site.stop().await;
                self.is_up = false;
                self.tally.read(&self.site.dir.path().join("audit"));
                self.tally.agrees_with(&account, &metrics);
                assert_eq!((account.queued, account.in_flight), (0, 0), "{account:?}");
            }
            Event::Start if !self.is_up => {
                self.site.start();
                self.is_up = true;
            }
            Event::Revoke(_) | Event::Kill | Event::Stop | Event::Start => {}
        }
    }

    /// Node and log say the same, now.
    fn look(&mut self) {
        if self.is_up {
            let metrics = self.site.node().metrics();
            self.tally.read(&self.site.dir.path().join("audit"));
            self.tally.agrees_with(&metrics.account(), metrics);
        }
    }

    /// Every refusal has a sender who heard of it.
    fn everyone_heard(&self) {
        let mut heard = BTreeMap::<_, u64>::new();
        for (refusal, n) in self.players.iter().flat_map(|player| player.member.refused()) {
            *heard.entry(refusal).or_default() += n;
        }
        for (refusal, n) in self.site.node().metrics().refusals() {
            let heard = heard.get(&refusal).copied().unwrap_or_default();
            assert!(heard >= n, "{n} messages were refused as {refusal}, and {heard} senders heard of it");
        }
    }

    /// Whatever was refused, dropped or lost of an agent's messages, message by message and copy by copy, that agent
    /// heard of: one whose own link never ended.
    fn every_sender_heard(&self, whose: impl Fn(&Player) -> bool) {
        let ended = |end: &Outcome| matches!(end, Outcome::Dropped(_) | Outcome::Failed(_));
        for player in self.players.iter().filter(|player| whose(player)) {
            let own = self.tally.messages.values().filter(|judged| judged.sender == name(player.name));
            let needed: usize = own
                .map(|judged| match judged.verdict {
                    Err(_) => 1,
                    Ok(_) => judged.ends.iter().filter(|(_, end)| ended(end)).count(),
                })
                .sum();
            let member = &player.member;
            let (refused, copies) = (member.refused(), member.copies_refused());
            let heard = refused.values().chain(copies.values()).sum::<u64>() + member.lost();
            assert!(
                heard >= needed as u64,
                "{} heard of {heard} of {needed}: {refused:?}, {copies:?}, {} lost",
                player.name,
                member.lost()
            );
        }
    }

    /// Everything comes to rest, everyone leaves, and every book is compared.
    async fn end(mut self, calm: bool, flood: bool) -> Counts {
        let begun = Instant::now();
        self.site.net.lose(0);
        for agent in 0..NAMES.len() {
            self.happens(Event::Heal(agent)).await;
        }
        self.happens(Event::Start).await;
        let open = |stage: &Self| {
            let account = stage.site.node().metrics().account();
            account.queued + account.in_flight
        };
        while open(&self) > 0 {
            pass(SAMPLE).await;
            self.look();
            assert!(begun.elapsed() < PATIENCE, "never settled");
        }
        if calm || flood {
            // The last words are on their way; of a flood the one who sleeps may have lost its link.
            pass(Duration::from_secs(2)).await;
            self.look();
            self.every_sender_heard(|player| calm || player.name != NAMES[0]);
        }
        for player in &self.players {
            if !self.revoked.contains(&name(player.name)) {
                let back = timeout(PATIENCE, player.member.connected()).await;
                back.expect("nobody is stuck").unwrap_or_else(|why| panic!("{} ended: {why}", player.name));
            }
            player.member.goodbye().await;
        }
        if calm {
            self.everyone_heard();
        }
        until("every handler ends", || self.players.iter().all(|player| player.handling.is_finished())).await;
        self.happens(Event::Stop).await;
        let (dir, swarm) = (self.site.dir.path().join("audit"), &self.site.swarm);
        verify_dir(&dir, &swarm.log_key.public(), &swarm.origin()).unwrap();
        let mut books = BTreeMap::new();
        for player in self.players {
            player.handling.await.unwrap();
            books.insert(name(player.name), std::mem::take(&mut *player.ledger.open()));
        }
        Known { tally: &self.tally, books, revoked: self.revoked, calm }.check()
    }
}

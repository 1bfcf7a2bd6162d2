//! A node that lies about its audit log, and one that hides what others say: found out, or counted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use testudo_bus::audit::AuditLog;
use testudo_bus::client::{Client, ClientIdentity, Deliveries, DialError};
use testudo_bus::env::Env as _;
use testudo_bus::stream::{FrameReader, write_frame};
use testudo_rules::audit::{NodeEvent, Record};
use testudo_rules::gossip::VAIN_MAX;
use testudo_wire::frame::{
    Ask, CloseReason, GossipFromAgent, GossipFromNode, LogHead, LogProof, Prove, Shown, Sighting,
};
use testudo_wire::{AgentName, Limits, LogRoot, RegistrySequence, SecretKey, Timestamp};
use tokio::time::timeout;

use super::{Scripted, identity};
use crate::support::mallory::{Mallory, closed};
use crate::support::site::image;
use crate::support::swarm::{key_of, name};
use crate::support::world::message;
use crate::support::{Swarm, World, pass, sim, until};

const BEAT: Duration = Duration::from_secs(30);

/// The node's end of a gossip stream.
struct Told {
    out: SendStream,
    frames: FrameReader,
}

impl Told {
    async fn of(node: &Scripted) -> Self {
        let (out, frames) = node.connection.accept_bi().await.unwrap();
        let mut told = Self { out, frames: FrameReader::new(frames, GossipFromAgent::BYTES_MAX) };
        assert_eq!(told.hear().await, GossipFromAgent::Watch);
        told
    }

    async fn say(&mut self, frame: GossipFromNode) {
        write_frame(&mut self.out, frame.encode().unwrap()).await.unwrap();
    }

    async fn hear(&mut self) -> GossipFromAgent {
        let frame = timeout(Duration::from_secs(600), self.frames.next()).await.expect("silence");
        GossipFromAgent::decode(&frame.unwrap().unwrap(), &Limits::standard()).unwrap()
    }

    async fn sighting(&mut self) -> Sighting {
        loop {
            if let GossipFromAgent::Sighting(sighting) = self.hear().await {
                return sighting;
            }
        }
    }

    async fn asked(&mut self) -> Vec<AgentName> {
        loop {
            if let GossipFromAgent::Ask(Ask { agents }) = self.hear().await {
                return agents;
            }
        }
    }

    async fn wanted(&mut self) -> Prove {
        loop {
            if let GossipFromAgent::Prove(prove) = self.hear().await {
                return prove;
            }
        }
    }
}

/// A second log under the node's own key: the copy of a folder, which goes on by itself.
struct Second {
    log: Arc<AuditLog>,
    story: u64,
    _dir: tempfile::TempDir,
}

impl Second {
    fn of(folder: &Path, swarm: &Swarm, story: u64) -> Self {
        let dir = image(folder);
        let (key, now) = (swarm.log_key.clone(), swarm.env_now());
        let (log, _) =
            AuditLog::open(&dir.path().join("audit"), swarm.origin(), key, now, RegistrySequence(0)).unwrap();
        tokio::spawn(log.clone().run_sync());
        Self { log, story, _dir: dir }
    }

    /// Its head once it has so many records.
    async fn head(&self, size: u64) -> LogHead {
        while self.log.records() < size {
            let event = NodeEvent::Started { records: 0, recovered_bytes: self.story };
            let record =
                Record { at: Timestamp::from_millis(1), registry: RegistrySequence(0), event: event.into() };
            let _ = self.log.append(&record).unwrap();
        }
        until("sealed", || self.log.sealed().size() == self.log.records()).await;
        self.log.head(&self.log.sealed())
    }
}

/// A sender's message to `me`, delivered and taken.
async fn deliver(node: &mut Scripted, from: &ClientIdentity, number: u64, inbox: &mut Deliveries) {
    let header = node.header(from, 0, number);
    let frame = node.delivery(from, number, header, b"body");
    write_frame(&mut node.deliveries, frame).await.unwrap();
    assert_eq!(inbox.next().await.unwrap().message(), header.message);
}

fn ended(client: &Client) -> impl Future<Output = DialError> {
    let client = client.clone();
    async move { timeout(Duration::from_secs(600), client.closed()).await.expect("the link goes on") }
}

/// What the log's key signed for these sizes, of one story.
fn story(node: &Scripted) -> (Arc<AuditLog>, LogHead) {
    let log = node.world.node.audit().clone();
    let head = log.head(&log.sealed());
    (log, head)
}

#[test]
fn t_a74_two_agents_that_are_shown_two_logs_find_out_when_one_hears_from_the_other() {
    // Both logs of one size, or the lie longer, or the truth.
    for (of_me, of_ada) in [(40, 40), (47, 40), (40, 47), (32, 40), (40, 64)] {
        sim(async move {
            let (mut node, client, mut inbox) = Scripted::link().await;
            // Ada's node is a real one, on the log that began alike; hers is the word that it keeps for others.
            let truth = Second::of(node.world.dir.path(), &node.world.swarm, 1);
            let lie = Second::of(node.world.dir.path(), &node.world.swarm, 2);
            let ada = identity(&node.world, "ada");
            let (mine, hers) = (lie.head(of_me).await, truth.head(of_ada).await);
            let mut told = Told::of(&node).await;
            told.say(GossipFromNode::Head(mine)).await;
            assert_eq!(told.sighting().await.head, mine);
            deliver(&mut node, &ada, 1, &mut inbox).await;
            assert_eq!(told.asked().await, [ada.name]);
            let now = node.world.swarm.env_now();
            let word = Sighting::sign(&ada.key, &node.world.swarm.id, hers, now);
            told.say(GossipFromNode::Sightings(vec![(ada.name, word)])).await;
            if of_me != of_ada {
                let Prove { old, new } = told.wanted().await;
                assert_eq!((old, new), (of_me.min(of_ada), of_me.max(of_ada)));
                // Whichever log the node proves it from, it has signed the other.
                let from = if of_me > of_ada { &lie } else { &truth };
                let shown = from.log.shown(old, new, &[]).await;
                assert!(shown.is_some());
                told.say(GossipFromNode::Proof(LogProof { old, new, shown })).await;
            }
            let why = ended(&client).await;
            let DialError::SplitView(alarm) = &why else { panic!("{why}") };
            assert_eq!((alarm.kind(), alarm.check(&node.world.swarm.origin())), ("split", Ok(())));
            assert_eq!(closed(&node.connection).await, CloseReason::SplitView);
            let kept = client.watched().alarm;
            assert_eq!(kept.as_ref(), Some(&**alarm));
        });
    }
}

#[test]
fn t_a74_a_node_that_hides_what_others_say_is_counted() {
    sim(async {
        let (mut node, client, mut inbox) = Scripted::link().await;
        let ada = identity(&node.world, "ada");
        let (_, head) = story(&node);
        let mut told = Told::of(&node).await;
        told.say(GossipFromNode::Head(head)).await;
        for number in 1..=u64::from(VAIN_MAX) + 1 {
            assert_eq!(client.watched().unwitnessed, 0, "it is asked for {number} times");
            deliver(&mut node, &ada, number, &mut inbox).await;
            assert_eq!(told.asked().await, [ada.name]);
            // An empty answer is none.
            told.say(GossipFromNode::Sightings(Vec::new())).await;
            pass(Duration::from_secs(1)).await;
        }
        assert_eq!(client.watched().unwitnessed, 1);
        // One that is good makes up for it.
        let word = Sighting::sign(&ada.key, &node.world.swarm.id, head, node.world.swarm.env_now());
        told.say(GossipFromNode::Sightings(vec![(ada.name, word)])).await;
        until("heard", || client.watched().unwitnessed == 0).await;
        assert_eq!((client.watched().sightings, client.watched().alarm), (1, None));
        assert!(client.is_open(), "hiding is seen, and no reason to end the link");
    });
}

#[test]
fn t_a74_what_is_forged_old_or_of_another_key_says_nothing() {
    sim(async {
        let (mut node, client, mut inbox) = Scripted::link().await;
        let (ada, swarm) = (identity(&node.world, "ada"), node.world.swarm.id);
        let (_, head) = story(&node);
        let mut told = Told::of(&node).await;
        told.say(GossipFromNode::Head(head)).await;
        deliver(&mut node, &ada, 1, &mut inbox).await;
        assert_eq!(told.asked().await, [ada.name]);
        let now = node.world.swarm.env_now();
        let sign = |key: &SecretKey, head, time| Sighting::sign(key, &swarm, head, time);
        let other = LogHead { root: LogRoot::new([7; 32]), ..head };
        let (mallory, another) = (key_of("mallory"), SecretKey::from_seed(&[99; 32]));
        // A head that the log's key never signed, one under another key, another agent's signature, times of long ago
        // and far ahead, a name that nobody asked for.
        let theirs =
            testudo_rules::audit::Checkpoint::of_head(&head).head(&node.world.swarm.origin(), &another);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let bad = [
            (ada.name, sign(&ada.key, other, now)),
            (ada.name, sign(&mallory, head, now)),
            (ada.name, sign(&ada.key, head, now.before(minutes(6)))),
            (ada.name, sign(&ada.key, head, now.after(minutes(6)))),
            (name("eve"), sign(&key_of("eve"), head, now)),
        ];
        told.say(GossipFromNode::Sightings(bad.to_vec())).await;
        told.say(GossipFromNode::Sightings(vec![(ada.name, sign(&ada.key, theirs, now))])).await;
        until("looked at", || client.watched().other_logs == 1).await;
        assert_eq!((client.watched().refused, client.watched().sightings), (5, 0));
        told.say(GossipFromNode::Sightings(vec![(ada.name, sign(&ada.key, head, now))])).await;
        until("heard", || client.watched().sightings == 1).await;
        // Replayed, nothing of it counts again; older, it is refused.
        let before = now.before(Duration::from_secs(1));
        for word in [sign(&ada.key, head, now), sign(&ada.key, head, before)] {
            told.say(GossipFromNode::Sightings(vec![(ada.name, word)])).await;
        }
        until("refused", || client.watched().refused == 6).await;
        assert_eq!((client.watched().sightings, client.watched().alarm), (1, None));
        assert!(client.is_open(), "no other agent can end this one's link");
    });
}

#[test]
fn t_a74_a_link_that_ends_before_the_proof_hides_nothing() {
    sim(async move {
        let (node, client, _inbox) = Scripted::link().await;
        let second = Second::of(node.world.dir.path(), &node.world.swarm, 1);
        let (first, then) = (second.head(20).await, second.head(30).await);
        let mut told = Told::of(&node).await;
        told.say(GossipFromNode::Head(first)).await;
        told.say(GossipFromNode::Head(then)).await;
        told.wanted().await;
        node.connection.close(CloseReason::Lagging.code().into(), b"");
        until("counted", || client.watched().unproved == 1).await;
        let seen = client.identity().memory.seen().borrow().clone().unwrap();
        assert_eq!((seen.newest, seen.gaps), (Some(then), vec![first]));
    });
}

#[test]
fn t_a74_a_proof_that_does_not_come_or_shows_nothing_is_counted_and_no_alarm() {
    for answer in [0, 1, 2] {
        sim(async move {
            let (node, client, _inbox) = Scripted::link().await;
            let second = Second::of(node.world.dir.path(), &node.world.swarm, 1);
            let (first, then) = (second.head(20).await, second.head(30).await);
            let mut told = Told::of(&node).await;
            told.say(GossipFromNode::Head(first)).await;
            told.say(GossipFromNode::Head(then)).await;
            let Prove { old, new } = told.wanted().await;
            assert_eq!((old, new), (20, 30));
            let junk = Shown { root: LogRoot::new([1; 32]), hashes: vec![LogRoot::new([2; 32]); 5] };
            match answer {
                0 => {}
                1 => told.say(GossipFromNode::Proof(LogProof { old, new, shown: None })).await,
                _ => told.say(GossipFromNode::Proof(LogProof { old, new, shown: Some(junk) })).await,
            }
            until("given up", || client.watched().unproved == 1).await;
            // Its word on the log is what the node tells it, proved or not: others hold that against their own.
            loop {
                if told.sighting().await.head == then {
                    break;
                }
            }
            let watched = client.watched();
            assert_eq!((watched.records, watched.alarm, client.is_open()), (Some(30), None, true));
            assert_eq!(client.identity().memory.seen().borrow().as_ref().unwrap().gaps, [first]);
        });
    }
}

#[test]
fn t_a74_a_node_that_tells_less_or_another_key_loses_its_agents_and_one_that_floods_its_link() {
    let another = SecretKey::from_seed(&[99; 32]);
    sim(async {
        for case in ["shorter", "other-key"] {
            let (node, client, _inbox) = Scripted::link().await;
            let second = Second::of(node.world.dir.path(), &node.world.swarm, 1);
            let less = second.head(20).await;
            let more = second.head(30).await;
            let theirs =
                testudo_rules::audit::Checkpoint::of_head(&more).head(&node.world.swarm.origin(), &another);
            let mut told = Told::of(&node).await;
            told.say(GossipFromNode::Head(more)).await;
            told.say(GossipFromNode::Head(if case == "shorter" { less } else { theirs })).await;
            let why = ended(&client).await;
            assert!(matches!(&why, DialError::SplitView(alarm) if alarm.kind() == case), "{why}");
        }
    });
    sim(async {
        let (node, client, _inbox) = Scripted::link().await;
        let (_, head) = story(&node);
        let mut told = Told::of(&node).await;
        for _ in 0..100 {
            told.say(GossipFromNode::Head(head)).await;
        }
        assert!(!matches!(ended(&client).await, DialError::SplitView(_)), "a flood is no evidence");
        assert_eq!(client.watched().alarm, None);
    });
    sim(async {
        let (node, client, _inbox) = Scripted::link().await;
        let (_, head) = story(&node);
        let mut told = Told::of(&node).await;
        told.say(GossipFromNode::Head(LogHead { size: head.size + 1, ..head })).await;
        assert!(
            !matches!(ended(&client).await, DialError::SplitView(_)),
            "what nobody signed is no evidence"
        );
    });
}

#[test]
fn t_a74_a_node_of_before_is_asked_for_nothing_and_loses_no_agent() {
    sim(async {
        let (mut node, client, mut inbox) = Scripted::link().await;
        let ada = identity(&node.world, "ada");
        let mut told = Told::of(&node).await;
        for number in 1..=5 {
            deliver(&mut node, &ada, number, &mut inbox).await;
            pass(BEAT).await;
        }
        assert!(timeout(BEAT, told.frames.next()).await.is_err(), "nothing is said to who tells nothing");
        let watched = client.watched();
        assert_eq!((watched.records, watched.unwitnessed), (None, 1), "and it is seen: {watched:?}");
        assert!(client.is_open());
    });
}

/// A gossip stream of a peer that misbehaves.
async fn gossip(peer: &Mallory) -> (SendStream, FrameReader) {
    let (mut out, told) = peer.link.connection.open_bi().await.unwrap();
    write_frame(&mut out, GossipFromAgent::Watch.encode().unwrap()).await.unwrap();
    (out, FrameReader::new(told, GossipFromNode::BYTES_MAX))
}

async fn told(frames: &mut FrameReader) -> GossipFromNode {
    let frame = timeout(Duration::from_secs(60), frames.next()).await.expect("silence").unwrap().unwrap();
    GossipFromNode::decode(&frame, &Limits::standard()).unwrap()
}

#[test]
fn t_a74_a_node_hands_on_only_what_each_agent_signed_and_proves_what_it_told() {
    sim(async {
        let world = World::new(3);
        let ada = world.enrol("ada", &["read:logs"], &["read:logs"]).await;
        let peer = Mallory::dial(&world, world.enrol("mallory", &["read:logs"], &[]).await).await;
        let (mut out, mut frames) = gossip(&peer).await;
        let GossipFromNode::Head(head) = told(&mut frames).await else { panic!("no head") };
        let bob = world.agent("bob", &["read:logs"], &["read:logs"]).await;
        let real = world.dial(ada.clone()).await.unwrap();
        for _ in 0..5 {
            real.client.tell(message("bob", "read:logs", "body")).await.unwrap();
        }
        pass(2 * BEAT).await;
        let GossipFromNode::Head(later) = told(&mut frames).await else { panic!("no later head") };
        assert!(later.size > head.size);
        let ask = |agents| GossipFromAgent::Ask(Ask { agents }).encode().unwrap();
        write_frame(&mut out, ask(vec![ada.name, name("nobody"), bob.client.identity().name])).await.unwrap();
        let sightings = loop {
            match told(&mut frames).await {
                GossipFromNode::Sightings(sightings) => break sightings,
                GossipFromNode::Head(_) | GossipFromNode::Proof(_) => {}
            }
        };
        let names: Vec<_> = sightings.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [ada.name, name("bob")]);
        assert!(sightings[0].1.is_signed_by(&ada.key.public(), &world.swarm.id));
        let prove = |old, new| GossipFromAgent::Prove(Prove { old, new }).encode().unwrap();
        for (old, new, is_shown) in [
            (head.size, later.size, true),
            (1, later.size, true),
            (0, later.size, false),
            (later.size, head.size, false),
            (1, u64::MAX, false),
        ] {
            write_frame(&mut out, prove(old, new)).await.unwrap();
            let proof = loop {
                match told(&mut frames).await {
                    GossipFromNode::Proof(proof) => break proof,
                    GossipFromNode::Head(_) | GossipFromNode::Sightings(_) => {}
                }
            };
            assert_eq!((proof.old, proof.new, proof.shown.is_some()), (old, new, is_shown));
        }
        drop((bob, real, peer, out));
        world.end().await;
    });
}

#[test]
fn t_a74_a_frame_that_other_streams_hold_up_ends_no_link() {
    sim(async {
        let world = World::new(5);
        let peer = Mallory::dial(&world, world.enrol("mallory", &["read:logs"], &[]).await).await;
        let (mut out, mut frames) = gossip(&peer).await;
        assert!(matches!(told(&mut frames).await, GossipFromNode::Head(_)));
        let ask = GossipFromAgent::Ask(Ask { agents: vec![name("nobody")] }).encode().unwrap();
        let bytes = [&u32::try_from(ask.len()).unwrap().to_be_bytes()[..], &ask].concat();
        let (begin, end) = bytes.split_at(7);
        out.write_all(begin).await.unwrap();
        pass(Duration::from_secs(20)).await;
        assert_eq!(peer.link.connection.close_reason(), None);
        out.write_all(end).await.unwrap();
        let answer = loop {
            match told(&mut frames).await {
                GossipFromNode::Sightings(sightings) => break sightings,
                GossipFromNode::Head(_) | GossipFromNode::Proof(_) => {}
            }
        };
        assert_eq!(answer, []);
        drop((peer, out));
        world.end().await;
    });
}

#[test]
fn t_a74_an_agent_that_forges_floods_or_sends_too_much_loses_its_link() {
    sim(async {
        let world = World::new(4);
        let log = world.node.audit();
        let head = log.head(&log.sealed());
        let (swarm, now) = (world.swarm.id, world.swarm.env.now());
        let forged = Sighting::sign(&key_of("somebody"), &swarm, head, now);
        let watch = GossipFromAgent::Watch.encode().unwrap();
        let cases: [Vec<Vec<u8>>; 5] = [
            vec![GossipFromAgent::Sighting(forged).encode().unwrap()],
            vec![vec![0xc0; 100]],
            vec![vec![0; GossipFromAgent::BYTES_MAX + 1]],
            vec![watch],
            vec![GossipFromAgent::Prove(Prove { old: 1, new: 2 }).encode().unwrap(); 200],
        ];
        for (n, frames) in cases.into_iter().enumerate() {
            let identity = world.enrol(&format!("mallory-{n}"), &["read:logs"], &[]).await;
            let peer = Mallory::dial(&world, identity).await;
            let (mut out, _told) = gossip(&peer).await;
            for frame in frames {
                let _ = write_frame(&mut out, frame).await;
            }
            assert_eq!(closed(&peer.link.connection).await, CloseReason::Protocol, "case {n}");
        }
        world.end().await;
    });
}

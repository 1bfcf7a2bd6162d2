//! The agent's half of gossip: watches the heads of its node's log, has it proved that they are of one story, says what
//! it was told, and asks what those were told whose messages it takes (threat A74).
//!
//! Once a heartbeat, on a stream of its own. Where heads under the log's key do not fit together, the link ends, and
//! there is no other one until somebody has looked. Decisions are `testudo_rules::gossip`'s.

mod log;
mod proofs;

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use testudo_rules::gossip::{Heard, NotOurs, Pair, Proved, Told};
use testudo_rules::quota::Bucket;
use testudo_wire::frame::{
    Ask, CloseReason, GossipFromAgent, GossipFromNode, LogHead, LogProof, Prove, Sighting,
};
use testudo_wire::standing::Quota;
use testudo_wire::{AgentName, Timestamp};
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::shared::Shared;
use crate::stream::{FrameError, FrameReader, write_frame};

pub(super) use log::Log;
pub use log::Watched;
use proofs::{Asked, Proofs};

/// Frames that a node may send here a second; in good order it is two a heartbeat, and proofs.
const FRAMES: Quota = Quota { bundles_per_second: 64, bytes_per_second: 256 * 1024 };
/// Sightings verified in one go.
const TURN: usize = 8;
/// Intervals between two lines about the same trouble.
const QUIET: u32 = 120;

/// One link's gossip.
struct Gossip {
    shared: Arc<Shared>,
    /// The head that was told last, on this link or any before it.
    before: Option<LogHead>,
    /// A head has come on this link: the node knows this protocol.
    is_told: bool,
    proofs: Proofs,
    /// When this agent signed last what it was told.
    signed: Timestamp,
    ticks: u32,
    /// The tick of the last line about what is not witnessed or not proved, each.
    warned: [Option<u32>; 2],
}

/// Runs until the link ends or another one renews it.
pub(super) async fn run(shared: Arc<Shared>) {
    let connection = shared.connection.clone();
    let Ok((mut out, told)) = connection.open_bi().await else { return };
    // Behind everything else of this link.
    let _ = out.set_priority(-1);
    let every = Duration::from_millis(u64::from(shared.welcome.heartbeat_ms.max(1_000)));
    let mut gossip = Gossip::new(shared.clone(), every);
    let frames = FrameReader::patient(told, GossipFromNode::BYTES_MAX);
    talk(&shared, &mut gossip, &mut out, frames, every).await;
    gossip.abandon();
}

/// Says and hears, for as long as there is somebody at the other end.
async fn talk(
    shared: &Shared,
    gossip: &mut Gossip,
    out: &mut SendStream,
    mut frames: FrameReader,
    every: Duration,
) {
    let (since, mut all) = (Instant::now(), Bucket::new(FRAMES, Duration::ZERO));
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut words = vec![GossipFromAgent::Watch];
    loop {
        if say(out, std::mem::take(&mut words), every).await.is_none() {
            return shared.fail("the node does not take what is said of its log");
        }
        words = tokio::select! {
            () = shared.turn.handing() => return,
            frame = frames.next() => match frame {
                Ok(Some(frame)) if all.take(frame.len(), since.elapsed()).is_err() => {
                    return shared.fail("the node sends a flood of gossip frames");
                }
                Ok(Some(frame)) => match GossipFromNode::decode(&frame, &shared.limits) {
                    Ok(frame) => gossip.take(frame).await,
                    Err(_) => return shared.fail("the node sent a gossip frame that cannot be read"),
                },
                Ok(None) | Err(FrameError::Stream(_)) => return,
                Err(_) => return shared.fail("the node sent a gossip frame too long or too slow"),
            },
            _ = ticks.tick() => gossip.tick(),
        };
    }
}

async fn say(out: &mut SendStream, words: Vec<GossipFromAgent>, within: Duration) -> Option<()> {
    for word in words {
        // An error is the link's end, which others see, too.
        match timeout(within, write_frame(out, word.encode().ok()?)).await {
            Ok(Ok(()) | Err(_)) => {}
            Err(_) => return None,
        }
    }
    Some(())
}

impl Gossip {
    fn new(shared: Arc<Shared>, every: Duration) -> Self {
        let swarm = shared.identity.swarm();
        let before = shared.identity.memory.log().with(&swarm, |view, _| view.newest());
        let signed = Timestamp::from_millis(0);
        Self {
            shared,
            before,
            is_told: false,
            proofs: Proofs::new(every),
            signed,
            ticks: 0,
            warned: [None; 2],
        }
    }

    fn log(&self) -> &Log {
        self.shared.identity.memory.log()
    }

    async fn take(&mut self, frame: GossipFromNode) -> Vec<GossipFromAgent> {
        match frame {
            GossipFromNode::Head(head) => self.head(head),
            GossipFromNode::Proof(proof) => self.proof(&proof),
            GossipFromNode::Sightings(sightings) => {
                let mut words = Vec::new();
                for (at, (name, sighting)) in sightings.into_iter().enumerate() {
                    if at % TURN == TURN - 1 {
                        yield_now().await;
                    }
                    words.extend(self.sighting(&name, &sighting));
                }
                words
            }
        }
    }

    /// The node's own word.
    fn head(&mut self, head: LogHead) -> Vec<GossipFromAgent> {
        let (swarm, before) = (self.shared.identity.swarm(), self.before);
        let told = self.log().with(&swarm, |view, _| view.told(&head, before.as_ref()));
        let is_first = !std::mem::replace(&mut self.is_told, true);
        let Ok(told) = told else {
            self.shared.fail("the node tells a head of the log that its key did not sign");
            return Vec::new();
        };
        if told != Told::Alarm {
            self.before = Some(head);
        }
        let mut words = self.go_on(told, head, true);
        if is_first {
            // What was not proved before may be now.
            let open = self.log().with(&swarm, |view, _| view.open());
            words.extend(open.into_iter().filter_map(|pair| self.ask(pair, pair.old, false)));
        }
        words
    }

    /// What is to be done about a head.
    fn go_on(&mut self, told: Told, of: LogHead, is_own: bool) -> Vec<GossipFromAgent> {
        match told {
            Told::Same if is_own => self.sign().into_iter().collect(),
            Told::Same => Vec::new(),
            Told::Prove(pair) => self.ask(pair, of, is_own).into_iter().collect(),
            Told::Alarm => {
                self.end();
                Vec::new()
            }
        }
    }

    /// Asks for a proof; counts what there is no room to ask for.
    fn ask(&mut self, pair: Pair, of: LogHead, is_own: bool) -> Option<GossipFromAgent> {
        match self.proofs.ask(pair, of, is_own, Instant::now()) {
            Asked::Now => Some(GossipFromAgent::Prove(Prove { old: pair.old.size, new: pair.new.size })),
            Asked::Already => None,
            Asked::TooMany => {
                self.unproved(of, is_own);
                None
            }
        }
    }

    fn proof(&mut self, proof: &LogProof) -> Vec<GossipFromAgent> {
        let swarm = self.shared.identity.swarm();
        let mut words = Vec::new();
        for wanted in self.proofs.answered(proof.old, proof.new) {
            let proved = self.log().with(&swarm, |view, _| match &proof.shown {
                Some(shown) => view.proved(&wanted.pair, shown),
                None => Proved::Nothing,
            });
            match proved {
                Proved::Holds => {
                    let (of, is_own) = (wanted.of, wanted.is_own);
                    let told = self
                        .log()
                        .with(&swarm, |view, _| if is_own { view.told(&of, None) } else { view.shown(&of) });
                    if let Ok(told) = told {
                        words.extend(self.go_on(told, of, is_own));
                    }
                }
                Proved::Nothing => words.extend(self.unproved(wanted.of, wanted.is_own)),
                Proved::Alarm => self.end(),
            }
        }
        words
    }

    /// A head that could not be held against what is known. What the node tells is gone by all the same: others must
    /// be able to hold it against what they are told.
    fn unproved(&mut self, of: LogHead, is_own: bool) -> Option<GossipFromAgent> {
        let swarm = self.shared.identity.swarm();
        self.log().with(&swarm, |view, state| {
            state.counts.unproved += 1;
            if is_own {
                view.go_on_with(&of);
            }
        });
        if self.may_warn(0) {
            tracing::warn!(
                records = of.size,
                "the node did not prove that its audit log only grew: retention removed what that needs, or it hides something; compare what agents have seen with `testudo audit seen`"
            );
        }
        is_own.then(|| self.sign()).flatten()
    }

    fn sighting(&mut self, name: &AgentName, sighting: &Sighting) -> Vec<GossipFromAgent> {
        let (swarm, now) = (self.shared.identity.swarm(), self.shared.env.now());
        let told = self.log().with(&swarm, |view, state| {
            match state.peers.heard(name, sighting, &swarm, now) {
                Heard::New => {}
                Heard::Again => return None,
                Heard::Refused => {
                    state.counts.refused += 1;
                    return None;
                }
            }
            match view.shown(&sighting.head) {
                Ok(told) => {
                    state.counts.sightings += 1;
                    state.peers.witnessed(name, sighting);
                    Some(told)
                }
                Err(NotOurs::OtherKey) => {
                    state.counts.other_logs += 1;
                    None
                }
                Err(NotOurs::Unsigned) => {
                    state.counts.refused += 1;
                    None
                }
                Err(NotOurs::TooEarly) => None,
            }
        });
        told.map_or_else(Vec::new, |told| self.go_on(told, sighting.head, false))
    }

    /// Once a heartbeat.
    fn tick(&mut self) -> Vec<GossipFromAgent> {
        self.ticks += 1;
        let swarm = self.shared.identity.swarm();
        let mut words = Vec::new();
        for wanted in self.proofs.overdue(Instant::now()) {
            words.extend(self.unproved(wanted.of, wanted.is_own));
        }
        let (names, unwitnessed) = self.log().with(&swarm, |_, state| {
            // Those whom the last tick asked for have had their time.
            let unwitnessed: Vec<_> = state.peers.unwitnessed().collect();
            (state.peers.ask(), unwitnessed)
        });
        if let Some(first) = unwitnessed.first()
            && self.may_warn(1)
        {
            tracing::warn!(
                senders = unwitnessed.len(), %first,
                "messages come, and nothing that shows which audit log their senders are told of: their agents or the node are of a version without that, or the node hides it"
            );
        }
        // A node that knows nothing of this reads nothing of it.
        if self.is_told {
            words.extend(self.sign());
            words.extend((!names.is_empty()).then_some(GossipFromAgent::Ask(Ask { agents: names })));
        }
        words
    }

    /// This agent's word on what it was told last.
    fn sign(&mut self) -> Option<GossipFromAgent> {
        let identity = &self.shared.identity;
        let swarm = identity.swarm();
        let head = identity.memory.log().with(&swarm, |view, _| view.newest())?;
        // Two within a millisecond are two all the same.
        let now = self.shared.env.now();
        self.signed = if now > self.signed { now } else { self.signed.after(Duration::from_millis(1)) };
        Some(GossipFromAgent::Sighting(Sighting::sign(&identity.key, &swarm, head, self.signed)))
    }

    fn may_warn(&mut self, about: usize) -> bool {
        let Some(warned) = self.warned.get_mut(about) else { return false };
        let may = warned.is_none_or(|then| self.ticks - then >= QUIET);
        if may {
            *warned = Some(self.ticks);
        }
        may
    }

    /// The link has ended before what the node told last was proved. Were that nothing, a node could tell anything for as
    /// long as its links are short.
    fn abandon(&mut self) {
        if self.shared.turn.is_handing() {
            return;
        }
        for wanted in self.proofs.all().into_iter().filter(|wanted| wanted.is_own) {
            self.unproved(wanted.of, true);
        }
    }

    /// The log is not believed any more: the link ends, and whoever dials hears why.
    fn end(&self) {
        if let Some(alarm) = self.log().alarm() {
            tracing::error!(
                %alarm,
                "the link ends: the node's audit log is not believed any more; keep the evidence, ask the node's operator, and see `testudo audit seen` for what to do then"
            );
        }
        let reason = CloseReason::SplitView;
        self.shared.connection.close(reason.code().into(), reason.as_str().as_bytes());
    }
}

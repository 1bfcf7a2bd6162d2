//! What a node tells of its audit log: the same head to every link, renewed once a heartbeat; that it extends an older
//! one; and what other agents said that they were told (threat A74).
//!
//! A stream of its own on each link that opens one; nothing here is on the way of a message. The node is the one who
//! might lie: agents take nothing of this for true before they have verified it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::{ConnectionError, SendStream};
use testudo_rules::audit::Frontier;
use testudo_rules::quota::Bucket;
use testudo_wire::frame::{
    Ask, CloseReason, GossipFromAgent, GossipFromNode, LogHead, LogProof, Prove, Shown, Sighting,
};
use testudo_wire::standing::Quota;
use testudo_wire::{AgentName, PublicKey, Refusal};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::link::{Bound, Link};
use super::shared::Shared;
use crate::audit::AuditLog;
use crate::stream::{FrameError, FrameReader, write_frame};

/// Frames that one link may send here a second; in good order it is three a heartbeat, and a few at its start.
const FRAMES: Quota = Quota { bundles_per_second: 64, bytes_per_second: 32 * 1024 };
/// Proofs that one link may ask for a second. One that is not known yet is a pass over a part of the log.
const PROOFS: Quota = Quota { bundles_per_second: 16, bytes_per_second: 0 };
/// Proofs that are kept: links ask for the same ones, since they are told the same heads.
const KEPT: usize = 32;
/// Trees of heads that were told: the next proof need not begin at the start of a segment.
const TREES: usize = 8;
/// A proof that is not known costs its agent so many times what it took before it may have the next one, ...
const REST: u32 = 10;
/// ... for which it waits no longer than this. Else it gets none.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// An agent that takes nothing for so long loses its link.
const STALL: Duration = Duration::from_secs(5);

/// What is told, and what was said.
#[derive(Debug)]
pub(crate) struct Gossip {
    head: watch::Sender<LogHead>,
    /// The last word of each agent, with the key that it was under. Bounded by the registry's table.
    sightings: Mutex<HashMap<AgentName, (PublicKey, Sighting)>>,
    made: Mutex<Made>,
    /// One proof that begins at a tree of late is made at a time, and one that begins farther back: whoever was away
    /// for long does not hold up the others.
    making: [tokio::sync::Mutex<()>; 2],
}

#[derive(Debug, Default)]
struct Made {
    trees: VecDeque<Frontier>,
    proofs: VecDeque<(Prove, Shown)>,
    /// Until when each agent that had a proof made rests. Bounded by the registry's table.
    rests: HashMap<AgentName, Instant>,
}

impl Gossip {
    pub(crate) fn new(audit: &AuditLog) -> Self {
        let tree = audit.sealed();
        let head = watch::Sender::new(audit.head(&tree));
        let made = Made { trees: [tree].into(), ..Made::default() };
        let making = std::array::from_fn(|_| tokio::sync::Mutex::new(()));
        Self { head, sightings: Mutex::default(), made: Mutex::new(made), making }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: AgentName, key: PublicKey, sighting: Sighting) {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = sightings.get(&name).is_some_and(|(by, last)| *by == key && last.time >= sighting.time);
        if !is_old {
            sightings.insert(name, (key, sighting));
        }
    }

    fn answer(&self, ask: &Ask) -> Vec<(AgentName, Sighting)> {
        let sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ask.agents.iter().filter_map(|name| Some((*name, sightings.get(name)?.1)));
        known.collect()
    }

    /// All links ask for much the same proofs: those are made once. Dropping the call takes it out of the queue.
    async fn turn(&self, prove: Prove, name: AgentName) -> Turn<'_> {
        loop {
            if let Some(shown) = self.made().find(prove) {
                return Turn::Known(shown);
            }
            let rest = self.rest(&name);
            if rest > WAIT_MAX {
                return Turn::Never;
            }
            sleep(rest).await;
            let is_far = self.made().trees.front().is_none_or(|tree| prove.old < tree.size());
            let [near, far] = &self.making;
            let one = if is_far { far } else { near }.lock().await;
            // Another link of this agent may have had one made meanwhile.
            if self.rest(&name).is_zero() && self.made().find(prove).is_none() {
                return Turn::Now(one);
            }
        }
    }

    fn rest(&self, name: &AgentName) -> Duration {
        let until = self.made().rests.get(name).copied();
        until.map(|until| until.duration_since(Instant::now())).unwrap_or_default()
    }

    /// To its end, also when the link has ended: whoever wanted it rests for it.
    async fn prove(&self, audit: &AuditLog, prove: Prove, name: AgentName, turn: Turn<'_>) -> Option<Shown> {
        let _one = match turn {
            Turn::Known(shown) => return Some(shown),
            Turn::Never => return None,
            Turn::Now(one) => one,
        };
        let (began, trees): (_, Vec<_>) = (Instant::now(), self.made().trees.iter().cloned().collect());
        let shown = audit.shown(prove.old, prove.new, &trees).await;
        let mut made = self.made();
        made.rests.insert(name, Instant::now() + began.elapsed() * REST);
        let shown = shown?;
        if made.proofs.len() >= KEPT {
            made.proofs.pop_front();
        }
        made.proofs.push_back((prove, shown.clone()));
        Some(shown)
    }
}

/// What becomes of the wish for a proof.
enum Turn<'a> {
    Known(Shown),
    /// It is made while this is held.
    Now(tokio::sync::MutexGuard<'a, ()>),
    Never,
}

impl Made {
    fn find(&self, prove: Prove) -> Option<Shown> {
        self.proofs.iter().find(|(made, _)| *made == prove).map(|(_, shown)| shown.clone())
    }
}

/// Renews the head, for as long as the node runs.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(shared.heartbeat.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (gossip, tree) = (&shared.gossip, shared.audit.sealed());
        if tree.size() == gossip.head.borrow().size {
            continue;
        }
        let head = shared.audit.head(&tree);
        let mut made = gossip.made();
        if made.trees.len() >= TREES {
            made.trees.pop_front();
        }
        made.trees.push_back(tree);
        drop(made);
        gossip.head.send_replace(head);
    }
}

/// One link's gossip, until the link ends. An agent that opens no stream for it has none.
pub(super) async fn serve(shared: Arc<Shared>, link: Arc<Link>) {
    let _bound = Bound(link.clone());
    if let Ok((out, asked)) = link.connection.accept_bi().await {
        let frames = FrameReader::patient(asked, GossipFromAgent::BYTES_MAX);
        if let Err(Broken(what)) = talk(&shared, &link, out, frames).await {
            tracing::warn!(agent = %link.peer.holder.name, what, "the link ends");
            link.close(CloseReason::Protocol);
        }
    }
}

/// A link has ended. An agent that does not believe the log any more says so: an honest operator can do something about it.
pub(super) fn left(link: &Link, why: &ConnectionError) {
    if let ConnectionError::ApplicationClosed(close) = why
        && close.error_code.into_inner() == u64::from(CloseReason::SplitView.code())
    {
        tracing::error!(
            agent = %link.peer.holder.name,
            "an agent was shown another audit log than this one; run `testudo audit verify --against` what it has kept, and see docs/operations.md"
        );
    }
}

/// The agent broke the protocol.
struct Broken(&'static str);

async fn talk(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    mut out: SendStream,
    mut frames: FrameReader,
) -> Result<(), Broken> {
    // Behind everything else of this link.
    let _ = out.set_priority(-1);
    let now = shared.monotonic();
    let (mut all, mut proofs) = (Bucket::new(FRAMES, now), Bucket::new(PROOFS, now));
    let mut head = shared.gossip.head.subscribe();
    let mut is_watching = false;
    loop {
        let word = tokio::select! {
            changed = head.changed(), if is_watching => {
                if changed.is_err() {
                    return Ok(());
                }
                Some(GossipFromNode::Head(*head.borrow_and_update()))
            }
            frame = frames.next() => {
                let frame = match frame {
                    Ok(Some(frame)) => frame,
                    Ok(None) | Err(FrameError::Stream(_)) => return Ok(()),
                    Err(_) => return Err(Broken("a gossip frame too long or too slow")),
                };
                if all.take(frame.len(), shared.monotonic()).is_err() {
                    return Err(Broken("a flood of gossip frames"));
                }
                match GossipFromAgent::decode(&frame, &shared.limits) {
                    Ok(GossipFromAgent::Watch) if is_watching => return Err(Broken("a second watch")),
                    Ok(GossipFromAgent::Watch) => {
                        is_watching = true;
                        Some(GossipFromNode::Head(*head.borrow_and_update()))
                    }
                    Ok(GossipFromAgent::Sighting(sighting)) => sighted(shared, link, sighting)?,
                    Ok(GossipFromAgent::Ask(ask)) => {
                        Some(GossipFromNode::Sightings(shared.gossip.answer(&ask)))
                    }
                    Ok(GossipFromAgent::Prove(prove)) => {
                        let may = proofs.take(0, shared.monotonic()).is_ok();
                        // Apart: every link has this task, and few of them ask just now.
                        let Some(proof) = Box::pin(proved(shared, link, prove, may)).await else { return Ok(()) };
                        Some(GossipFromNode::Proof(proof))
                    }
                    Err(_) => return Err(Broken("a gossip frame that cannot be read")),
                }
            }
        };
        let Some(word) = word else { continue };
        let Ok(bytes) = word.encode() else { return Ok(()) };
        match timeout(STALL, write_frame(&mut out, bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(Broken("it does not read what it asks for")),
        }
    }
}

/// The answer to a wish for a proof; `None` if the link ended before it could be made.
async fn proved(shared: &Shared, link: &Link, prove: Prove, may: bool) -> Option<LogProof> {
    let (gossip, name) = (&shared.gossip, link.peer.holder.name);
    let turn = tokio::select! {
        turn = gossip.turn(prove, name), if may => turn,
        _ = link.connection.closed(), if may => return None,
        else => Turn::Never,
    };
    let shown = gossip.prove(&shared.audit, prove, name, turn).await;
    Some(LogProof { old: prove.old, new: prove.new, shown })
}

/// Only what this agent signed stands for what it was told; what it says of the log is for other agents to judge.
fn sighted(shared: &Shared, link: &Link, sighting: Sighting) -> Result<Option<GossipFromNode>, Broken> {
    let holder = &link.peer.holder;
    if !sighting.is_signed_by(&holder.key, &link.peer.swarm) {
        shared.note_refused_bundle(link, Refusal::Unauthentic, 0);
        return Err(Broken("a sighting that this agent did not sign"));
    }
    shared.gossip.take(holder.name, holder.key, sighting);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use testudo_rules::audit::Origin;
    use testudo_wire::{RegistrySequence, SecretKey, Timestamp};
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn t_a74_whoever_asked_on_many_links_at_once_rests_on_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let (origin, key) = (Origin::parse("testudo/test").unwrap(), SecretKey::from_seed(&[9; 32]));
        let (at, none) = (Timestamp::from_millis(7), RegistrySequence(0));
        let (audit, _) = AuditLog::open(dir.path(), origin, key, at, none).unwrap();
        let (gossip, name) = (Gossip::new(&audit), AgentName::parse("mallory").unwrap());
        let busy = (gossip.making[0].lock().await, gossip.making[1].lock().await);
        let (turn, ()) = tokio::join!(gossip.turn(Prove { old: 1, new: 2 }, name), async {
            yield_now().await;
            // What was asked for on another link of this agent is made, and took long.
            gossip.made().rests.insert(name, Instant::now() + 2 * WAIT_MAX);
            drop(busy);
        });
        assert!(matches!(turn, Turn::Never));
        // A wish of a link that is gone holds up nobody.
        let other = AgentName::parse("ada").unwrap();
        let busy = (gossip.making[0].lock().await, gossip.making[1].lock().await);
        let gone = timeout(STALL, gossip.turn(Prove { old: 1, new: 3 }, other)).await;
        drop(busy);
        assert!(gone.is_err());
        assert!(matches!(gossip.turn(Prove { old: 1, new: 4 }, other).await, Turn::Now(_)));
    }
}

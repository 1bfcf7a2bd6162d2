//! The control stream of a link at the node: heartbeats, tokens, acknowledgements and goodbyes in; everything
//! that an agent must hear out.

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use testudo_rules::quota::Bucket;
use testudo_rules::token::TokenError;
use testudo_wire::frame::{
    Acknowledge, CloseReason, FromAgent, FromNode, Heartbeat, Present, Presented, Settled,
};
use testudo_wire::standing::Quota;
use testudo_wire::{Refusal, TokenId};
use tokio::sync::mpsc;

use super::link::Link;
use super::shared::Shared;
use crate::capability::CapabilityError;
use crate::stream::{FrameReader, write_frame};

/// Tokens that one link may present a second; each costs up to eight signature checks.
const PRESENTATIONS: Quota = Quota { bundles_per_second: 10, bytes_per_second: 64 * 1024 };
/// Heartbeats that one link may send a second; each costs one.
const HEARTBEATS: Quota = Quota { bundles_per_second: 10, bytes_per_second: 64 * 1024 };

/// Control frames of any kind that one link may send a second: a receiver acknowledges at most every delivery.
const FRAMES: Quota = Quota { bundles_per_second: 20_000, bytes_per_second: 8 * 1024 * 1024 };
/// Frames after which a reader lets others run.
const TURN: u32 = 32;

/// Writes control frames, and how far bundles are settled, until the link ends.
pub(super) async fn write(link: Arc<Link>, mut frames: mpsc::Receiver<FromNode>, mut stream: SendStream) {
    let mut told = 0;
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => return,
            },
            () = link.settling.moved() => {
                let bundles = link.settling.upto();
                if bundles == told {
                    continue;
                }
                told = bundles;
                FromNode::Settled(Settled { bundles })
            }
            _ = link.connection.closed() => return,
        };
        let Ok(bytes) = frame.encode() else { return };
        if write_frame(&mut stream, bytes).await.is_err() {
            return;
        }
    }
}

/// How an agent's side of the control stream ended.
pub(super) enum Left {
    /// It said goodbye.
    Goodbye,
    /// It broke the protocol.
    Broken(&'static str),
    /// The link failed.
    Lost,
}

struct Reader {
    shared: Arc<Shared>,
    link: Arc<Link>,
    presentations: Bucket,
    heartbeats: Bucket,
    counter: u64,
}

/// Reads control frames until the link ends.
pub(super) async fn read(shared: Arc<Shared>, link: Arc<Link>, mut frames: FrameReader) -> Left {
    let now = shared.monotonic();
    let mut reader = Reader {
        presentations: Bucket::new(PRESENTATIONS, now),
        heartbeats: Bucket::new(HEARTBEATS, now),
        counter: 0,
        shared,
        link,
    };
    let mut all = Bucket::new(FRAMES, now);
    for turn in 1_u32.. {
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
        let frame = match frames.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(crate::stream::FrameError::Stream(_)) => return Left::Lost,
            Err(_) => return Left::Broken("a control frame too long or too slow"),
        };
        if all.take(frame.len(), reader.shared.monotonic()).is_err() {
            return Left::Broken("a flood of control frames");
        }
        let Ok(frame) = FromAgent::decode(&frame, &reader.shared.limits) else {
            return Left::Broken("a control frame that cannot be read");
        };
        if let Some(left) = reader.take(frame).await {
            return left;
        }
    }
    Left::Lost
}

impl Reader {
    async fn take(&mut self, frame: FromAgent) -> Option<Left> {
        match frame {
            FromAgent::Hello(_) => Some(Left::Broken("a second hello")),
            FromAgent::Heartbeat(beat) => self.beat(&beat),
            FromAgent::Present(present) => {
                self.present(present).await;
                None
            }
            FromAgent::Acknowledge(acknowledge) => self.acknowledge(&acknowledge),
            FromAgent::Goodbye => Some(Left::Goodbye),
        }
    }

    /// A heartbeat counts only for the agent of this link, and only when signed for this session and newer
    /// than the last (threat A35).
    fn beat(&mut self, beat: &Heartbeat) -> Option<Left> {
        if self.heartbeats.take(0, self.shared.monotonic()).is_err() {
            return None;
        }
        let peer = &self.link.peer;
        let fresh = beat.counter > self.counter;
        if !fresh || !beat.is_signed_by(&peer.holder.key, &peer.swarm, &peer.session) {
            self.shared.note_refused_bundle(&self.link, Refusal::Unauthentic, 0);
            return Some(Left::Broken("a heartbeat that this agent did not sign for this session"));
        }
        self.counter = beat.counter;
        self.shared.registry.heartbeat(peer.holder.name, peer.session);
        None
    }

    async fn present(&mut self, present: Present) {
        let token = TokenId::of(&present.token);
        let bytes = present.token.len();
        let refusal = self.judge(present).await.err();
        if let Some(refusal) = refusal {
            self.shared.note_refused_bundle(&self.link, refusal, bytes);
        }
        self.link.tell(FromNode::Presented(Presented { token, refusal }));
    }

    /// A token is good for this link when it means something, its last holder is this agent, and everyone in
    /// its chain is in good standing.
    async fn judge(&mut self, present: Present) -> Result<(), Refusal> {
        self.presentations.take(0, self.shared.monotonic())?;
        let (token, meaning) = self.shared.capability.read(present.token).await.map_err(refusal)?;
        let peer = &self.link.peer;
        if *meaning.holder() != peer.holder || meaning.swarm() != peer.swarm {
            return Err(Refusal::Unauthorised);
        }
        let now = self.shared.env.now();
        meaning.alive(now)?;
        meaning.standing(&**self.shared.directory().load())?;
        let mut judging = self.link.judging.lock().map_err(|_| Refusal::GuardFault)?;
        judging.tokens.keep(&token, meaning, now)
    }

    fn acknowledge(&self, acknowledge: &Acknowledge) -> Option<Left> {
        let Some(done) = self.link.outbox.acknowledge(acknowledge.upto, &acknowledge.refused) else {
            return Some(Left::Broken("an acknowledgement of what was never delivered"));
        };
        for (parcel, verdicts) in &done {
            self.shared.finish_parcel(parcel, verdicts);
        }
        None
    }
}

fn refusal(error: CapabilityError) -> Refusal {
    match error {
        CapabilityError::Token(error) => TokenError::refusal(error),
        CapabilityError::Build(_) | CapabilityError::NoAuthority | CapabilityError::Gone => {
            Refusal::GuardFault
        }
    }
}

/// How long a link that said goodbye may still be written to.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

impl Left {
    /// The words of the audit log.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Broken(what) => what,
            Self::Lost => "the link failed",
        }
    }

    /// Closes the connection accordingly.
    pub(super) fn close(&self, link: &Link) {
        match self {
            Self::Goodbye => link.connection.close(0_u32.into(), b"goodbye"),
            Self::Broken(_) => link.close(CloseReason::Protocol),
            // Half a link is none: without this its route would stay until the lease ends.
            Self::Lost => link.close(CloseReason::Protocol),
        }
    }
}

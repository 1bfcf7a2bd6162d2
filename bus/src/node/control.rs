//! The control stream of a link at the node: heartbeats, tokens, acknowledgements and goodbyes in; everything
//! that an agent must hear out.

use std::sync::Arc;
use std::time::Duration;

use serde_bytes::ByteBuf;
use testudo_rules::quota::Bucket;
use testudo_rules::token::TokenError;
use testudo_wire::frame::{
    Acknowledge, CloseReason, Delivered, FromAgent, FromNode, Heartbeat, Introduced, Present, Presented,
    Received, Renew, Subscribed, Trusts, is_received,
};
use testudo_wire::standing::{Quota, RevocationCause};
use testudo_wire::{AgentName, Refusal, Resource, TokenId};

use super::certifier;
use super::line::Line;
use super::link::Link;
use super::shared::Shared;
use super::subscriptions;
use crate::capability::CapabilityError;
use crate::stream::FrameReader;

/// Tokens that one link may present a second; each costs up to eight signature checks.
const PRESENTATIONS: Quota = Quota { bundles_per_second: 10, bytes_per_second: 64 * 1024 };
/// Heartbeats that one link may send a second; each costs one.
const HEARTBEATS: Quota = Quota { bundles_per_second: 10, bytes_per_second: 64 * 1024 };

/// Subscriptions that one link may make or end a second; each stands on the log.
const SUBSCRIPTIONS: Quota = Quota { bundles_per_second: 256, bytes_per_second: 64 * 1024 };
/// Introductions that one link may ask for a second.
const INTRODUCTIONS: Quota = Quota { bundles_per_second: 100, bytes_per_second: 64 * 1024 };
/// Receipts that one link may sign a second; each costs one signature check.
const RECEIPTS: Quota = Quota { bundles_per_second: 5_000, bytes_per_second: 64 * 1024 };

/// Control frames of any kind that one link may send a second: a receiver acknowledges at most every delivery.
const FRAMES: Quota = Quota { bundles_per_second: 20_000, bytes_per_second: 8 * 1024 * 1024 };
/// Frames after which a reader lets others run.
const TURN: u32 = 32;

/// How an agent's side of the control stream ended.
pub(super) enum Left {
    /// It said goodbye.
    Goodbye,
    /// It broke the protocol.
    Broken(&'static str),
    /// Its host has given up on it.
    Failed,
    /// The link failed.
    Lost,
    /// Another link has renewed it, and nothing is under way on it any more.
    Renewed,
}

struct Reader {
    shared: Arc<Shared>,
    link: Arc<Link>,
    presentations: Bucket,
    heartbeats: Bucket,
    subscriptions: Bucket,
    introductions: Bucket,
    receipts: Bucket,
    counter: u64,
}

/// Reads control frames until the link ends.
pub(super) async fn read(shared: Arc<Shared>, link: Arc<Link>, mut frames: FrameReader) -> Left {
    let now = shared.monotonic();
    let mut reader = Reader {
        presentations: Bucket::new(PRESENTATIONS, now),
        heartbeats: Bucket::new(HEARTBEATS, now),
        subscriptions: Bucket::new(SUBSCRIPTIONS, now),
        introductions: Bucket::new(INTRODUCTIONS, now),
        receipts: Bucket::new(RECEIPTS, now),
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
            // Of a link that was renewed this ends only what the agent has to say on it.
            FromAgent::Goodbye if self.link.line.is_over() => {
                self.link.line.part();
                None
            }
            FromAgent::Goodbye => Some(Left::Goodbye),
            FromAgent::Subscribe(want) => self.subscribe(want.topic),
            // Only what was subscribed to is noted, so it needs no quota of its own.
            FromAgent::Unsubscribe(want) => {
                let link = Line::newest(&self.link);
                subscriptions::unsubscribe(&self.shared, &link, &want.topic);
                None
            }
            FromAgent::Cancel(cancel) => {
                self.shared.requests.give_up(cancel.request, &self.link);
                None
            }
            FromAgent::Credit(credit) => {
                self.shared.requests.credit(credit, &self.link);
                None
            }
            FromAgent::Received(received) => self.receipt(received),
            FromAgent::Whois(whois) => {
                self.introduce(whois.name);
                None
            }
            FromAgent::Failed => Some(Left::Failed),
            FromAgent::Trusts(Trusts { number }) if number > self.shared.roots.number() => {
                Some(Left::Broken("a trust statement that was never made"))
            }
            FromAgent::Trusts(Trusts { number }) => {
                self.link.heard(number);
                None
            }
            FromAgent::Renew(Renew { csr }) => {
                self.renew(csr);
                None
            }
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
        let keep = |link: &Link| {
            let mut judging = link.judging.lock().map_err(|_| Refusal::GuardFault)?;
            // Under the lock: an authority that was retired meanwhile has had its tokens taken from the link by now.
            if !meaning.is_by(&self.shared.roots.load().tokens) {
                return Err(Refusal::Unauthorised);
            }
            judging.tokens.keep(&token, meaning.clone());
            Ok(())
        };
        // What is shown while another link renews this one counts on both.
        if self.link.line.is_over() {
            keep(self.link.present())?;
        }
        keep(&self.link)
    }

    /// Beside the control stream, for an issuer may be slow; but one at a time.
    fn renew(&self, csr: Option<ByteBuf>) {
        if !certifier::may_renew(&self.shared, &self.link) {
            return self.link.tell(FromNode::Renewed(certifier::refused(Refusal::OverQuota)));
        }
        let (shared, link) = (self.shared.clone(), self.link.clone());
        tokio::spawn(async move {
            let renewed = certifier::renew(&shared, &link, csr.as_deref().map(Vec::as_slice)).await;
            link.tell(FromNode::Renewed(renewed));
        });
    }

    fn subscribe(&mut self, topic: Resource) -> Option<Left> {
        // Asking again for what it has costs nothing and changes nothing.
        let link = Line::newest(&self.link);
        let has = subscriptions::has(&link, &topic);
        let allowed = if has { Ok(()) } else { self.subscriptions.take(0, self.shared.monotonic()) };
        match allowed {
            Ok(()) => subscriptions::subscribe(&self.shared, &self.link, topic, &link),
            Err(refusal) => {
                self.link.tell(FromNode::Subscribed(Subscribed { topic, refusal: Some(refusal) }));
            }
        }
        None
    }

    /// A certificate says no more than every message does: a name and a key.
    fn introduce(&mut self, name: AgentName) {
        let allowed = self.introductions.take(0, self.shared.monotonic()).is_ok();
        let other = allowed.then(|| self.shared.routes().get(&name).cloned()).flatten();
        let nobody = || FromNode::Introduced(Introduced { name, chain: Vec::new() });
        self.link.tell(other.map_or_else(nobody, |other| other.introduction()));
    }

    /// A receiver signs for what it was given, once, and for nothing else (threat A66).
    fn receipt(&mut self, received: Received) -> Option<Left> {
        let forged = Some(Left::Broken("a receipt for what it was not given"));
        if self.receipts.take(0, self.shared.monotonic()).is_err() {
            return Some(Left::Broken("a flood of receipts"));
        }
        let mut signed = Vec::with_capacity(received.messages.len());
        for (lane, delivery, position) in &received.messages {
            let outbox = self.link.outboxes.get(*lane);
            let Some(one) = outbox.and_then(|outbox| outbox.sign_for(*delivery, *position)) else {
                return forged;
            };
            signed.push(one);
        }
        let Some((sender, _, _)) = signed.first().cloned() else { return forged };
        let digests: Vec<_> = signed.iter().map(|(_, _, digest)| *digest).collect();
        let peer = &self.link.peer;
        let of_one = signed.iter().all(|(other, _, _)| other.peer.session == received.session);
        if !of_one
            || !is_received(&received.signature, &peer.holder.key, &peer.swarm, &received.session, &digests)
        {
            return forged;
        }
        let (receiver, signature) = (peer.holder.name, received.signature);
        let messages = signed.iter().map(|(_, message, _)| *message).collect();
        sender.signed(&self.link, Delivered { receiver, messages, signature });
        None
    }

    fn acknowledge(&self, acknowledge: &Acknowledge) -> Option<Left> {
        let outbox = self.link.outboxes.get(acknowledge.lane);
        let done = outbox.and_then(|outbox| outbox.acknowledge(acknowledge.upto, &acknowledge.refused));
        let Some(done) = done else {
            return Some(Left::Broken("an acknowledgement of what was never delivered"));
        };
        for (parcel, verdicts) in &done {
            self.shared.finish_parcel(&self.link, parcel, verdicts);
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
            Self::Failed => "the agent failed too often",
            Self::Broken(what) => what,
            Self::Lost => "the link failed",
            Self::Renewed => CloseReason::Renewed.as_str(),
        }
    }

    /// Closes the connection accordingly.
    pub(super) fn close(&self, link: &Link) {
        match self {
            Self::Goodbye => link.connection.close(0_u32.into(), b"goodbye"),
            Self::Failed => link.close(CloseReason::Revoked(RevocationCause::Failed)),
            Self::Broken(_) => link.close(CloseReason::Protocol),
            // Half a link is none: without this its route would stay until the lease ends.
            Self::Lost => link.close(CloseReason::Protocol),
            Self::Renewed => link.close(CloseReason::Renewed),
        }
    }
}

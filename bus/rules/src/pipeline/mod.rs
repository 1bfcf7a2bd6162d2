//! The way of a message through the node, as types: each stage takes the proof of the one before and
//! returns its own, which only this module can make.
//!
//! `Decoded -> Bound -> Admitted -> Fresh -> Verified -> Authorised -> Inspected`. A refusal of the whole
//! bundle ends the way; a refusal of one envelope is kept beside it and the rest go on. What follows,
//! *reserve*, *record* and *hand over*, needs queues and disks and is the bus's part; it can start only
//! from [`Inspected`]. Knows no clock, no socket, no registry: they come in as arguments.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use testudo_wire::standing::Standings;
use testudo_wire::{
    AgentName, Bundle, BundleError, Capability, ContentType, Destination, Envelope, Holder, Item, Limits,
    MessageId, Refusal, SessionId, SwarmId, Timestamp, TokenId,
};

use crate::inspect::{Alert, Inspector};
use crate::quota::Bucket;
use crate::replay::{LinkWindows, fresh};
use crate::token::Meaning;

mod content;

pub use content::{Inspecting, Pair, Read, Turn};

/// Who is at the other end of a link, as its certificate and the welcome say.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The swarm.
    pub swarm: SwarmId,
    /// Name and key of the certificate.
    pub holder: Holder,
    /// The session of the welcome.
    pub session: SessionId,
}

/// The tokens that a link has presented.
pub trait Tokens {
    /// What the token means, if this link showed it.
    fn meaning(&self, id: &TokenId) -> Option<&Meaning>;
}

/// The requests that wait for an answer.
pub trait OpenRequests {
    /// Under which capability `requester` asked `replier` with this message, if it still waits.
    fn asked(&self, request: &MessageId, requester: &AgentName, replier: &AgentName) -> Option<Capability>;
}

/// What was decided about one envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It may go on, perhaps with alerts of severity medium.
    Allowed {
        /// What the content guard noticed.
        alerts: Vec<Alert>,
    },
    /// It goes no further.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What the content guard found, when it was the content.
        alerts: Vec<Alert>,
    },
}

impl Verdict {
    const fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, alerts: Vec::new() }
    }

    /// Whether it may go on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// Alerts of an envelope that goes on, or why it does not, and what was found in it.
type Decision = Result<Vec<Alert>, (Refusal, Vec<Alert>)>;

/// A whole bundle and the verdicts so far, by position.
#[derive(Debug)]
struct Judged {
    bundle: Bundle,
    verdicts: Vec<Verdict>,
    /// The node's own agent, once standings were asked.
    resident: Option<AgentName>,
}

impl Judged {
    /// The envelopes that may go on, with position.
    fn allowed(&self) -> impl Iterator<Item = (usize, &Envelope)> {
        self.bundle.items().iter().zip(&self.verdicts).enumerate().filter_map(|(at, (item, verdict))| {
            match item {
                Item::Envelope(envelope) if verdict.is_allowed() => Some((at, envelope)),
                Item::Envelope(_) | Item::Pruned { .. } => None,
            }
        })
    }

    /// Decides again about every envelope that is still allowed.
    fn narrow(&mut self, decide: impl FnMut(&Envelope) -> Decision) {
        self.narrow_within(0..usize::MAX, decide);
    }

    /// The same for these positions.
    fn narrow_within(&mut self, positions: Range<usize>, mut decide: impl FnMut(&Envelope) -> Decision) {
        let all = self.bundle.envelopes().zip(&mut self.verdicts);
        for (envelope, verdict) in all.take(positions.end).skip(positions.start) {
            let Verdict::Allowed { alerts } = verdict else { continue };
            match decide(envelope) {
                Ok(more) => alerts.extend(more),
                Err((refusal, alerts)) => *verdict = Verdict::Refused { refusal, alerts },
            }
        }
    }
}

/// Bytes that are the one encoding of a whole bundle.
#[derive(Debug)]
pub struct Decoded(Judged);
/// The sender and key are the link's, in good standing; the session is the link's.
#[derive(Debug)]
pub struct Bound(Judged);
/// Within the sender's quota.
#[derive(Debug)]
pub struct Admitted(Judged);
/// Stale envelopes are refused.
#[derive(Debug)]
pub struct Fresh(Judged);
/// Signed by the sender; no sequence was seen before.
#[derive(Debug)]
pub struct Verified(Judged);
/// Covered by what the token means.
#[derive(Debug)]
pub struct Authorised(Judged);
/// The content was vetted.
///
/// There is one way to it, through every stage:
///
/// ```
/// # use std::time::Duration;
/// # use testudo_rules::{inspect::*, pipeline::*, quota::Bucket, replay::LinkWindows};
/// # use testudo_wire::{Refusal, Timestamp, standing::Standings};
/// # fn way<W: Tokens + OpenRequests + Standings>(
/// #     decoded: Decoded, peer: &Peer, world: &W, bucket: &mut Bucket, windows: &mut LinkWindows,
/// #     inspector: &Inspector, tails: &mut Context<Pair>, monotonic: Duration, now: Timestamp,
/// # ) -> Result<Inspected, Refusal> {
/// let bound = decoded.bind(peer, 0, world)?;
/// let verified = bound.admit(bucket, monotonic)?.fresh(now, None).verify(peer, windows)?;
/// Ok(verified.authorise(peer, world, world, world, now).inspect(inspector, tails))
/// # }
/// ```
///
/// No stage can be left out, and no proof can be made by hand or used twice:
///
/// ```compile_fail,E0599
/// # use testudo_rules::{inspect::*, pipeline::*};
/// fn without_authority(verified: Verified, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
///     verified.inspect(inspector, tails)
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use testudo_rules::{pipeline::*, replay::LinkWindows};
/// # use testudo_wire::Refusal;
/// fn without_quota(bound: Bound, peer: &Peer, windows: &mut LinkWindows) -> Result<Verified, Refusal> {
///     bound.verify(peer, windows)
/// }
/// ```
///
/// ```compile_fail,E0423
/// # use testudo_rules::pipeline::*;
/// fn by_hand(authorised: Authorised) -> Inspected {
///     Inspected(authorised.0)
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use testudo_rules::{inspect::*, pipeline::*};
/// fn twice(authorised: Authorised, inspector: &Inspector, tails: &mut Context<Pair>) -> [Inspected; 2] {
///     [authorised.inspect(inspector, tails), authorised.inspect(inspector, tails)]
/// }
/// ```
#[derive(Debug)]
pub struct Inspected(Judged);

impl Decoded {
    /// Decodes what an agent sent. Agents send whole bundles: a pruned one is malformed.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::Oversized`].
    pub fn of(bytes: Bytes, limits: &Limits) -> Result<Self, Refusal> {
        let bundle = Bundle::decode(bytes, limits).map_err(|error| match error {
            BundleError::TooLarge => Refusal::Oversized,
            BundleError::Header(_) | BundleError::Shape | BundleError::Mixed => Refusal::Malformed,
        })?;
        if !bundle.is_whole() {
            return Err(Refusal::Malformed);
        }
        let allowed = Verdict::Allowed { alerts: Vec::new() };
        let verdicts = vec![allowed; bundle.items().len()];
        Ok(Self(Judged { bundle, verdicts, resident: None }))
    }

    /// How many messages it holds.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.0.verdicts.len()
    }

    /// Compares with the link, and with the lane on which it came. The first envelope speaks for all, which
    /// decoding made sure of.
    ///
    /// # Errors
    /// [`Refusal::WrongPeer`], [`Refusal::WrongSession`], [`Refusal::Revoked`], or [`Refusal::Malformed`] for
    /// another lane.
    pub fn bind(self, peer: &Peer, lane: u8, standings: &dyn Standings) -> Result<Bound, Refusal> {
        let header = self.0.bundle.first().map_err(|_| Refusal::Malformed)?;
        if header.swarm != peer.swarm
            || header.sender != peer.holder.name
            || header.key != *peer.holder.key.as_bytes()
        {
            return Err(Refusal::WrongPeer);
        }
        if header.lane != lane {
            return Err(Refusal::Malformed);
        }
        if header.session != peer.session {
            return Err(Refusal::WrongSession);
        }
        if !standings.is_good(&peer.holder, testudo_wire::RegistrySequence(u64::MAX)) {
            return Err(Refusal::Revoked);
        }
        Ok(Bound(self.0))
    }
}

impl Bound {
    /// Takes the bundle's cost from the sender's bucket.
    ///
    /// # Errors
    /// [`Refusal::OverQuota`].
    pub fn admit(self, bucket: &mut Bucket, monotonic: Duration) -> Result<Admitted, Refusal> {
        bucket.take(self.0.bundle.bytes().len(), monotonic)?;
        Ok(Admitted(self.0))
    }
}

impl Admitted {
    /// Refuses envelopes that are not of now. While it is not known which of two times it is, either will do: what keeps
    /// replays out is not the time but the sequence.
    #[must_use]
    pub fn fresh(mut self, now: Timestamp, also: Option<Timestamp>) -> Fresh {
        self.0.narrow(|envelope| {
            let of = |now| fresh(envelope.header().timestamp, now);
            let found = of(now).or_else(|refusal| also.map_or(Err(refusal), of));
            found.map(|()| Vec::new()).map_err(|r| (r, Vec::new()))
        });
        Fresh(self.0)
    }
}

impl Fresh {
    /// Checks the signature, and only then records the sequences. A duplicate with a bad signature
    /// answers as any bad signature.
    ///
    /// # Errors
    /// [`Refusal::Unauthentic`].
    pub fn verify(mut self, peer: &Peer, windows: &mut LinkWindows) -> Result<Verified, Refusal> {
        if !self.0.bundle.is_signed_by(&peer.holder.key) {
            return Err(Refusal::Unauthentic);
        }
        self.0.narrow(|envelope| {
            let header = envelope.header();
            windows.record(header.lane, header.sequence).map(|()| Vec::new()).map_err(|r| (r, Vec::new()))
        });
        Ok(Verified(self.0))
    }
}

impl Verified {
    /// Compares each envelope with its token and the token with the registry.
    #[must_use]
    pub fn authorise(
        mut self,
        peer: &Peer,
        tokens: &dyn Tokens,
        requests: &dyn OpenRequests,
        standings: &dyn Standings,
        now: Timestamp,
    ) -> Authorised {
        self.0.resident = standings.resident();
        // Envelopes of a bundle mostly share token, capability and destination: ask once.
        let mut last: Option<(Asked, Result<(), Refusal>)> = None;
        self.0.narrow(|envelope| {
            let header = envelope.header();
            let opaque = Inspector::is_opaque(header.content_type.as_str());
            let asked = (header.token, header.capability, header.destination, opaque);
            let answer = match &last {
                // Replies are about one request each: never the same question twice.
                Some((before, answer)) if *before == asked && header.capability.is_some() => *answer,
                Some(_) | None => authorise(envelope, peer, tokens, requests, standings, now),
            };
            last = Some((asked, answer));
            answer.map(|()| Vec::new()).map_err(|refusal| (refusal, Vec::new()))
        });
        Authorised(self.0)
    }
}

/// What is asked of a token; also whether the body is of a type that is not read as text.
type Asked = (TokenId, Option<Capability>, Destination, bool);

/// One envelope against its token: held by the sender, all holders in good standing, covering what is
/// asked, and not the own authority of an agent that has none. A reply needs no right but an open request.
fn authorise(
    envelope: &Envelope,
    peer: &Peer,
    tokens: &dyn Tokens,
    requests: &dyn OpenRequests,
    standings: &dyn Standings,
    now: Timestamp,
) -> Result<(), Refusal> {
    let header = envelope.header();
    let meaning = tokens.meaning(&header.token).ok_or(Refusal::Unauthorised)?;
    if *meaning.holder() != peer.holder || meaning.swarm() != peer.swarm {
        return Err(Refusal::Unauthorised);
    }
    meaning.standing(standings)?;
    let content_type = &header.content_type;
    match (&header.destination, &header.capability, &header.in_reply_to) {
        (Destination::Reply(requester), _, Some(request)) => {
            meaning.alive(now)?;
            let asked = requests.asked(request, requester, &peer.holder.name);
            may_be_opaque(meaning, content_type, &asked.ok_or(Refusal::Unauthorised)?, Some(requester), now)
        }
        (Destination::Agent(name), Some(capability), _) => {
            meaning.covers(capability, Some(name), now)?;
            may_be_opaque(meaning, content_type, capability, Some(name), now)?;
            carries_authority(meaning, standings)?;
            // Before the content: names that nobody has must not fill what the guard remembers of pairs.
            if standings.knows(name) { Ok(()) } else { Err(Refusal::Unroutable) }
        }
        (Destination::Service | Destination::Topic(_), Some(capability), _) => {
            meaning.covers(capability, None, now)?;
            may_be_opaque(meaning, content_type, capability, None, now)?;
            carries_authority(meaning, standings)
        }
        (Destination::Reply(_), _, None) | (_, None, _) => Err(Refusal::Malformed),
    }
}

/// A body of a type that is not read as text needs a right of its own, whatever the message may do: nobody gets
/// past the content guard by calling a text an image.
///
/// # Errors
/// What the token says of `opaque:<resource>`, `capability` being `<verb>:<resource>`.
pub(crate) fn may_be_opaque(
    meaning: &Meaning,
    content_type: &ContentType,
    capability: &Capability,
    destination: Option<&AgentName>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !Inspector::is_opaque(content_type.as_str()) {
        return Ok(());
    }
    meaning.covers(&capability.opaque().ok_or(Refusal::Unauthorised)?, destination, now)
}

/// Refuses the own token of an agent that acts only under delegated ones. Whose it was first counts, not who
/// holds it: else the agent could hand its token to itself, or to an accomplice, and act under that.
fn carries_authority(meaning: &Meaning, standings: &dyn Standings) -> Result<(), Refusal> {
    if standings.is_delegated_only(&meaning.origin().name) { Err(Refusal::Unauthorised) } else { Ok(()) }
}

impl Authorised {
    /// The requests that its messages answer.
    pub fn answers(&self) -> impl Iterator<Item = MessageId> {
        self.0.bundle.envelopes().filter_map(|envelope| envelope.header().in_reply_to)
    }
}

impl Inspected {
    /// The bundle.
    #[must_use]
    pub const fn bundle(&self) -> &Bundle {
        &self.0.bundle
    }

    /// The verdicts by position.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.0.verdicts
    }

    /// The envelopes that may go on, with position.
    pub fn allowed(&self) -> impl Iterator<Item = (usize, &Envelope)> {
        self.0.allowed()
    }

    /// Refuses one more envelope: the later stages may only narrow.
    pub fn refuse(&mut self, position: usize, refusal: Refusal) {
        if let Some(verdict) = self.0.verdicts.get_mut(position).filter(|verdict| verdict.is_allowed()) {
            *verdict = Verdict::refused(refusal);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

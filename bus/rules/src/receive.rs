//! What a receiver checks again before its handler runs: it trusts the node for nothing but transport.
//!
//! Path and signature, swarm, that the destination names it, time, its own window, the token chain under
//! its trusted authority keys with the sender's key as last holder, capability, known revocations. The
//! sender's key comes from the token, not from the node. Pure: clock, tokens and revocations are arguments.

use std::sync::Arc;

use bytes::Bytes;
use testudo_wire::standing::Standings;
use testudo_wire::{
    AgentName, Bundle, Destination, Envelope, Header, Holder, Limits, MessageId, PublicKey, Refusal, SwarmId,
    Timestamp,
};

use crate::pipeline::{Tokens, may_be_opaque};
use crate::replay::{ReceiverWindows, fresh};

/// What a receiver holds against a delivery.
#[expect(missing_debug_implementations, reason = "borrows of trait objects")]
pub struct Receiver<'a> {
    /// Its swarm.
    pub swarm: SwarmId,
    /// Its name.
    pub name: AgentName,
    /// Tokens it has read under its trusted authority keys.
    pub tokens: &'a dyn Tokens,
    /// What it was told of revocations.
    pub standings: &'a dyn Standings,
    /// Whether it waits for an answer to this request, from this agent.
    pub awaits: &'a dyn Fn(&MessageId, &AgentName) -> bool,
    /// The sizes of the wire.
    pub limits: Limits,
}

/// An envelope that this receiver has verified. Only [`Receiver::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Vetted {
    envelope: Envelope,
    origin: Arc<Origin>,
}

/// Where the messages of one bundle come from.
#[derive(Debug)]
struct Origin {
    bundle: Bytes,
    sender: Holder,
}

impl Vetted {
    /// The message.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The bundle that it came in, whole or pruned: it shows, to whoever has the sender's key, what the sender signed.
    #[must_use]
    pub fn bundle(&self) -> &Bytes {
        &self.origin.bundle
    }

    /// Who sent it, as its token proves.
    #[must_use]
    pub fn sender(&self) -> &Holder {
        &self.origin.sender
    }
}

impl Receiver<'_> {
    /// Verifies a whole or pruned bundle. The answer has one entry for each envelope it carries.
    ///
    /// # Errors
    /// The refusal of the bundle: malformed, unauthorised (no token), unauthentic.
    pub fn verify(
        &self,
        bundle: Bytes,
        windows: &mut ReceiverWindows,
        now: Timestamp,
    ) -> Result<Vec<Result<Vetted, Refusal>>, Refusal> {
        let bundle = Bundle::decode(bundle, &self.limits).map_err(|_| Refusal::Malformed)?;
        self.verify_decoded(&bundle, &Bundle::is_signed_by, windows, now)
    }

    /// The same of a bundle that was decoded, and so hashed, elsewhere. `is_signed` answers as [`Bundle::is_signed_by`]
    /// does, if it may be from memory.
    ///
    /// # Errors
    /// The refusal of the bundle: malformed, unauthorised (no token), unauthentic.
    pub fn verify_decoded(
        &self,
        bundle: &Bundle,
        is_signed: &dyn Fn(&Bundle, &PublicKey) -> bool,
        windows: &mut ReceiverWindows,
        now: Timestamp,
    ) -> Result<Vec<Result<Vetted, Refusal>>, Refusal> {
        let first = bundle.first().map_err(|_| Refusal::Malformed)?;
        let sender = *self.tokens.meaning(&first.token).ok_or(Refusal::Unauthorised)?.holder();
        if first.swarm != self.swarm || first.sender != sender.name || first.key != *sender.key.as_bytes() {
            return Err(Refusal::WrongPeer);
        }
        if !is_signed(bundle, &sender.key) {
            return Err(Refusal::Unauthentic);
        }
        let origin = Arc::new(Origin { bundle: bundle.bytes().clone(), sender });
        // Messages of a bundle mostly ask the same: look once.
        let mut last: Option<(&Header, Result<(), Refusal>)> = None;
        let judged = bundle.envelopes().map(|envelope| {
            let header = envelope.header();
            fresh(header.timestamp, now)?;
            let answer = match last {
                Some((before, answer)) if asks_the_same(before, header) => answer,
                Some(_) | None => self.judge(header, &sender, now),
            };
            last = Some((header, answer));
            answer?;
            let Header { session, lane, sequence, timestamp, .. } = header;
            windows.record(&sender.key, *session, *lane, *sequence, *timestamp, now)?;
            Ok(Vetted { envelope: envelope.clone(), origin: origin.clone() })
        });
        Ok(judged.collect())
    }

    /// Everything about one message that changes no state, but for its time.
    fn judge(&self, header: &Header, sender: &Holder, now: Timestamp) -> Result<(), Refusal> {
        let meaning = self.tokens.meaning(&header.token).ok_or(Refusal::Unauthorised)?;
        if meaning.holder() != sender || meaning.swarm() != self.swarm {
            return Err(Refusal::Unauthorised);
        }
        meaning.standing(self.standings)?;
        match (&header.destination, &header.capability, &header.in_reply_to) {
            (Destination::Agent(name), Some(capability), _) if *name == self.name => {
                meaning.covers(capability, Some(name), now)?;
                may_be_opaque(meaning, &header.content_type, capability, Some(name), now)
            }
            (Destination::Service | Destination::Topic(_), Some(capability), _) => {
                meaning.covers(capability, None, now)?;
                may_be_opaque(meaning, &header.content_type, capability, None, now)
            }
            (Destination::Reply(name), None, Some(request)) if *name == self.name => {
                meaning.alive(now)?;
                if (self.awaits)(request, &sender.name) { Ok(()) } else { Err(Refusal::Unauthorised) }
            }
            (
                Destination::Agent(_) | Destination::Reply(_) | Destination::Service | Destination::Topic(_),
                ..,
            ) => Err(Refusal::Unroutable),
        }
    }
}

/// Whether two messages of one bundle get the same answer. Replies are about one request each.
fn asks_the_same(one: &Header, other: &Header) -> bool {
    one.capability.is_some()
        && (one.in_reply_to, one.token) == (None, other.token)
        && other.in_reply_to.is_none()
        && one.destination == other.destination
        && one.capability == other.capability
        && one.content_type == other.content_type
}

#[cfg(test)]
mod tests;

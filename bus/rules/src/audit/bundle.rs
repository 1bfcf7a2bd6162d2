//! What the record of a bundle is written from, borrowed from where it is known: the guard has each envelope at hand, and
//! a copy of it for the log would be made and dropped for every message.

use testudo_wire::{
    AgentName, Capability, CorrelationId, Destination, Digest, MessageId, PublicKey, Sequence, SessionId,
};

use super::Note;
use super::record::{EnvelopeRecord, TraceId, Verdict, Verdicts};

/// What all envelopes of a bundle share.
#[derive(Clone, Copy, Debug)]
pub struct BundleHead {
    /// The link's session.
    pub session: SessionId,
    /// Who sent it.
    pub sender: AgentName,
    /// The key that signed it.
    pub key: PublicKey,
    /// The lane it came on.
    pub lane: u8,
    /// The root that was signed.
    pub root: Digest,
}

impl BundleHead {
    pub(super) const fn of(verdicts: &Verdicts) -> Self {
        let Verdicts { session, sender, key, lane, root, envelopes: _ } = verdicts;
        Self { session: *session, sender: *sender, key: *key, lane: *lane, root: *root }
    }
}

/// The verdict on one envelope: an [`EnvelopeRecord`] that owns nothing. `P` says where to, `V` what was decided.
#[derive(Clone, Debug)]
pub struct EnvelopeView<'a, P, V> {
    /// Its id.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Its number in session and lane.
    pub sequence: Sequence,
    /// Where to.
    pub destination: P,
    /// What was asked for; `None` for a reply.
    pub capability: Option<&'a Capability>,
    /// The piece of work it belongs to.
    pub correlation: CorrelationId,
    /// Its W3C trace id.
    pub trace: Option<TraceId>,
    /// What was decided.
    pub verdict: V,
}

impl EnvelopeRecord {
    pub(super) const fn view(&self) -> EnvelopeView<'_, &Note, &Verdict> {
        EnvelopeView {
            message: self.message,
            digest: self.digest,
            sequence: self.sequence,
            destination: &self.destination,
            capability: self.capability.as_ref(),
            correlation: self.correlation,
            trace: self.trace,
            verdict: &self.verdict,
        }
    }
}

/// Where an envelope goes, in a form that can be spelt out.
pub trait Spelt: PartialEq {
    /// As the log writes it.
    fn spelt(&self) -> Note;
}

impl Spelt for &Note {
    fn spelt(&self) -> Note {
        Note::clone(self)
    }
}

impl Spelt for &Destination {
    fn spelt(&self) -> Note {
        EnvelopeRecord::destination_note(self)
    }
}

/// What a record of a bundle came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Its messages.
    pub messages: u64,
    /// The copies that an outcome will follow of.
    pub copies: u64,
}

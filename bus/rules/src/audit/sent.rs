//! What a receiver can show without the node: the bundle that it was given, signed by its sender, is the one of a
//! record that stands on the log.

use testudo_wire::{AgentName, Bundle, Digest, MessageId, SwarmId};

use super::proof::Proven;
use super::record::{Event, Verdict};

/// A message of the bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// Its id.
    pub message: MessageId,
    /// Its digest.
    pub digest: Digest,
    /// What the log says was decided on it.
    pub verdict: Verdict,
}

/// Why a bundle is not shown to be what the log records.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotSent {
    /// The record is of other messages.
    #[error("the record is not that of this bundle")]
    AnotherBundle,
    /// The record names another key as the one that signed it, or nobody did.
    #[error("the bundle is not signed by the key that the record names")]
    NotSigned,
    /// The record is no verdict.
    #[error("the record is no verdict on messages; prove the one of a message's id")]
    NoVerdicts,
    /// Of another swarm than the log.
    #[error("the bundle is of another swarm")]
    OtherSwarm,
}

impl Proven {
    /// What this bundle, whole or pruned, shows together with the proved record: who sent which messages, and what
    /// the node decided on them.
    ///
    /// # Errors
    /// [`NotSent`].
    pub fn shows(&self, bundle: &Bundle, swarm: &SwarmId) -> Result<(AgentName, Vec<Sent>), NotSent> {
        let Event::Verdicts(verdicts) = &self.record.event else { return Err(NotSent::NoVerdicts) };
        let first = bundle.first().map_err(|_| NotSent::NotSigned)?;
        if first.swarm != *swarm {
            return Err(NotSent::OtherSwarm);
        }
        // The root covers every message, and is signed with key and session.
        if bundle.root() != verdicts.root
            || first.session != verdicts.session
            || first.sender != verdicts.sender
        {
            return Err(NotSent::AnotherBundle);
        }
        if !bundle.is_signed_by(&verdicts.key) {
            return Err(NotSent::NotSigned);
        }
        let sent = bundle.envelopes().map(|envelope| {
            let (message, digest) = (envelope.header().message, envelope.digest());
            let is = |one: &&super::EnvelopeRecord| one.message == message && one.digest == digest;
            let record = verdicts.envelopes.iter().find(is).ok_or(NotSent::AnotherBundle)?;
            Ok(Sent { message, digest, verdict: record.verdict.clone() })
        });
        Ok((verdicts.sender, sent.collect::<Result<_, _>>()?))
    }
}

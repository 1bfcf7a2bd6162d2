//! Verdicts as earlier nodes wrote them: what an envelope shares with the one before it stands there once.
//!
//! Read, and encoded only to see that what was read is the one encoding. Still earlier ones hold `verdicts` with every
//! envelope whole; today's are `columns`.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use testudo_wire::canonical::{self, CanonicalError, Writer};
use testudo_wire::{
    AgentName, Capability, CorrelationId, Digest, MessageId, PublicKey, RegistrySequence, Sequence,
    SessionId, Timestamp,
};

use super::Note;
use super::bundle::BundleHead;
use super::columns::{self, ENVELOPES_MAX};
use super::record::{EnvelopeRecord, NOTES_MAX, Record, TraceId, Verdict, Verdicts, limits};

/// What the event is called on the log.
const TAG: &str = "bundle";
/// Elements of an envelope that says everything.
const WHOLE: u16 = 8;

/// Appends the payload of verdicts, as it was written.
pub(super) fn encode(
    at: Timestamp,
    registry: RegistrySequence,
    verdicts: &Verdicts,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    let elements = u16::try_from(verdicts.envelopes.len()).map_err(|_| CanonicalError::Limit)?;
    let mut writer = Writer::over(std::mem::take(out));
    columns::begin(&mut writer, (at, registry), &BundleHead::of(verdicts), TAG, 6);
    writer.array(elements);
    let mut before: Option<&EnvelopeRecord> = None;
    for envelope in &verdicts.envelopes {
        match before {
            Some(before) if follows(envelope, before) => short(&mut writer, envelope, before),
            Some(_) | None => whole(&mut writer, envelope),
        }
        before = Some(envelope);
    }
    *out = writer.into_bytes();
    Ok(())
}

/// Whether all but its ids is what the one before it says, and its number the next.
fn follows(envelope: &EnvelopeRecord, before: &EnvelopeRecord) -> bool {
    before.sequence.0.checked_add(1) == Some(envelope.sequence.0)
        && envelope.trace == before.trace
        && envelope.verdict == before.verdict
        && envelope.destination == before.destination
        && envelope.capability == before.capability
}

/// Ids alone: message, digest, and the correlation where that is another one.
fn short(writer: &mut Writer, envelope: &EnvelopeRecord, before: &EnvelopeRecord) {
    let is_same = envelope.correlation == before.correlation;
    writer.array(if is_same { 2 } else { 3 });
    writer.bin(envelope.message.as_bytes());
    writer.bin(envelope.digest.as_bytes());
    if !is_same {
        writer.bin(envelope.correlation.as_bytes());
    }
}

fn whole(writer: &mut Writer, envelope: &EnvelopeRecord) {
    writer.array(WHOLE);
    writer.bin(envelope.message.as_bytes());
    writer.bin(envelope.digest.as_bytes());
    writer.bin(envelope.correlation.as_bytes());
    columns::way(writer, &envelope.view());
    match &envelope.trace {
        Some(trace) => writer.bin(trace.as_bytes()),
        None => writer.nil(),
    }
    columns::verdict(writer, &envelope.view());
}

#[derive(Deserialize)]
struct Packed(Timestamp, RegistrySequence, PackedEvent);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedEvent {
    Bundle(SessionId, AgentName, PublicKey, u8, Digest, Vec<Envelope>),
}

/// An envelope as it stands: its ids, and the rest where that is not what the one before it says.
struct Envelope {
    message: MessageId,
    digest: Digest,
    correlation: Option<CorrelationId>,
    rest: Option<Rest>,
}

struct Rest {
    sequence: Sequence,
    destination: Note,
    capability: Option<Capability>,
    trace: Option<TraceId>,
    verdict: Verdict,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Envelope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope of 2, 3 or 8 elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Envelope, A::Error> {
                let message = need(&mut of)?;
                let digest = need(&mut of)?;
                let correlation = of.next_element()?;
                let rest = match of.next_element()? {
                    None => None,
                    Some(sequence) => Some(Rest {
                        sequence,
                        destination: need(&mut of)?,
                        capability: need(&mut of)?,
                        trace: need(&mut of)?,
                        verdict: need(&mut of)?,
                    }),
                };
                Ok(Envelope { message, digest, correlation, rest })
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

fn need<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(of: &mut A) -> Result<T, A::Error> {
    of.next_element()?.ok_or_else(|| A::Error::custom("an envelope ends early"))
}

/// Whether a payload is one of these; which it is then is not said.
pub(super) fn is_packed(payload: &[u8]) -> bool {
    columns::tag(payload).is_some_and(|tag| tag == TAG.as_bytes())
}

/// Reads the payload of verdicts.
///
/// # Errors
/// [`CanonicalError`] for anything but what [`encode`] makes.
pub(super) fn decode(payload: &[u8]) -> Result<Record, CanonicalError> {
    canonical::check(payload, &limits())?;
    let packed = rmp_serde::from_read(std::io::Cursor::new(payload));
    let Packed(at, registry, event) = packed.map_err(|_| CanonicalError::Unexpected)?;
    let PackedEvent::Bundle(session, sender, key, lane, root, packed) = event;
    // What repeats is copied: a short payload must not become a long record.
    if packed.len() > ENVELOPES_MAX {
        return Err(CanonicalError::Limit);
    }
    let mut envelopes = Vec::with_capacity(packed.len());
    for envelope in packed {
        let whole = unpacked(envelope, envelopes.last()).ok_or(CanonicalError::Unexpected)?;
        envelopes.push(whole);
    }
    let verdicts = Verdicts { session, sender, key, lane, root, envelopes };
    columns::as_encoded((at, registry), verdicts, payload, encode)
}

/// The whole of an envelope; `None` for one that repeats where there is nothing before it.
fn unpacked(envelope: Envelope, before: Option<&EnvelopeRecord>) -> Option<EnvelopeRecord> {
    let Envelope { message, digest, correlation, rest } = envelope;
    let correlation = correlation.or_else(|| before.map(|before| before.correlation))?;
    let rest = match (rest, before) {
        (Some(rest), _) if rest.verdict.is_noted_within(NOTES_MAX) => rest,
        (Some(_), _) => return None,
        (None, Some(before)) => Rest {
            sequence: Sequence(before.sequence.0.checked_add(1)?),
            destination: before.destination.clone(),
            capability: before.capability,
            trace: before.trace,
            verdict: before.verdict.clone(),
        },
        (None, None) => return None,
    };
    let Rest { sequence, destination, capability, trace, verdict } = rest;
    Some(EnvelopeRecord { message, digest, sequence, destination, capability, correlation, trace, verdict })
}

//! Verdicts as the log holds them: what an envelope shares with the one before it stands there once.
//!
//! The record of every bundle is encoded, hashed and written before anything of it is handed over, so each byte of
//! it is waited for. [`encode_bundle`] writes into the caller's buffer and makes nothing in between. Logs of earlier nodes
//! hold `verdicts` with every envelope whole; [`super::Record::decode`] reads both.

use std::borrow::Borrow;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use testudo_wire::canonical::{self, CanonicalError, Writer};
use testudo_wire::{
    AgentName, Capability, CorrelationId, Digest, Limits, MessageId, PublicKey, RegistrySequence, Sequence,
    SessionId, Timestamp,
};

use super::Note;
use super::bundle::{BundleHead, EnvelopeView, Spelt, Written};
use super::record::{EnvelopeRecord, Event, NOTES_MAX, Record, TraceId, Verdict, Verdicts, limits};

/// What the event is called on the log.
pub(super) const TAG: &str = "bundle";
/// Elements of an envelope that says everything.
const WHOLE: u16 = 8;
/// Envelopes of one bundle, at most.
const ENVELOPES_MAX: usize = Limits::standard().bundle_envelopes_max as usize;
/// Bytes of an envelope that follows the one before it, at most; and about those of all that comes before.
const SHORT_BYTES: usize = 71;
const HEAD_BYTES: usize = 512;
/// What stands before 16 and before 32 bytes.
const BIN_16: [u8; 2] = [0xc4, 16];
const BIN_32: [u8; 2] = [0xc4, 32];

/// Appends the payload of verdicts.
pub(super) fn encode(
    at: Timestamp,
    registry: RegistrySequence,
    verdicts: &Verdicts,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    let envelopes = verdicts.envelopes.iter().map(EnvelopeRecord::view);
    encode_bundle((at, registry), &BundleHead::of(verdicts), verdicts.envelopes.len(), envelopes, out)?;
    Ok(())
}

/// Appends the payload of the record of a bundle of so many envelopes.
///
/// # Errors
/// [`CanonicalError`] for another number of envelopes, or more than a bundle has.
pub fn encode_bundle<'a, P: Spelt, V: Borrow<Verdict>>(
    (at, registry): (Timestamp, RegistrySequence),
    head: &BundleHead,
    count: usize,
    envelopes: impl IntoIterator<Item = EnvelopeView<'a, P, V>>,
    out: &mut Vec<u8>,
) -> Result<Written, CanonicalError> {
    let elements = u16::try_from(count).map_err(|_| CanonicalError::Limit)?;
    out.reserve(HEAD_BYTES + count.min(ENVELOPES_MAX) * SHORT_BYTES);
    let mut writer = Writer::over(std::mem::take(out));
    writer.array(3);
    writer.uint(at.as_millis());
    writer.uint(registry.0);
    writer.map(1);
    writer.str(TAG);
    writer.array(6);
    writer.bin(head.session.as_bytes());
    writer.str(head.sender.as_str());
    writer.bin(head.key.as_bytes());
    writer.uint(u64::from(head.lane));
    writer.bin(head.root.as_bytes());
    writer.array(elements);
    let mut written = Written::default();
    let mut before: Option<EnvelopeView<'_, P, V>> = None;
    for envelope in envelopes {
        match &before {
            Some(before) if follows(&envelope, before) => short(&mut writer, &envelope, before),
            Some(_) | None => whole(&mut writer, &envelope),
        }
        written.messages += 1;
        written.copies += u64::from(envelope.verdict.borrow().copies());
        before = Some(envelope);
    }
    *out = writer.into_bytes();
    if usize::try_from(written.messages).is_ok_and(|messages| messages == count) {
        Ok(written)
    } else {
        Err(CanonicalError::Unexpected)
    }
}

/// Whether all but its ids is what the one before it says, and its number the next.
fn follows<P: Spelt, V: Borrow<Verdict>>(
    envelope: &EnvelopeView<'_, P, V>,
    before: &EnvelopeView<'_, P, V>,
) -> bool {
    before.sequence.0.checked_add(1) == Some(envelope.sequence.0)
        && envelope.trace == before.trace
        && envelope.verdict.borrow() == before.verdict.borrow()
        && envelope.destination == before.destination
        && envelope.capability == before.capability
}

/// Ids alone: message, digest, and the correlation where that is another one.
fn short<P, V>(writer: &mut Writer, envelope: &EnvelopeView<'_, P, V>, before: &EnvelopeView<'_, P, V>) {
    // Put together here and appended at once: this is done for nearly every message.
    let mut bytes = [0; SHORT_BYTES];
    bytes[1..3].copy_from_slice(&BIN_16);
    bytes[3..19].copy_from_slice(envelope.message.as_bytes());
    bytes[19..21].copy_from_slice(&BIN_32);
    bytes[21..53].copy_from_slice(envelope.digest.as_bytes());
    if envelope.correlation == before.correlation {
        bytes[0] = 0x92;
        return writer.raw(&bytes[..53]);
    }
    bytes[0] = 0x93;
    bytes[53..55].copy_from_slice(&BIN_16);
    bytes[55..].copy_from_slice(envelope.correlation.as_bytes());
    writer.raw(&bytes);
}

fn whole<P: Spelt, V: Borrow<Verdict>>(writer: &mut Writer, envelope: &EnvelopeView<'_, P, V>) {
    writer.array(WHOLE);
    writer.bin(envelope.message.as_bytes());
    writer.bin(envelope.digest.as_bytes());
    writer.bin(envelope.correlation.as_bytes());
    writer.uint(envelope.sequence.0);
    writer.str(envelope.destination.spelt().as_str());
    match envelope.capability {
        Some(capability) => writer.str(capability.as_str()),
        None => writer.nil(),
    }
    match &envelope.trace {
        Some(trace) => writer.bin(trace.as_bytes()),
        None => writer.nil(),
    }
    writer.map(1);
    match envelope.verdict.borrow() {
        Verdict::Allowed { alerts, copies } => {
            writer.str("allowed");
            writer.array(2);
            notes(writer, alerts);
            writer.uint(u64::from(*copies));
        }
        Verdict::Refused { refusal, rules } => {
            writer.str("refused");
            writer.array(2);
            writer.uint(u64::from(u8::from(*refusal)));
            notes(writer, rules);
        }
    }
}

fn notes(writer: &mut Writer, notes: &[Note]) {
    // The rules of one envelope are 17 at most.
    writer.array(u16::try_from(notes.len()).unwrap_or(u16::MAX));
    notes.iter().for_each(|note| writer.str(note.as_str()));
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
    let mut reader = canonical::Reader::new(payload);
    let head = (reader.array(), reader.uint(), reader.uint());
    matches!(head, (Ok(3), Ok(_), Ok(_)))
        && reader
            .rest()
            .strip_prefix(&[0x81])
            .is_some_and(|event| canonical::Reader::new(event).text().is_ok_and(|tag| tag == TAG.as_bytes()))
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
    let mut again = Vec::with_capacity(payload.len());
    encode(at, registry, &verdicts, &mut again)?;
    if again != payload {
        return Err(CanonicalError::NotShortest);
    }
    Ok(Record { at, registry, event: Event::Verdicts(verdicts) })
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

//! Verdicts as the log holds them: the ids of a bundle's messages as one column, and what neighbours share once.
//!
//! The record of every bundle is encoded, hashed and written before anything of it is handed over, so each byte of
//! it is waited for. [`encode_bundle`] writes into the caller's buffer and makes next to nothing in between. Logs of
//! earlier nodes hold verdicts in two other forms, `packed` and `record`; [`super::Record::decode`] reads all.

use std::borrow::Borrow;

use serde::Deserialize;
use testudo_wire::canonical::{self, CanonicalError, Writer};
use testudo_wire::{
    AgentName, Capability, CorrelationId, Digest, Limits, MessageId, PublicKey, RegistrySequence, Sequence,
    SessionId, Timestamp,
};

use super::Note;
use super::bundle::{BundleHead, EnvelopeView, Spelt, Written};
use super::record::{EnvelopeRecord, Event, NOTES_MAX, Record, TraceId, Verdict, Verdicts, limits};

/// What the event is called on the log.
const TAG: &str = "columns";
/// Envelopes of one bundle, at most.
pub(super) const ENVELOPES_MAX: usize = Limits::standard().bundle_envelopes_max as usize;
/// Bytes of an id, and of an id and a digest.
const ID: usize = 16;
const ROW: usize = ID + 32;
/// About the bytes of all that is said once.
const HEAD_BYTES: usize = 512;

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
    when: (Timestamp, RegistrySequence),
    head: &BundleHead,
    count: usize,
    envelopes: impl IntoIterator<Item = EnvelopeView<'a, P, V>>,
    out: &mut Vec<u8>,
) -> Result<Written, CanonicalError> {
    if count > ENVELOPES_MAX {
        return Err(CanonicalError::Limit);
    }
    let rows = u16::try_from(count * ROW).map_err(|_| CanonicalError::Limit)?;
    out.reserve(HEAD_BYTES + count * (ROW + ID));
    let mut writer = Writer::over(std::mem::take(out));
    begin(&mut writer, when, head, TAG, 9);
    let mut correlations = Correlations::new(count);
    let mut traces = Traces::default();
    let mut runs = Runs::new();
    let mut written = Written::default();
    let mut envelopes = envelopes.into_iter();
    let (rows, _) = writer.bin_room(rows).as_chunks_mut::<ROW>();
    for (row, envelope) in rows.iter_mut().zip(&mut envelopes) {
        row[..ID].copy_from_slice(envelope.message.as_bytes());
        row[ID..].copy_from_slice(envelope.digest.as_bytes());
        correlations.add(&envelope.message, &envelope.correlation);
        traces.add(envelope.trace);
        written.messages += 1;
        written.copies += u64::from(envelope.verdict.borrow().copies());
        runs.add(envelope);
    }
    let is_all = written.messages == count as u64 && envelopes.next().is_none();
    correlations.end(&mut writer);
    traces.end(&mut writer);
    runs.end(&mut writer)?;
    *out = writer.into_bytes();
    if is_all { Ok(written) } else { Err(CanonicalError::Unexpected) }
}

/// What all forms begin with, up to the root; so many elements there are of the event.
pub(super) fn begin(
    writer: &mut Writer,
    (at, registry): (Timestamp, RegistrySequence),
    head: &BundleHead,
    tag: &str,
    elements: u16,
) {
    writer.array(3);
    writer.uint(at.as_millis());
    writer.uint(registry.0);
    writer.map(1);
    writer.str(tag);
    writer.array(elements);
    writer.bin(head.session.as_bytes());
    writer.str(head.sender.as_str());
    writer.bin(head.key.as_bytes());
    writer.uint(u64::from(head.lane));
    writer.bin(head.root.as_bytes());
}

/// Whose work the messages are: each its own, all the same, or one for each.
struct Correlations {
    bytes: Vec<u8>,
    own: bool,
    same: bool,
}

impl Correlations {
    fn new(count: usize) -> Self {
        Self { bytes: Vec::with_capacity(count * ID), own: true, same: true }
    }

    fn add(&mut self, message: &MessageId, correlation: &CorrelationId) {
        let correlation = correlation.as_bytes();
        self.own &= message.as_bytes() == correlation;
        self.same &= self.bytes.first_chunk::<ID>().is_none_or(|first| first == correlation);
        self.bytes.extend_from_slice(correlation);
    }

    fn end(self, writer: &mut Writer) {
        match self {
            Self { own: true, .. } => writer.nil(),
            Self { bytes, same: true, .. } => writer.bin(bytes.first_chunk::<ID>().unwrap_or(&[0; ID])),
            Self { bytes, .. } => writer.bin(&bytes),
        }
    }
}

/// The traces that messages belong to: none, all the same, or one for each, which is zero where there is none: a
/// valid trace context does not say that.
#[derive(Default)]
struct Traces {
    /// Of those from the first that has any; that and those before it.
    bytes: Vec<u8>,
    count: usize,
}

impl Traces {
    fn add(&mut self, trace: Option<TraceId>) {
        // Whoever sends it decides what it is: of zeros it is none, and must not make a record that nobody can read.
        let trace = trace.filter(|trace| *trace.as_bytes() != [0; ID]);
        if trace.is_some() || !self.bytes.is_empty() {
            self.bytes.resize(self.count * ID, 0);
            self.bytes.extend_from_slice(trace.map_or([0; ID], |trace| *trace.as_bytes()).as_slice());
        }
        self.count += 1;
    }

    fn end(self, writer: &mut Writer) {
        let (ids, _) = self.bytes.as_chunks::<ID>();
        match ids {
            [] => writer.nil(),
            [first, rest @ ..] if rest.iter().all(|id| id == first) => writer.bin(first),
            _ => writer.bin(&self.bytes),
        }
    }
}

/// Envelopes of which each says what the one before it says, with the next number.
struct Runs<'a, P, V> {
    /// What was written of those before.
    writer: Writer,
    runs: u16,
    /// The first of the one at hand.
    first: Option<EnvelopeView<'a, P, V>>,
    /// How many are in it.
    count: u64,
}

impl<'a, P: Spelt, V: Borrow<Verdict>> Runs<'a, P, V> {
    fn new() -> Self {
        Self { writer: Writer::with_capacity(128), runs: 0, first: None, count: 0 }
    }

    fn add(&mut self, envelope: EnvelopeView<'a, P, V>) {
        match &self.first {
            Some(first) if follows(&envelope, first, self.count) => self.count += 1,
            Some(_) | None => {
                self.close();
                (self.first, self.count) = (Some(envelope), 1);
            }
        }
    }

    fn close(&mut self) {
        if let Some(first) = self.first.take() {
            self.writer.array(5);
            self.writer.uint(self.count);
            way(&mut self.writer, &first);
            verdict(&mut self.writer, &first);
            self.runs += 1;
        }
    }

    fn end(mut self, writer: &mut Writer) -> Result<(), CanonicalError> {
        self.close();
        writer.array(self.runs);
        writer.raw(self.writer.bytes());
        Ok(())
    }
}

/// Whether all but its ids is what one so many before it says.
fn follows<P: Spelt, V: Borrow<Verdict>>(
    envelope: &EnvelopeView<'_, P, V>,
    first: &EnvelopeView<'_, P, V>,
    count: u64,
) -> bool {
    first.sequence.0.checked_add(count) == Some(envelope.sequence.0)
        && envelope.verdict.borrow() == first.verdict.borrow()
        && envelope.destination == first.destination
        && envelope.capability == first.capability
}

/// Three elements: sequence, destination, capability.
pub(super) fn way<P: Spelt, V>(writer: &mut Writer, envelope: &EnvelopeView<'_, P, V>) {
    writer.uint(envelope.sequence.0);
    writer.str(envelope.destination.spelt().as_str());
    match envelope.capability {
        Some(capability) => writer.str(capability.as_str()),
        None => writer.nil(),
    }
}

pub(super) fn verdict<P, V: Borrow<Verdict>>(writer: &mut Writer, envelope: &EnvelopeView<'_, P, V>) {
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
struct Columns(Timestamp, RegistrySequence, ColumnsEvent);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ColumnsEvent {
    Columns(SessionId, AgentName, PublicKey, u8, Digest, Bytes, Option<Bytes>, Option<Bytes>, Vec<Run>),
}

#[derive(Deserialize)]
struct Bytes(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Deserialize)]
struct Run(u16, Sequence, Note, Option<Capability>, Verdict);

/// The time of a record; `None` for what is none.
#[must_use]
pub fn time_of(payload: &[u8]) -> Option<Timestamp> {
    let mut reader = canonical::Reader::new(payload);
    (reader.array().ok()? == 3).then(|| reader.uint().ok().map(Timestamp::from_millis))?
}

/// What the event of a record is called; `None` for what is no record.
pub(super) fn tag(payload: &[u8]) -> Option<&[u8]> {
    let mut reader = canonical::Reader::new(payload);
    let (3, _, _) = (reader.array().ok()?, reader.uint().ok()?, reader.uint().ok()?) else { return None };
    canonical::Reader::new(reader.rest().strip_prefix(&[0x81])?).text().ok()
}

/// Whether a payload is one of these; which it is then is not said.
pub(super) fn is_columns(payload: &[u8]) -> bool {
    tag(payload).is_some_and(|tag| tag == TAG.as_bytes())
}

/// Reads the payload of verdicts.
///
/// # Errors
/// [`CanonicalError`] for anything but what [`encode`] makes.
pub(super) fn decode(payload: &[u8]) -> Result<Record, CanonicalError> {
    canonical::check(payload, &limits())?;
    let columns = rmp_serde::from_read(std::io::Cursor::new(payload));
    let Columns(at, registry, event) = columns.map_err(|_| CanonicalError::Unexpected)?;
    let ColumnsEvent::Columns(session, sender, key, lane, root, rows, correlations, traces, runs) = event;
    let (rows, rest) = rows.0.as_chunks::<ROW>();
    // What repeats is copied: a short payload must not become a long record.
    if rows.len() > ENVELOPES_MAX {
        return Err(CanonicalError::Limit);
    }
    let [correlations, traces] = [&correlations, &traces].map(|column| {
        let bytes = column.as_ref()?;
        Some(bytes.0.as_chunks::<ID>().0)
    });
    let envelopes = unpacked(rows, correlations, traces, &runs).filter(|_| rest.is_empty());
    let envelopes = envelopes.ok_or(CanonicalError::Unexpected)?;
    let verdicts = Verdicts { session, sender, key, lane, root, envelopes };
    as_encoded((at, registry), verdicts, payload, encode)
}

/// The record of verdicts that were read from `payload`, if that is what `encode` makes of them.
pub(super) fn as_encoded(
    (at, registry): (Timestamp, RegistrySequence),
    verdicts: Verdicts,
    payload: &[u8],
    encode: impl Fn(Timestamp, RegistrySequence, &Verdicts, &mut Vec<u8>) -> Result<(), CanonicalError>,
) -> Result<Record, CanonicalError> {
    let mut again = Vec::with_capacity(payload.len());
    encode(at, registry, &verdicts, &mut again)?;
    if again != payload {
        return Err(CanonicalError::NotShortest);
    }
    Ok(Record { at, registry, event: Event::Verdicts(verdicts) })
}

/// The envelopes; `None` when the columns are not of one length.
fn unpacked(
    rows: &[[u8; ROW]],
    correlations: Option<&[[u8; ID]]>,
    traces: Option<&[[u8; ID]]>,
    runs: &[Run],
) -> Option<Vec<EnvelopeRecord>> {
    let mut envelopes = Vec::with_capacity(rows.len());
    for Run(count, sequence, destination, capability, verdict) in runs {
        if !verdict.is_noted_within(NOTES_MAX) {
            return None;
        }
        for next in 0..u64::from(*count) {
            let at = envelopes.len();
            let (message, digest) = rows.get(at)?.split_first_chunk::<ID>()?;
            let correlation = match correlations {
                None => message,
                Some([all]) => all,
                Some(each) => each.get(at)?,
            };
            let trace = match traces {
                None => None,
                Some([all]) => Some(all),
                Some(each) => Some(each.get(at)?),
            };
            envelopes.push(EnvelopeRecord {
                message: MessageId::new(*message),
                digest: Digest::new(digest.try_into().ok()?),
                sequence: Sequence(sequence.0.checked_add(next)?),
                destination: destination.clone(),
                capability: *capability,
                correlation: CorrelationId::new(*correlation),
                trace: trace.filter(|trace| **trace != [0; ID]).map(|trace| TraceId::new(*trace)),
                verdict: verdict.clone(),
            });
        }
    }
    (envelopes.len() == rows.len()).then_some(envelopes)
}

//! The headers of one bundle mostly differ in a few fields. What has the same bytes as in the one before is the same and
//! need not be read, and what is the same is written by copying it.
//!
//! Knows that a header begins and ends with what repeats; `header` knows what every field is.

use super::{
    Destination, FIELDS, Header, Part, ReceiptWish, TraceParent, VERSION, again, read_destination, read_lane,
    read_part, read_receipt, read_ttl,
};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::{
    AgentName, Capability, ContentType, CorrelationId, Limits, MessageId, Sequence, SessionId, SwarmId,
    Timestamp, TokenId, Ttl,
};

/// Where in a header what mostly repeats ends and begins again, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// Behind the capability.
    lead: usize,
    /// Before the token.
    close: usize,
    /// Behind the content type.
    end: usize,
}

impl Marks {
    /// What mostly repeats of the header at the front of `bytes`; nothing where they do not stand for it.
    fn of<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        Some((bytes.get(..self.lead)?, bytes.get(self.close..self.end)?))
    }
}

/// The first fields of a header, up to the capability: who asks what of whom.
struct Lead {
    swarm: SwarmId,
    sender: AgentName,
    key: [u8; 32],
    destination: Destination,
    capability: Option<Capability>,
}

/// The fields between, which are others in each message.
struct Own {
    message: MessageId,
    timestamp: Timestamp,
    session: SessionId,
    lane: u8,
    sequence: Sequence,
    correlation: CorrelationId,
    in_reply_to: Option<MessageId>,
    part: Option<Part>,
    receipt: ReceiptWish,
    trace: Option<TraceParent>,
}

/// The last fields, from the token on: under which right, for how long, as what.
struct Close {
    token: TokenId,
    ttl: Ttl,
    content_type: ContentType,
}

impl Lead {
    fn read(reader: &mut Reader<'_>, last: Option<&Header>) -> Result<Self, CanonicalError> {
        if reader.array()? != usize::from(FIELDS) || reader.uint()? != VERSION {
            return Err(CanonicalError::Unexpected);
        }
        Ok(Self {
            swarm: SwarmId::new(reader.bin_of()?),
            sender: again(reader.text()?, last.map(|last| &last.sender), AgentName::as_bytes)?,
            key: reader.bin_of()?,
            destination: read_destination(reader, last)?,
            capability: if reader.nil() {
                None
            } else {
                let last = last.and_then(|last| last.capability.as_ref());
                Some(again(reader.text()?, last, Capability::as_bytes)?)
            },
        })
    }
}

impl Own {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            message: MessageId::new(reader.bin_of()?),
            timestamp: Timestamp::from_millis(reader.uint()?),
            session: SessionId::new(reader.bin_of()?),
            lane: read_lane(reader)?,
            sequence: Sequence(reader.uint()?),
            correlation: CorrelationId::new(reader.bin_of()?),
            in_reply_to: if reader.nil() { None } else { Some(MessageId::new(reader.bin_of()?)) },
            part: read_part(reader)?,
            receipt: read_receipt(reader)?,
            trace: if reader.nil() { None } else { Some(TraceParent(reader.bin_of()?)) },
        })
    }
}

impl Close {
    fn read(reader: &mut Reader<'_>, last: Option<&Header>) -> Result<Self, CanonicalError> {
        let token = TokenId::new(reader.bin_of()?);
        let ttl = read_ttl(reader)?;
        let last = last.map(|last| &last.content_type);
        Ok(Self { token, ttl, content_type: again(reader.text()?, last, ContentType::as_bytes)? })
    }
}

impl Header {
    /// The first header of a bundle.
    pub(crate) fn read_first(
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<(Self, Marks), CanonicalError> {
        let before = reader.rest().len();
        let read = |reader: &Reader<'_>| before - reader.rest().len();
        let (lead, lead_end) = (Lead::read(reader, None)?, read(reader));
        let (own, close_at) = (Own::read(reader)?, read(reader));
        let close = Close::read(reader, None)?;
        let header = Self {
            swarm: lead.swarm,
            sender: lead.sender,
            key: lead.key,
            destination: lead.destination,
            capability: lead.capability,
            message: own.message,
            timestamp: own.timestamp,
            session: own.session,
            lane: own.lane,
            sequence: own.sequence,
            correlation: own.correlation,
            in_reply_to: own.in_reply_to,
            part: own.part,
            receipt: own.receipt,
            trace: own.trace,
            token: close.token,
            ttl: close.ttl,
            content_type: close.content_type,
        };
        let marks = Marks { lead: lead_end, close: close_at, end: read(reader) };
        header.check(marks, limits).map(|marks| (header, marks))
    }

    /// Reads the next header over this one, which was read off the front of `bytes` with these marks. After an error it
    /// is neither of the two.
    ///
    /// # Errors
    /// What [`Header::read`] says of the next one alone.
    pub(crate) fn read_next(
        &mut self,
        reader: &mut Reader<'_>,
        (marks, bytes): (Marks, &[u8]),
        limits: &Limits,
    ) -> Result<Marks, CanonicalError> {
        let repeats = marks.of(bytes);
        let before = reader.rest().len();
        if !repeats.is_some_and(|(lead, _)| reader.has(lead)) {
            let Lead { swarm, sender, key, destination, capability } = Lead::read(reader, Some(self))?;
            (self.swarm, self.sender, self.key) = (swarm, sender, key);
            (self.destination, self.capability) = (destination, capability);
        }
        let lead = before - reader.rest().len();
        let own = Own::read(reader)?;
        (self.message, self.timestamp, self.session) = (own.message, own.timestamp, own.session);
        (self.lane, self.sequence, self.correlation) = (own.lane, own.sequence, own.correlation);
        (self.in_reply_to, self.part) = (own.in_reply_to, own.part);
        (self.receipt, self.trace) = (own.receipt, own.trace);
        let close = before - reader.rest().len();
        if !repeats.is_some_and(|(_, close)| reader.has(close)) {
            let Close { token, ttl, content_type } = Close::read(reader, Some(self))?;
            (self.token, self.ttl, self.content_type) = (token, ttl, content_type);
        }
        self.check(Marks { lead, close, end: before - reader.rest().len() }, limits)
    }

    fn check(&self, marks: Marks, limits: &Limits) -> Result<Marks, CanonicalError> {
        let is_good = marks.end <= limits.header_bytes_max && self.is_consistent();
        if is_good { Ok(marks) } else { Err(CanonicalError::Unexpected) }
    }

    /// Appends the canonical form after another header of the same bundle, which was written at that place: what is the
    /// same in both is copied from there. The marks of this one, unless all that repeats did.
    pub(crate) fn write_after(
        &self,
        last: Option<(&Self, &Marks, usize)>,
        out: &mut Writer,
    ) -> Option<Marks> {
        let begin = out.len();
        let leads = last.filter(|(last, ..)| self.leads_as(last));
        match leads {
            Some((_, marks, at)) => out.again(at..at + marks.lead),
            None => self.write_lead(out),
        }
        let lead = out.len() - begin;
        self.write_own(out);
        let close = out.len() - begin;
        let closes = last.filter(|(last, ..)| self.closes_as(last));
        match closes {
            Some((_, marks, at)) => out.again(at + marks.close..at + marks.end),
            None => self.write_close(out),
        }
        let repeats = leads.is_some() && closes.is_some();
        (!repeats).then(|| Marks { lead, close, end: out.len() - begin })
    }

    fn leads_as(&self, other: &Self) -> bool {
        self.destination == other.destination
            && self.capability == other.capability
            && self.swarm == other.swarm
            && self.sender == other.sender
            && self.key == other.key
    }

    fn closes_as(&self, other: &Self) -> bool {
        (self.token, self.ttl) == (other.token, other.ttl) && self.content_type == other.content_type
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{bytes, sample};
    use super::*;
    use crate::Resource;

    proptest! {
        #[test]
        fn what_was_written_before_changes_nothing(bits: u8, before: u8, topic: bool, ttl in 1..9_u32) {
            let (last, mut header) = (sample(before, 6), sample(bits, 7));
            if topic {
                header.destination = Destination::Topic(Resource::parse("alerts").unwrap());
                header.content_type = ContentType::parse("text/plain").unwrap();
            }
            header.ttl = Ttl::from_millis(ttl * 1000).unwrap_or_default();
            let mut out = Writer::default();
            out.raw(b"what stands before");
            let at = out.len();
            let marks = last.write_after(None, &mut out).unwrap();
            let here = out.len();
            header.write_after(Some((&last, &marks, at)), &mut out);
            prop_assert_eq!(&out.bytes()[here..], &bytes(&header)[..]);
        }
        #[test]
        fn what_stood_before_changes_nothing(bits: u8, before: u8, at: prop::sample::Index, flip: u8) {
            let (mut next, limits) = (bytes(&sample(bits, 7)), Limits::standard());
            let at = at.index(next.len());
            next[at] ^= flip;
            let mut alone = Reader::new(&next);
            let read = Header::read(&mut alone, &limits);
            let last = bytes(&sample(before, 6));
            let (mut header, marks) = Header::read_first(&mut Reader::new(&last), &limits).unwrap();
            let mut after = Reader::new(&next);
            let read_after = header.read_next(&mut after, (marks, &last), &limits);
            prop_assert_eq!(read_after.map(|_| header), read);
            if read.is_ok() {
                prop_assert_eq!(after.rest(), alone.rest());
            }
        }
    }
}

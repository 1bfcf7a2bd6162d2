//! The header of an envelope: a canonical MessagePack array of fixed order, before the body.
//!
//! Everything a judge needs stands here under the sender's signature; the body is opaque bytes. Decoding
//! allocates nothing. A new field means a new version.

mod repeat;

use std::str::FromStr;

pub(crate) use repeat::Marks;

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::{
    AgentName, Capability, ContentType, CorrelationId, Limits, MessageId, Resource, Sequence, SessionId,
    SwarmId, Timestamp, TokenId, Ttl,
};

/// The version of header and protocol.
pub const VERSION: u64 = 1;
/// Elements of the header's array.
const FIELDS: u16 = 20;

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// One named agent.
    Agent(AgentName),
    /// The agent that asked: the message answers its open request.
    Reply(AgentName),
    /// Any one live agent that serves the capability.
    Service,
    /// All subscribers of a topic.
    Topic(Resource),
}

impl Destination {
    const fn kind(&self) -> u64 {
        match self {
            Self::Agent(_) => 0,
            Self::Service => 1,
            Self::Topic(_) => 2,
            Self::Reply(_) => 3,
        }
    }

    /// The name within its kind; empty for a service.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name) | Self::Reply(name) => name.as_str(),
            Self::Service => "",
            Self::Topic(topic) => topic.as_str(),
        }
    }
}

/// Position of a part in an answer that comes in several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// From zero.
    pub index: u32,
    /// Whether the answer ends here.
    pub last: bool,
}

/// What the sender wants to hear.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReceiptWish {
    /// Nothing but refusals.
    #[default]
    None,
    /// The node's statement that the verdict is durable.
    Accepted,
    /// The receiver's signed statement that it verified the message.
    Delivered,
    /// The answer itself: the message is a request, and the node holds it open for its replier.
    Reply,
}

/// W3C Trace Context, version 00: trace id, parent id, flags.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceParent(pub [u8; 25]);

impl TraceParent {
    /// The trace id: the first 16 bytes.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        id
    }
}

/// The header of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// The swarm; a message of another one is void here.
    pub swarm: SwarmId,
    /// Who sends.
    pub sender: AgentName,
    /// The 32 bytes of the sender's key, which is also the key id. A claim until the signature is checked.
    pub key: [u8; 32],
    /// Where to.
    pub destination: Destination,
    /// What is asked of the receiver; `None` for a reply only.
    pub capability: Option<Capability>,
    /// Random id of this message.
    pub message: MessageId,
    /// The sender's wall clock.
    pub timestamp: Timestamp,
    /// The session of the link.
    pub session: SessionId,
    /// Lane 0 is the data stream; 1 to 4 carry large bodies.
    pub lane: u8,
    /// Number within session and lane.
    pub sequence: Sequence,
    /// The piece of work this belongs to.
    pub correlation: CorrelationId,
    /// The request this answers.
    pub in_reply_to: Option<MessageId>,
    /// Which part of the answer; `None` for a whole one.
    pub part: Option<Part>,
    /// What the sender wants to hear.
    pub receipt: ReceiptWish,
    /// Trace context, carried on.
    pub trace: Option<TraceParent>,
    /// The token under which it is sent.
    pub token: TokenId,
    /// How long it may wait at the node.
    pub ttl: Ttl,
    /// Media type of the body.
    pub content_type: ContentType,
}

/// Lanes of a link.
pub const LANES: usize = 5;

fn some<T, E>(result: Result<T, E>) -> Result<T, CanonicalError> {
    result.map_err(|_| CanonicalError::Unexpected)
}

impl Header {
    /// Appends the canonical form.
    pub fn write(&self, out: &mut Writer) {
        self.write_after(None, out);
    }

    /// Who asks what of whom.
    fn write_lead(&self, out: &mut Writer) {
        out.array(FIELDS);
        out.uint(VERSION);
        out.bin(self.swarm.as_bytes());
        out.str(self.sender.as_str());
        out.bin(&self.key);
        out.uint(self.destination.kind());
        out.str(self.destination.name());
        match &self.capability {
            Some(capability) => out.str(capability.as_str()),
            None => out.nil(),
        }
    }

    /// What is mostly another in each message.
    fn write_own(&self, out: &mut Writer) {
        out.bin(self.message.as_bytes());
        out.uint(self.timestamp.as_millis());
        out.bin(self.session.as_bytes());
        out.uint(u64::from(self.lane));
        out.uint(self.sequence.0);
        out.bin(self.correlation.as_bytes());
        match &self.in_reply_to {
            Some(id) => out.bin(id.as_bytes()),
            None => out.nil(),
        }
        match self.part {
            Some(part) => {
                out.array(2);
                out.uint(u64::from(part.index));
                out.boolean(part.last);
            }
            None => out.nil(),
        }
        out.uint(self.receipt as u64);
        match &self.trace {
            Some(trace) => out.bin(&trace.0),
            None => out.nil(),
        }
    }

    /// Under which right, for how long, as what.
    fn write_close(&self, out: &mut Writer) {
        out.bin(self.token.as_bytes());
        out.uint(u64::from(self.ttl.as_millis()));
        out.str(self.content_type.as_str());
    }

    /// Reads the header off the front of an envelope. What follows is the body.
    ///
    /// # Errors
    /// [`CanonicalError`] for anything but the one encoding of a valid header.
    pub fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, CanonicalError> {
        Self::read_first(reader, limits).map(|(header, _)| header)
    }

    /// Fields that must agree: a reply answers something and needs no capability; everything else does, and
    /// a topic is published to under `publish:<topic>`.
    fn is_consistent(&self) -> bool {
        match self.destination {
            Destination::Reply(_) => {
                self.capability.is_none()
                    && self.in_reply_to.is_some()
                    && !matches!(self.receipt, ReceiptWish::Reply)
            }
            Destination::Agent(_) | Destination::Service => {
                self.capability.is_some() && self.in_reply_to.is_none() && self.part.is_none()
            }
            Destination::Topic(topic) => {
                self.in_reply_to.is_none()
                    && self.part.is_none()
                    // Nobody knows of how many receivers a topic's receipt would have to be.
                    && matches!(self.receipt, ReceiptWish::None | ReceiptWish::Accepted)
                    && self
                        .capability
                        .is_some_and(|c| c.verb() == "publish" && c.resource() == topic.as_str())
            }
        }
    }
}

/// A name: the last one, when the bytes are the same, else parsed.
fn again<T: Copy + FromStr>(
    bytes: &[u8],
    last: Option<&T>,
    of: impl Fn(&T) -> &[u8],
) -> Result<T, CanonicalError> {
    match last {
        Some(last) if of(last) == bytes => Ok(*last),
        Some(_) | None => some(str::from_utf8(bytes)).and_then(|text| some(text.parse())),
    }
}

fn read_destination(reader: &mut Reader<'_>, last: Option<&Header>) -> Result<Destination, CanonicalError> {
    let kind = reader.uint()?;
    let name = reader.text()?;
    if let Some(last) = last.map(|last| last.destination)
        && last.kind() == kind
        && last.name().as_bytes() == name
    {
        return Ok(last);
    }
    let name = some(str::from_utf8(name))?;
    match (kind, name) {
        (0, name) => some(AgentName::parse(name)).map(Destination::Agent),
        (1, "") => Ok(Destination::Service),
        (2, name) => some(Resource::parse(name)).map(Destination::Topic),
        (3, name) => some(AgentName::parse(name)).map(Destination::Reply),
        _ => Err(CanonicalError::Unexpected),
    }
}

fn read_lane(reader: &mut Reader<'_>) -> Result<u8, CanonicalError> {
    let lane = reader.uint()?;
    some(u8::try_from(lane))
        .and_then(|lane| if usize::from(lane) < LANES { Ok(lane) } else { Err(CanonicalError::Unexpected) })
}

fn read_part(reader: &mut Reader<'_>) -> Result<Option<Part>, CanonicalError> {
    if reader.nil() {
        return Ok(None);
    }
    if reader.array()? != 2 {
        return Err(CanonicalError::Unexpected);
    }
    Ok(Some(Part { index: some(u32::try_from(reader.uint()?))?, last: reader.boolean()? }))
}

fn read_receipt(reader: &mut Reader<'_>) -> Result<ReceiptWish, CanonicalError> {
    match reader.uint()? {
        0 => Ok(ReceiptWish::None),
        1 => Ok(ReceiptWish::Accepted),
        2 => Ok(ReceiptWish::Delivered),
        3 => Ok(ReceiptWish::Reply),
        _ => Err(CanonicalError::Unexpected),
    }
}

fn read_ttl(reader: &mut Reader<'_>) -> Result<Ttl, CanonicalError> {
    let ms = some(u32::try_from(reader.uint()?))?;
    Ttl::from_millis(ms).ok_or(CanonicalError::Unexpected)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::SecretKey;
    use proptest::prelude::*;

    /// A header with every optional field set or none, by `bits`.
    pub(crate) fn sample(bits: u8, sequence: u64) -> Header {
        let reply = bits & 1 == 1;
        let name = AgentName::parse("receiver").unwrap();
        Header {
            swarm: SwarmId::new([1; 32]),
            sender: AgentName::parse("sender").unwrap(),
            key: *SecretKey::from_seed(&[2; 32]).public().as_bytes(),
            destination: if reply { Destination::Reply(name) } else { Destination::Agent(name) },
            capability: (!reply).then(|| Capability::parse("read:logs").unwrap()),
            message: MessageId::new([3; 16]),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            session: SessionId::new([4; 16]),
            lane: 0,
            sequence: Sequence(sequence),
            correlation: CorrelationId::new([5; 16]),
            in_reply_to: reply.then(|| MessageId::new([6; 16])),
            part: (reply && bits & 2 == 2).then_some(Part { index: 7, last: true }),
            receipt: ReceiptWish::Accepted,
            trace: (bits & 4 == 4).then_some(TraceParent([8; 25])),
            token: TokenId::new([9; 32]),
            ttl: Ttl::default(),
            content_type: ContentType::json(),
        }
    }

    pub(crate) fn bytes(header: &Header) -> Vec<u8> {
        let mut out = Writer::default();
        header.write(&mut out);
        out.into_bytes()
    }

    #[test]
    fn a_header_reads_as_written_and_leaves_the_body() {
        for bits in 0..8 {
            let header = sample(bits, 10);
            let mut envelope = bytes(&header);
            envelope.extend_from_slice(b"body");
            let mut reader = Reader::new(&envelope);
            assert_eq!(Header::read(&mut reader, &Limits::standard()), Ok(header));
            assert_eq!(reader.rest(), b"body");
        }
    }

    #[test]
    fn fields_that_disagree_are_malformed() {
        let mut reply_without_request = sample(1, 1);
        reply_without_request.in_reply_to = None;
        let mut ask_without_capability = sample(0, 1);
        ask_without_capability.capability = None;
        let mut other_topic = sample(0, 1);
        other_topic.destination = Destination::Topic(Resource::parse("alerts").unwrap());
        other_topic.capability = Some(Capability::parse("publish:other").unwrap());
        for header in [reply_without_request, ask_without_capability, other_topic] {
            assert!(Header::read(&mut Reader::new(&bytes(&header)), &Limits::standard()).is_err());
        }
    }

    proptest! {
        #[test]
        fn t_a28_what_decodes_re_encodes_to_itself(bits in 0..8_u8, sequence: u64, at in 0..400_usize, value: u8) {
            let mut changed = bytes(&sample(bits, sequence));
            let at = at % changed.len();
            changed[at] = value;
            let mut reader = Reader::new(&changed);
            if let Ok(header) = Header::read(&mut reader, &Limits::standard()) {
                let again = bytes(&header);
                prop_assert_eq!(&again[..], &changed[..changed.len() - reader.rest().len()]);
            }
        }
    }
}

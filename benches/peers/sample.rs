//! Bundles as agents make them, for the peer that only carries bytes.

use bytes::Bytes;
use testudo::wire::{
    ContentType, CorrelationId, Destination, Header, Limits, MessageId, ReceiptWish, Sealer, SecretKey,
    Sequence, SessionId, SwarmId, Timestamp, TokenId, Ttl,
};

use crate::Done;
use crate::role::payload;
use crate::testudo_peer::CAPABILITY;

/// Said about a message besides its body, at most.
const HEADER: usize = 640;

/// Messages of so many bytes that a bundle holds.
pub(crate) fn most(bytes: usize) -> u32 {
    let limits = Limits::default();
    let room = limits.bundle_bytes_max / (bytes + HEADER);
    u32::try_from(room.clamp(1, usize::from(limits.bundle_envelopes_max))).unwrap_or(1)
}

/// A signed bundle of so many messages.
pub(crate) fn bundle(messages: u32, bytes: usize) -> Done<Bytes> {
    let (key, limits, body) = (SecretKey::from_seed(&[7; 32]), Limits::default(), payload(bytes));
    let header = Header {
        swarm: SwarmId::new([1; 32]),
        sender: "sender".parse()?,
        key: *key.public().as_bytes(),
        destination: Destination::Agent("receiver".parse()?),
        capability: Some(CAPABILITY.parse()?),
        message: MessageId::new([2; 16]),
        timestamp: Timestamp::from_millis(1_800_000_000_000),
        session: SessionId::new([3; 16]),
        lane: 0,
        sequence: Sequence(1),
        correlation: CorrelationId::new([4; 16]),
        in_reply_to: None,
        part: None,
        receipt: ReceiptWish::None,
        trace: None,
        token: TokenId::new([5; 32]),
        ttl: Ttl::default(),
        content_type: ContentType::text(),
    };
    let mut sealer = Sealer::with_capacity(messages as usize * (bytes + HEADER));
    for n in 0..messages {
        sealer.push(&Header { sequence: Sequence(u64::from(n) + 1), ..header }, &body);
    }
    Ok(sealer.sign(&key, &limits)?.bytes)
}

//! Signatures of bundles that an agent of this process has verified: those of a publication, or of messages to many, come
//! to each of them, in one part or another, under one signature. Verified once, it holds for all.
//!
//! Only that a signature is good is remembered, and only of the very same key, statement and signature. Everything else,
//! the digests of what came above all, each agent checks for itself.

use std::sync::{Mutex, PoisonError};

use testudo_wire::{Bundle, Digest, PublicKey};

/// Signatures remembered: the last that had its place.
const PLACES: usize = 1024;

static SEEN: Mutex<[Option<Digest>; PLACES]> = Mutex::new([None; PLACES]);

/// See [`Bundle::is_signed_by`].
pub(super) fn is_signed(bundle: &Bundle, key: &PublicKey) -> bool {
    let Ok(question) = bundle.question(key) else { return false };
    let [first, second, ..] = *question.as_bytes();
    let place = usize::from(u16::from_be_bytes([first, second])) % PLACES;
    let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen()[place] == Some(question) {
        return true;
    }
    let is_signed = bundle.is_signed_by(key);
    if is_signed {
        seen()[place] = Some(question);
    }
    is_signed
}

#[cfg(test)]
pub(super) mod tests {
    use testudo_wire::{
        AgentName, Capability, ContentType, CorrelationId, Destination, Envelope, Header, Limits, MessageId,
        ReceiptWish, SecretKey, Sequence, SessionId, SwarmId, Timestamp, TokenId, Ttl,
    };

    use super::*;

    pub(in super::super) fn sample(key: &SecretKey, sequence: u64) -> Header {
        Header {
            swarm: SwarmId::new([1; 32]),
            sender: AgentName::parse("sender").unwrap(),
            key: *key.public().as_bytes(),
            destination: Destination::Agent(AgentName::parse("receiver").unwrap()),
            capability: Some(Capability::parse("read:logs").unwrap()),
            message: MessageId::new([3; 16]),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            session: SessionId::new([4; 16]),
            lane: 0,
            sequence: Sequence(sequence),
            correlation: CorrelationId::new([5; 16]),
            in_reply_to: None,
            part: None,
            receipt: ReceiptWish::None,
            trace: None,
            token: TokenId::new([9; 32]),
            ttl: Ttl::default(),
            content_type: ContentType::json(),
        }
    }

    #[test]
    fn t_a29_what_was_seen_to_be_signed_vouches_for_nothing_else() {
        let key = SecretKey::from_seed(&[2; 32]);
        let limits = Limits::standard();
        let envelopes = (1..=4).map(|n| Envelope::encode(sample(&key, n), b"body")).collect();
        let bundle = Bundle::sign(envelopes, &key, &limits).unwrap();
        for _ in 0..2 {
            assert!(is_signed(&bundle, &key.public()));
            assert!(is_signed(&bundle.prune(&|at| at == 1).unwrap(), &key.public()));
            assert!(!is_signed(&bundle, &SecretKey::from_seed(&[3; 32]).public()));
            for at in 0..bundle.bytes().len() {
                let mut bytes = bundle.bytes().to_vec();
                bytes[at] ^= 1;
                let changed = Bundle::decode(bytes.into(), &limits);
                assert!(!changed.is_ok_and(|changed| is_signed(&changed, &key.public())), "byte {at}");
            }
        }
    }
}

//! Publications, which come to each subscriber of a process in the same bytes: what they say is read once for all.
//!
//! What a bundle decodes to, with every digest, depends on its bytes and the limits alone, so for the very same bytes it
//! need not be found again. Whether it is signed, by whom, and may come to this agent, each agent asks for itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use testudo_wire::{Bundle, BundleError, Destination, Limits};

/// Bundles kept: as many as are on their way to all subscribers at a time, mostly.
const KEPT_MAX: usize = 8;
/// Longest bundle kept, in bytes.
const BYTES_MAX: usize = 256 * 1024;

static RECENT: Mutex<Recent> = Mutex::new(Recent { kept: VecDeque::new() });
/// Links of this process.
static LINKS: AtomicUsize = AtomicUsize::new(0);

/// A link of this process; nothing is kept for the last one.
#[derive(Debug)]
pub(super) struct Link(());

impl Link {
    pub(super) fn new() -> Self {
        LINKS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Under the lock, so that nothing is kept behind the last but one.
        let mut recent = recent();
        if LINKS.fetch_sub(1, Ordering::Relaxed) <= 2 {
            recent.kept.clear();
        }
    }
}

/// The bundles that came last.
#[derive(Debug, Default)]
struct Recent {
    kept: VecDeque<(Limits, Arc<Bundle>)>,
}

impl Recent {
    fn same(&self, bytes: &Bytes, limits: &Limits) -> Option<Arc<Bundle>> {
        let is_same =
            |(read_by, bundle): &&(Limits, Arc<Bundle>)| read_by == limits && bundle.bytes() == bytes;
        self.kept.iter().find(is_same).map(|(_, bundle)| bundle.clone())
    }

    fn keep(&mut self, bundle: &Arc<Bundle>, limits: &Limits) {
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((*limits, bundle.clone()));
    }
}

/// See [`Bundle::decode`].
pub(super) fn decode(bytes: Bytes, limits: &Limits) -> Result<Arc<Bundle>, BundleError> {
    let are_several = || LINKS.load(Ordering::Relaxed) > 1;
    let same = are_several().then(|| recent().same(&bytes, limits)).flatten();
    if let Some(same) = same {
        return Ok(same);
    }
    let bundle = Arc::new(Bundle::decode(bytes, limits)?);
    if may_come_to_others(&bundle) {
        let mut recent = recent();
        if are_several() {
            recent.keep(&bundle, limits);
        }
    }
    Ok(bundle)
}

fn recent() -> MutexGuard<'static, Recent> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether others may be sent the same bytes.
fn may_come_to_others(bundle: &Bundle) -> bool {
    let is_published = |destination| matches!(destination, Destination::Topic(_));
    bundle.bytes().len() <= BYTES_MAX && bundle.first().is_ok_and(|first| is_published(first.destination))
}

#[cfg(test)]
mod tests {
    use testudo_wire::{
        AgentName, Capability, ContentType, CorrelationId, Envelope, Header, MessageId, ReceiptWish,
        Resource, SecretKey, Sequence, SessionId, SwarmId, Timestamp, TokenId, Ttl,
    };

    use super::*;

    fn bundle(destination: Destination) -> Bundle {
        let key = SecretKey::from_seed(&[2; 32]);
        let header = |sequence| Header {
            swarm: SwarmId::new([1; 32]),
            sender: AgentName::parse("sender").unwrap(),
            key: *key.public().as_bytes(),
            destination,
            capability: Some(Capability::parse("publish:news").unwrap()),
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
        };
        let envelopes = (1..=4).map(|n| Envelope::encode(header(n), b"body")).collect();
        Bundle::sign(envelopes, &key, &Limits::standard()).unwrap()
    }

    #[test]
    fn only_the_very_same_bytes_are_not_read_again() {
        let (topic, limits) = (Destination::Topic(Resource::parse("news").unwrap()), Limits::standard());
        let published = bundle(topic);
        assert!(may_come_to_others(&published));
        let _links = [Link::new(), Link::new()];
        let copy = || Bytes::copy_from_slice(published.bytes());
        let (first, mut recent) = (decode(copy(), &limits).unwrap(), Recent::default());
        recent.keep(&first, &limits);
        assert!(recent.same(&copy(), &limits).is_some_and(|same| Arc::ptr_eq(&first, &same)));
        for at in 0..copy().len() {
            let mut bytes = copy().to_vec();
            bytes[at] ^= 1;
            assert!(recent.same(&bytes.clone().into(), &limits).is_none(), "byte {at}");
            let changed = decode(bytes.into(), &limits);
            let key = SecretKey::from_seed(&[2; 32]).public();
            assert!(!changed.is_ok_and(|changed| changed.is_signed_by(&key)), "byte {at}");
        }
        let fewer = Limits { bundle_envelopes_max: 3, ..limits };
        assert!(recent.same(&copy(), &fewer).is_none(), "each is read within its own limits");
        assert!(decode(copy(), &fewer).is_err());
        assert!(!may_come_to_others(&bundle(Destination::Agent(AgentName::parse("receiver").unwrap()))));
    }

    #[test]
    fn no_more_than_the_last_ones_are_kept() {
        let (limits, mut recent) = (Limits::standard(), Recent::default());
        let bundles = std::iter::repeat_with(|| Arc::new(bundle(Destination::Service)));
        let bundles = bundles.take(KEPT_MAX + 1).collect::<Vec<_>>();
        bundles.iter().for_each(|bundle| recent.keep(bundle, &limits));
        assert_eq!(Arc::strong_count(&bundles[0]), 1);
        assert_eq!(recent.kept.len(), KEPT_MAX);
    }
}

//! Publications, which come to each subscriber of a process in the same bytes: what they say is read once for all.
//!
//! What a bundle decodes to, with every digest, depends on its bytes and the limits alone, so for the very same bytes it
//! need not be found again. Whether it is signed, by whom, and may come to this agent, each agent asks for itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use testudo_wire::{Bundle, BundleError, Destination, Limits};

/// Bundles kept: as many as are on their way to all subscribers at a time, mostly.
const KEPT_MAX: usize = 8;
/// Longest bundle kept, in bytes.
const BYTES_MAX: usize = Limits::standard().bundle_bytes_max;

static RECENT: Mutex<Recent> = Mutex::new(Recent { links: 0, kept: VecDeque::new() });

/// A link of this process; nothing is kept for the last one.
#[derive(Debug)]
pub(super) struct Link(());

impl Link {
    pub(super) fn new() -> Self {
        recent().links += 1;
        Self(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        recent().leave();
    }
}

/// The bundles that came last.
#[derive(Debug)]
struct Recent {
    /// Links of this process.
    links: usize,
    /// Nothing while there is one.
    kept: VecDeque<(Limits, Arc<Bundle>)>,
}

impl Recent {
    fn same(&self, bytes: &Bytes, limits: &Limits) -> Option<Arc<Bundle>> {
        let is_same =
            |(read_by, bundle): &&(Limits, Arc<Bundle>)| read_by == limits && bundle.bytes() == bytes;
        self.kept.iter().find(is_same).map(|(_, bundle)| bundle.clone())
    }

    fn keep(&mut self, bundle: &Arc<Bundle>, limits: &Limits) {
        if self.links < 2 {
            return;
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((*limits, bundle.clone()));
    }

    fn leave(&mut self) {
        self.links -= 1;
        if self.links < 2 {
            self.kept.clear();
        }
    }
}

/// See [`Bundle::decode`].
pub(super) fn decode(bytes: Bytes, limits: &Limits) -> Result<Arc<Bundle>, BundleError> {
    let same = recent().same(&bytes, limits);
    if let Some(same) = same {
        return Ok(same);
    }
    let bundle = Arc::new(Bundle::decode(bytes, limits)?);
    if may_come_to_others(&bundle) {
        recent().keep(&bundle, limits);
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
    use testudo_wire::{AgentName, Capability, Envelope, Header, Resource, SecretKey};

    use super::super::seen::tests::sample;
    use super::*;

    const SEVERAL: Recent = Recent { links: 2, kept: VecDeque::new() };

    fn bundle(destination: Destination) -> Bundle {
        let key = SecretKey::from_seed(&[2; 32]);
        let capability = Some(Capability::parse("publish:news").unwrap());
        let header = |sequence| Header { destination, capability, ..sample(&key, sequence) };
        let envelopes = (1..=4).map(|n| Envelope::encode(header(n), b"body")).collect();
        Bundle::sign(envelopes, &key, &Limits::standard()).unwrap()
    }

    #[test]
    fn only_the_very_same_bytes_are_not_read_again() {
        let (topic, limits) = (Destination::Topic(Resource::parse("news").unwrap()), Limits::standard());
        let published = bundle(topic);
        assert!(may_come_to_others(&published));
        let copy = || Bytes::copy_from_slice(published.bytes());
        let (first, mut recent) = (decode(copy(), &limits).unwrap(), SEVERAL);
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
        let (limits, mut recent) = (Limits::standard(), SEVERAL);
        let bundles = std::iter::repeat_with(|| Arc::new(bundle(Destination::Service)));
        let bundles = bundles.take(KEPT_MAX + 1).collect::<Vec<_>>();
        bundles.iter().for_each(|bundle| recent.keep(bundle, &limits));
        assert_eq!(Arc::strong_count(&bundles[0]), 1);
        assert_eq!(recent.kept.len(), KEPT_MAX);
        // And none for a link that is alone.
        recent.leave();
        assert!(recent.kept.is_empty());
        recent.keep(&bundles[0], &limits);
        assert!(recent.kept.is_empty());
    }
}

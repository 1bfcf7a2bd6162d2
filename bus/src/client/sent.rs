//! The bundles of a link that the node is not done with, or has not vouched for yet.

use std::collections::{BTreeMap, HashMap};

use testudo_wire::{Digest, MessageId};

use super::SendError;
use super::line::Number;
use super::receipts::Answer;
use super::requests::Place;

/// The node's durable word on one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The message.
    pub message: MessageId,
    /// Its leaf digest.
    pub digest: Digest,
    /// Index of the verdict's record on the node's audit log.
    pub record: u64,
}

/// One bundle, from before it is written until it is settled and every receipt has come.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) digests: Vec<Digest>,
    /// Who waits for the receipt *accepted*, by position.
    pub(super) receipts: HashMap<u16, (MessageId, Answer<Receipt>)>,
    /// Messages that wait for something else.
    pub(super) others: Vec<MessageId>,
    /// Requests given up meanwhile: the node hears of it once it certainly has them.
    cancels: Vec<MessageId>,
    settled: bool,
}

impl Sent {
    /// A bundle for which nobody waits yet.
    pub(super) fn new(bytes: usize, digests: Vec<Digest>) -> Self {
        Self { bytes, digests, ..Self::default() }
    }

    fn is_done(&self) -> bool {
        self.settled && self.receipts.is_empty()
    }
}

/// The open bundles of links that renewed one another.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    open: BTreeMap<Place, Sent>,
    places: HashMap<MessageId, (Place, u16)>,
    /// By link and lane.
    unsettled: HashMap<(Number, u8), usize>,
}

impl Bundles {
    /// Bytes on a lane of a link that the node is not done with.
    pub(super) fn unsettled(&self, link: Number, lane: u8) -> usize {
        self.unsettled.get(&(link, lane)).copied().unwrap_or_default()
    }

    /// The same on all lanes.
    pub(super) fn unsettled_all(&self) -> usize {
        self.unsettled.values().sum()
    }

    /// Enters a bundle that is about to be written.
    pub(super) fn enter(&mut self, place: Place, sent: Sent) {
        for (position, (message, _)) in &sent.receipts {
            self.places.insert(*message, (place, *position));
        }
        let (link, lane, _) = place;
        *self.unsettled.entry((link, lane)).or_default() += sent.bytes;
        self.open.insert(place, sent);
    }

    /// Every bundle of a lane below this number is settled. Returns requests to cancel now.
    pub(super) fn settled(&mut self, link: Number, lane: u8, bundles: u64) -> Vec<MessageId> {
        let (mut cancels, mut done) = (Vec::new(), Vec::new());
        for (place, sent) in self.open.range_mut((link, lane, 0)..(link, lane, bundles)) {
            if !std::mem::replace(&mut sent.settled, true)
                && let Some(unsettled) = self.unsettled.get_mut(&(link, lane))
            {
                *unsettled = unsettled.saturating_sub(sent.bytes);
            }
            cancels.append(&mut sent.cancels);
            if sent.is_done() {
                done.push(*place);
            }
        }
        for place in done {
            self.open.remove(&place);
        }
        cancels
    }

    /// A request of this bundle was given up. `false` when the node certainly has it already.
    pub(super) fn cancel_when_settled(&mut self, place: Place, request: MessageId) -> bool {
        match self.open.get_mut(&place) {
            Some(sent) if !sent.settled => {
                sent.cancels.push(request);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The digests of a bundle by position, to check a receipt against.
    pub(super) fn digests(&self, place: Place) -> Option<&[Digest]> {
        self.open.get(&place).map(|sent| sent.digests.as_slice())
    }

    /// A verified receipt.
    pub(super) fn accepted(&mut self, place: Place, positions: &[u16], record: u64) {
        let Some(sent) = self.open.get_mut(&place) else { return };
        for position in positions {
            let digest = sent.digests.get(usize::from(*position)).copied();
            if let (Some((message, answer)), Some(digest)) = (sent.receipts.remove(position), digest) {
                self.places.remove(&message);
                let _ = answer.send(Ok(Receipt { message, digest, record }));
            }
        }
        if sent.is_done() {
            self.open.remove(&place);
        }
    }

    /// A message will get no receipt. `false` when nobody waited for one.
    pub(super) fn fail(&mut self, message: &MessageId, why: SendError) -> bool {
        let Some((place, position)) = self.places.remove(message) else { return false };
        let Some(sent) = self.open.get_mut(&place) else { return false };
        let answer = sent.receipts.remove(&position);
        if sent.is_done() {
            self.open.remove(&place);
        }
        answer.map(|(_, answer)| answer.send(Err(why))).is_some()
    }

    /// A bundle that was refused whole: who waited for a receipt hears it. Returns the number of its messages,
    /// and those that wait for something else.
    pub(super) fn refused(&mut self, place: Place, why: &SendError) -> (usize, Vec<MessageId>) {
        let Some(sent) = self.open.get_mut(&place) else { return (0, Vec::new()) };
        for (message, answer) in std::mem::take(&mut sent.receipts).into_values() {
            self.places.remove(&message);
            let _ = answer.send(Err(why.clone()));
        }
        let answer = (sent.digests.len(), std::mem::take(&mut sent.others));
        if sent.is_done() {
            self.open.remove(&place);
        }
        answer
    }

    /// Whether everything that went on a link is settled and receipted.
    pub(super) fn is_done(&self, link: Number) -> bool {
        self.open.range((link, 0, 0)..=(link, u8::MAX, u64::MAX)).next().is_none()
    }

    /// A link that was renewed has ended; dropping the answers says so. Returns what waits for something else and
    /// went in bundles that were not settled: nobody knows whether the node has it.
    pub(super) fn link_ended(&mut self, link: Number) -> Vec<MessageId> {
        let later = self.open.split_off(&(link + 1, 0, 0));
        let ended = self.open.split_off(&(link, 0, 0));
        self.open.extend(later);
        self.unsettled.retain(|(of, _), _| *of != link);
        let mut unknown = Vec::new();
        for sent in ended.into_values() {
            sent.receipts.values().for_each(|(message, _)| _ = self.places.remove(message));
            if !sent.settled {
                unknown.extend(sent.others);
            }
        }
        unknown
    }

    /// The newest link has ended; dropping the answers says so.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

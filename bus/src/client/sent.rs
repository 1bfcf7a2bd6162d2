//! The bundles of a link that the node is not done with, or has not vouched for yet.

use std::collections::{BTreeMap, HashMap};

use testudo_wire::header::LANES;
use testudo_wire::{Digest, MessageId};

use super::SendError;
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

/// The open bundles of one link.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    open: BTreeMap<Place, Sent>,
    places: HashMap<MessageId, (Place, u16)>,
    unsettled: [usize; LANES],
}

impl Bundles {
    /// Bytes on a lane that the node is not done with.
    pub(super) fn unsettled(&self, lane: u8) -> usize {
        self.unsettled.get(usize::from(lane)).copied().unwrap_or_default()
    }

    /// The same on all lanes.
    pub(super) fn unsettled_all(&self) -> usize {
        self.unsettled.iter().sum()
    }

    /// Enters a bundle that is about to be written.
    pub(super) fn enter(&mut self, place: Place, sent: Sent) {
        for (position, (message, _)) in &sent.receipts {
            self.places.insert(*message, (place, *position));
        }
        if let Some(unsettled) = self.unsettled.get_mut(usize::from(place.0)) {
            *unsettled += sent.bytes;
        }
        self.open.insert(place, sent);
    }

    /// Every bundle of a lane below this number is settled. Returns requests to cancel now.
    pub(super) fn settled(&mut self, lane: u8, bundles: u64) -> Vec<MessageId> {
        let (mut cancels, mut done) = (Vec::new(), Vec::new());
        for (place, sent) in self.open.range_mut((lane, 0)..(lane, bundles)) {
            if !std::mem::replace(&mut sent.settled, true)
                && let Some(unsettled) = self.unsettled.get_mut(usize::from(lane))
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

    /// The link has ended; dropping the answers says so.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

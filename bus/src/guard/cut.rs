//! The part of a bundle that goes to somebody, with what its receivers need beside it: made once for everyone who gets
//! the same part.

use std::sync::Arc;

use bytes::Bytes;
use testudo_rules::pipeline::{Inspected, Verdict};
use testudo_wire::bundle::Pruner;
use testudo_wire::{Bundle, Capability, Destination, Header, Item, ReceiptWish, Ttl};

use super::judge::told;
use crate::node::{Answer, Carried, Held, Judging, Place};

/// A part of a bundle that goes to somebody, made once however many get it.
pub(super) struct Cut {
    pub(super) positions: Vec<usize>,
    pub(super) bundle: Bytes,
    pub(super) tokens: Arc<[Carried]>,
    /// A token of these messages is gone since they were judged: its authority was retired, or its link has presented
    /// so many others since that it was forgotten.
    pub(super) is_void: bool,
    pub(super) needs: Arc<[Capability]>,
    pub(super) alerts: Vec<(u16, Vec<String>)>,
    pub(super) places: Vec<Place>,
    pub(super) ttl: Ttl,
}

impl Cut {
    /// `pruner` is the bundle's, made with the first cut that is not all of it.
    pub(super) fn of<'a>(
        judging: &Judging,
        inspected: &'a Inspected,
        positions: &[usize],
        pruner: &mut Option<Pruner<'a>>,
    ) -> Option<Self> {
        let bundle = cut(inspected.bundle(), positions, pruner)?;
        let of = |position: &usize| match &inspected.bundle().items()[*position] {
            Item::Envelope(envelope) => Some((*position, envelope)),
            Item::Pruned { .. } => None,
        };
        let envelopes: Vec<_> = positions.iter().filter_map(of).collect();
        let places = envelopes.iter().map(|(position, envelope)| Place {
            position: u16::try_from(*position).unwrap_or(u16::MAX),
            message: envelope.header().message,
            wants_signature: (envelope.header().receipt == ReceiptWish::Delivered).then(|| envelope.digest()),
            answers: answers(envelope.header()),
        });
        let headers: Vec<_> = envelopes.iter().map(|(_, envelope)| envelope.header()).collect();
        let (tokens, is_void) = tokens(judging, &headers);
        Some(Self {
            positions: positions.to_vec(),
            bundle,
            tokens,
            is_void,
            needs: needs(&headers),
            alerts: alerts(inspected, positions),
            places: places.collect(),
            ttl: headers.iter().map(|header| header.ttl).min().unwrap_or_default(),
        })
    }
}

fn cut<'a>(bundle: &'a Bundle, positions: &[usize], pruner: &mut Option<Pruner<'a>>) -> Option<Bytes> {
    if positions.len() == bundle.items().len() {
        return Some(bundle.bytes().clone());
    }
    if pruner.is_none() {
        *pruner = bundle.pruner().ok();
    }
    pruner.as_ref()?.cut(positions).ok()
}

fn answers(header: &Header) -> Option<Answer> {
    let is_last = header.part.is_none_or(|part| part.last);
    header.in_reply_to.map(|request| Answer { request, is_last })
}

/// What whoever gets these messages must serve, or of a publication: have the right to. Answers need nothing.
fn needs(headers: &[&Header]) -> Arc<[Capability]> {
    let (mut needs, mut topics) = (Vec::new(), Vec::new());
    for header in headers {
        match &header.destination {
            Destination::Agent(_) | Destination::Service => {
                needs.extend(header.capability.filter(|needed| !needs.contains(needed)));
            }
            Destination::Topic(topic) if !topics.contains(topic) => topics.push(*topic),
            Destination::Topic(_) | Destination::Reply(_) => {}
        }
    }
    // A right is spelt out once for its topic, not for every message.
    needs.extend(topics.iter().map(Capability::subscribe));
    needs.into()
}

/// The distinct tokens of these messages, and whether one of them is gone.
fn tokens(judging: &Judging, headers: &[&Header]) -> (Arc<[Carried]>, bool) {
    let (mut carried, mut is_void) = (Vec::<Carried>::new(), false);
    for header in headers {
        if carried.iter().any(|(id, _, _)| *id == header.token) {
            continue;
        }
        match judging.tokens.get(&header.token) {
            Some(Held { sealed, meaning }) => carried.push((header.token, sealed.clone(), meaning.clone())),
            None => is_void = true,
        }
    }
    (carried.into(), is_void)
}

/// Alerts by position among the envelopes that the parcel carries.
fn alerts(inspected: &Inspected, positions: &[usize]) -> Vec<(u16, Vec<String>)> {
    let of = |(at, position): (u16, &usize)| match &inspected.verdicts()[*position] {
        Verdict::Allowed { alerts } if !alerts.is_empty() => Some((at, told(alerts))),
        Verdict::Allowed { .. } | Verdict::Refused { .. } => None,
    };
    (0_u16..).zip(positions).filter_map(of).collect()
}

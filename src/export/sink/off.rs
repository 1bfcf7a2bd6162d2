//! An exporter that is switched off: says so for every event, and reaches for nothing (cases r_C21, r_A04).

use std::sync::Arc;

use testudo_rules::export::Outcome;

use super::{Sending, Sent, Sink};
use crate::export::source::Item;

/// Drops everything.
#[derive(Debug)]
pub(in crate::export) struct Off;

impl Sink for Off {
    fn send<'a>(&'a mut self, _: &'a [Arc<Item>]) -> Sending<'a> {
        Box::pin(std::future::ready(Sent { outcome: Outcome::Dropped, reason: None }))
    }
}

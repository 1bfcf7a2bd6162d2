//! Where events go. A sink sends one batch at a time and says what came of it; when to try again is not its matter.

mod file;
mod held;
mod http;
mod lines;
mod off;

use std::pin::Pin;
use std::sync::Arc;

use testudo_rules::export::Outcome;

use super::source::Item;

pub(super) use file::FileSink;
pub(super) use http::{HttpSink, Wire};
pub(super) use lines::LinesSink;
pub(super) use off::Off;

/// What came of sending.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) outcome: Outcome,
    /// Why, when it is not good. Never holds a token or an event.
    pub(super) reason: Option<String>,
}

impl Sent {
    pub(super) const fn delivered() -> Self {
        Self { outcome: Outcome::Delivered, reason: None }
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed { after: None }, reason: Some(reason.into()) }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, reason: Some(reason.into()) }
    }
}

/// Resolves when the batch was sent, or was not.
pub(super) type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;

/// One destination. What it does may be cut off at any await; the next call starts afresh.
pub(super) trait Sink: Send {
    /// Sends a batch.
    fn send<'a>(&'a mut self, batch: &'a [Arc<Item>]) -> Sending<'a>;
}

/// A batch as lines of JSON.
fn lines(batch: &[Arc<Item>]) -> String {
    let mut text = String::with_capacity(batch.iter().map(|item| item.line.len() + 1).sum());
    for item in batch {
        text.push_str(&item.line);
        text.push('\n');
    }
    text
}

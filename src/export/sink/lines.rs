//! Standard output, or anything else that takes bytes: one JSON line an event.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use super::held::Held;
use super::{Sending, Sent, Sink, lines};
use crate::export::source::Item;

/// Writes lines.
pub(in crate::export) struct LinesSink(Held<Box<dyn Write + Send>>);

impl fmt::Debug for LinesSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinesSink")
    }
}

impl LinesSink {
    pub(in crate::export) fn new(to: Box<dyn Write + Send>) -> Self {
        Self(Held::new(to))
    }
}

impl Sink for LinesSink {
    fn send<'a>(&'a mut self, batch: &'a [Arc<Item>]) -> Sending<'a> {
        let text = lines(batch);
        Box::pin(async move {
            let written = self.0.with(move |to| to.write_all(text.as_bytes()).and_then(|()| to.flush()));
            match written.await {
                Ok(()) => Sent::delivered(),
                Err(error) => Sent::failed(format!("cannot be written: {error}")),
            }
        })
    }
}

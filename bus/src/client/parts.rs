//! An answer as its requester takes it in: part by part, at its own pace.

use std::sync::Arc;

use bytes::BytesMut;
use testudo_wire::{AgentName, MessageId, Ttl};
use tokio::time::{Instant, timeout};

use super::inflow::{Flow, Taken};
use super::line::Line;
use super::shared::Shared;
use super::{Delivery, GRACE, SendError};

/// The parts of one answer. Dropping them before the end cancels the request.
#[derive(Debug)]
pub struct Parts {
    line: Arc<Line>,
    request: MessageId,
    flow: Arc<Flow<Delivery>>,
    ttl: Ttl,
    /// When the node last heard that parts were taken in.
    told: Instant,
    ended: bool,
}

impl Parts {
    /// Opens a request, before it is sent.
    pub(super) fn open(shared: &Shared, request: MessageId, from: Option<AgentName>, ttl: Ttl) -> Self {
        let flow = Arc::new(Flow::new(shared.limits.stream_window_bytes));
        let line = shared.line.clone();
        line.waiting().open(request, from, flow.clone());
        Self { line, request, flow, ttl, told: Instant::now(), ended: false }
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> MessageId {
        self.request
    }

    /// The next part; `None` after the last. Each may take the request's time to live. After an error
    /// nothing more comes.
    pub async fn next(&mut self) -> Option<Result<Delivery, SendError>> {
        if self.ended {
            return None;
        }
        let waited = timeout(self.ttl.duration() + GRACE, self.taken()).await;
        let next = waited.unwrap_or_else(|_| Some(Err(SendError::NoAnswer(self.ttl.as_millis()))));
        if !matches!(next, Some(Ok(_))) {
            self.ended = true;
            self.line.abandon(&self.request);
        }
        next
    }

    /// The whole answer: its only part, or the last one with the bodies of all, if together they are no larger
    /// than one body may be.
    pub(super) async fn collect(mut self, body_max: usize) -> Result<Delivery, SendError> {
        let mut bodies = BytesMut::new();
        while let Some(delivery) = self.next().await {
            let delivery = delivery?;
            let Some(part) = delivery.header().part else { return Ok(delivery) };
            let len = bodies.len() + delivery.body().len();
            if len > body_max {
                return Err(SendError::TooLarge(len, body_max));
            }
            bodies.extend_from_slice(&delivery.body());
            if part.last {
                return Ok(delivery.joined(bodies.freeze()));
            }
        }
        Err(SendError::Unknown)
    }

    async fn taken(&mut self) -> Option<Result<Delivery, SendError>> {
        loop {
            match self.flow.take() {
                Taken::Part(delivery, credit) => {
                    // Whoever takes its time says so now and then: the node ends a request on which nothing moves.
                    let late = self.told.elapsed() >= self.ttl.duration() / 3;
                    if let Some(bytes) = credit.or_else(|| if late { self.flow.tell() } else { None }) {
                        self.told = Instant::now();
                        self.line.board.credit(self.request, bytes);
                    }
                    return Some(Ok(delivery));
                }
                Taken::End(Ok(())) => return None,
                Taken::End(Err(why)) => return Some(Err(why)),
                Taken::Nothing => self.flow.changed().await,
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if !self.ended {
            self.line.abandon(&self.request);
        }
    }
}

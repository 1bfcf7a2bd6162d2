//! Requests that are given up while the guard still has its turns with the bundle that they came in. They are open only
//! once it is done, and end then: what comes on the control stream does not wait for that.

use std::sync::{Mutex, PoisonError};

use testudo_wire::MessageId;

/// As many as a bundle holds.
const MAX: usize = 256;

/// See the module. Nothing is noted but between [`Early::begin`] and [`Early::end`].
#[derive(Debug, Default)]
pub(crate) struct Early(Mutex<Option<Vec<MessageId>>>);

impl Early {
    /// The guard has a bundle of this link.
    pub(crate) fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// A request that is not open was given up: it may be in that bundle.
    pub(crate) fn note(&self, request: MessageId) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = noted.as_mut().filter(|noted| noted.len() < MAX) {
            noted.push(request);
        }
    }

    /// The guard is done with it.
    pub(crate) fn end(&self) -> Vec<MessageId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

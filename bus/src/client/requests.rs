//! The requests that this agent has open: who may answer each, and where its answer goes.

use std::collections::HashMap;
use std::sync::Arc;

use testudo_wire::{AgentName, MessageId, Part, Refusal};

use super::SendError;
use super::inflow::Flow;
use super::line::Number;

/// Link, lane and number of a bundle.
pub(super) type Place = (Number, u8, u64);

#[derive(Debug)]
struct Open<T> {
    /// Who may answer; `None` until the first of a service's agents has.
    from: Option<AgentName>,
    /// The bundle that it went in, once it has gone.
    place: Option<Place>,
    flow: Arc<Flow<T>>,
}

/// One piece of an answer, as far as the table needs to know it.
#[derive(Debug)]
pub(super) struct Piece<T> {
    pub(super) from: AgentName,
    pub(super) part: Option<Part>,
    pub(super) body: usize,
    pub(super) item: T,
}

/// The open requests of one link.
#[derive(Debug)]
pub(super) struct Requests<T>(HashMap<MessageId, Open<T>>);

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Requests<T> {
    /// A request that is about to be queued.
    pub(super) fn open(&mut self, request: MessageId, from: Option<AgentName>, flow: Arc<Flow<T>>) {
        self.0.insert(request, Open { from, place: None, flow });
    }

    /// Whether anybody waits for its answer.
    pub(super) fn is_open(&self, request: &MessageId) -> bool {
        self.0.contains_key(request)
    }

    /// It goes in this bundle.
    pub(super) fn placed(&mut self, request: &MessageId, place: Place) {
        if let Some(open) = self.0.get_mut(request) {
            open.place = Some(place);
        }
    }

    /// Whether an answer to this request may come from this agent.
    pub(super) fn awaits(&self, request: &MessageId, from: &AgentName) -> bool {
        self.0.get(request).is_some_and(|open| open.from.is_none_or(|expected| expected == *from))
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A verified piece of an answer. The first agent of a service that answers is the one that may go on.
    ///
    /// # Errors
    /// Why it is not taken, and whether the request has ended by that.
    pub(super) fn answered(&mut self, request: &MessageId, piece: Piece<T>) -> Result<(), (Refusal, bool)> {
        let open = self.0.get_mut(request).ok_or((Refusal::Unauthorised, false))?;
        if *open.from.get_or_insert(piece.from) != piece.from {
            return Err((Refusal::Unauthorised, false));
        }
        match open.flow.push(piece.part, piece.body, piece.item) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.0.remove(request);
                Ok(())
            }
            Err(refusal) => {
                self.0.remove(request);
                Err((refusal, true))
            }
        }
    }

    /// It ends without an answer, or without more of one. `false` when it was not open.
    pub(super) fn close(&mut self, request: &MessageId, why: SendError) -> bool {
        self.0.remove(request).map(|open| open.flow.close(Err(why))).is_some()
    }

    /// Nobody waits any more. `None` when it was not open; else the bundle that it went in, if it has gone.
    pub(super) fn abandon(&mut self, request: &MessageId) -> Option<Option<Place>> {
        self.0.remove(request).map(|open| open.place)
    }

    /// The link has ended.
    pub(super) fn end(&mut self) {
        for (_, open) in self.0.drain() {
            open.flow.close(Err(SendError::Unknown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::inflow::Taken;
    use super::*;

    const ID: MessageId = MessageId::new([7; 16]);

    fn name(text: &str) -> AgentName {
        AgentName::parse(text).unwrap()
    }

    fn piece(from: &str, index: u32, last: bool) -> Piece<&'static str> {
        Piece { from: name(from), part: Some(Part { index, last }), body: 1, item: "piece" }
    }

    #[test]
    fn the_first_agent_of_a_service_to_answer_is_the_only_one() {
        let (mut requests, flow) = (Requests::default(), Arc::new(Flow::new(1024)));
        requests.open(ID, None, flow.clone());
        assert!(requests.awaits(&ID, &name("a")) && requests.awaits(&ID, &name("b")));
        requests.answered(&ID, piece("a", 0, false)).unwrap();
        assert!(requests.awaits(&ID, &name("a")) && !requests.awaits(&ID, &name("b")));
        // Verified before the first one was pinned, taken after it.
        assert_eq!(requests.answered(&ID, piece("b", 1, true)), Err((Refusal::Unauthorised, false)));
        requests.answered(&ID, piece("a", 1, true)).unwrap();
        assert!(!requests.is_open(&ID), "the last part closes it");
        assert!(matches!(flow.take(), Taken::Part(..)) && matches!(flow.take(), Taken::Part(..)));
        assert_eq!(flow.take(), Taken::End(Ok(())));
    }

    #[test]
    fn a_wrong_part_closes_the_request_and_a_late_one_hurts_nobody() {
        let (mut requests, flow) = (Requests::default(), Arc::new(Flow::new(1024)));
        requests.open(ID, Some(name("a")), flow.clone());
        assert_eq!(requests.answered(&ID, piece("a", 1, false)), Err((Refusal::Malformed, true)));
        assert_eq!(requests.answered(&ID, piece("a", 0, false)), Err((Refusal::Unauthorised, false)));
        assert_eq!(flow.take(), Taken::End(Err(SendError::refused(Refusal::Malformed))));
    }

    #[test]
    fn what_was_given_up_says_where_it_went() {
        let mut requests = Requests::<()>::default();
        assert_eq!(requests.abandon(&ID), None);
        requests.open(ID, None, Arc::new(Flow::new(1)));
        assert_eq!(requests.abandon(&ID), Some(None));
        requests.open(ID, None, Arc::new(Flow::new(1)));
        requests.placed(&ID, (0, 2, 9));
        assert_eq!(requests.abandon(&ID), Some(Some((0, 2, 9))));
    }

    #[test]
    fn the_end_of_the_link_leaves_the_outcome_unknown() {
        let (mut requests, flow) = (Requests::<()>::default(), Arc::new(Flow::new(1)));
        requests.open(ID, None, flow.clone());
        requests.end();
        assert_eq!(flow.take(), Taken::End(Err(SendError::Unknown)));
        assert!(!requests.close(&ID, SendError::Unknown));
    }
}

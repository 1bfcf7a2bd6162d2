//! Requests that wait for their answer: the only thing that lets an agent write to another without a right.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use testudo_rules::pipeline::OpenRequests;
use testudo_wire::{AgentName, MessageId, Refusal};
use tokio::time::Instant;

/// Open requests of one requester.
const PER_REQUESTER: usize = 1024;

#[derive(Debug)]
struct Request {
    requester: AgentName,
    replier: AgentName,
    deadline: Instant,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<MessageId, Request>,
    counts: HashMap<AgentName, usize>,
}

/// All open requests of a node.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Table>);

impl Table {
    fn close(&mut self, request: &MessageId) {
        if let Some(closed) = self.open.remove(request)
            && let Some(count) = self.counts.get_mut(&closed.requester)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&closed.requester);
            }
        }
    }
}

impl Requests {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `requester` may open `more` besides what is open.
    pub(crate) fn has_room(&self, requester: &AgentName, more: usize) -> bool {
        self.table().counts.get(requester).copied().unwrap_or_default() + more <= PER_REQUESTER
    }

    /// Opens a request until a deadline. An id that is open already stays as it was.
    pub(crate) fn open(
        &self,
        request: MessageId,
        requester: AgentName,
        replier: AgentName,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let mut table = self.table();
        if table.open.contains_key(&request) {
            return Err(Refusal::Replayed);
        }
        *table.counts.entry(requester).or_default() += 1;
        table.open.insert(request, Request { requester, replier, deadline });
        Ok(())
    }

    /// The last part of the answer is on its way.
    pub(crate) fn close(&self, request: &MessageId) {
        self.table().close(request);
    }

    /// Forgets requests whose time is over, and those of or to an agent that is out.
    pub(crate) fn sweep(&self, now: Instant, is_out: &dyn Fn(&AgentName) -> bool) {
        let mut table = self.table();
        let over = |request: &Request| {
            request.deadline < now || is_out(&request.requester) || is_out(&request.replier)
        };
        let ids: Vec<_> = table.open.iter().filter(|(_, request)| over(request)).map(|(id, _)| *id).collect();
        for id in ids {
            table.close(&id);
        }
    }
}

impl OpenRequests for Requests {
    fn is_open(&self, request: &MessageId, requester: &AgentName, replier: &AgentName) -> bool {
        self.table().open.get(request).is_some_and(|open| {
            open.requester == *requester && open.replier == *replier && open.deadline >= Instant::now()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> AgentName {
        AgentName::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_needs_the_asked_agent_and_time() {
        let requests = Requests::default();
        let id = MessageId::new([1; 16]);
        let deadline = Instant::now() + Duration::from_secs(1);
        requests.open(id, name("a"), name("b"), deadline).unwrap();
        assert!(requests.is_open(&id, &name("a"), &name("b")));
        assert!(!requests.is_open(&id, &name("a"), &name("c")), "somebody else answers");
        assert!(!requests.is_open(&id, &name("c"), &name("b")), "to somebody else");
        assert_eq!(requests.open(id, name("a"), name("c"), deadline), Err(Refusal::Replayed));
        tokio::time::advance(Duration::from_millis(1001)).await;
        assert!(!requests.is_open(&id, &name("a"), &name("b")), "too late");
        requests.sweep(Instant::now(), &|_| false);
        assert!(requests.has_room(&name("a"), PER_REQUESTER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_requester_at_its_bound_starves_only_itself() {
        let requests = Requests::default();
        let deadline = Instant::now() + Duration::from_secs(1);
        for n in 0..PER_REQUESTER {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            requests.open(MessageId::new(id), name("a"), name("b"), deadline).unwrap();
        }
        assert!(!requests.has_room(&name("a"), 1));
        assert!(requests.has_room(&name("b"), 1));
        requests.sweep(Instant::now(), &|out| *out == name("b"));
        assert!(requests.has_room(&name("a"), 1), "the replier is out: its requests are void");
    }
}

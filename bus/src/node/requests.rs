//! Requests that wait for their answer: the only thing that lets an agent write to another without a right.
//!
//! A request belongs to two links, whatever renews them: it ends with its last part, with its idle time, with the requester's word, or
//! with either link. Progress extends it; nothing else does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use testudo_rules::pipeline::OpenRequests;
use testudo_wire::frame::{Credit, RefusedMessage};
use testudo_wire::{AgentName, Capability, MessageId, Part, Refusal, SessionId};
use tokio::time::Instant;

use super::link::Link;
use crate::spin;

/// Open requests of one requester.
const PER_REQUESTER: usize = 1024;
/// Requests that a requester gave up and that are not open: as many as a bundle holds, then all are forgotten.
const GIVEN_UP: usize = 256;

/// One open request.
#[derive(Debug)]
pub(crate) struct Request {
    requester: Arc<Link>,
    replier: Arc<Link>,
    /// What was asked for.
    capability: Capability,
    /// It ends when nothing happens for so long.
    idle: Duration,
    deadline: Instant,
    next_part: u32,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<MessageId, Request>,
    /// Requests by each of their two links, which is named by the first session of those that renewed one another.
    of: HashMap<SessionId, HashSet<MessageId>>,
    /// How many each agent waits for, and has to answer.
    asked: HashMap<AgentName, usize>,
    owed: HashMap<SessionId, usize>,
    /// Requests that were given up and are not open, by the requester's link: their bundle may still be judged.
    given_up: HashMap<SessionId, HashSet<MessageId>>,
}

/// All open requests of a node.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Table>);

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Table {
    fn insert(&mut self, id: MessageId, request: Request) {
        let (requester, replier) = (&request.requester.line, &request.replier.line);
        *self.asked.entry(request.requester.peer.holder.name).or_default() += 1;
        *self.owed.entry(replier.first).or_default() += 1;
        for session in [requester.first, replier.first] {
            self.of.entry(session).or_default().insert(id);
        }
        self.open.insert(id, request);
    }

    fn remove(&mut self, id: &MessageId) -> Option<Request> {
        let request = self.open.remove(id)?;
        let (requester, replier) = (&request.requester.line, &request.replier.line);
        less(&mut self.asked, &request.requester.peer.holder.name);
        less(&mut self.owed, &replier.first);
        for session in [requester.first, replier.first] {
            if let Some(ids) = self.of.get_mut(&session) {
                ids.remove(id);
                if ids.is_empty() {
                    self.of.remove(&session);
                }
            }
        }
        Some(request)
    }

    fn remove_if(&mut self, id: &MessageId, is: impl FnOnce(&Request) -> bool) -> Option<Request> {
        if self.open.get(id).is_some_and(is) { self.remove(id) } else { None }
    }

    /// Its requester waits no longer: its replier hears so. `false` when it is not open.
    fn cancel(&mut self, id: &MessageId, requester: &Link) -> bool {
        let cancelled = self.remove_if(id, |open| open.requester.is(requester));
        if let Some(cancelled) = &cancelled {
            cancelled.cancel(*id);
        }
        cancelled.is_some()
    }
}

impl Request {
    /// Its last answer came to nothing: the requester hears why and waits no longer. The replier hears it of its answer.
    pub(crate) fn unanswered(&self, request: MessageId, refusal: Refusal) {
        self.requester.refused([RefusedMessage { message: request, refusal, rules: Vec::new() }]);
    }

    /// Nobody waits for the answer any more.
    fn cancel(&self, request: MessageId) {
        self.replier.cancelled(request);
    }
}

impl Requests {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `requester` may open `more` besides what is open.
    pub(crate) fn has_room(&self, requester: &AgentName, more: usize) -> bool {
        self.table().asked.get(requester).copied().unwrap_or_default() + more <= PER_REQUESTER
    }

    /// Whether a request of this id is open, whoever asked whom.
    pub(crate) fn is_known(&self, request: &MessageId) -> bool {
        self.table().open.contains_key(request)
    }

    /// Answers that are still expected over this link.
    pub(crate) fn owed(&self, link: &Link) -> usize {
        self.table().owed.get(&link.line.first).copied().unwrap_or_default()
    }

    /// Opens a request that ends when nothing happens for `idle`. An id that is open already stays as it was.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] for such an id.
    pub(crate) fn open(
        &self,
        request: MessageId,
        requester: &Arc<Link>,
        replier: &Arc<Link>,
        capability: Capability,
        idle: Duration,
    ) -> Result<(), Refusal> {
        let mut table = self.table();
        if table.open.contains_key(&request) {
            return Err(Refusal::Replayed);
        }
        let (requester, replier) = (requester.clone(), replier.clone());
        let deadline = Instant::now() + idle;
        let opened = Request { requester, replier, capability, idle, deadline, next_part: 0 };
        table.insert(request, opened);
        spin::expect(table.open.len());
        Ok(())
    }

    /// An answer, or a part of one, is on its way: the next part is expected, or none any more. Then the request comes
    /// back, for its answer is not recorded yet.
    ///
    /// # Errors
    /// [`Refusal::Unauthorised`] when it is not open to this replier, or another part is expected.
    pub(crate) fn answer(
        &self,
        request: &MessageId,
        replier: &Link,
        part: Option<Part>,
    ) -> Result<Option<Request>, Refusal> {
        let mut table = self.table();
        spin::expect(table.open.len());
        let open = table.open.get_mut(request).filter(|open| open.replier.is(replier));
        let open = open.ok_or(Refusal::Unauthorised)?;
        match part {
            Some(part) if part.index != open.next_part => Err(Refusal::Unauthorised),
            None if open.next_part > 0 => Err(Refusal::Unauthorised),
            Some(part) if !part.last => {
                open.next_part = open.next_part.saturating_add(1);
                open.deadline = Instant::now() + open.idle;
                Ok(None)
            }
            Some(_) | None => Ok(table.remove(request)),
        }
    }

    /// Requests that their replier has now: its time begins.
    pub(crate) fn delivered(&self, requests: impl Iterator<Item = MessageId>) {
        let mut table = self.table();
        if table.open.is_empty() {
            return;
        }
        let now = Instant::now();
        for request in requests {
            if let Some(open) = table.open.get_mut(&request) {
                open.deadline = now + open.idle;
            }
        }
    }

    /// Its answer, or a part of it, was refused: the requester hears why and waits no longer.
    pub(crate) fn fail(&self, request: &MessageId, replier: &Link, refusal: Refusal) {
        let failed = self.table().remove_if(request, |open| open.replier.is(replier));
        if let Some(failed) = failed {
            failed.unanswered(*request, refusal);
            failed.cancel(*request);
        }
    }

    /// The requester waits no longer, or the request came to no receiver that takes it. The replier hears so even
    /// then: what was refused may have been another message of the same id.
    pub(crate) fn cancel(&self, request: &MessageId, requester: &Link) {
        self.table().cancel(request, requester);
    }

    /// The requester's word that it waits no longer. It may overtake the request, which opens only when its bundle was
    /// judged and recorded: then it is remembered until that.
    pub(crate) fn give_up(&self, request: MessageId, requester: &Link) {
        let mut table = self.table();
        if table.cancel(&request, requester) {
            return;
        }
        let given_up = table.given_up.entry(requester.line.first).or_default();
        if given_up.len() >= GIVEN_UP {
            given_up.clear();
        }
        given_up.insert(request);
    }

    /// Ends those of these requests, which are open now and with their receiver, that were given up before.
    pub(crate) fn end_given_up(&self, requests: impl Iterator<Item = MessageId>, requester: &Link) {
        let mut table = self.table();
        let Some(mut given_up) = table.given_up.remove(&requester.line.first) else { return };
        for request in requests.filter(|request| given_up.remove(request)) {
            table.cancel(&request, requester);
        }
        if !given_up.is_empty() {
            table.given_up.insert(requester.line.first, given_up);
        }
    }

    /// The requester has taken in parts: the replier may send more.
    pub(crate) fn credit(&self, credit: Credit, requester: &Link) {
        let mut table = self.table();
        let open = table.open.get_mut(&credit.request).filter(|open| open.requester.is(requester));
        if let Some(open) = open {
            open.deadline = Instant::now() + open.idle;
            open.replier.present().news.credited(credit);
        }
    }

    /// Forgets requests for which nothing happened in their time.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut table = self.table();
        let ids: Vec<_> =
            table.open.iter().filter(|(_, open)| open.deadline < now).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(expired) = table.remove(&id) {
                expired.cancel(id);
            }
        }
    }

    /// An older link of an agent that is gone has ended, too: nothing it gave up can open any more.
    pub(crate) fn forget_given_up(&self, link: &Link) {
        self.table().given_up.remove(&link.line.first);
    }

    /// A link has ended, and with it every request of and to it.
    pub(crate) fn link_ended(&self, link: &Link) {
        let mut table = self.table();
        table.given_up.remove(&link.line.first);
        let ids = table.of.get(&link.line.first).cloned().unwrap_or_default();
        for id in ids {
            let Some(ended) = table.remove(&id) else { continue };
            if ended.requester.is(link) {
                ended.cancel(id);
            } else {
                ended.requester.lost([id]);
            }
        }
    }
}

impl OpenRequests for Requests {
    fn asked(&self, request: &MessageId, requester: &AgentName, replier: &AgentName) -> Option<Capability> {
        let table = self.table();
        let open = table.open.get(request).filter(|open| {
            open.requester.peer.holder.name == *requester
                && open.replier.peer.holder.name == *replier
                && open.deadline >= Instant::now()
        });
        open.map(|open| open.capability)
    }
}

//! Whom the node has introduced, and who asked for it. A name counts for nothing before its certificate was
//! checked against the swarm's CAs.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use testudo_wire::frame::Introduced;
use testudo_wire::{AgentName, Holder, Refusal, SpiffeId};
use tokio::time::Instant;

use super::SendError;
use super::receipts::Answer;
use crate::tls::{self, Role};

/// Agents that are kept; the longest unspoken-of goes first.
const NAMES_MAX: usize = 1024;
/// How long an introduction answers a question.
const FRESH: Duration = Duration::from_secs(60);

/// Checks an introduction.
///
/// # Errors
/// [`Refusal::UnknownAgent`] when the node knows nobody of that name, else [`Refusal::Unauthentic`].
pub(super) fn check(introduced: &Introduced, trust: &tls::Trust, now: UnixTime) -> Result<Holder, Refusal> {
    let chain: Vec<_> = introduced.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::UnknownAgent)?;
    let leaf = tls::check(Role::Agent, trust, leaf, intermediates, now).map_err(|_| Refusal::Unauthentic)?;
    match leaf.id {
        SpiffeId::Agent(_, name) if name == introduced.name => Ok(Holder { name, key: leaf.key }),
        SpiffeId::Agent(..) | SpiffeId::Node(..) => Err(Refusal::Unauthentic),
    }
}

/// Agents by name, as introduced on one link.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<AgentName, (Holder, Instant)>,
    order: VecDeque<AgentName>,
    asked: HashMap<AgentName, Vec<Answer<Holder>>>,
}

impl Names {
    /// Who that is, as far as the node has said; it does not lapse.
    pub(super) fn get(&self, name: &AgentName) -> Option<Holder> {
        self.known.get(name).map(|(holder, _)| *holder)
    }

    /// Who that is, if the node said so lately.
    pub(super) fn lately(&self, name: &AgentName) -> Option<Holder> {
        self.known.get(name).filter(|(_, since)| since.elapsed() < FRESH).map(|(holder, _)| *holder)
    }

    /// Somebody waits for the node's word.
    pub(super) fn ask(&mut self, name: AgentName, answer: Answer<Holder>) {
        self.asked.entry(name).or_default().push(answer);
    }

    /// The node's word, checked.
    pub(super) fn introduced(&mut self, name: AgentName, word: Result<Holder, Refusal>) {
        if let Ok(holder) = word {
            if self.known.insert(name, (holder, Instant::now())).is_some() {
                self.order.retain(|known| *known != name);
            } else if self.order.len() >= NAMES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(name);
        }
        for answer in self.asked.remove(&name).unwrap_or_default() {
            let _ = answer.send(word.map_err(SendError::refused));
        }
    }

    /// The link has ended; dropping the answers says so.
    pub(super) fn end(&mut self) {
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testudo_wire::SecretKey;
    use tokio::sync::oneshot;

    fn holder(n: usize) -> Holder {
        let key = SecretKey::from_seed(&[1; 32]).public();
        Holder { name: AgentName::parse(&format!("a{n}")).unwrap(), key }
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_who_asked_hears_and_an_old_word_is_asked_for_again() {
        let (mut names, one) = (Names::default(), holder(1));
        let ask = |names: &mut Names| {
            let (answer, word) = oneshot::channel();
            names.ask(one.name, answer);
            word
        };
        let (mut first, mut second) = (ask(&mut names), ask(&mut names));
        names.introduced(one.name, Ok(one));
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(Ok(one)), Ok(Ok(one))));
        tokio::time::advance(FRESH).await;
        assert_eq!((names.lately(&one.name), names.get(&one.name)), (None, Some(one)));
        let mut third = ask(&mut names);
        names.introduced(one.name, Err(Refusal::UnknownAgent));
        assert_eq!(third.try_recv(), Ok(Err(SendError::refused(Refusal::UnknownAgent))));
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_bounded_and_the_longest_unspoken_of_goes_first() {
        let mut names = Names::default();
        for n in 0..NAMES_MAX {
            names.introduced(holder(n).name, Ok(holder(n)));
        }
        names.introduced(holder(0).name, Ok(holder(0)));
        names.introduced(holder(NAMES_MAX).name, Ok(holder(NAMES_MAX)));
        assert_eq!(names.get(&holder(1).name), None);
        assert!(names.get(&holder(0).name).is_some() && names.known.len() == NAMES_MAX);
        assert_eq!(names.order.len(), NAMES_MAX);
    }
}

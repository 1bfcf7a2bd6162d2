//! What was asked on one link and is answered on it: tokens, topics, names, a new certificate.

use std::collections::{HashMap, VecDeque};

use testudo_wire::frame::Renewed;
use testudo_wire::{AgentName, Holder, Refusal, Resource, TokenId};
use tokio::sync::oneshot;

use super::SendError;
use super::names::Names;
use super::receipts::Answer;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) names: Names,
    tokens: HashMap<TokenId, Vec<Answer<()>>>,
    asked: HashMap<Resource, Vec<Answer<()>>>,
    renewals: VecDeque<Answer<Renewed>>,
    ended: bool,
}

impl Desk {
    /// Somebody waits for the node's word on a token.
    pub(super) fn present(&mut self, token: TokenId) -> oneshot::Receiver<Result<(), SendError>> {
        let (answer, word) = oneshot::channel();
        if !self.ended {
            self.tokens.entry(token).or_default().push(answer);
        }
        word
    }

    /// The node's word on a token.
    pub(super) fn presented(&mut self, token: TokenId, refusal: Option<Refusal>) {
        answer_all(self.tokens.remove(&token), refusal);
    }

    /// Somebody waits for the node's word on who an agent is.
    pub(super) fn whois(&mut self, name: AgentName) -> oneshot::Receiver<Result<Holder, SendError>> {
        let (answer, word) = oneshot::channel();
        if !self.ended {
            self.names.ask(name, answer);
        }
        word
    }

    /// Somebody waits for the node's word on a subscription.
    pub(super) fn subscribe(&mut self, topic: Resource) -> oneshot::Receiver<Result<(), SendError>> {
        let (answer, word) = oneshot::channel();
        if !self.ended {
            self.asked.entry(topic).or_default().push(answer);
        }
        word
    }

    /// The node's word on a subscription, asked or not.
    pub(super) fn subscribed(&mut self, topic: Resource, refusal: Option<Refusal>) {
        answer_all(self.asked.remove(&topic), refusal);
    }

    /// Somebody waits for a new certificate.
    pub(super) fn renew(&mut self) -> oneshot::Receiver<Result<Renewed, SendError>> {
        let (answer, word) = oneshot::channel();
        if !self.ended {
            self.renewals.push_back(answer);
        }
        word
    }

    /// The node's answer to that: it answers in the order in which it was asked.
    pub(super) fn renewed(&mut self, word: Renewed) {
        let Some(answer) = self.renewals.pop_front() else { return };
        let refusal = word.refusal;
        let _ = answer.send(refusal.map_or(Ok(word), |refusal| Err(SendError::refused(refusal))));
    }

    /// The link has ended: whoever still waits will never know. Dropping the answers tells them so.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.names.end();
        self.tokens.clear();
        self.asked.clear();
        self.renewals.clear();
    }
}

fn answer_all(answers: Option<Vec<Answer<()>>>, refusal: Option<Refusal>) {
    for answer in answers.unwrap_or_default() {
        let _ = answer.send(refusal.map_or(Ok(()), |refusal| Err(SendError::refused(refusal))));
    }
}

//! What a client asks its node for: tokens, topics, who somebody is.

use std::collections::BTreeSet;

use testudo_rules::token::SealedToken;
use testudo_wire::frame::{FromAgent, Present, Subscription, Whois};
use testudo_wire::{AgentName, Holder, Resource, TokenId};
use tokio::sync::oneshot;

use super::shared::Shared;
use super::{Client, SendError};

impl Client {
    /// Shows the node a token, so that messages can be sent under it.
    ///
    /// # Errors
    /// [`SendError`] with the node's refusal.
    pub async fn present(&self, token: &SealedToken) -> Result<TokenId, SendError> {
        let link = self.link();
        let word = link.desk().present(token.id());
        ask(&link, FromAgent::Present(Present { token: token.bytes().to_vec() }), word).await?;
        Ok(token.id())
    }

    /// Asks for the messages of a topic; they come like all others.
    ///
    /// # Errors
    /// [`SendError`] with the node's refusal.
    pub async fn subscribe(&self, topic: Resource) -> Result<(), SendError> {
        let link = self.link();
        let word = link.desk().subscribe(topic);
        ask(&link, FromAgent::Subscribe(Subscription { topic }), word).await
    }

    /// Gives up a topic. What is on its way may still come.
    ///
    /// # Errors
    /// [`SendError::Unknown`] when the link has ended, and with it the subscription.
    pub async fn unsubscribe(&self, topic: Resource) -> Result<(), SendError> {
        let link = self.link();
        link.line.waiting().unsubscribe(&topic);
        let frame = FromAgent::Unsubscribe(Subscription { topic });
        link.control.send(frame).await.map_err(|_| SendError::Unknown)
    }

    /// The topics whose messages come: the node has said yes, and has not taken it back.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<Resource> {
        self.link().line.waiting().topics().clone()
    }

    /// Who an agent is, proved by its certificate. An answer is good for a minute.
    ///
    /// # Errors
    /// [`SendError`]; refused as unknown agent when the node can introduce nobody of that name.
    pub async fn holder(&self, name: AgentName) -> Result<Holder, SendError> {
        let link = self.link();
        let word = {
            let mut desk = link.desk();
            match desk.names.lately(&name) {
                Some(holder) => return Ok(holder),
                None => desk.whois(name),
            }
        };
        ask(&link, FromAgent::Whois(Whois { name }), word).await
    }
}

/// Sends a question and waits for the word on it.
pub(super) async fn ask<T>(
    link: &Shared,
    frame: FromAgent,
    word: oneshot::Receiver<Result<T, SendError>>,
) -> Result<T, SendError> {
    link.control.send(frame).await.map_err(|_| SendError::Unknown)?;
    word.await.map_err(|_| SendError::Unknown)?
}

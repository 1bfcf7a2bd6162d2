//! What a member says and asks: each time over the link of now, with what later links are to be shown.

use std::time::Duration;

use bytes::Bytes;
use testudo_rules::token::SealedToken;
use testudo_wire::{AgentName, ContentType, Holder, MessageId, Part, Refusal, Resource, TokenId, Ttl};
use tokio::time::{Instant, sleep};

use super::Member;
use crate::client::{Client, Delivered, Delivery, Outgoing, Parts, Receipt, SendError, replying};

/// Between two tries to show a token: the node takes ten a second.
const AGAIN: Duration = Duration::from_millis(100);

impl Member {
    /// See [`Client::tell`]. Waits for a link as long as the message may live.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn tell(&self, message: Outgoing) -> Result<Receipt, SendError> {
        let (client, message) = self.carry(message).await?;
        client.tell(message).await
    }

    /// See [`Client::deliver`]. Waits for a link as long as the message may live.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn deliver(&self, message: Outgoing) -> Result<Delivered, SendError> {
        let (client, message) = self.carry(message).await?;
        client.deliver(message).await
    }

    /// See [`Client::post`]. Waits for a link as long as the message may live.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn post(&self, message: Outgoing) -> Result<MessageId, SendError> {
        let (client, message) = self.carry(message).await?;
        client.post(message).await
    }

    /// See [`Client::request`]. Waits for a link as long as the message may live.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn request(&self, message: Outgoing) -> Result<Delivery, SendError> {
        let (client, message) = self.carry(message).await?;
        client.request(message).await
    }

    /// See [`Client::stream`]. Waits for a link as long as the message may live.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn stream(&self, message: Outgoing) -> Result<Parts, SendError> {
        let (client, message) = self.carry(message).await?;
        client.stream(message).await
    }

    /// See [`Client::reply`]. Only the link that the request came on carries its answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reply(
        &self,
        to: &Delivery,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.link_of(to)?.reply(to, content_type, body).await
    }

    /// See [`Client::reply_part`]. Only the link that the request came on carries its answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reply_part(
        &self,
        to: &Delivery,
        part: Part,
        content_type: ContentType,
        body: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.link_of(to)?.reply_part(to, part, content_type, body).await
    }

    fn link_of(&self, to: &Delivery) -> Result<Client, SendError> {
        match self.current() {
            Some(client) => Ok(client),
            None if replying::is_over(to) => Err(SendError::Cancelled),
            None => Err(SendError::Unknown),
        }
    }

    /// See [`Client::cancelled`]; the end of the link that the request came on is one too.
    pub async fn cancelled(&self, request: &Delivery) {
        replying::cancelled(request).await;
    }

    /// See [`Client::present`]. A token that was taken is shown to later links too, and to none of them twice:
    /// who acts under one token many times a second is not over the quota for tokens.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn present(&self, token: &SealedToken) -> Result<TokenId, SendError> {
        let client = self.within(Ttl::default()).await?;
        let (id, session) = (token.id(), client.line());
        let until = Instant::now() + Ttl::default().duration();
        // The node forgets in the order in which it was shown, so that is the order here too.
        while !self.core.kept().has_shown(&id, session) {
            match client.present(token).await {
                Ok(_) => self.core.kept().token(token.clone(), session),
                // Whoever acts for many waits its turn.
                Err(SendError::Refused { refusal: Refusal::OverQuota, .. }) if Instant::now() < until => {
                    sleep(AGAIN).await;
                }
                Err(why) => return Err(why),
            }
        }
        Ok(id)
    }

    /// See [`Client::subscribe`]. A topic that was given is asked of later links too.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn subscribe(&self, topic: Resource) -> Result<(), SendError> {
        self.within(Ttl::default()).await?.subscribe(topic).await?;
        self.core.kept().topics.insert(topic);
        Ok(())
    }

    /// Gives up a topic, on this link and on later ones.
    pub async fn unsubscribe(&self, topic: Resource) {
        self.core.kept().topics.remove(&topic);
        if let Some(client) = self.current() {
            // A link that has ended meanwhile has no subscriptions.
            let _ = client.unsubscribe(topic).await;
        }
    }

    /// See [`Client::holder`].
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn holder(&self, name: AgentName) -> Result<Holder, SendError> {
        self.within(Ttl::default()).await?.holder(name).await
    }
}

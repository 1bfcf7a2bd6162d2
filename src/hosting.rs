//! Hosts agents of `testudo-agents` on the links of a member of `testudo-bus`: the one place where the two meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use testudo_agents::{
    Answer, Arrived, Delegate, Inbox, Incoming, Message, Receipt, SendFailure, To, TokenText, Transport, Wish,
};
use testudo_bus::client::{self, Arrivals, Delivery, Member, Outgoing, SendError};
use testudo_bus::env::random;
use testudo_rules::inspect::Inspector;
use testudo_rules::token::{Delegation, Fresh, Token};
use testudo_wire::{
    Capability, ContentType, Limits, MessageId, Part, Resource, Spans, TokenFactId, TokenId, TraceParent,
};
use tokio::time::{Instant, timeout};

/// So long what was sent last may take to the node; less than a host leaves for its goodbye.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// Messages that one agent has sent and received, as it sees it.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
}

impl Ledger {
    /// Messages sent and not refused.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Verified messages received, answers included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Messages that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn count<T>(&self, result: &Result<T, SendError>) {
        let counter = match result {
            Err(SendError::Refused { .. } | SendError::TooLarge(..)) => &self.refused,
            // Without an answer it was sent all the same.
            Ok(_) | Err(SendError::NoAnswer(_) | SendError::Unknown) => &self.sent,
            Err(SendError::Cancelled | SendError::NoLink(_)) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn arrived(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }
}

/// A member's links as agents use them.
#[derive(Clone, Debug)]
pub struct Carrier {
    member: Member,
    ledger: Arc<Ledger>,
    spans: Option<Arc<dyn Spans>>,
}

/// What arrives on them, as hosts take it.
#[derive(Debug)]
pub struct Mail {
    arrivals: Arrivals,
    ledger: Arc<Ledger>,
}

/// The parts of an answer, as agents take them.
#[derive(Debug)]
pub struct Parts {
    parts: client::Parts,
    ledger: Arc<Ledger>,
    /// What the request took.
    rights: Vec<Capability>,
}

/// A member for a host: the way out, the way in, and what went over them.
#[must_use]
pub fn carrier(member: Member, arrivals: Arrivals) -> (Carrier, Mail, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    (
        Carrier { member, ledger: ledger.clone(), spans: None },
        Mail { arrivals, ledger: ledger.clone() },
        ledger,
    )
}

fn outgoing(message: Message) -> Outgoing {
    Outgoing {
        to: message.to,
        capability: message.capability,
        content_type: message.content_type,
        body: message.body,
        ttl: message.ttl,
        correlation: message.correlation,
        trace: message.trace,
        token: message.token,
    }
}

/// What a message asks, and of which type it is: [`rights`] of it are what it takes.
fn rights_of(message: &Message) -> impl Fn() -> Vec<Capability> + Send + Sync + use<> {
    let (capability, content_type) = (message.capability, message.content_type);
    move || rights(capability, content_type)
}

/// The rights that a message takes, as its token must have them.
#[must_use]
pub fn rights(capability: Capability, content_type: ContentType) -> Vec<Capability> {
    let opaque = Inspector::is_opaque(content_type.as_str()).then(|| capability.opaque()).flatten();
    std::iter::once(capability).chain(opaque).collect()
}

/// What went wrong, with something that takes these rights.
fn failure(error: SendError, needs: Vec<Capability>) -> SendFailure {
    match error {
        SendError::Refused { refusal, rules } => SendFailure::Refused { refusal, rules, needs },
        SendError::NoAnswer(after_ms) => SendFailure::NoAnswer { after_ms },
        SendError::Unknown => SendFailure::Unknown,
        SendError::TooLarge(bytes, max) => SendFailure::TooLarge { bytes, max },
        SendError::Cancelled => SendFailure::Cancelled,
        SendError::NoLink(_) => SendFailure::NoLink,
    }
}

fn bad_token(error: &impl std::fmt::Display) -> SendFailure {
    SendFailure::BadToken { why: error.to_string() }
}

fn token(text: &TokenText) -> Result<Token, SendFailure> {
    Token::from_text(text.as_str(), &Limits::standard()).map_err(|error| bad_token(&error))
}

fn answer(delivery: &Delivery) -> Answer {
    Answer {
        message: delivery.message(),
        sender: *delivery.sender(),
        correlation: delivery.correlation(),
        part: delivery.header().part,
        content_type: delivery.content_type(),
        body: delivery.body(),
        alerts: delivery.alerts().to_vec(),
    }
}

/// A message for the agent; `None` for an answer, which goes to whoever asked.
fn incoming(delivery: &Delivery) -> Option<Incoming> {
    let to = To::of(&delivery.header().destination)?;
    Some(Incoming {
        message: delivery.message(),
        sender: *delivery.sender(),
        to,
        capability: delivery.capability()?,
        correlation: delivery.correlation(),
        content_type: delivery.content_type(),
        body: delivery.body(),
        wants_reply: delivery.wants_reply(),
        alerts: delivery.alerts().to_vec(),
        trace: delivery.header().trace,
        delegated: None,
    })
}

impl Carrier {
    /// Gives the spans of traced messages that are handled here to `spans`.
    #[must_use]
    pub fn traced(self, spans: Arc<dyn Spans>) -> Self {
        Self { spans: Some(spans), ..self }
    }

    /// Counts what became of something that takes these rights, which are asked for only if it failed.
    fn counted<T>(
        &self,
        result: Result<T, SendError>,
        rights: impl FnOnce() -> Vec<Capability>,
    ) -> Result<T, SendFailure> {
        self.ledger.count(&result);
        result.map_err(|error| failure(error, rights()))
    }

    /// What was sent last has its verdict before the end of the link is asked for: the end would overtake it.
    async fn last_words(&self) {
        let _ = timeout(LAST_WORDS, self.member.flush()).await;
    }
}

impl Transport for Carrier {
    type Origin = Delivery;
    type Parts = Parts;

    async fn tell(&self, message: Message, wish: Wish) -> Result<Receipt, SendFailure> {
        let (rights, message) = (rights_of(&message), outgoing(message));
        match wish {
            Wish::Accepted => {
                let receipt = self.counted(self.member.tell(message).await, rights)?;
                let (message, digest, record) = (receipt.message, receipt.digest, Some(receipt.record));
                Ok(Receipt { message, digest, record, delivered_by: None })
            }
            Wish::Delivered => {
                let receipt = self.counted(self.member.deliver(message).await, rights)?;
                let (message, digest, by) = (receipt.message, receipt.digest, Some(receipt.receiver));
                Ok(Receipt { message, digest, record: None, delivered_by: by })
            }
        }
    }

    async fn post(&self, message: Message) -> Result<MessageId, SendFailure> {
        let rights = rights_of(&message);
        self.counted(self.member.post(outgoing(message)).await, rights)
    }

    async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let rights = rights_of(&message);
        let delivery = self.counted(self.member.request(outgoing(message)).await, rights)?;
        self.ledger.arrived();
        // Its parts are joined: it is whole.
        Ok(Answer { part: None, ..answer(&delivery) })
    }

    async fn stream(&self, message: Message) -> Result<Parts, SendFailure> {
        let rights = rights(message.capability, message.content_type);
        let parts = self.counted(self.member.stream(outgoing(message)).await, || rights.clone())?;
        Ok(Parts { parts, ledger: self.ledger.clone(), rights })
    }

    async fn subscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        let subscribed = self.member.subscribe(topic).await;
        subscribed.map_err(|error| failure(error, vec![Capability::subscribe(&topic)]))
    }

    async fn unsubscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        self.member.unsubscribe(topic).await;
        Ok(())
    }

    async fn reply(&self, to: &Delivery, content_type: ContentType, body: Bytes) -> Result<(), SendFailure> {
        self.counted(self.member.reply(to, content_type, body).await, Vec::new)
    }

    async fn reply_part(
        &self,
        to: &Delivery,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> Result<(), SendFailure> {
        self.counted(self.member.reply_part(to, part, content_type, body).await, Vec::new)
    }

    async fn cancelled(&self, to: &Delivery) {
        self.member.cancelled(to).await;
    }

    async fn present(&self, text: &TokenText) -> Result<TokenId, SendFailure> {
        let sealed = token(text)?.seal().map_err(|error| bad_token(&error))?;
        self.member.present(&sealed).await.map_err(|error| failure(error, Vec::new()))
    }

    async fn delegate(
        &self,
        from: Option<&TokenText>,
        delegate: &Delegate,
    ) -> Result<TokenText, SendFailure> {
        let to = self.member.holder(delegate.to).await.map_err(|error| failure(error, Vec::new()))?;
        let (own, env) = (self.member.identity(), self.member.env());
        let parent = from.map(token).transpose()?;
        let parent = parent.as_ref().unwrap_or(&own.token);
        // What comes later cannot count longer.
        let end = parent.verify(&own.tokens()).map_err(|error| bad_token(&error))?.expires();
        let delegation = Delegation {
            id: TokenFactId::new(random(env)),
            to,
            grant: delegate.capabilities.clone(),
            grant_on: delegate.onward.clone(),
            expires: env.now().after(delegate.lives).min(end),
            hops: delegate.hops,
        };
        let made = parent.delegate(&delegation, &own.key, Fresh::from_random(random(env)));
        let made = made.map_err(|error| bad_token(&error))?;
        TokenText::parse(&made.to_text()).map_err(|error| bad_token(&error))
    }

    fn spans(&self) -> Option<Arc<dyn Spans>> {
        self.spans.clone()
    }

    fn arrived(&self, of: &Delivery) -> Option<Instant> {
        of.arrived()
    }

    fn carry_on(&self, of: &mut Delivery, trace: TraceParent) {
        of.carry_on(trace);
    }

    async fn failed(&self) {
        self.last_words().await;
        self.member.failed().await;
    }

    async fn goodbye(&self) {
        self.last_words().await;
        self.member.goodbye().await;
    }
}

impl testudo_agents::Parts for Parts {
    async fn next(&mut self) -> Option<Result<Answer, SendFailure>> {
        let next = self.parts.next().await?;
        if next.is_ok() {
            self.ledger.arrived();
        }
        Some(next.map(|delivery| answer(&delivery)).map_err(|error| failure(error, self.rights.clone())))
    }
}

impl Inbox for Mail {
    type Origin = Delivery;

    async fn next(&mut self) -> Option<Arrived<Delivery>> {
        loop {
            let delivery = self.arrivals.next().await?;
            if let Some(incoming) = incoming(&delivery) {
                self.ledger.arrived();
                return Some(Arrived { incoming, origin: delivery });
            }
        }
    }
}

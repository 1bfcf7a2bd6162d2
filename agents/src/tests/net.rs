//! A transport that is a map of queues, and verbs to tell stories with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use testudo_wire::{
    AgentName, Capability, ContentType, CorrelationId, Digest, Holder, MessageId, Part, Refusal, Resource,
    SecretKey, TokenId,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{
    Answer, Arrived, Bus, Delegate, Inbox, Incoming, Message, Parts, Receipt, SendFailure, To, TokenText,
    Transport, Wish,
};

/// Largest body of this network.
pub(super) const BODY_MAX: usize = 4096;
/// Parts that may be under way to a requester.
pub(super) const CREDIT: usize = 4;

type Back = (Option<Part>, ContentType, Bytes);
type Origin = Option<mpsc::Sender<Back>>;

#[derive(Default)]
pub(super) struct Net {
    queues: Mutex<BTreeMap<AgentName, mpsc::Sender<Arrived<Origin>>>>,
    /// The one live server of a capability.
    pub(super) servers: Mutex<BTreeMap<Capability, AgentName>>,
    subscribers: Mutex<BTreeSet<(Resource, AgentName)>>,
    /// So many links end in the middle of a subscription.
    pub(super) ending: AtomicU64,
    messages: AtomicU64,
    /// What was said beside messages.
    diary: Mutex<Vec<String>>,
    taken: AtomicU64,
    /// Answers and parts that somebody tried to send.
    pub(super) said: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Wire {
    me: Holder,
    net: Arc<Net>,
}

pub(super) struct Queue(mpsc::Receiver<Arrived<Origin>>, Arc<Net>);

impl Inbox for Queue {
    type Origin = Origin;
    async fn next(&mut self) -> Option<Arrived<Origin>> {
        let next = self.0.recv().await;
        self.1.taken.fetch_add(u64::from(next.is_some()), Ordering::SeqCst);
        next
    }
}

impl Net {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn join(self: &Arc<Self>, name: &str) -> (Wire, Queue) {
        let me = holder(name);
        let (sender, receiver) = mpsc::channel(1000);
        self.queues.lock().unwrap().insert(me.name, sender);
        (Wire { me, net: self.clone() }, Queue(receiver, self.clone()))
    }

    /// A bus for the test itself.
    pub(super) fn caller(self: &Arc<Self>) -> Bus {
        Bus::new(self.join("caller").0)
    }

    /// The link of an agent breaks.
    pub(super) fn cut(&self, name: &str) {
        self.queues.lock().unwrap().remove(&agent(name));
    }

    /// Messages taken from inboxes so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// What was said beside messages, and which messages went under which presented token.
    pub(super) fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }

    fn write(&self, entry: String) {
        self.diary.lock().unwrap().push(entry);
    }

    fn id(&self) -> [u8; 16] {
        u128::from(self.messages.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes()
    }

    fn receivers(&self, message: &Message) -> Vec<AgentName> {
        match message.to {
            To::Agent(name) => vec![name],
            To::Service => {
                self.servers.lock().unwrap().get(&message.capability).copied().into_iter().collect()
            }
            To::Topic(topic) => {
                let all = self.subscribers.lock().unwrap();
                all.iter().filter(|(heard, _)| *heard == topic).map(|(_, name)| *name).collect()
            }
        }
    }
}

impl Wire {
    /// Delivers a message and says to whom last.
    fn deliver(&self, message: Message, origin: Origin) -> Result<(MessageId, AgentName), SendFailure> {
        if message.body.len() > BODY_MAX {
            return Err(SendFailure::TooLarge { bytes: message.body.len(), max: BODY_MAX });
        }
        if let Some(token) = message.token {
            self.net.write(format!(
                "{} sends {} under {}",
                self.me.name,
                message.capability,
                of_token(token)
            ));
        }
        let id = MessageId::new(self.net.id());
        let incoming = Incoming {
            message: id,
            sender: self.me,
            to: message.to,
            capability: message.capability,
            correlation: message.correlation.unwrap_or_else(|| CorrelationId::new(self.net.id())),
            content_type: message.content_type,
            body: message.body.clone(),
            wants_reply: origin.is_some(),
            alerts: Vec::new(),
            trace: message.trace,
            delegated: None,
        };
        let unroutable = || SendFailure::refused(Refusal::Unroutable);
        let mut last = Err(unroutable());
        for name in self.net.receivers(&message) {
            let queue = self.net.queues.lock().unwrap().get(&name).cloned().ok_or_else(unroutable)?;
            let arrived = Arrived { incoming: incoming.clone(), origin: origin.clone() };
            queue.try_send(arrived).map_err(|_| unroutable())?;
            last = Ok((id, name));
        }
        last
    }

    fn asked(&self, message: Message) -> Result<Coming, SendFailure> {
        let (back, coming) = mpsc::channel(CREDIT);
        let ttl = message.ttl;
        let (id, name) = self.deliver(message, Some(back))?;
        Ok(Coming { id, sender: holder(name.as_str()), coming, ttl: ttl.duration() })
    }

    async fn back(&self, to: &Origin, back: Back) -> Result<(), SendFailure> {
        self.net.said.fetch_add(1, Ordering::SeqCst);
        if back.2.len() > BODY_MAX {
            return Err(SendFailure::TooLarge { bytes: back.2.len(), max: BODY_MAX });
        }
        to.as_ref().expect("somebody waits").send(back).await.map_err(|_| SendFailure::Cancelled)
    }
}

pub(super) struct Coming {
    id: MessageId,
    sender: Holder,
    coming: mpsc::Receiver<Back>,
    ttl: Duration,
}

impl Parts for Coming {
    async fn next(&mut self) -> Option<Result<Answer, SendFailure>> {
        let after_ms = u32::try_from(self.ttl.as_millis()).unwrap();
        let Ok(back) = timeout(self.ttl, self.coming.recv()).await else {
            return Some(Err(SendFailure::NoAnswer { after_ms }));
        };
        let (part, content_type, body) = back?;
        let (message, sender, correlation) = (self.id, self.sender, CorrelationId::new([0; 16]));
        Some(Ok(Answer { message, sender, correlation, part, content_type, body, alerts: Vec::new() }))
    }
}

impl Transport for Wire {
    type Origin = Origin;
    type Parts = Coming;

    async fn tell(&self, message: Message, wish: Wish) -> Result<Receipt, SendFailure> {
        let (message, name) = self.deliver(message, None)?;
        let (record, delivered_by) = match wish {
            Wish::Accepted => (Some(0), None),
            Wish::Delivered => (None, Some(holder(name.as_str()))),
        };
        Ok(Receipt { message, digest: Digest::new([0; 32]), record, delivered_by })
    }

    async fn post(&self, message: Message) -> Result<MessageId, SendFailure> {
        Ok(self.deliver(message, None)?.0)
    }

    async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let mut coming = self.asked(message)?;
        coming.next().await.unwrap_or(Err(SendFailure::Unknown))
    }

    async fn stream(&self, message: Message) -> Result<Coming, SendFailure> {
        self.asked(message)
    }

    async fn subscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        let ends = |left: u64| left.checked_sub(1);
        if self.net.ending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, ends).is_ok() {
            return Err(SendFailure::Unknown);
        }
        if topic.as_str() == "forbidden" {
            return Err(SendFailure::refused(Refusal::Unauthorised));
        }
        self.net.write(format!("{} hears {topic}", self.me.name));
        self.net.subscribers.lock().unwrap().insert((topic, self.me.name));
        Ok(())
    }

    async fn unsubscribe(&self, topic: Resource) -> Result<(), SendFailure> {
        self.net.subscribers.lock().unwrap().remove(&(topic, self.me.name));
        Ok(())
    }

    async fn reply(&self, to: &Origin, content_type: ContentType, body: Bytes) -> Result<(), SendFailure> {
        self.back(to, (None, content_type, body)).await
    }

    async fn reply_part(
        &self,
        to: &Origin,
        part: Part,
        content_type: ContentType,
        body: Bytes,
    ) -> Result<(), SendFailure> {
        self.back(to, (Some(part), content_type, body)).await
    }

    async fn cancelled(&self, to: &Origin) {
        to.as_ref().expect("somebody waits").closed().await;
    }

    async fn present(&self, token: &TokenText) -> Result<TokenId, SendFailure> {
        if !token.as_str().ends_with(&format!("-to-{}", self.me.name)) {
            return Err(SendFailure::BadToken { why: "its holder is another".to_owned() });
        }
        let mut id = [0; 32];
        id[..token.as_str().len()].copy_from_slice(token.as_str().as_bytes());
        Ok(TokenId::new(id))
    }

    async fn delegate(
        &self,
        from: Option<&TokenText>,
        delegate: &Delegate,
    ) -> Result<TokenText, SendFailure> {
        let from = from.map_or_else(|| self.me.name.to_string(), |from| from.as_str().to_owned());
        Ok(token(&format!("{from}-to-{}", delegate.to)))
    }

    async fn failed(&self) {
        self.net.write(format!("{} failed", self.me.name));
    }

    async fn goodbye(&self) {
        self.net.write(format!("{} leaves", self.me.name));
        self.net.cut(self.me.name.as_str());
    }
}

fn of_token(id: TokenId) -> String {
    String::from_utf8(id.as_bytes().to_vec()).unwrap().trim_end_matches('\0').to_owned()
}

fn holder(name: &str) -> Holder {
    Holder { name: agent(name), key: SecretKey::from_seed(&[7; 32]).public() }
}

/// A token of this network says who handed it to whom: `a-to-b-to-c`.
pub(super) fn token(text: &str) -> TokenText {
    TokenText::parse(text).unwrap()
}

pub(super) fn topic(text: &str) -> Resource {
    Resource::parse(text).unwrap()
}

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Number {
    pub(super) n: u64,
}

pub(super) fn agent(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

pub(super) fn can(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

pub(super) fn text(to: &str, body: &str) -> Message {
    Message::new(agent(to), can("do:it"), ContentType::text(), body.to_owned())
}

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Lets everything that can run, run.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(runtime).block_on(test);
}

/// The code and text of a remote error.
pub(super) fn remote(failure: SendFailure) -> (String, String) {
    let SendFailure::Remote { code, message } = failure else {
        panic!("not an error of the other side: {failure}");
    };
    (code.to_string(), message)
}

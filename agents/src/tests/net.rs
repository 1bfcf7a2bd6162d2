//! A transport that is a map of queues, and verbs to tell stories with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use testudo_wire::{
    AgentName, Capability, ContentType, CorrelationId, Digest, Holder, MessageId, Refusal, SecretKey,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::{Answer, Arrived, Bus, Inbox, Incoming, Message, Receipt, SendFailure, Transport};

/// Largest body of this network.
pub(super) const BODY_MAX: usize = 4096;

type Origin = Arc<Mutex<Option<oneshot::Sender<(ContentType, Bytes)>>>>;

#[derive(Default)]
pub(super) struct Net {
    queues: Mutex<BTreeMap<AgentName, mpsc::Sender<Arrived<Origin>>>>,
    messages: AtomicU64,
    goodbyes: Mutex<Vec<AgentName>>,
    taken: AtomicU64,
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
        let me = Holder { name: agent(name), key: SecretKey::from_seed(&[7; 32]).public() };
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

    pub(super) fn goodbyes(&self) -> Vec<String> {
        self.goodbyes.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    fn id(&self) -> [u8; 16] {
        u128::from(self.messages.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes()
    }
}

impl Wire {
    fn deliver(&self, message: Message, origin: Origin, wants_reply: bool) -> Result<MessageId, SendFailure> {
        if message.body.len() > BODY_MAX {
            return Err(SendFailure::TooLarge { bytes: message.body.len(), max: BODY_MAX });
        }
        let id = MessageId::new(self.net.id());
        let correlation = message.correlation.unwrap_or_else(|| CorrelationId::new(self.net.id()));
        let incoming = Incoming {
            message: id,
            sender: self.me,
            capability: message.capability,
            correlation,
            content_type: message.content_type,
            body: message.body,
            wants_reply,
            alerts: Vec::new(),
            trace: message.trace,
        };
        let unroutable = || SendFailure::Refused { refusal: Refusal::Unroutable, rules: Vec::new() };
        let queue = self.net.queues.lock().unwrap().get(&message.to).cloned().ok_or_else(unroutable)?;
        queue.try_send(Arrived { incoming, origin }).map_err(|_| unroutable())?;
        Ok(id)
    }
}

impl Transport for Wire {
    type Origin = Origin;

    async fn tell(&self, message: Message) -> Result<Receipt, SendFailure> {
        let message = self.deliver(message, Origin::default(), false)?;
        Ok(Receipt { message, digest: Digest::new([0; 32]), record: 0 })
    }

    async fn request(&self, message: Message) -> Result<Answer, SendFailure> {
        let (answer, word) = oneshot::channel();
        let (to, ttl) = (message.to, message.ttl);
        let id = self.deliver(message, Arc::new(Mutex::new(Some(answer))), true)?;
        let late = SendFailure::NoAnswer { after_ms: ttl.as_millis() };
        let word = timeout(ttl.duration(), word).await.map_err(|_| late)?;
        let (content_type, body) = word.map_err(|_| SendFailure::Unknown)?;
        let sender = Holder { name: to, ..self.me };
        let correlation = CorrelationId::new([0; 16]);
        Ok(Answer { message: id, sender, correlation, content_type, body, alerts: Vec::new() })
    }

    async fn reply(&self, to: &Origin, content_type: ContentType, body: Bytes) -> Result<(), SendFailure> {
        if body.len() > BODY_MAX {
            return Err(SendFailure::TooLarge { bytes: body.len(), max: BODY_MAX });
        }
        let answer = to.lock().unwrap().take().expect("one reply to one request");
        answer.send((content_type, body)).map_err(|_| SendFailure::Unknown)
    }

    async fn goodbye(&self) {
        self.net.goodbyes.lock().unwrap().push(self.me.name);
        self.net.cut(self.me.name.as_str());
    }
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

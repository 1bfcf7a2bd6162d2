//! The works that are compared, and one measurement of each.

use serde_json::json;

use crate::child::Child;
use crate::nats::Server;
use crate::output::Column;
use crate::raw::Relay;
use crate::role::Latency;
use crate::testudo_peer::Swarm;
use crate::{Done, PAYLOAD};

/// Who talks to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One sender, one receiver.
    One,
    /// Many senders, one receiver.
    In,
    /// One publisher, so many subscribers.
    Out(usize),
    /// Everyone to everyone.
    Circle,
}

/// A work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Work {
    /// Messages of so many bytes.
    OneWay(usize),
    /// The same at 256 bytes, of JSON.
    Json,
    /// Requests, so many under way at any time.
    Requests(usize),
    In,
    Out(usize),
    Circle,
    /// The bus's processor, so many messages a bundle; zero for as many as there are.
    Cpu(u32),
    /// The same of JSON, as many a bundle as there are.
    CpuOfJson,
}

pub(crate) const WORKS: [Work; 15] = [
    Work::OneWay(64),
    Work::OneWay(256),
    Work::OneWay(1024),
    Work::OneWay(16 * 1024),
    Work::Json,
    Work::Requests(1),
    Work::Requests(64),
    Work::In,
    Work::Out(1),
    Work::Out(10),
    Work::Out(50),
    Work::Circle,
    Work::Cpu(0),
    Work::Cpu(64),
    Work::CpuOfJson,
];

/// What is shown of a work.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
}

const RATE: Shown = Shown { unit: "messages/s", more_is_better: true };
const COPIES: Shown = Shown { unit: "deliveries/s", more_is_better: true };
const TIME: Shown = Shown { unit: "us", more_is_better: false };
const COST: Shown = Shown { unit: "us/message", more_is_better: false };
const COUNT: Shown = Shown { unit: "messages", more_is_better: true };

impl Work {
    /// The rows that it fills.
    pub(crate) fn rows(self) -> Vec<(String, Shown)> {
        let bytes =
            |bytes: usize| if bytes < 1024 { format!("{bytes} B") } else { format!("{} KiB", bytes / 1024) };
        match self {
            Self::OneWay(size) => vec![(format!("publish -> subscribe, {}", bytes(size)), RATE)],
            Self::Json => vec![("publish -> subscribe, 256 B of JSON".to_owned(), RATE)],
            Self::Requests(flight) => ["p50", "p99"]
                .map(|at| (format!("request/reply, 256 B, {flight} in flight, {at}"), TIME))
                .into(),
            Self::In => vec![("fan-in, 50 senders, 256 B".to_owned(), RATE)],
            Self::Out(many) => vec![(format!("fan-out, 1 -> {many}, 256 B"), COPIES)],
            Self::Circle => vec![("all to all, 50 agents, 256 B".to_owned(), COPIES)],
            Self::Cpu(0) => vec![("CPU of the bus, 256 B, full bundles".to_owned(), COST)],
            Self::CpuOfJson => vec![("CPU of the bus, 256 B of JSON, full bundles".to_owned(), COST)],
            Self::Cpu(bundle) => vec![
                (format!("CPU of the bus, 256 B, {bundle} a bundle"), COST),
                (format!("messages of a bundle, for that of {bundle}"), COUNT),
            ],
        }
    }

    const fn shape(self) -> Shape {
        match self {
            Self::OneWay(_) | Self::Json | Self::Requests(_) | Self::Cpu(_) | Self::CpuOfJson => Shape::One,
            Self::In => Shape::In,
            Self::Out(many) => Shape::Out(many),
            Self::Circle => Shape::Circle,
        }
    }

    /// Whether this peer does it: a signature for every message is shown where messages flow.
    pub(crate) const fn is_for(self, column: Column) -> bool {
        match column {
            Column::NatsSigned => matches!(self, Self::OneWay(_) | Self::Json | Self::In),
            Column::Testudo | Column::Nats | Column::Raw => true,
        }
    }
}

/// How much is done how often.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rounds: usize,
    /// Of 256 bytes; of larger ones fewer.
    pub(crate) messages: u32,
    pub(crate) requests: u32,
}

impl Size {
    const fn of(self, bytes: usize) -> u32 {
        match bytes {
            0..=256 => self.messages,
            257..=1024 => self.messages / 2,
            _ => self.messages / 20,
        }
    }
}

/// What is posted.
#[derive(Clone, Copy)]
pub(crate) struct Posted {
    messages: u32,
    bytes: usize,
    /// Messages of one; zero for as many as there are.
    bundle: u32,
    json: bool,
}

impl Posted {
    /// Text of 256 bytes.
    pub(crate) const fn new(messages: u32) -> Self {
        Self { messages, bytes: PAYLOAD.len(), bundle: 0, json: false }
    }

    const fn of_json(self) -> Self {
        Self { json: true, ..self }
    }
}

/// Those who send and those who receive; of a circle, its halves.
pub(crate) struct Pair {
    pub(crate) sender: Child,
    pub(crate) receiver: Child,
}

impl Pair {
    /// Messages per second, from the first send to the last message received by the last receiver.
    async fn one_way(&mut self, posted: Posted, receivers: usize) -> Done<f64> {
        let Posted { messages, bytes, bundle, json } = posted;
        self.receiver.tell(&json!({ "take": messages })).await?;
        let post = json!({ "count": messages, "bytes": bytes, "bundle": bundle, "json": json });
        self.sender.tell(&json!({ "post": post })).await?;
        let began: u64 = serde_json::from_value(self.sender.hear().await?["began"].take())?;
        let ended: u64 = serde_json::from_value(self.receiver.hear().await?["ended"].take())?;
        per_second(f64::from(messages) * receivers as f64, began, ended)
    }

    async fn round_trips(&mut self, requests: u32, flight: usize) -> Done<Latency> {
        self.receiver.tell(&json!({ "answer": requests })).await?;
        self.sender.tell(&json!({ "ask": { "count": requests, "flight": flight } })).await?;
        let latency = serde_json::from_value(self.sender.hear().await?)?;
        self.receiver.hear().await?;
        Ok(latency)
    }

    /// Each agent writes so often to each other one: deliveries per second.
    async fn exchange(&mut self, each: u32) -> Done<f64> {
        let (mut began, mut ended) = (u64::MAX, 0);
        for half in [&mut self.sender, &mut self.receiver] {
            half.tell(&json!({ "exchange": each })).await?;
        }
        for half in [&mut self.sender, &mut self.receiver] {
            let mut word = half.hear().await?;
            began = began.min(serde_json::from_value(word["began"].take())?);
            ended = ended.max(serde_json::from_value(word["ended"].take())?);
        }
        let crowd = crate::CROWD as f64;
        per_second(f64::from(each) * crowd * (crowd - 1.0), began, ended)
    }

    /// Microseconds of the bus's processor for one message.
    pub(crate) async fn cost(&mut self, bus: &Child, posted: Posted) -> Done<f64> {
        let before = bus.cpu_us().ok_or("the system does not tell what a process cost")?;
        self.one_way(posted, 1).await?;
        let after = bus.cpu_us().ok_or("the bus has ended")?;
        Ok((after - before) / f64::from(posted.messages))
    }

    pub(crate) async fn end(self) -> Done {
        self.sender.end().await?;
        self.receiver.end().await
    }
}

fn per_second(messages: f64, began: u64, ended: u64) -> Done<f64> {
    let micros = ended.checked_sub(began).filter(|micros| *micros > 0);
    Ok(messages * 1e6 / micros.ok_or("the clock was set back during a round")? as f64)
}

/// What knows how to link to a bus.
pub(crate) enum Kind {
    Testudo(Box<Swarm>),
    Nats(Server),
    Raw(Relay),
}

/// A bus that runs.
pub(crate) struct Bus {
    pub(crate) kind: Kind,
    pub(crate) child: Child,
}

impl Bus {
    pub(crate) async fn pair(&self, shape: Shape, signed: bool) -> Done<Pair> {
        match &self.kind {
            Kind::Testudo(swarm) => swarm.pair(shape).await,
            Kind::Nats(server) => server.pair(shape, signed).await,
            Kind::Raw(relay) => relay.pair(shape).await,
        }
    }

    /// A process with so many agents, or clients, that are not linked yet; enrolled, where there is such a thing.
    pub(crate) async fn crowd(&self, many: usize) -> Done<Child> {
        match &self.kind {
            Kind::Testudo(swarm) => swarm.crowd(many).await,
            Kind::Nats(server) => server.crowd(many).await,
            Kind::Raw(relay) => relay.crowd(many).await,
        }
    }

    /// Ends it and starts it again where it was.
    pub(crate) async fn restart(self) -> Done<Self> {
        let Self { mut kind, child } = self;
        child.end().await?;
        let child = match &mut kind {
            Kind::Testudo(swarm) => swarm.again().await?,
            Kind::Nats(server) => server.again().await?,
            Kind::Raw(relay) => relay.again().await?,
        };
        Ok(Self { kind, child })
    }

    /// Those who do a work.
    pub(crate) async fn hands(&self, work: Work, column: Column) -> Done<Pair> {
        self.pair(work.shape(), column == Column::NatsSigned).await
    }

    async fn bundles(&self) -> Done<Option<f64>> {
        match &self.kind {
            Kind::Testudo(swarm) => swarm.bundles().await.map(Some),
            Kind::Nats(_) | Kind::Raw(_) => Ok(None),
        }
    }

    /// One measurement: a value for each row, where there is one.
    pub(crate) async fn measure(
        &self,
        work: Work,
        column: Column,
        pair: &mut Pair,
        size: Size,
    ) -> Done<Vec<Option<f64>>> {
        let slower = if column == Column::NatsSigned { 10 } else { 1 };
        let posted = Posted::new(size.messages / slower);
        let messages = posted.messages;
        match work {
            Work::OneWay(bytes) => {
                let posted = Posted { messages: size.of(bytes) / slower, bytes, ..posted };
                Ok(vec![Some(pair.one_way(posted, 1).await?)])
            }
            Work::Json => Ok(vec![Some(pair.one_way(posted.of_json(), 1).await?)]),
            Work::Requests(flight) => {
                let latency = pair.round_trips(size.requests, flight).await?;
                Ok(vec![Some(latency.p50_us), Some(latency.p99_us)])
            }
            Work::In => {
                // Each of the senders sends the same number.
                let many = crate::CROWD as u32;
                Ok(vec![Some(pair.one_way(Posted::new(messages / 4 / many * many), 1).await?)])
            }
            Work::Out(many) => {
                let few = messages
                    / if many < 10 {
                        4
                    } else if many < 50 {
                        20
                    } else {
                        100
                    };
                Ok(vec![Some(pair.one_way(Posted::new(few), many).await?)])
            }
            Work::Circle => {
                let crowd = crate::CROWD as u32;
                let each = messages / 4 / (crowd * crowd) / 16 * 16;
                Ok(vec![Some(pair.exchange(each.max(16)).await?)])
            }
            Work::Cpu(0) => Ok(vec![Some(pair.cost(&self.child, posted).await?)]),
            Work::CpuOfJson => Ok(vec![Some(pair.cost(&self.child, posted.of_json()).await?)]),
            Work::Cpu(bundle) => {
                let messages = messages / bundle * bundle;
                let before = self.bundles().await?;
                let cost = pair.cost(&self.child, Posted { messages, bundle, ..posted }).await?;
                let after = self.bundles().await?;
                let of = before.zip(after).map(|(before, after)| f64::from(messages) / (after - before));
                Ok(vec![Some(cost), of])
            }
        }
    }
}

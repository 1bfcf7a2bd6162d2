//! `testudo send` and `testudo publish`: messages that want no answer.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use testudo::agents::{Message, Receipt, To, advice};
use testudo::hosting::rights;
use testudo::wire::{AgentName, Capability, Resource, SessionId};
use testudo::{Ttl, Wish};

use super::body::{Bodies, Body, How};
use super::{Address, Line, Who, failed, ttl};
use crate::cli::{CliError, Done, plain, say};

/// What to wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Wanted {
    /// Only that the node has it, and has not refused it
    None,
    /// The node's word that the verdict is durable on the audit log
    Accepted,
    /// The receiver's signed word that it verified the message
    Delivered,
}

/// The same for a topic: nobody knows of how many subscribers the receipt `delivered` would have to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum WantedOfTopic {
    /// Only that the node has it, and has not refused it
    None,
    /// The node's word that the verdict is durable on the audit log
    Accepted,
}

impl From<WantedOfTopic> for Wanted {
    fn from(wanted: WantedOfTopic) -> Self {
        match wanted {
            WantedOfTopic::None => Self::None,
            WantedOfTopic::Accepted => Self::Accepted,
        }
    }
}

/// How messages without an answer are sent.
#[derive(Args, Debug)]
struct Manner {
    #[command(flatten)]
    how: How,
    /// How long a message may wait for its receiver, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = ttl, default_value = "30")]
    ttl: Ttl,
    #[command(flatten)]
    who: Who,
    /// One JSON object for each message instead of text
    #[arg(long)]
    json: bool,
}

/// Send messages to an agent.
#[derive(Args, Debug)]
#[command(override_usage = "testudo send [OPTIONS] --identity <FILE> <TO|--service> <CAPABILITY> [BODY]")]
pub(in crate::cli) struct Send {
    #[command(flatten)]
    address: Address,
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Wanted::Accepted)]
    receipt: Wanted,
    #[command(flatten)]
    manner: Manner,
}

/// Publish messages to a topic.
#[derive(Args, Debug)]
pub(in crate::cli) struct Publish {
    /// The topic; publishing takes the right publish:TOPIC
    topic: Resource,
    /// The body; standard input when it is `-` or not given
    body: Option<String>,
    /// What to wait for
    #[arg(long, value_enum, default_value_t = WantedOfTopic::None)]
    receipt: WantedOfTopic,
    #[command(flatten)]
    manner: Manner,
}

/// Where messages go, and what is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    to: To,
    capability: Capability,
    ttl: Ttl,
}

impl Route {
    /// To an agent, or to any one that serves the capability.
    pub(super) fn new(to: Option<AgentName>, capability: Capability, ttl: Ttl) -> Self {
        Self { to: to.map_or(To::Service, To::Agent), capability, ttl }
    }

    /// The message with this body.
    pub(super) fn message(self, body: Body) -> Message {
        let mut message = Message::new(self.to, self.capability, body.content_type, body.bytes);
        message.ttl = self.ttl;
        message
    }
}

impl Send {
    pub(in crate::cli) fn run(self) -> Done {
        let (to, capability, body) = self.address.read()?;
        let bodies = self.manner.how.bodies(body, &self.manner.who)?;
        let route = Route::new(to, capability, self.manner.ttl);
        plain(self.manner.send(route, self.receipt, bodies))
    }
}

impl Publish {
    pub(in crate::cli) fn run(self) -> Done {
        let bodies = self.manner.how.bodies(self.body.as_deref(), &self.manner.who)?;
        // Its message knows the capability that a topic has.
        let empty = Message::topic(self.topic, testudo::ContentType::text(), "");
        let route = Route { to: empty.to, capability: empty.capability, ttl: self.manner.ttl };
        plain(self.manner.send(route, self.receipt.into(), bodies))
    }
}

impl Manner {
    async fn send(&self, route: Route, wanted: Wanted, mut bodies: Bodies) -> Done {
        self.who
            .talk(async |line| {
                let on = line.member.line();
                let mut needs = Vec::new();
                while let Some(body) = bodies.next(line).await? {
                    for right in rights(route.capability, body.content_type) {
                        if !needs.contains(&right) {
                            needs.push(right);
                        }
                    }
                    let sent = self.send_one(line, route.message(body), wanted).await;
                    sent.map_err(|error| bodies.blame(error))?;
                }
                if wanted == Wanted::None {
                    settled(line, on, bodies.count(), &needs).await?;
                    if !self.json {
                        let messages = if bodies.count() == 1 { "message" } else { "messages" };
                        say(&format!("sent: {} {messages}, none refused", bodies.count()));
                    }
                }
                Ok(())
            })
            .await
    }

    async fn send_one(&self, line: &Line, message: Message, wanted: Wanted) -> Done {
        let wish = match wanted {
            Wanted::Accepted => Wish::Accepted,
            Wanted::Delivered => Wish::Delivered,
            Wanted::None => {
                let id = line.bus.post(message).await.map_err(failed)?;
                // For people it counts when the node has not refused it, see `settled`.
                if self.json {
                    say(&json!({"receipt": "none", "message": id}).to_string());
                }
                return Ok(());
            }
        };
        let receipt = line.bus.tell(message).receipt(wish).await.map_err(failed)?;
        say(&if self.json { object(&receipt).to_string() } else { words(&receipt) });
        Ok(())
    }
}

fn object(receipt: &Receipt) -> Value {
    let kind = if receipt.delivered_by.is_some() { "delivered" } else { "accepted" };
    let mut object = json!({"receipt": kind, "message": receipt.message, "digest": receipt.digest});
    if let Some(record) = receipt.record {
        object["record"] = json!(record);
    }
    if let Some(by) = &receipt.delivered_by {
        object["delivered_by"] = json!(by.name);
    }
    object
}

fn words(receipt: &Receipt) -> String {
    let id = receipt.message;
    match (&receipt.delivered_by, receipt.record) {
        (Some(by), _) => format!("delivered: message {id}, signed for by {}", by.name),
        (None, Some(record)) => format!("accepted: message {id}, record {record} of the audit log"),
        (None, None) => format!("accepted: message {id}"),
    }
}

/// Waits until the node is done with everything that was sent on this link and those that renewed it, and says what it refused of it;
/// `needs` are the rights that it took.
async fn settled(line: &Line, on: Option<SessionId>, sent: u64, needs: &[Capability]) -> Done {
    line.member.flush().await;
    let refused = line.member.refused();
    if let Some((reason, _)) = refused.iter().next() {
        let all: u64 = refused.values().sum();
        let advice = advice(*reason, needs);
        if sent == 1 {
            return Err(CliError::Failed(format!("refused: {reason}; {advice}")));
        }
        let listed: Vec<_> = refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let listed = listed.join(", ");
        return Err(CliError::Failed(format!("refused: {all} of {sent} messages ({listed}); {advice}")));
    }
    if on.is_none() || line.member.line() != on {
        let why =
            "unknown: the link ended before the node had everything; send it again with --receipt accepted";
        return Err(CliError::Failed(why.into()));
    }
    Ok(())
}

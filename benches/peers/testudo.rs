//! Testudo as shipped: a swarm made with the command, its node, agents on the facade.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use futures_util::future::try_join_all;
use testudo::{Client, ContentType, Deliveries, Delivery, Identity, Outgoing};
use tokio::process::Command;

use crate::child::{Abandoned, Child, part};
use crate::role::{Receiver, Sender, payload};
use crate::{CROWD, Done, PAYLOAD, Pair, Peer};

pub(crate) const SEND: &str = "testudo-send";
pub(crate) const RECEIVE: &str = "testudo-receive";
pub(crate) const PUBLISH: &str = "testudo-publish";
pub(crate) const SUBSCRIBE: &str = "testudo-subscribe";

const RECEIVER: &str = "receiver";
const GATHERER: &str = "gatherer";
const CAPABILITY: &str = "bench:messages";
const TOPIC: &str = "bench";

/// The command that users run.
fn testudo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(arguments);
    command
}

async fn finish(arguments: &[&str]) -> Done {
    let status =
        testudo(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).status().await?;
    if status.success() { Ok(()) } else { Err(format!("testudo {} failed", arguments.join(" ")).into()) }
}

/// A part with the identities of its agents.
async fn play(name: &'static str, part_of: &str, more: &[&str], identities: &[String]) -> Done<Child> {
    let identities = identities.iter().map(String::as_str);
    let arguments: Vec<_> = std::iter::once(part_of).chain(more.iter().copied()).chain(identities).collect();
    let mut child = Child::start(name, part(&arguments)?, Abandoned::Killed)?;
    child.hear().await?;
    Ok(child)
}

/// Makes a swarm below `folder` and starts its processes.
pub(crate) async fn start(folder: &Path) -> Done<Peer> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (swarm, config) = (path("swarm"), path("swarm/testudo.toml"));
    let anywhere = "127.0.0.1:0";
    finish(&["init", &swarm, "--listen", anywhere, "--health", anywhere]).await?;
    let node = testudo(&["node", "--config", &config, "--json", "--until-stdin-closes"]);
    let mut node = Child::start("testudo node", node, Abandoned::Killed)?;
    node.hear().await?;
    let add = async |name: &str, option: &str, what: &str| -> Done<String> {
        let file = path(name);
        finish(&["agent", "add", name, "--config", &config, option, what, "--out", &file]).await?;
        Ok(file)
    };
    let crowd = async |of: &str, option: &str, what: &str| -> Done<Vec<String>> {
        let mut files = Vec::new();
        for n in 0..CROWD {
            files.push(add(&format!("{of}-{n}"), option, what).await?);
        }
        Ok(files)
    };
    let one = Pair {
        receiver: {
            let receiver = add(RECEIVER, "--serve", CAPABILITY).await?;
            play("testudo receiver", RECEIVE, &[], &[receiver]).await?
        },
        sender: {
            let sender = add("sender", "--allow", CAPABILITY).await?;
            play("testudo sender", SEND, &[RECEIVER], &[sender]).await?
        },
    };
    let fan_in = Pair {
        receiver: {
            let gatherer = add(GATHERER, "--serve", CAPABILITY).await?;
            play("testudo gatherer", RECEIVE, &[], &[gatherer]).await?
        },
        sender: {
            let senders = crowd("sender", "--allow", CAPABILITY).await?;
            play("testudo senders", SEND, &[GATHERER], &senders).await?
        },
    };
    let fan_out = Pair {
        receiver: {
            let subscribers = crowd("reader", "--allow", &format!("subscribe:{TOPIC}")).await?;
            play("testudo subscribers", SUBSCRIBE, &[], &subscribers).await?
        },
        sender: {
            let publisher = add("publisher", "--allow", &format!("publish:{TOPIC}")).await?;
            play("testudo publisher", PUBLISH, &[], &[publisher]).await?
        },
    };
    Ok(Peer { one, fan_in, fan_out, signed: None, bus: node })
}

async fn link(identity: &str) -> Done<(Client, Deliveries)> {
    Ok(testudo::dial(&Identity::load(Path::new(identity))?).await?)
}

/// Agents that send, one after the other.
pub(crate) struct Sending {
    clients: Vec<(Client, Deliveries)>,
    message: Outgoing,
    next: usize,
    /// Messages that may be under way at once, where somebody could be sent more than the node keeps for one receiver
    /// (1 MiB, half of it of one sender): beyond it the node refuses, and an honest sender would have to send again.
    window: Option<usize>,
    sent: usize,
}

/// Messages that each of a crowd may have under way to one receiver.
const EACH: usize = 32;
/// Messages that a publisher may have under way to a crowd.
const PUBLISHED: usize = 512;

impl Sending {
    pub(crate) async fn open(to: &str, identities: &[String]) -> Done<Self> {
        let message = Outgoing::new(to.parse()?, CAPABILITY.parse()?, payload(PAYLOAD.len()));
        let window = (identities.len() > 1).then_some(EACH * identities.len());
        Self::with(message, identities, window).await
    }

    pub(crate) async fn publish(identities: &[String]) -> Done<Self> {
        let message = Outgoing::topic(TOPIC.parse()?, payload(PAYLOAD.len()));
        Self::with(message, identities, Some(PUBLISHED)).await
    }

    async fn with(message: Outgoing, identities: &[String], window: Option<usize>) -> Done<Self> {
        let clients = try_join_all(identities.iter().map(|identity| link(identity))).await?;
        Ok(Self { clients, message, next: 0, window, sent: 0 })
    }
}

impl Sender for Sending {
    async fn post(&mut self, body: &Bytes) -> Done {
        let message = Outgoing { body: body.clone(), ..self.message.clone() };
        if self.window.is_some_and(|window| self.sent > 0 && self.sent.is_multiple_of(window)) {
            self.flush().await?;
        }
        self.sent += 1;
        self.next = (self.next + 1) % self.clients.len();
        self.clients[self.next].0.post(message).await?;
        Ok(())
    }

    async fn flush(&mut self) -> Done {
        for (client, _) in &self.clients {
            client.flush().await;
            let (refused, copies) = (client.refused(), client.copies_refused());
            if !refused.is_empty() || !copies.is_empty() {
                return Err(format!("the node refused messages: {refused:?} {copies:?}").into());
            }
        }
        Ok(())
    }

    async fn ask(&mut self) -> Done {
        self.clients[0].0.request(self.message.clone()).await?;
        Ok(())
    }
}

/// Agents that receive.
pub(crate) struct Receiving {
    links: Vec<(Client, Deliveries)>,
}

impl Receiving {
    pub(crate) async fn open(identities: &[String]) -> Done<Self> {
        Ok(Self { links: try_join_all(identities.iter().map(|identity| link(identity))).await? })
    }

    pub(crate) async fn subscribe(identities: &[String]) -> Done<Self> {
        let receiving = Self::open(identities).await?;
        for (client, _) in &receiving.links {
            client.subscribe(TOPIC.parse()?).await?;
        }
        Ok(receiving)
    }
}

async fn next(deliveries: &mut Deliveries) -> Done<Delivery> {
    Ok(deliveries.next().await.ok_or("the link to the node ended")?)
}

impl Receiver for Receiving {
    async fn take(&mut self, count: u32) -> Done {
        let all = self.links.iter_mut().map(async |(_, deliveries)| -> Done {
            for _ in 0..count {
                next(deliveries).await?;
            }
            Ok(())
        });
        try_join_all(all).await?;
        Ok(())
    }

    async fn answer(&mut self) -> Done {
        let (client, deliveries) = &mut self.links[0];
        let request = next(deliveries).await?;
        client.reply(&request, ContentType::json(), request.body()).await?;
        Ok(())
    }
}

//! Testudo as shipped: a swarm made with the command, its node, agents on the facade.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use testudo::bus::env::random;
use testudo::config::{Config, Overrides};
use testudo::env::System;
use testudo::operator::{Answer, Request};
use testudo::wire::SecretKey;
use testudo::wire::standing::Grant;
use testudo::{AgentName, Client, ContentType, Deliveries, Delivery, Identity, Outgoing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::child::{Abandoned, Child, part};
use crate::role::{Receiver, Sender};
use crate::works::{Pair, Shape};
use crate::{CROWD, Done, PAYLOAD};

pub(crate) const SEND: &str = "testudo-send";
pub(crate) const RECEIVE: &str = "testudo-receive";
pub(crate) const PUBLISH: &str = "testudo-publish";
pub(crate) const SUBSCRIBE: &str = "testudo-subscribe";
pub(crate) const CIRCLE: &str = "testudo-circle";
pub(crate) const GATHER: &str = "testudo-crowd";

const RECEIVER: &str = "receiver";
pub(crate) const CAPABILITY: &str = "bench:messages";

/// The command that users run.
fn testudo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(arguments).kill_on_drop(true);
    command
}

/// What somebody is enrolled for.
#[derive(Clone, Copy)]
enum May<'a> {
    Send,
    Serve,
    Both,
    Publish(&'a str),
    Subscribe(&'a str),
}

impl May<'_> {
    fn grant(self) -> Done<Grant> {
        let (right, serve) = match self {
            Self::Send => (Some(CAPABILITY.to_owned()), None),
            Self::Serve => (None, Some(CAPABILITY)),
            Self::Both => (Some(CAPABILITY.to_owned()), Some(CAPABILITY)),
            Self::Publish(topic) => (Some(format!("publish:{topic}")), None),
            Self::Subscribe(topic) => (Some(format!("subscribe:{topic}")), None),
        };
        let right = right.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let serve = serve.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Ok(Grant { right, serve, ..Grant::default() })
    }
}

/// Enrols an agent at the node of a configuration, as the operator does.
pub(crate) async fn enrol(config: &Config, name: &str, grant: Grant) -> Done<Identity> {
    let (name, key) = (AgentName::parse(name)?, SecretKey::from_seed(&random(&System)));
    let csr = Some(testudo::identity::request(config.swarm.id, name, &key)?);
    let request = Request::AgentAdd { name, key: key.public(), grant, csr };
    let answer = testudo::server::ask(&config.node.data, &request).await?;
    if let Answer::Refused { error } = answer {
        return Err(error.into());
    }
    let Answer::Credentials(credentials) = answer else { return Err("no credentials".into()) };
    Ok(Identity::issued(name, key, *credentials)?)
}

/// A swarm whose node runs.
pub(crate) struct Swarm {
    folder: PathBuf,
    file: String,
    config: Config,
    listen: SocketAddr,
    health: SocketAddr,
}

impl Swarm {
    /// Makes a swarm in a folder of its own and starts its node.
    pub(crate) async fn start(folder: PathBuf) -> Done<(Self, Child)> {
        let swarm = folder.to_string_lossy().into_owned();
        let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let at = anywhere.to_string();
        let mut init = testudo(&["init", &swarm, "--listen", &at, "--health", &at]);
        if !init.stdin(Stdio::null()).stdout(Stdio::null()).status().await?.success() {
            return Err("testudo init failed".into());
        }
        let file = folder.join("testudo.toml");
        let config = Config::load(&file, Overrides::default())?;
        let file = file.to_string_lossy().into_owned();
        std::fs::create_dir(folder.join("agents"))?;
        let mut swarm = Self { folder, file, config, listen: anywhere, health: anywhere };
        let node = swarm.again().await?;
        Ok((swarm, node))
    }

    /// Starts its node, where it was if it ran before.
    pub(crate) async fn again(&mut self) -> Done<Child> {
        let listen = self.listen.to_string();
        let node =
            testudo(&["node", "--config", &self.file, "--listen", &listen, "--json", "--until-stdin-closes"]);
        let mut node = Child::start("testudo node", node, Abandoned::Killed)?;
        let mut word = node.hear().await?;
        self.listen = serde_json::from_value(word["listen"].take())?;
        self.health = serde_json::from_value(word["health"].take())?;
        Ok(node)
    }

    /// The identity file of an agent, who is enrolled if it is not yet.
    async fn agent(&self, name: &str, may: May<'_>) -> Done<String> {
        let file = self.folder.join("agents").join(name);
        if !file.exists() {
            enrol(&self.config, name, may.grant()?).await?.save(&file)?;
        }
        Ok(file.to_string_lossy().into_owned())
    }

    async fn agents(&self, of: &str, many: usize, may: May<'_>) -> Done<Vec<String>> {
        let mut files = Vec::new();
        for n in 0..many {
            files.push(self.agent(&format!("{of}-{n}"), may).await?);
        }
        Ok(files)
    }

    /// A part with the identities of its agents.
    async fn play(
        &self,
        name: &'static str,
        part_of: &str,
        more: &[&str],
        identities: &[String],
    ) -> Done<Child> {
        let identities = identities.iter().map(String::as_str);
        let arguments: Vec<_> =
            std::iter::once(part_of).chain(more.iter().copied()).chain(identities).collect();
        let mut child = Child::start(name, part(&arguments)?, Abandoned::Killed)?;
        child.hear().await?;
        Ok(child)
    }

    /// Who sends and who receives.
    pub(crate) async fn pair(&self, shape: Shape) -> Done<Pair> {
        match shape {
            Shape::One => self.to_one(vec![self.agent("sender", May::Send).await?]).await,
            Shape::In => self.to_one(self.agents("one", CROWD, May::Send).await?).await,
            Shape::Out(many) => {
                // A topic for each number: nobody else receives what is published there.
                let topic = format!("bench-{many}");
                let readers = self.agents(&format!("reader-of-{many}"), many, May::Subscribe(&topic)).await?;
                let publisher = [self.agent(&format!("publisher-to-{many}"), May::Publish(&topic)).await?];
                Ok(Pair {
                    receiver: self.play("testudo subscribers", SUBSCRIBE, &[&topic], &readers).await?,
                    sender: self.play("testudo publisher", PUBLISH, &[&topic], &publisher).await?,
                })
            }
            Shape::Circle => {
                let all = self.agents("circle", CROWD, May::Both).await?;
                let (one, other) = all.split_at(CROWD / 2);
                Ok(Pair {
                    receiver: self.play("testudo circle", CIRCLE, &["0"], one).await?,
                    sender: self.play("testudo circle", CIRCLE, &[&one.len().to_string()], other).await?,
                })
            }
        }
    }

    async fn to_one(&self, senders: Vec<String>) -> Done<Pair> {
        let receiver = self.agent(RECEIVER, May::Serve).await?;
        Ok(Pair {
            receiver: self.play("testudo receiver", RECEIVE, &[], &[receiver]).await?,
            sender: self.play("testudo senders", SEND, &[RECEIVER], &senders).await?,
        })
    }

    /// So many agents are enrolled in all, at the end of this: sender and receiver among them.
    pub(crate) async fn fill(&self, many: usize) -> Done {
        self.agents("idle", many.saturating_sub(2), May::Send).await.map(drop)
    }

    /// So many agents that are enrolled and will do nothing.
    pub(crate) async fn crowd(&self, many: usize) -> Done<Child> {
        self.play("testudo crowd", GATHER, &[&self.file, &many.to_string()], &[]).await
    }

    /// Bundles that its node has taken in so far.
    pub(crate) async fn bundles(&self) -> Done<f64> {
        let page = async {
            let mut stream = TcpStream::connect(self.health).await?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
            let mut page = String::new();
            stream.take(1024 * 1024).read_to_string(&mut page).await?;
            Ok::<_, std::io::Error>(page)
        };
        let page = timeout(Duration::from_secs(5), page).await??;
        let bundles = page.lines().find_map(|line| line.strip_prefix("testudo_bundles_total "));
        Ok(bundles.ok_or("no count of bundles among the node's metrics")?.trim().parse()?)
    }
}

pub(crate) async fn link(identity: &str) -> Done<(Client, Deliveries)> {
    Ok(testudo::dial(&Identity::load(Path::new(identity))?).await?)
}

pub(crate) async fn goodbye(links: &[(Client, Deliveries)]) {
    join_all(links.iter().map(|(client, _)| client.goodbye())).await;
}

/// Waits until the node is done with what an agent sent, and until nothing of it was refused.
pub(crate) async fn flush(client: &Client) -> Done {
    client.flush().await;
    let (refused, copies) = (client.refused(), client.copies_refused());
    if refused.is_empty() && copies.is_empty() {
        return Ok(());
    }
    Err(format!("the node refused messages: {refused:?} {copies:?}").into())
}

/// A message whose body is text.
pub(crate) fn text(message: Outgoing) -> Outgoing {
    Outgoing { content_type: ContentType::text(), ..message }
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
/// Bytes that may be under way while bundles are to stay small: less than a sender's window, at whose end messages
/// would queue, and bundles grow.
const UNDER_WAY: usize = 256 * 1024;

impl Sending {
    pub(crate) async fn open(to: &str, identities: &[String]) -> Done<Self> {
        let message = text(Outgoing::new(to.parse()?, CAPABILITY.parse()?, PAYLOAD));
        let window = (identities.len() > 1).then_some(EACH * identities.len());
        Self::with(message, identities, window).await
    }

    pub(crate) async fn publish(topic: &str, identities: &[String]) -> Done<Self> {
        let message = text(Outgoing::topic(topic.parse()?, PAYLOAD));
        // Its window is its share of each subscriber's queue: nothing that it allows is refused.
        Self::with(message, identities, None).await
    }

    async fn with(message: Outgoing, identities: &[String], window: Option<usize>) -> Done<Self> {
        let clients = try_join_all(identities.iter().map(|identity| link(identity))).await?;
        Ok(Self { clients, message, next: 0, window, sent: 0 })
    }
}

impl Sender for Sending {
    async fn post(&mut self, body: &Bytes) -> Done {
        let mut message = Outgoing { body: body.clone(), ..self.message.clone() };
        if body.starts_with(b"{") {
            message.content_type = ContentType::json();
        }
        if self.window.is_some_and(|window| self.sent > 0 && self.sent.is_multiple_of(window)) {
            self.flush().await?;
        }
        self.sent += 1;
        self.next = (self.next + 1) % self.clients.len();
        self.clients[self.next].0.post(message).await?;
        Ok(())
    }

    async fn pause(&mut self) -> Done {
        tokio::task::yield_now().await;
        while self.clients[self.next].0.unsettled() > UNDER_WAY {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Done {
        for (client, _) in &self.clients {
            flush(client).await?;
        }
        Ok(())
    }

    async fn ask(&self) -> Done {
        self.clients[0].0.request(self.message.clone()).await?;
        Ok(())
    }

    async fn leave(self) -> Done {
        goodbye(&self.clients).await;
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

    pub(crate) async fn subscribe(topic: &str, identities: &[String]) -> Done<Self> {
        let receiving = Self::open(identities).await?;
        for (client, _) in &receiving.links {
            client.subscribe(topic.parse()?).await?;
        }
        Ok(receiving)
    }
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Done<Delivery> {
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
        client.reply(&request, ContentType::text(), request.body()).await?;
        Ok(())
    }

    async fn leave(self) -> Done {
        goodbye(&self.links).await;
        Ok(())
    }
}

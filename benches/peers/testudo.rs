//! Testudo as shipped: a swarm made with the command, its node, two agents on the facade.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use testudo::{Client, ContentType, Deliveries, Delivery, Identity, Outgoing};
use tokio::process::Command;

use crate::child::{Abandoned, Child, part};
use crate::role::{Receiver, Sender};
use crate::{Done, PAYLOAD, Peer};

pub(crate) const SEND: &str = "testudo-send";
pub(crate) const RECEIVE: &str = "testudo-receive";

const SENDER: &str = "sender";
const RECEIVER: &str = "receiver";
const CAPABILITY: &str = "bench:messages";

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

/// Makes a swarm below `folder` and starts its three processes.
pub(crate) async fn start(folder: &Path) -> Done<Peer> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (swarm, config) = (path("swarm"), path("swarm/testudo.toml"));
    let anywhere = "127.0.0.1:0";
    finish(&["init", &swarm, "--listen", anywhere, "--health", anywhere]).await?;
    let node = testudo(&["node", "--config", &config, "--json", "--until-stdin-closes"]);
    let mut node = Child::start("testudo node", node, Abandoned::Killed)?;
    node.hear().await?;
    let (sender, receiver) = (path("sender.identity"), path("receiver.identity"));
    finish(&["agent", "add", SENDER, "--config", &config, "--allow", CAPABILITY, "--out", &sender]).await?;
    finish(&["agent", "add", RECEIVER, "--config", &config, "--serve", CAPABILITY, "--out", &receiver])
        .await?;
    let mut receiver = Child::start("testudo receiver", part(&[RECEIVE, &receiver])?, Abandoned::Killed)?;
    receiver.hear().await?;
    let mut sender = Child::start("testudo sender", part(&[SEND, &sender])?, Abandoned::Killed)?;
    sender.hear().await?;
    Ok(Peer { sender, receiver, bus: node })
}

async fn link(identity: &str) -> Done<(Client, Deliveries)> {
    Ok(testudo::dial(&Identity::load(Path::new(identity))?).await?)
}

/// The agent that sends.
pub(crate) struct Sending {
    client: Client,
    message: Outgoing,
    _deliveries: Deliveries,
}

impl Sending {
    pub(crate) async fn open(identity: &str) -> Done<Self> {
        let (client, deliveries) = link(identity).await?;
        let (to, capability) = (RECEIVER.parse()?, CAPABILITY.parse()?);
        let message = Outgoing::new(to, capability, Bytes::from_static(PAYLOAD.as_bytes()));
        Ok(Self { client, message, _deliveries: deliveries })
    }
}

impl Sender for Sending {
    async fn post(&mut self) -> Done {
        self.client.post(self.message.clone()).await?;
        Ok(())
    }

    async fn flush(&mut self) -> Done {
        self.client.flush().await;
        let refused = self.client.refused();
        if refused.is_empty() {
            Ok(())
        } else {
            Err(format!("the node refused messages: {refused:?}").into())
        }
    }

    async fn ask(&mut self) -> Done {
        self.client.request(self.message.clone()).await?;
        Ok(())
    }
}

/// The agent that receives.
pub(crate) struct Receiving {
    client: Client,
    deliveries: Deliveries,
}

impl Receiving {
    pub(crate) async fn open(identity: &str) -> Done<Self> {
        let (client, deliveries) = link(identity).await?;
        Ok(Self { client, deliveries })
    }

    async fn next(&mut self) -> Done<Delivery> {
        Ok(self.deliveries.next().await.ok_or("the link to the node ended")?)
    }
}

impl Receiver for Receiving {
    async fn take(&mut self) -> Done {
        self.next().await?;
        Ok(())
    }

    async fn answer(&mut self) -> Done {
        let request = self.next().await?;
        self.client.reply(&request, ContentType::json(), request.body()).await?;
        Ok(())
    }
}

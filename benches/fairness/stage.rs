//! The swarm of this bench: a node, a server, whoever asks it, and the processes beside them.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use testudo::{Client, ContentType, Deliveries, Identity, Outgoing};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Done;
use crate::child::{Abandoned, Child, part};
use crate::crowd::{Ask, CROWD, QUESTION};

/// Who answers.
pub(crate) const SERVER: &str = "server";
/// What it is asked for.
pub(crate) const ASK: &str = "ask:question";
/// Who takes large bodies in.
pub(crate) const BULK_TO: &str = "store";
/// What for.
pub(crate) const LARGE: &str = "keep:report";

/// This program as a part that takes what the others leave of the processors, as if it ran on a machine of its
/// own: what it costs them then goes through the node.
fn elsewhere(arguments: &[&str]) -> Done<Command> {
    let part = part(arguments)?;
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(part.as_std().get_program()).args(part.as_std().get_args());
    Ok(command)
}

/// A process that loads the node between two words.
pub(crate) struct Load(Child);

impl Load {
    pub(crate) async fn open(name: &'static str, arguments: &[&str]) -> Done<Self> {
        let mut child = Child::start(name, elsewhere(arguments)?, Abandoned::Killed)?;
        child.hear().await?;
        Ok(Self(child))
    }

    pub(crate) async fn start(&mut self) -> Done {
        self.0.tell(&json!("start")).await?;
        self.0.hear().await.map(drop)
    }

    /// How much it did meanwhile.
    pub(crate) async fn stop(&mut self) -> Done<u64> {
        self.0.tell(&json!("stop")).await?;
        Ok(serde_json::from_value(self.0.hear().await?["stopped"].take())?)
    }

    pub(crate) async fn end(self) -> Done {
        self.0.end().await
    }
}

/// Everything that runs.
pub(crate) struct Stage {
    node: Child,
    pub(crate) bulk: Load,
    pub(crate) flood: Load,
    pub(crate) crowd: Vec<Client>,
    /// What nobody sends to them.
    _inboxes: Vec<Deliveries>,
    serving: JoinHandle<()>,
}

fn testudo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(arguments).env("TESTUDO_NODE__BODY_BYTES", "16777216");
    command
}

async fn finish(arguments: &[&str]) -> Done {
    let status =
        testudo(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).status().await?;
    if status.success() { Ok(()) } else { Err(format!("testudo {} failed", arguments.join(" ")).into()) }
}

impl Stage {
    /// Makes a swarm below `folder` and starts it.
    pub(crate) async fn set(folder: &Path) -> Done<Self> {
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let (swarm, config) = (path("swarm"), path("swarm/testudo.toml"));
        let anywhere = "127.0.0.1:0";
        finish(&["init", &swarm, "--listen", anywhere, "--health", anywhere]).await?;
        let node = testudo(&["node", "--config", &config, "--json", "--until-stdin-closes"]);
        let mut node = Child::start("testudo node", node, Abandoned::LeftToEnd)?;
        node.hear().await?;
        let add = async |name: &str, what: &str, capability: &str| {
            let file = path(&format!("{name}.identity"));
            finish(&["agent", "add", name, "--config", &config, what, capability, "--out", &file]).await?;
            Ok::<_, crate::Fault>(file)
        };
        let server = add(SERVER, "--serve", ASK).await?;
        let (bulk, store) = (add("bulk", "--allow", LARGE).await?, add(BULK_TO, "--serve", LARGE).await?);
        let flood = add("flood", "--allow", ASK).await?;
        let (mut crowd, mut inboxes) = (Vec::new(), Vec::new());
        for n in 0..CROWD {
            let file = add(&format!("agent-{n}"), "--allow", ASK).await?;
            let (client, inbox) = testudo::dial(&Identity::load(Path::new(&file))?).await?;
            crowd.push(client);
            inboxes.push(inbox);
        }
        let (client, inbox) = testudo::dial(&Identity::load(Path::new(&server))?).await?;
        Ok(Self {
            node,
            bulk: Load::open("bulk sender", &["bulk", &bulk, &store]).await?,
            flood: Load::open("flooder", &["flood", &flood]).await?,
            crowd,
            _inboxes: inboxes,
            serving: tokio::spawn(serve(client, inbox)),
        })
    }

    pub(crate) async fn end(self) -> Done {
        self.bulk.end().await?;
        self.flood.end().await?;
        self.serving.abort();
        self.node.end().await
    }
}

/// Answers every request; messages that want none are the flooder's.
async fn serve(client: Client, mut inbox: Deliveries) {
    while let Some(request) = inbox.next().await {
        if request.wants_reply() {
            // Whoever asked hears of a failure as an answer that does not come.
            let _ = client.reply(&request, ContentType::json(), request.body()).await;
        }
    }
}

impl Ask for Client {
    async fn ask(&self) -> Done<f64> {
        let message = Outgoing::new(SERVER.parse()?, ASK.parse()?, QUESTION);
        let began = Instant::now();
        self.request(message).await?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    }
}

//! The swarm of this bench: a node, a server, whoever asks it, and the processes beside them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use testudo::{Client, ContentType, Deliveries, Identity, Outgoing};
use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::Done;
use crate::child::{Abandoned, Child, part};
use crate::stats::percentile;

/// Who answers.
pub(crate) const SERVER: &str = "server";
/// What it is asked for.
pub(crate) const ASK: &str = "ask:question";
/// Who takes large bodies in.
pub(crate) const BULK_TO: &str = "store";
/// What for.
pub(crate) const LARGE: &str = "keep:report";

/// Honest agents.
const CROWD: usize = 50;
/// Between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(50);

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
    async fn open(name: &'static str, arguments: &[&str]) -> Done<Self> {
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
}

/// Everything that runs.
pub(crate) struct Stage {
    node: Child,
    pub(crate) bulk: Load,
    pub(crate) flood: Load,
    crowd: Vec<(Client, Deliveries)>,
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
        let mut crowd = Vec::new();
        for n in 0..CROWD {
            let file = add(&format!("agent-{n}"), "--allow", ASK).await?;
            crowd.push(testudo::dial(&Identity::load(Path::new(&file))?).await?);
        }
        let (client, inbox) = testudo::dial(&Identity::load(Path::new(&server))?).await?;
        Ok(Self {
            node,
            bulk: Load::open("bulk sender", &["bulk", &bulk, &store]).await?,
            flood: Load::open("flooder", &["flood", &flood]).await?,
            crowd,
            serving: tokio::spawn(serve(client, inbox)),
        })
    }

    /// Requests of one agent, one after the other: their 99th percentile in microseconds.
    pub(crate) async fn round_trips(&self, requests: usize) -> Done<f64> {
        let (client, _) = self.crowd.first().ok_or("nobody asks")?;
        let mut trips = Vec::with_capacity(requests);
        for _ in 0..requests {
            trips.push(ask(client).await?);
        }
        p99(trips)
    }

    /// Requests of everybody, each at its own pace, for so long.
    pub(crate) async fn crowd(&self, time: Duration) -> Done<f64> {
        let mut asking = JoinSet::new();
        for (n, (client, _)) in (0_u32..).zip(&self.crowd) {
            let client = client.clone();
            asking.spawn(async move {
                // Not all in the same moment.
                sleep(PAUSE * n / CROWD as u32).await;
                let (began, mut trips) = (Instant::now(), Vec::new());
                while began.elapsed() < time {
                    trips.push(ask(&client).await?);
                    sleep(PAUSE).await;
                }
                Ok::<_, crate::Fault>(trips)
            });
        }
        let mut trips = Vec::new();
        while let Some(asked) = asking.join_next().await {
            trips.extend(asked??);
        }
        p99(trips)
    }

    pub(crate) async fn end(self) -> Done {
        self.bulk.0.end().await?;
        self.flood.0.end().await?;
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

async fn ask(client: &Client) -> Done<f64> {
    let message = Outgoing::new(SERVER.parse()?, ASK.parse()?, r#"{"question":"how are things?"}"#);
    let began = Instant::now();
    client.request(message).await?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

fn p99(mut trips: Vec<f64>) -> Done<f64> {
    trips.sort_by(f64::total_cmp);
    percentile(&trips, 99).ok_or_else(|| "no requests, no latency".into())
}

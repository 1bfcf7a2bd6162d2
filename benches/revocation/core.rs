//! The core of it: a node, a reader, others who load the node, and victims who flood the reader until they are revoked.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use testudo::bus::client::Arrivals;
use testudo::bus::env::{Env as _, random};
use testudo::env::System;
use testudo::operator::{Answer, Request};
use testudo::wire::standing::{Grant, RevocationCause};
use testudo::wire::{AgentName, Capability, SecretKey, Timestamp};
use testudo::{Client, Deliveries, Identity, Member, Outgoing};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::Done;
use crate::stats::percentile;

const CAPABILITY: &str = "read:logs";
/// Who is flooded.
const READER: &str = "reader";
/// Whom the others write to.
const SINK: &str = "sink";
/// Others, and how often each of them sends.
const OTHERS: usize = 4;
const PACE: Duration = Duration::from_millis(2);
/// A victim is revoked when so many of its messages have been handled.
const FLOWING: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// What the reader saw of one sender.
#[derive(Clone, Copy)]
struct Seen {
    messages: usize,
    /// When its last handler started.
    last: Instant,
    /// The latest time at which the node says that it handed something over.
    handed_over: Timestamp,
}

type Sightings = Arc<Mutex<HashMap<AgentName, Seen>>>;

/// One revocation.
struct Gone {
    name: AgentName,
    took: Duration,
    returned: Instant,
    returned_at: Timestamp,
}

/// A node process; it ends when its standard input closes.
struct Stage {
    config: testudo::config::Config,
    node: Child,
    stdin: ChildStdin,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}

impl Stage {
    async fn set(folder: &Path) -> Done<Self> {
        let swarm = folder.join("swarm");
        let (path, file) = (swarm.to_string_lossy().into_owned(), swarm.join("testudo.toml"));
        let anywhere = "127.0.0.1:0";
        let init = command(&["init", &path, "--listen", anywhere, "--health", anywhere]).status().await?;
        if !init.success() {
            return Err("testudo init failed".into());
        }
        let config = testudo::config::Config::load(&file, testudo::config::Overrides::default())?;
        let file = file.to_string_lossy().into_owned();
        let mut node = command(&["node", "--config", &file, "--json", "--until-stdin-closes"]);
        let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = node.stdin.take().ok_or("no standard input")?;
        let mut lines = BufReader::new(node.stdout.take().ok_or("no standard output")?).lines();
        timeout(PATIENCE, lines.next_line()).await??.ok_or("the node ended at once")?;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { config, node, stdin })
    }

    async fn ask(&self, request: Request) -> Done<Answer> {
        let answer = testudo::server::ask(&self.config.node.data, &request).await?;
        if let Answer::Refused { error } = answer { Err(error.into()) } else { Ok(answer) }
    }

    async fn enrolled(&self, name: &str, grant: Grant) -> Done<Identity> {
        let (name, key) = (AgentName::parse(name)?, SecretKey::from_seed(&random(&System)));
        let csr = Some(testudo::identity::request(self.config.swarm.id, name, &key)?);
        let answer = self.ask(Request::AgentAdd { name, key: key.public(), grant, csr }).await?;
        let Answer::Credentials(credentials) = answer else { return Err("no credentials".into()) };
        Ok(Identity::issued(name, key, *credentials)?)
    }

    async fn sender(&self, name: &str) -> Done<Identity> {
        self.enrolled(name, Grant { right: [CAPABILITY.parse()?].into(), ..Grant::default() }).await
    }

    /// A member: it comes back when its writer was too slow for the barrier and lost its link.
    async fn receiver(&self, name: &str) -> Done<(Member, Arrivals)> {
        let grant = Grant { serve: [CAPABILITY.parse()?].into(), ..Grant::default() };
        Ok(testudo::join(&self.enrolled(name, grant).await?).await?)
    }

    /// An agent floods, and is revoked in the middle of it.
    async fn revoke_one(&self, name: &str, sightings: &Sightings) -> Done<Gone> {
        let (client, _inbox): (Client, Deliveries) = testudo::dial(&self.sender(name).await?).await?;
        let name = AgentName::parse(name)?;
        let flood = tokio::spawn(flood(client));
        let began = Instant::now();
        while seen(sightings, &name).is_none_or(|seen| seen.messages < FLOWING) {
            if began.elapsed() > PATIENCE {
                return Err(format!("{name}'s messages do not arrive").into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        let asked = Instant::now();
        self.ask(Request::AgentRevoke { name, cause: RevocationCause::Compromised }).await?;
        let gone = Gone { name, took: asked.elapsed(), returned: Instant::now(), returned_at: System.now() };
        timeout(PATIENCE, flood).await.map_err(|_| "a revoked agent still sends")???;
        Ok(gone)
    }

    async fn end(mut self) -> Done {
        drop(self.stdin);
        let status = timeout(PATIENCE, self.node.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("the node ended with {status}").into()) }
    }
}

fn seen(sightings: &Sightings, name: &AgentName) -> Option<Seen> {
    sightings.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
}

/// As fast as the node takes them, until it takes no more.
async fn flood(client: Client) -> Done {
    let (to, what): (AgentName, Capability) = (READER.parse()?, CAPABILITY.parse()?);
    while client.post(Outgoing::new(to, what, r#"{"line":"again and again"}"#)).await.is_ok() {}
    Ok(())
}

async fn read(mut inbox: Arrivals, sightings: Sightings) {
    while let Some(delivery) = inbox.next().await {
        let (last, handed_over) = (Instant::now(), delivery.handed_over());
        let mut table = sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Seen { messages: 0, last, handed_over };
        let seen = table.entry(delivery.sender().name).or_insert(new);
        *seen = Seen { messages: seen.messages + 1, last, handed_over: seen.handed_over.max(handed_over) };
    }
}

/// What runs beside.
async fn others(stage: &Stage, running: &mut JoinSet<Done>) -> Done {
    let (keep, mut inbox) = stage.receiver(SINK).await?;
    running.spawn(async move {
        while inbox.next().await.is_some() {}
        drop(keep);
        Ok(())
    });
    for n in 0..OTHERS {
        let (member, inbox) = testudo::join(&stage.sender(&format!("other-{n}")).await?).await?;
        running.spawn(async move {
            let _inbox = inbox;
            let mut ticks = interval(PACE);
            loop {
                ticks.tick().await;
                let work = Outgoing::new(SINK.parse()?, CAPABILITY.parse()?, r#"{"work":"as usual"}"#);
                // Without a link for the moment, it goes on when there is one.
                let _ = member.post(work).await;
            }
        });
    }
    Ok(())
}

/// What a run came to.
pub(crate) struct Figures {
    revocations: usize,
    /// Whether the reader had one link all the time: a writer that is 50 ms late at the barrier loses it.
    kept: bool,
    handled: usize,
    /// Agents of whom the node handed something over after the return.
    pub(crate) late: Vec<AgentName>,
    /// Milliseconds, sorted.
    returns: Vec<f64>,
    starts: Vec<f64>,
}

impl Figures {
    fn of(gone: &[Gone], sightings: &Sightings, kept: bool) -> Self {
        let saw = |gone: &Gone| seen(sightings, &gone.name);
        let late = |gone: &&Gone| saw(gone).is_some_and(|seen| seen.handed_over > gone.returned_at);
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let after = |gone: &Gone| ms(saw(gone)?.last.saturating_duration_since(gone.returned)).into();
        Self {
            revocations: gone.len(),
            kept,
            handled: gone.iter().filter_map(saw).map(|seen| seen.messages).sum(),
            late: gone.iter().filter(late).map(|gone| gone.name).collect(),
            returns: sorted(gone.iter().map(|gone| ms(gone.took)).collect()),
            starts: sorted(gone.iter().filter_map(after).collect()),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let at = |values: &[f64], percent| percentile(values, percent).map(|ms| (ms * 100.0).round() / 100.0);
        json!({
            "revocations": self.revocations,
            "reader_kept_its_link": self.kept,
            "messages_of_the_revoked": self.handled,
            "agents_with_anything_handed_over_after_return": self.late.len(),
            "return_ms": { "p50": at(&self.returns, 50), "p99": at(&self.returns, 99), "max": at(&self.returns, 100) },
            "last_handler_start_after_return_ms":
                { "p50": at(&self.starts, 50), "p99": at(&self.starts, 99), "max": at(&self.starts, 100) },
        })
    }
}

/// So many agents, one after the other.
pub(crate) async fn measure(revocations: usize) -> Done<Figures> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let stage = Stage::set(folder.path()).await?;
    let (reader, inbox) = stage.receiver(READER).await?;
    let first = reader.session();
    let sightings = Sightings::default();
    let mut running = JoinSet::new();
    let table = sightings.clone();
    running.spawn(async move {
        read(inbox, table).await;
        Ok(())
    });
    others(&stage, &mut running).await?;
    let mut gone = Vec::new();
    for n in 0..revocations {
        gone.push(stage.revoke_one(&format!("victim-{n}"), &sightings).await?);
    }
    // What was on its way when the last one went.
    sleep(Duration::from_millis(200)).await;
    if running.try_join_next().is_some() {
        return Err("somebody who was not revoked is out".into());
    }
    let kept = reader.session() == first;
    running.shutdown().await;
    stage.end().await?;
    Ok(Figures::of(&gone, &sightings, kept))
}

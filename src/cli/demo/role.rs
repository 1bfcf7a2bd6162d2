//! One process of the example swarm. Hears its job on standard input, tells what it does on standard output,
//! and ends when standard input closes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testudo::agents::{HostHandle, HostOptions};
use testudo::hosting::Ledger;
use testudo::rules::token::{SealedToken, Token};
use testudo::wire::{AgentName, Limits, PublicKey};
use testudo::{Connection, Identity, connect};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::cli::{CliError, Done, actor_system, say};
use crate::triage::mallory::{self, Crew, Favour, Loot};
use crate::triage::swarm::analyst::Analyst;
use crate::triage::swarm::orchestrator::{self, Work};
use crate::triage::swarm::reader::Reader;

/// Who this process is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Analyst,
    Mallory,
    Orchestrator,
    Reader,
}

/// One process of the example swarm.
#[derive(Args, Debug)]
pub(in crate::cli) struct Role {
    #[arg(value_enum)]
    part: Part,
    /// Its identity file
    #[arg(long)]
    identity: PathBuf,
}

/// What mallory has got hold of.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Stolen {
    /// Identity file of another agent that is mallory's friend.
    pub(super) accomplice: PathBuf,
    /// Identity files of two more: one that will not read, one that sends to it.
    pub(super) crowd: [PathBuf; 2],
    /// The victim's sealed token.
    pub(super) token: String,
    /// A token of mallory's own that has run out.
    pub(super) expired: String,
    /// The victim.
    pub(super) victim: AgentName,
    /// The victim's key.
    pub(super) victim_key: PublicKey,
}

struct Desk {
    lines: Lines<BufReader<Stdin>>,
}

impl Desk {
    async fn hear(&mut self) -> Result<Option<Value>, CliError> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// Waits until the demo closes our standard input.
    async fn until_closed(&mut self) {
        while let Ok(Some(_)) = self.lines.next_line().await {}
    }
}

async fn link(identity: &Identity) -> Result<Connection, CliError> {
    let connection = connect(identity).await?;
    say(&json!({"event": "linked"}).to_string());
    Ok(connection)
}

fn tell_ledger(ledger: &Ledger) {
    let (sent, received, refused) = (ledger.sent(), ledger.received(), ledger.refused());
    say(&json!({"event": "ledger", "sent": sent, "received": received, "refused": refused}).to_string());
}

impl Role {
    pub(in crate::cli) fn run(self) -> Done {
        let done = actor_system(self.play());
        if let Err(error) = &done {
            say(&json!({"error": error.to_string()}).to_string());
        }
        done
    }

    async fn play(self) -> Done {
        let identity = Identity::load(&self.identity)?;
        let mut desk = Desk { lines: BufReader::new(tokio::io::stdin()).lines() };
        match self.part {
            Part::Analyst => {
                let linked = link(&identity).await?;
                let ledger = linked.ledger().clone();
                let host = linked.host(Analyst::default, HostOptions::default()).await?;
                attend(&mut desk, &host, &ledger).await;
            }
            Part::Reader => {
                let linked = link(&identity).await?;
                let ledger = linked.ledger().clone();
                let host = linked.host(Reader::default, HostOptions::default()).await?;
                attend(&mut desk, &host, &ledger).await;
            }
            Part::Orchestrator => orchestrate(&identity, &mut desk).await?,
            Part::Mallory => attack(&identity, &mut desk).await?,
        }
        Ok(())
    }
}

/// Serves until told to end, then tells what went over the link.
async fn attend(desk: &mut Desk, host: &HostHandle, ledger: &Ledger) {
    tokio::select! {
        () = desk.until_closed() => host.stop(),
        _ = host.stopped() => {}
    }
    let stopped = host.stopped().await;
    tracing::info!(%stopped, "the agent has ended");
    tell_ledger(ledger);
}

async fn orchestrate(identity: &Identity, desk: &mut Desk) -> Done {
    let linked = link(identity).await?;
    let work = Work::default();
    let served = orchestrator::serve(&work).map_err(|error| CliError::Failed(error.to_string()))?;
    let (bus, ledger) = (linked.bus(), linked.ledger().clone());
    let handle = linked.host(move || served.clone(), HostOptions::default()).await?;
    if let Some(job) = desk.hear().await? {
        let job = serde_json::from_value(job)?;
        let finished = orchestrator::run(&bus, &work, &job).await;
        let finished = finished.map_err(|error| CliError::Failed(error.to_string()))?;
        let event = json!({
            "event": "report", "report": finished.report, "files": finished.files,
            "examined_twice": finished.examined_twice, "unread": finished.unread,
        });
        say(&event.to_string());
    }
    attend(desk, &handle, &ledger).await;
    Ok(())
}

async fn attack(identity: &Identity, desk: &mut Desk) -> Done {
    let Some(stolen) = desk.hear().await? else { return Ok(()) };
    let stolen: Stolen = serde_json::from_value(stolen)?;
    let limits = Limits::standard();
    let accomplice = Identity::load(&stolen.accomplice)?;
    let [sloth, crony] = [Identity::load(&stolen.crowd[0])?, Identity::load(&stolen.crowd[1])?];
    let loot = Loot {
        stolen: SealedToken::from_text(&stolen.token, &limits)?,
        expired: Token::from_text(&stolen.expired, &limits)?,
        victim: stolen.victim,
        victim_key: stolen.victim_key,
    };
    let ask = async |favour: Favour| {
        let favour = match favour {
            Favour::RevokeToken(id) => json!({"event": "favour", "token": id}),
            Favour::RevokeAgent(name) => json!({"event": "favour", "agent": name}),
        };
        say(&favour.to_string());
        let done = desk.hear().await.map_err(|error| error.to_string())?;
        done.map(|_| ()).ok_or_else(|| "nobody does favours any more".to_owned())
    };
    let told = |attack: &mallory::Attack| say(&json!({"event": "attack", "attack": attack}).to_string());
    let crew = Crew { mallory: identity, accomplice: &accomplice, sloth: &sloth, crony: &crony };
    let attacks = mallory::run(&crew, &loot, ask, told).await;
    say(&json!({"event": "attacks", "attacks": attacks}).to_string());
    Ok(())
}

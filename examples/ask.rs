//! The smallest swarm: one agent asks, another answers, both over real links to a running node.
//!
//! Shows: loading identities, serving a capability with typed messages, asking for it, a typed refusal.
//! Run: see README.md, "A swarm of your own".

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use testudo::{AgentName, Bus, Capability, Handlers, HostOptions, Identity, connect};

#[derive(Deserialize, Serialize)]
struct ReadLogs {
    last: usize,
}

#[derive(Debug, Deserialize, Serialize)]
struct Lines {
    lines: Vec<String>,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What the asker has to say, once it is connected.
async fn questions(bus: &Bus, reader: AgentName) -> Fallible<()> {
    let lines: Lines = bus.ask(reader, Capability::parse("read:logs")?, &ReadLogs { last: 3 }).await?;
    say(&format!("{reader} answered: {:?}", lines.lines));

    let delete = Capability::parse("delete:logs")?;
    let Err(refused) = bus.ask::<_, Lines>(reader, delete, &ReadLogs { last: 3 }).await else {
        return Err("delete:logs was done, which nobody may".into());
    };
    say(&format!("and without the right: {refused}"));
    Ok(())
}

async fn ask(asker: &Identity, reader: AgentName) -> Fallible<()> {
    let asking = connect(asker).await?;
    let done = questions(&asking.bus(), reader).await;
    // However it went: who leaves without goodbye counts as silent, and is revoked for that.
    asking.goodbye().await;
    done
}

async fn swarm(asker: PathBuf, reader: PathBuf) -> Fallible<()> {
    let (asker, reader) = (Identity::load(&asker)?, Identity::load(&reader)?);

    let agent = Handlers::new()
        .on("read:logs", |request: ReadLogs, _| async move {
            Ok(Lines { lines: (1..=request.last).map(|n| format!("line {n}")).collect() })
        })
        .build()?;
    let hosted = connect(&reader).await?.host(move || agent.clone(), HostOptions::default()).await?;

    let done = ask(&asker, reader.client.name).await;
    hosted.stop();
    hosted.stopped().await;
    done
}

/// Prints a line; whoever has closed the pipe has read enough.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

fn main() -> ExitCode {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(asker), Some(reader)) = (paths.next(), paths.next()) else {
        say("give two identity files: ASKER READER; README.md shows how to make them");
        return ExitCode::from(2);
    };
    match testudo::run(swarm(asker, reader)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("no runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

//! The smallest swarm: one agent asks, another answers, both over real links to a running node.
//!
//! Shows: loading identities, serving a capability with typed messages, asking for it, a typed refusal.
//! Run: see README.md, "A swarm of your own".

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use testudo::agents::{Bus, Handlers, HostOptions, host};
use testudo::hosting::carrier;
use testudo::{Capability, Identity, connect};

#[derive(Deserialize, Serialize)]
struct ReadLogs {
    last: usize,
}

#[derive(Debug, Deserialize, Serialize)]
struct Lines {
    lines: Vec<String>,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

async fn swarm(asker: PathBuf, reader: PathBuf) -> Fallible<()> {
    let (asker, reader) = (Identity::load(&asker)?, Identity::load(&reader)?);

    let (client, deliveries) = connect(&reader).await?;
    let (out, inbox, _) = carrier(client, deliveries);
    let agent = Handlers::new()
        .on("read:logs", |request: ReadLogs, _| async move {
            Ok(Lines { lines: (1..=request.last).map(|n| format!("line {n}")).collect() })
        })
        .build()?;
    let hosted = host(out, inbox, move || agent.clone(), HostOptions::default());

    let (client, deliveries) = connect(&asker).await?;
    let bus = Bus::new(carrier(client.clone(), deliveries).0);
    let name = reader.client.name;
    let lines: Lines = bus.ask(name, Capability::parse("read:logs")?, &ReadLogs { last: 3 }).await?;
    println!("{name} answered: {:?}", lines.lines);

    let refused = bus.ask::<_, Lines>(name, Capability::parse("delete:logs")?, &ReadLogs { last: 3 }).await;
    println!("and without the right: {}", refused.err().map_or_else(String::new, |error| error.to_string()));
    client.goodbye().await;
    hosted.stop();
    hosted.stopped().await;
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(asker), Some(reader)) = (paths.next(), paths.next()) else {
        println!("give two identity files: ASKER READER; README.md shows how to make them");
        return 2.into();
    };
    match testudo::run(swarm(asker, reader)) {
        Ok(Ok(())) => 0.into(),
        Ok(Err(error)) => {
            println!("{error}");
            1.into()
        }
        Err(error) => {
            println!("no runtime: {error}");
            1.into()
        }
    }
}

//! The smallest whole swarm, in one program: an agent answers, another asks, an over-reach is refused.
//!
//! Run: cargo run --example hello

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use testudo::agents::Handlers;
use testudo::{AgentName, Capability, Role, Swarm};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Own authority, own node, every check on; remote agents would join with the same code.
    let swarm = Swarm::embedded("hello").await?;

    let reader = Handlers::new()
        .on("read:logs", |last: usize, _| async move {
            Ok((1..=last).map(|n| format!("line {n}")).collect::<Vec<_>>())
        })
        .build()?;
    let serves = Role::new().serve("read:logs").serve("delete:logs");
    swarm.spawn("reader", serves, move || reader.clone()).await?;

    let asker = swarm.connect("asker", Role::new().allow("read:logs")).await?;
    let (bus, reader) = (asker.bus(), AgentName::parse("reader")?);
    let lines: Vec<String> = bus.ask(reader, Capability::parse("read:logs")?, &2).await?;
    println!("reader answered: {lines:?}");

    let Err(refused) = bus.ask::<_, ()>(reader, Capability::parse("delete:logs")?, &2).await else {
        return Err("done without the right".into());
    };
    println!("and without the right: {refused}");

    asker.goodbye().await;
    println!("{:?}", swarm.shut_down().await?);
    Ok(())
}

//! The pieces of code on the front page, whole and run. A piece changes here and there together.

#![expect(clippy::print_stdout, reason = "the front page talks to a person")]

use testudo::agents::{Delegate, Served, To};
use testudo::wire::Resource;
use testudo::{
    AgentName, Bus, Capability, Context, Handlers, HostOptions, Identity, Message, Role, Swarm, Wish, connect,
};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Everything, one after the other.
pub(crate) async fn all() -> Fallible<()> {
    let swarm = Swarm::embedded("readme").await?;
    let reader = reader()?;
    let spawned = reader.clone();
    swarm.spawn("reader", Role::new().serve("read:logs"), move || spawned.clone()).await?;
    let role = Role::new().allow("read:logs").delegatable("read:logs").allow("review:logs");
    let asker = swarm.connect("asker", role.allow("tell:story").publish("alerts")).await?;
    let bus = asker.bus();
    remote(&swarm, reader).await?;
    topics(&swarm, &bus).await?;
    services(&bus).await?;
    streams(&swarm, &bus).await?;
    delegation(&swarm, &bus).await?;
    receipts(&bus).await?;
    asker.goodbye().await;
    assert!(swarm.shut_down().await?.is_balanced());
    Ok(())
}

fn reader() -> Fallible<Served> {
    let read =
        |last: usize, _| async move { Ok((1..=last).map(|n| format!("line {n}")).collect::<Vec<_>>()) };
    Ok(Handlers::new().on("read:logs", read).build()?)
}

async fn remote(swarm: &Swarm, reader: Served) -> Fallible<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("reader-2.identity");
    swarm.enrol("reader-2", Role::new().serve("read:logs")).await?.save(&file)?;
    let identity = Identity::load(&file)?;
    let link = connect(&identity).await?;
    let host = link.host(move || reader.clone(), HostOptions::default()).await?;
    until_told_to_stop().await; // such as tokio::signal::ctrl_c()
    host.stop(); // what runs may finish, then goodbye
    host.stopped().await;
    Ok(())
}

/// Here at once.
async fn until_told_to_stop() {
    tokio::task::yield_now().await;
}

async fn topics(swarm: &Swarm, bus: &Bus) -> Fallible<()> {
    let listener = Handlers::new()
        .on_topic("alerts", |alert: String, context| async move {
            println!("{} says: {alert}", context.sender().name);
            Ok(())
        })
        .build()?;
    let hears = Role::new().subscribe("alerts");
    swarm.spawn("listener", hears, move || listener.clone()).await?;
    bus.publish(Resource::parse("alerts")?, &"the disk is full").await?;
    Ok(())
}

async fn services(bus: &Bus) -> Fallible<()> {
    let read = Capability::parse("read:logs")?;
    let lines: Vec<String> = bus.ask(To::Service, read, &2).await?;
    assert_eq!(lines, ["line 1", "line 2"]);
    Ok(())
}

async fn streams(swarm: &Swarm, bus: &Bus) -> Fallible<()> {
    let teller = Handlers::new()
        .on_stream("tell:story", |words: u32, _, mut stream| async move {
            for n in 1..=words {
                stream.send(&format!("word {n} ")).await?; // waits for the asker
            }
            Ok(stream.finish().await?)
        })
        .build()?;
    swarm.spawn("teller", Role::new().serve("tell:story"), move || teller.clone()).await?;
    let (teller, story) = (AgentName::parse("teller")?, Capability::parse("tell:story")?);
    let mut words = bus.stream(Message::json(teller, story, &3)?).await?;
    let mut count = 0;
    while let Some(word) = words.next_json::<String>().await {
        print!("{}", word?);
        count += 1;
    }
    assert_eq!(count, 3);
    Ok(())
}

async fn delegation(swarm: &Swarm, bus: &Bus) -> Fallible<()> {
    let (reader, helper) = (AgentName::parse("reader")?, AgentName::parse("helper")?);
    let (read, review) = (Capability::parse("read:logs")?, Capability::parse("review:logs")?);
    let works = Handlers::new().on("review:logs", move |last: usize, context: Context| async move {
        let for_asker = context.on_behalf().await?;
        let lines: Vec<String> = for_asker.ask(reader, read, &last).await?;
        Ok(lines.len())
    });
    let works = works.build()?;
    let bound = Role::new().serve("review:logs").delegated_only();
    swarm.spawn("helper", bound, move || works.clone()).await?;
    let token = bus.delegate(&Delegate::new(helper, [read])).await?;
    let question = Message::json(helper, review, &2)?.under(&token)?;
    let lines: usize = bus.request(question).await?.json()?;
    assert_eq!(lines, 2);
    Ok(())
}

async fn receipts(bus: &Bus) -> Fallible<()> {
    let (reader, read) = (AgentName::parse("reader")?, Capability::parse("read:logs")?);
    let message = Message::json(reader, read, &2)?;
    let accepted = bus.tell(message.clone()).await?;
    let delivered = bus.tell(message).receipt(Wish::Delivered).await?;
    println!("record {:?}, signed by {:?}", accepted.record, delivered.delivered_by);
    assert!(accepted.record.is_some() && delivered.delivered_by.is_some());
    Ok(())
}

//! Rights that shrink: an orchestrator hands part of its authority to a sub-agent, which hands a part of that to
//! its tool. Neither of the two may do anything on its own.
//!
//! Shows: [`Context::delegate`] and [`Message::under`] (hand on), [`Context::on_behalf`] (act under what came),
//! agents that are `delegated_only`, and over-reach that the node refuses by name.
//! Run: cargo run --example delegation

use std::io::{Write as _, stdout};

use serde::de::DeserializeOwned;
use testudo::agents::{AskError, Delegate, HandlersError, SendFailure, Served};
use testudo::wire::NameError;
use testudo::{AgentError, AgentName, Bus, Capability, Context, Handlers, Message, Refusal, Role, Swarm};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Who is who, and what there is to do.
#[derive(Clone, Copy)]
struct Words {
    analyst: AgentName,
    searcher: AgentName,
    store: AgentName,
    review: Capability,
    search: Capability,
    read: Capability,
    delete: Capability,
}

impl Words {
    fn new() -> Result<Self, NameError> {
        Ok(Self {
            analyst: AgentName::parse("analyst")?,
            searcher: AgentName::parse("searcher")?,
            store: AgentName::parse("store")?,
            review: Capability::parse("review:logs")?,
            search: Capability::parse("search:logs")?,
            read: Capability::parse("read:logs")?,
            delete: Capability::parse("delete:logs")?,
        })
    }
}

/// Holds the logs and asks nobody's name: who comes with the right is served.
fn store() -> Result<Served, HandlersError> {
    let lines = ["boot ok", "disk error on sda", "link up", "disk error on sdb"];
    Handlers::new()
        .on("read:logs", move |(): (), _| async move { Ok(lines) })
        .on("delete:logs", |(): (), _| async { Ok("gone") })
        .build()
}

/// The tool: reads the logs for whoever gave it the right to, and finds a word in them.
fn searcher(words: Words) -> Result<Served, HandlersError> {
    Handlers::new()
        .on("search:logs", move |word: String, context: Context| async move {
            let caller = context.on_behalf().await?;
            let lines: Vec<String> = caller.ask(words.store, words.read, &()).await?;
            Ok(lines.into_iter().filter(|line| line.contains(&word)).collect::<Vec<_>>())
        })
        .build()
}

/// The sub-agent: has the tool search, and tries what it was not given.
fn analyst(words: Words) -> Result<Served, HandlersError> {
    Handlers::new()
        .on("review:logs", move |word: String, context: Context| async move {
            let caller = context.on_behalf().await?;
            // Of what came, the tool needs to read and no more; it ends there.
            let part = context.delegate(&Delegate::new(words.searcher, [words.read])).await?;
            let question = Message::json(words.searcher, words.search, &word).map_err(AgentError::failed)?;
            let found = caller.request(question.under(&part)?).await?;
            let found: Vec<String> = found.json().map_err(AgentError::failed)?;

            // A model that was talked into something would come this far, and no farther.
            let over_reach = refusal(&caller, words.store, words.delete).await;
            let on_its_own = refusal(context.bus(), words.store, words.read).await;
            Ok((found, over_reach, on_its_own))
        })
        .build()
}

/// The name of the refusal that a question meets, if it meets one.
async fn refusal(bus: &Bus, of: AgentName, what: Capability) -> Option<String> {
    match bus.ask::<_, serde_json::Value>(of, what, &()).await {
        Err(AskError::Send(SendFailure::Refused { refusal, .. })) => Some(refusal.to_string()),
        Ok(_) | Err(_) => None,
    }
}

/// The orchestrator's own right to delete works; then it hands on less than it has.
async fn orchestrate(bus: &Bus, words: Words) -> Fallible<()> {
    let part = Delegate::new(words.analyst, [words.search, words.read]).onward([words.read], 1);
    let token = bus.delegate(&part).await?;
    say(
        "orchestrator holds review, search, read, delete; it hands analyst: search, read (read onward, once)",
    );
    say("analyst hands searcher: read (and no further)");

    let question = Message::json(words.analyst, words.review, &"error")?.under(&token)?;
    let (found, over_reach, on_its_own): (Vec<String>, _, _) = answer(bus, question).await?;
    say(&format!("searcher read the store on behalf of orchestrator: {found:?}"));
    promised(found == ["disk error on sda", "disk error on sdb"], "the errors are found")?;

    let unauthorised = Some(Refusal::Unauthorised.to_string());
    let shown = |refused: &Option<String>| refused.clone().unwrap_or_else(|| "NOT REFUSED".to_owned());
    say(&format!("analyst tried delete:logs with what it was handed: {}", shown(&over_reach)));
    say(&format!("analyst tried read:logs on its own: {}", shown(&on_its_own)));
    promised(over_reach == unauthorised && on_its_own == unauthorised, "over-reach is refused")?;

    let gone: String = bus.ask(words.store, words.delete, &()).await?;
    say(&format!("orchestrator, who may, deletes the logs: {gone}"));
    Ok(())
}

async fn answer<T: DeserializeOwned>(bus: &Bus, question: Message) -> Fallible<T> {
    Ok(bus.request(question).await?.json()?)
}

fn promised(holds: bool, what: &str) -> Fallible<()> {
    if holds { Ok(()) } else { Err(format!("broken promise: {what}").into()) }
}

/// Prints a line; whoever has closed the pipe has read enough.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

async fn delegation(swarm: &Swarm, words: Words) -> Fallible<()> {
    let (analyst, searcher, store) = (analyst(words)?, searcher(words)?, store()?);
    swarm.spawn("store", Role::new().serve("read:logs").serve("delete:logs"), move || store.clone()).await?;
    let tool = Role::new().serve("search:logs").delegated_only();
    swarm.spawn("searcher", tool, move || searcher.clone()).await?;
    let sub_agent = Role::new().serve("review:logs").delegated_only();
    swarm.spawn("analyst", sub_agent, move || analyst.clone()).await?;

    let role = Role::new().allow("review:logs").allow("search:logs").allow("read:logs").allow("delete:logs");
    let role = role.delegatable("search:logs").delegatable("read:logs");
    let orchestrator = swarm.connect("orchestrator", role).await?;
    let done = orchestrate(&orchestrator.bus(), words).await;
    orchestrator.goodbye().await;
    done
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let (swarm, words) = (Swarm::embedded("delegation").await?, Words::new()?);
    let done = delegation(&swarm, words).await;
    let account = swarm.shut_down().await?;
    say(&format!("{} messages, every one accounted for: {}", account.submitted, account.is_balanced()));
    promised(account.is_balanced(), "every message is accounted for")?;
    done
}

//! A debate: a moderator puts a motion on a topic, three debaters argue token by token, all hear all, all vote.
//!
//! Shows: a topic that everyone hears (`on_topic`), answers that are streamed (`on_stream`), a service that any of
//! several agents does ([`To::Service`]). The texts are fixed so that every run says the same; comments mark the
//! two places where a language model would be asked.
//! Run: cargo run --example debate

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use testudo::agents::{AgentError, HandlersError, ReplyStream, Served, To};
use testudo::wire::{NameError, Resource};
use testudo::{AgentName, Bus, Capability, Context, Handlers, Message, Role, Swarm};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Everything that is said on the topic.
#[derive(Clone, Debug, Deserialize, Serialize)]
enum Said {
    Motion(String),
    Argument { by: AgentName, text: String },
}

/// What one debater has heard so far, in its order. Its handlers share it.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Said>>>);

impl Memory {
    fn hear(&self, said: Said) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    }

    fn all(&self) -> Vec<Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn arguments(&self) -> Vec<(AgentName, String)> {
        let of = |said| match said {
            Said::Argument { by, text } => Some((by, text)),
            Said::Motion(_) => None,
        };
        self.all().into_iter().filter_map(of).collect()
    }
}

/// Stands for a model that is given what was heard and a view to hold.
fn think(memory: &Memory, view: &str) -> Result<String, AgentError> {
    let heard = memory.all();
    let Some(Said::Motion(motion)) = heard.first() else {
        return Err(AgentError::bad_request("no motion has been put"));
    };
    let answer =
        memory.arguments().last().map(|(by, _)| format!("{by} has a point, but ")).unwrap_or_default();
    Ok(format!("{answer}on \"{motion}\" I say: {view}"))
}

/// One debater: hears the topic, argues when asked, votes when asked.
fn debater(me: AgentName, view: &'static str) -> Result<Served, HandlersError> {
    let memory = Memory::default();
    let (hears, argues, votes) = (memory.clone(), memory.clone(), memory);
    Handlers::new()
        .on_topic("debate", move |said: Said, _| {
            hears.hear(said);
            async { Ok(()) }
        })
        .on_stream("argue:motion", move |(): (), _: Context, mut stream: ReplyStream| {
            let memory = argues.clone();
            async move {
                // A model would be asked here, and its tokens sent on as they come.
                for token in think(&memory, view)?.split_inclusive(' ') {
                    // Waits while the moderator is behind, and fails when it no longer listens.
                    stream.send(&token).await?;
                }
                Ok(stream.finish().await?)
            }
        })
        .on("vote:motion", move |(): (), _| {
            let memory = votes.clone();
            async move {
                // A model would judge here; this one likes the longest argument that is not its own.
                let others = memory.arguments().into_iter().filter(|(by, _)| *by != me);
                let best = others.max_by_key(|(_, text)| text.len());
                best.map(|(by, _)| by).ok_or_else(|| AgentError::failed("nobody else has argued"))
            }
        })
        .build()
}

/// Counts ballots; which of the two tellers does is all the same.
fn teller() -> Result<Served, HandlersError> {
    Handlers::new()
        .on("count:votes", |votes: Vec<AgentName>, _| async move {
            let mut tally = BTreeMap::<AgentName, usize>::new();
            for vote in votes {
                *tally.entry(vote).or_default() += 1;
            }
            Ok(tally)
        })
        .build()
}

#[derive(Clone, Copy)]
struct Words {
    debate: Resource,
    argue: Capability,
    vote: Capability,
    count: Capability,
}

impl Words {
    fn new() -> Result<Self, NameError> {
        Ok(Self {
            debate: Resource::parse("debate")?,
            argue: Capability::parse("argue:motion")?,
            vote: Capability::parse("vote:motion")?,
            count: Capability::parse("count:votes")?,
        })
    }
}

/// Asks for an argument, shows it token by token, and puts the whole of it on the topic.
async fn argument(bus: &Bus, by: AgentName, words: Words) -> Fallible<usize> {
    say(&format!("\n{by}: "));
    let mut tokens = bus.stream(Message::json(by, words.argue, &())?).await?;
    let (mut text, mut count) = (String::new(), 0);
    while let Some(token) = tokens.next_json::<String>().await {
        let token = token?;
        say(&token);
        text.push_str(&token);
        count += 1;
    }
    bus.publish(words.debate, &Said::Argument { by, text }).await?;
    Ok(count)
}

async fn moderate(bus: &Bus, debaters: &[AgentName], words: Words) -> Fallible<()> {
    let motion = "Agents should sign what they say";
    say(&format!("moderator: the motion is \"{motion}\""));
    bus.publish(words.debate, &Said::Motion(motion.to_owned())).await?;
    // One link keeps its order: whoever is asked has heard what was published before.
    let mut tokens = 0;
    for debater in debaters {
        tokens += argument(bus, *debater, words).await?;
    }
    say(&format!("\n\nmoderator: {tokens} tokens from {} debaters; the votes, please\n", debaters.len()));
    let mut votes = Vec::new();
    for debater in debaters {
        let vote: AgentName = bus.ask(*debater, words.vote, &()).await?;
        say(&format!("{debater} votes for {vote}\n"));
        votes.push(vote);
    }
    let tally: BTreeMap<AgentName, usize> = bus.ask(To::Service, words.count, &votes).await?;
    let winner = tally.iter().max_by_key(|(_, votes)| **votes).ok_or("nobody has a vote")?;
    say(&format!("tally: {} wins with {} of {} votes\n", winner.0, winner.1, votes.len()));
    if tally.values().sum::<usize>() != debaters.len() || tokens < 10 * debaters.len() {
        return Err("broken promise: every argument comes in tokens, and every vote counts".into());
    }
    Ok(())
}

/// Prints at once; whoever has closed the pipe has read enough.
fn say(text: &str) {
    let _ = write!(stdout(), "{text}").and_then(|()| stdout().flush());
}

async fn debate(swarm: &Swarm) -> Fallible<()> {
    let views = [
        ("ada", "a signature makes blame possible, and with it trust."),
        ("ben", "keys get stolen, so a signature alone proves little; sign, and revoke fast."),
        ("cyd", "what is not signed is a rumour."),
    ];
    let mut debaters = Vec::new();
    for (name, view) in views {
        let me = AgentName::parse(name)?;
        let debater = debater(me, view)?;
        let role = Role::new().subscribe("debate").serve("argue:motion").serve("vote:motion");
        swarm.spawn(name, role, move || debater.clone()).await?;
        debaters.push(me);
    }
    for name in ["teller-1", "teller-2"] {
        let teller = teller()?;
        swarm.spawn(name, Role::new().serve("count:votes"), move || teller.clone()).await?;
    }
    let role = Role::new().publish("debate").allow("argue:motion").allow("vote:motion").allow("count:votes");
    let moderator = swarm.connect("moderator", role).await?;
    let done = moderate(&moderator.bus(), &debaters, Words::new()?).await;
    moderator.goodbye().await;
    done
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let swarm = Swarm::embedded("debate").await?;
    let done = debate(&swarm).await;
    let account = swarm.shut_down().await?;
    say(&format!("{} messages, every one accounted for: {}\n", account.submitted, account.is_balanced()));
    if !account.is_balanced() {
        return Err("broken promise: every message is accounted for".into());
    }
    done
}

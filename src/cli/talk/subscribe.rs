//! `testudo subscribe`: prints the messages of topics as they come, over as many links as it takes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use testudo::agents::advice;
use testudo::bus::client::Arrivals;
use testudo::wire::{Capability, Resource, SessionId};
use testudo::{Delivery, Identity, Member, Refusal, SendError};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::show::{Shape, put_body, text, time};
use super::{LONG, ended, interrupted, seconds};
use crate::cli::{CliError, Done, plain, say_error};

/// How often the link is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Print the messages of topics as they come, until Ctrl-C.
#[derive(Args, Debug)]
pub(in crate::cli) struct Subscribe {
    /// The topics; each takes the right subscribe:TOPIC
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<Resource>,
    /// Who listens, see `testudo agent add`
    #[arg(long, value_name = "FILE")]
    identity: std::path::PathBuf,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long, from when the topics are heard; exit code 1 if fewer than --count came
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Bodies only, each as it is and ended by a line feed
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// One JSON object for each message instead of text
    #[arg(long)]
    json: bool,
}

/// Why it ends in good order.
enum End {
    Count,
    Interrupted,
    ReaderGone,
    Timeout,
}

impl Subscribe {
    pub(in crate::cli) fn run(self) -> Done {
        plain(async {
            let identity = Identity::load(&self.identity)?;
            let (member, arrivals) = testudo::join(&identity).await?;
            let mut came = 0;
            let end = tokio::select! {
                end = self.listen(&member, arrivals, &mut came) => end,
                interrupted = interrupted() => interrupted.map(|()| End::Interrupted).map_err(CliError::from),
            };
            member.goodbye().await;
            match (end?, self.count) {
                (End::Count | End::ReaderGone, _) | (End::Interrupted | End::Timeout, None) => Ok(()),
                (End::Interrupted | End::Timeout, Some(count)) => {
                    Err(CliError::Failed(format!("{came} of {count} messages came")))
                }
            }
        })
    }

    /// Prints what comes, from the first subscription on.
    async fn listen(&self, member: &Member, mut arrivals: Arrivals, came: &mut u64) -> Result<End, CliError> {
        for topic in &self.topics {
            member.subscribe(*topic).await.map_err(|error| refused(*topic, &error))?;
        }
        let topics: Vec<_> = self.topics.iter().map(Resource::as_str).collect();
        say_error(&format!("{} hears {}; Ctrl-C ends", member.identity().name, topics.join(" ")));
        let mut watch = Watch::new(member, &self.topics);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let until = Instant::now() + self.timeout.unwrap_or(LONG);
        loop {
            tokio::select! {
                delivery = arrivals.next() => {
                    let Some(delivery) = delivery else { return Err(ended(&member.ended().await)) };
                    if self.print(&delivery).is_err() {
                        return Ok(End::ReaderGone);
                    }
                    *came += u64::from(delivery.topic().is_some());
                    if self.count.is_some_and(|count| *came >= count) {
                        return Ok(End::Count);
                    }
                }
                () = sleep_until(until) => return Ok(End::Timeout),
                _ = looks.tick() => watch.look(member)?,
            }
        }
    }

    fn print(&self, delivery: &Delivery) -> std::io::Result<()> {
        let sender = delivery.sender().name;
        let Some(topic) = delivery.topic() else {
            say_error(&format!("a message of {sender} to this agent itself came too; only topics are shown"));
            return Ok(());
        };
        let (body, at) = (delivery.body(), delivery.header().timestamp);
        let mut out = std::io::stdout().lock();
        if self.json {
            let mut object = json!({
                "topic": topic, "sender": sender, "message": delivery.message(), "at_ms": at.as_millis(),
                "correlation": delivery.correlation(), "alerts": delivery.alerts(),
            });
            put_body(&mut object, delivery.content_type(), &body);
            writeln!(out, "{object}")
        } else if self.raw {
            out.write_all(&body).and_then(|()| writeln!(out))
        } else {
            let (at, body) = (time(at), text(&body, Shape::OneLine));
            if self.topics.len() > 1 {
                writeln!(out, "{at} {topic} {sender} {body}")
            } else {
                writeln!(out, "{at} {sender} {body}")
            }
        }
    }
}

fn refused(topic: Resource, error: &SendError) -> CliError {
    if let SendError::Refused { refusal: refusal @ Refusal::Unauthorised, .. } = error {
        let advice = advice(*refusal, &[Capability::subscribe(&topic)]);
        return CliError::Failed(format!("{topic}: refused: {refusal}; {advice}"));
    }
    CliError::Failed(format!("{topic}: {error}"))
}

/// Sees links come and go, and topics with them.
struct Watch {
    line: Option<SessionId>,
    given: BTreeSet<Resource>,
}

impl Watch {
    fn new(member: &Member, topics: &[Resource]) -> Self {
        Self { line: member.line(), given: topics.iter().copied().collect() }
    }

    /// Says what has changed.
    ///
    /// # Errors
    /// When no topic is left: nothing would come any more.
    fn look(&mut self, member: &Member) -> Done {
        let now = member.line();
        if now != self.line {
            if self.line.is_some() {
                say_error("the link to the node ended; dialling again");
            }
            if now.is_some() {
                say_error("linked again");
            }
            self.line = now;
        }
        if now.is_none() {
            return Ok(());
        }
        let topics = member.topics();
        for lost in self.given.difference(&topics) {
            say_error(&format!("{lost} is not given any more; ask the operator for subscribe:{lost}"));
        }
        self.given.retain(|topic| topics.contains(topic));
        if self.given.is_empty() {
            return Err(CliError::Failed(
                "no topic is left; ask the operator for the right to subscribe".into(),
            ));
        }
        Ok(())
    }
}

//! `testudo send`, `request`, `publish` and `subscribe`: an agent that is a command.
//!
//! Each takes its place in the swarm under an identity file and leaves it in good order, whatever ends it: an
//! agent that is gone without goodbye is revoked as silent.

mod body;
mod request;
mod send;
mod show;
mod subscribe;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use testudo::agents::{SendFailure, TokenText};
use testudo::bus::client::Ended;
use testudo::wire::frame::CloseReason;
use testudo::wire::{AgentName, Capability, TraceParent};
use testudo::{Bus, DialError, Identity, Member, Ttl};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::given::token_or_file;
use super::{CliError, Done, interrupted};

pub(super) use request::Request;
pub(super) use send::{Publish, Send};
pub(super) use subscribe::Subscribe;

/// For ever, as timers take it.
const LONG: Duration = Duration::from_secs(u32::MAX as u64);
/// How long an interrupted command waits for the word on what is under way.
const LAST: Duration = Duration::from_millis(500);
/// What it says when none came.
const INTERRUPTED: &str = "interrupted; what became of the last message is unknown";

/// Who talks.
#[derive(Args, Debug)]
struct Who {
    /// Whose words these are, see `testudo agent add`
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// Act under this token instead of the identity's own: a file, its text, or `-` for standard input
    #[arg(long)]
    token: Option<String>,
    /// The W3C trace context that it is part of, such as 00-<trace id>-<span id>-01
    #[arg(long, value_name = "CONTEXT")]
    traceparent: Option<TraceParent>,
    /// Give up after so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

/// The receiver of `send` and `request`, as it is written: with --service everything moves up by one.
#[derive(Args, Debug)]
struct Address {
    /// The agent that is to get it; left out with --service
    #[arg(value_name = "TO")]
    first: String,
    /// What is asked of it, such as read:logs
    #[arg(value_name = "CAPABILITY")]
    second: Option<String>,
    /// The body; standard input when it is `-` or not given
    #[arg(value_name = "BODY")]
    third: Option<String>,
    /// Instead of TO: any one live agent that serves the capability
    #[arg(long)]
    service: bool,
}

/// Where a message goes, what it asks, and its body as it was given.
type Addressed<'a> = (Option<AgentName>, Capability, Option<&'a str>);

impl Address {
    fn read(&self) -> Result<Addressed<'_>, CliError> {
        let usage = |what: String| CliError::Usage(format!("{what}; see --help"));
        let capability = |text: &str| Capability::parse(text).map_err(|error| usage(error.to_string()));
        if !self.service {
            let to = AgentName::parse(&self.first).map_err(|error| usage(error.to_string()))?;
            let Some(second) = &self.second else {
                return Err(usage(format!("what is asked of {to}? give CAPABILITY, such as read:logs")));
            };
            return Ok((Some(to), capability(second)?, self.third.as_deref()));
        }
        if self.third.is_some() {
            return Err(usage("--service stands instead of TO; leave one of them out".into()));
        }
        Ok((None, capability(&self.first)?, self.second.as_deref()))
    }
}

/// A time in seconds that is neither nothing nor for ever.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; give seconds such as 0.5 or 30");
    let seconds = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    let is_usable = (Duration::from_millis(1)..=Duration::from_secs(u64::from(u32::MAX))).contains(&duration);
    is_usable.then_some(duration).ok_or_else(wrong)
}

/// A time to live in seconds.
fn ttl(text: &str) -> Result<Ttl, String> {
    let duration = seconds(text)?;
    if duration > Ttl::MAX.duration() {
        return Err(format!("{text} seconds is longer than a message may live; give at most 3600"));
    }
    Ok(Ttl::clamped(duration))
}

/// The token to act under.
fn token(given: &str) -> Result<TokenText, CliError> {
    TokenText::parse(&token_or_file(given)?)
        .map_err(|error| CliError::Usage(format!("--token: {error}; copy it whole")))
}

/// What became of a message that did not arrive.
fn failed(failure: SendFailure) -> CliError {
    let words = failure.to_string();
    let SendFailure::Refused { refusal, rules, .. } = failure else { return CliError::Failed(words) };
    if rules.is_empty() {
        return CliError::Failed(words);
    }
    CliError::Failed(format!("refused: {refusal} ({}); {}", rules.join(", "), refusal.advice()))
}

/// Why there is no link any more.
fn ended(why: &Ended) -> CliError {
    let displaced = |why: &DialError| {
        matches!(why, DialError::Closed(CloseReason::Displaced | CloseReason::DisplacedTooOften))
    };
    CliError::Failed(match why {
        Ended::Refused(why) if displaced(why) => {
            format!("{why}; another program uses this identity: give each its own")
        }
        Ended::Refused(why) => why.to_string(),
        Ended::Left => "the link to the node has ended".to_owned(),
    })
}

/// The way out, and the place in the swarm that it belongs to.
struct Line {
    bus: Bus,
    member: Member,
    /// Whether no more is to be begun.
    stop: watch::Receiver<bool>,
}

impl Line {
    /// Returns when no more is to be begun.
    async fn stopped(&self) {
        // Whoever stops it outlives it.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }
}

impl Who {
    /// Does `work` as this agent, and leaves whatever comes of it.
    async fn talk(&self, work: impl AsyncFnOnce(&Line) -> Done) -> Done {
        let token = self.token.as_deref().map(token).transpose()?;
        let identity = Identity::load(&self.identity)?;
        let until = Instant::now() + self.timeout.unwrap_or(LONG);
        let connected = timeout_at(until, testudo::connect(&identity)).await;
        let connection = connected.unwrap_or(Err(DialError::Unreachable(identity.node)))?;
        let (stop, stopped) = watch::channel(false);
        let bus = connection.bus();
        let bus = self.traceparent.map_or_else(|| bus.clone(), |trace| bus.under_trace(trace));
        let mut line = Line { bus, member: connection.member().clone(), stop: stopped };
        // Nobody takes what comes for this agent: its answers must not wait behind it.
        drop(connection);
        let member = line.member.clone();
        let mut talking = Box::pin(timeout_at(until, async {
            if let Some(token) = &token {
                line.bus = line.bus.on_behalf(token).await.map_err(failed)?;
            }
            work(&line).await
        }));
        let done = tokio::select! {
            done = &mut talking => done,
            _ = interrupted() => {
                stop.send_replace(true);
                timeout(LAST, talking).await.unwrap_or_else(|_| Ok(Err(CliError::Failed(INTERRUPTED.into()))))
            }
        };
        member.goodbye().await;
        done.unwrap_or_else(|_| Err(self.too_long()))
    }

    fn too_long(&self) -> CliError {
        let all = self.timeout.unwrap_or(LONG).as_secs_f64();
        CliError::Failed(format!("no answer within {all} s; the message may have arrived all the same"))
    }
}

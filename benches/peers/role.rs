//! What a sender and a receiver do, whatever the bus: one command a line on standard input, one answer a line.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::time::Instant;

use crate::stats::percentile;
use crate::{Done, output};

/// The first argument of a process that plays a part.
pub(crate) const FLAG: &str = "--part";

/// The end of a link that sends.
pub(crate) trait Sender {
    /// Sends one message and waits for nothing but room.
    async fn post(&mut self) -> Done;
    /// Waits until what was posted has left; an error when some of it was refused.
    async fn flush(&mut self) -> Done;
    /// Sends one request and waits for its answer.
    async fn ask(&mut self) -> Done;
}

/// The end of a link that receives.
pub(crate) trait Receiver {
    /// Waits for one message.
    async fn take(&mut self) -> Done;
    /// Waits for one request and answers it.
    async fn answer(&mut self) -> Done;
}

/// Round trips, in microseconds.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    Post(u32),
    Ask(u32),
    Take(u32),
    Answer(u32),
}

/// Microseconds of the wall clock: the one clock that two processes share.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn wall_us() -> Done<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_micros())?)
}

struct Commands(Lines<BufReader<Stdin>>);

impl Commands {
    fn open() -> Self {
        output::say(&json!({ "ready": true }).to_string());
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// The next command; `None` when there will be none.
    async fn next(&mut self) -> Done<Option<Command>> {
        let Some(line) = self.0.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }
}

fn answer(value: &Value) {
    output::say(&value.to_string());
}

/// Sends what it is told to.
pub(crate) async fn send(mut link: impl Sender) -> Done {
    let mut commands = Commands::open();
    while let Some(command) = commands.next().await? {
        match command {
            Command::Post(count) => {
                let began = wall_us()?;
                for _ in 0..count {
                    link.post().await?;
                }
                link.flush().await?;
                answer(&json!({ "began": began }));
            }
            Command::Ask(count) => answer(&serde_json::to_value(ask(&mut link, count).await?)?),
            Command::Take(_) | Command::Answer(_) => return Err("a sender does not receive".into()),
        }
    }
    Ok(())
}

async fn ask(link: &mut impl Sender, count: u32) -> Done<Latency> {
    let mut trips = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        link.ask().await?;
        trips.push(began.elapsed().as_secs_f64() * 1e6);
    }
    trips.sort_by(f64::total_cmp);
    let at = |percent| percentile(&trips, percent).ok_or("no requests, no latency");
    Ok(Latency { p50_us: at(50)?, p99_us: at(99)? })
}

/// Receives what it is told to.
pub(crate) async fn receive(mut link: impl Receiver) -> Done {
    let mut commands = Commands::open();
    while let Some(command) = commands.next().await? {
        match command {
            Command::Take(count) => {
                for _ in 0..count {
                    link.take().await?;
                }
                answer(&json!({ "ended": wall_us()? }));
            }
            Command::Answer(count) => {
                for _ in 0..count {
                    link.answer().await?;
                }
                answer(&json!({ "answered": count }));
            }
            Command::Post(_) | Command::Ask(_) => return Err("a receiver does not send".into()),
        }
    }
    Ok(())
}

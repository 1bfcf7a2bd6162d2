//! What a sender and a receiver do, whatever the bus: one command a line on standard input, one answer a line.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::time::Instant;

use crate::stats::percentile;
use crate::{Done, PAYLOAD, output};

/// The first argument of a process that plays a part.
pub(crate) const FLAG: &str = "--part";

/// The end of a link that sends.
pub(crate) trait Sender {
    /// Sends one message and waits for nothing but room.
    async fn post(&mut self, body: &Bytes) -> Done;
    /// Waits until what was posted has left; an error when some of it was refused.
    async fn flush(&mut self) -> Done;
    /// Sends one request and waits for its answer.
    async fn ask(&mut self) -> Done;
}

/// The end of a link that receives.
pub(crate) trait Receiver {
    /// Waits for so many messages; where there are several receivers, each of them for so many.
    async fn take(&mut self, count: u32) -> Done;
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
    Post { count: u32, bytes: usize },
    Ask(u32),
    Take(u32),
    Answer(u32),
}

/// A sentence that no content rule minds.
const SENTENCE: &str = "No licence header here, while every other file of this folder has one. ";

/// So many bytes of JSON: at 256 bytes one finding, at any other size a note.
pub(crate) fn payload(bytes: usize) -> Bytes {
    if bytes == PAYLOAD.len() {
        return Bytes::from_static(PAYLOAD.as_bytes());
    }
    let (open, close) = (r#"{"note":""#, r#""}"#);
    let room = bytes.saturating_sub(open.len() + close.len());
    let text: String = SENTENCE.chars().cycle().take(room).collect();
    Bytes::from(format!("{open}{text}{close}"))
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
            Command::Post { count, bytes } => {
                let body = payload(bytes);
                let began = wall_us()?;
                for _ in 0..count {
                    link.post(&body).await?;
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
                link.take(count).await?;
                answer(&json!({ "ended": wall_us()? }));
            }
            Command::Answer(count) => {
                for _ in 0..count {
                    link.answer().await?;
                }
                answer(&json!({ "answered": count }));
            }
            Command::Post { .. } | Command::Ask(_) => return Err("a receiver does not send".into()),
        }
    }
    Ok(())
}

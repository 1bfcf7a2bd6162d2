//! What a sender and a receiver do, whatever the bus: one command a line on standard input, one answer a line.

use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::time::Instant;

use crate::stats::percentile;
use crate::{Done, FINDING, PAYLOAD, output};

/// The first argument of a process that plays a part.
pub(crate) const FLAG: &str = "--part";

/// The end of a link that sends.
pub(crate) trait Sender {
    /// Bundles, or frames, are to be of so many messages; where the bus has none, nothing changes.
    fn bundles_of(&mut self, _messages: u32) {}
    /// Sends one message and waits for nothing but room.
    async fn post(&mut self, body: &Bytes) -> Done;
    /// Lets a bundle go that has so many messages as it is to have.
    async fn pause(&mut self) -> Done {
        tokio::task::yield_now().await;
        Ok(())
    }
    /// Waits until what was posted has left; an error when some of it was refused.
    async fn flush(&mut self) -> Done;
    /// Sends one request and waits for its answer.
    async fn ask(&self) -> Done;
    /// Says goodbye.
    async fn leave(self) -> Done;
}

/// The end of a link that receives.
pub(crate) trait Receiver {
    /// Waits for so many messages; where there are several receivers, each of them for so many.
    async fn take(&mut self, count: u32) -> Done;
    /// Waits for one request and answers it.
    async fn answer(&mut self) -> Done;
    /// Says goodbye.
    async fn leave(self) -> Done;
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
    /// `bundle`: messages of one bundle, or zero for as many as it takes by itself.
    Post {
        count: u32,
        bytes: usize,
        bundle: u32,
        json: bool,
    },
    Ask {
        count: u32,
        flight: usize,
    },
    Take(u32),
    Answer(u32),
}

/// So many bytes of text.
pub(crate) fn payload(bytes: usize) -> Bytes {
    if bytes == PAYLOAD.len() {
        return Bytes::from_static(PAYLOAD.as_bytes());
    }
    PAYLOAD.bytes().chain(*b". ").cycle().take(bytes).collect()
}

/// Microseconds of the wall clock: the one clock that two processes share.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn wall_us() -> Done<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_micros())?)
}

/// What standard input says, one command a line.
pub(crate) struct Commands(Lines<BufReader<Stdin>>);

impl Commands {
    pub(crate) fn open() -> Self {
        output::say(&json!({ "ready": true }).to_string());
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// The next command; `None` when there will be none.
    pub(crate) async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Done<Option<T>> {
        let Some(line) = self.0.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }
}

pub(crate) fn answer(value: &Value) {
    output::say(&value.to_string());
}

/// Sends what it is told to.
pub(crate) async fn send(mut link: impl Sender) -> Done {
    let mut commands = Commands::open();
    while let Some(command) = commands.next().await? {
        match command {
            Command::Post { count, bytes, bundle, json } => {
                let body = if json { Bytes::from_static(FINDING.as_bytes()) } else { payload(bytes) };
                link.bundles_of(bundle);
                let began = wall_us()?;
                for n in 1..=count {
                    link.post(&body).await?;
                    if bundle > 0 && n % bundle == 0 {
                        link.pause().await?;
                    }
                }
                link.flush().await?;
                answer(&json!({ "began": began }));
            }
            Command::Ask { count, flight } => {
                answer(&serde_json::to_value(ask(&link, count, flight).await?)?);
            }
            Command::Take(_) | Command::Answer(_) => return Err("a sender does not receive".into()),
        }
    }
    link.leave().await
}

/// So many requests, of which so many are under way at any time.
async fn ask(link: &impl Sender, count: u32, flight: usize) -> Done<Latency> {
    let trip = async |_| -> Done<f64> {
        let began = Instant::now();
        link.ask().await?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    };
    let mut trips: Vec<f64> = stream::iter(0..count).map(trip).buffer_unordered(flight).try_collect().await?;
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
            Command::Post { .. } | Command::Ask { .. } => return Err("a receiver does not send".into()),
        }
    }
    link.leave().await
}

//! `testudo request`: asks, and prints the answer part by part as it comes.

use std::io::Write as _;

use clap::Args;
use serde_json::json;
use testudo::Ttl;
use testudo::agents::{Answer, Message};

use super::body::How;
use super::send::Route;
use super::show::{Shape, put_body, text};
use super::{Address, Line, Who, failed, ttl};
use crate::cli::{Done, Reader, plain, try_say};

/// Ask an agent, and print its answer as it comes.
#[derive(Args, Debug)]
#[command(override_usage = "testudo request [OPTIONS] --identity <FILE> <TO|--service> <CAPABILITY> [BODY]")]
pub(in crate::cli) struct Request {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    how: How,
    /// How long to wait for the answer, and for each next part of it, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = ttl, default_value = "30")]
    ttl: Ttl,
    #[command(flatten)]
    who: Who,
    /// The answer's bytes as they are: nothing escaped, nothing added
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// One JSON object for each part instead of text
    #[arg(long)]
    json: bool,
}

impl Request {
    pub(in crate::cli) fn run(self) -> Done {
        let (to, capability, body) = self.address.read()?;
        let mut bodies = self.how.bodies(body, &self.who)?;
        let route = Route::new(to, capability, self.ttl);
        plain(self.who.talk(async |line| {
            while let Some(body) = bodies.next(line).await? {
                let asked = self.ask(line, route.message(body)).await;
                if asked.map_err(|error| bodies.blame(error))? == Reader::Gone {
                    break;
                }
            }
            Ok(())
        }))
    }

    /// One question and its whole answer.
    async fn ask(&self, line: &Line, message: Message) -> Result<Reader, crate::cli::CliError> {
        let mut parts = line.bus.stream(message).await.map_err(failed)?;
        let mut ended = Ended { index: 0, said_last: false, line_is_open: false };
        while let Some(part) = parts.next().await {
            let written = match part {
                Ok(part) => self.print(&part, &mut ended),
                Err(failure) => {
                    // The error is to stand on a line of its own.
                    let _ = self.end(&ended);
                    return Err(failed(failure));
                }
            };
            // Whoever reads no further wants no further parts.
            if written.is_err() {
                return Ok(Reader::Gone);
            }
        }
        Ok(self.end(&ended))
    }

    fn print(&self, part: &Answer, ended: &mut Ended) -> std::io::Result<()> {
        let last = part.part.is_none_or(|part| part.last);
        let index = part.part.map_or(0, |part| part.index);
        let mut out = std::io::stdout().lock();
        if self.json {
            let mut object = json!({
                "index": index, "last": last, "sender": part.sender.name, "message": part.message,
                "correlation": part.correlation, "alerts": part.alerts,
            });
            put_body(&mut object, part.content_type, &part.body);
            writeln!(out, "{object}")?;
        } else if self.raw {
            out.write_all(&part.body)?;
        } else {
            let text = text(&part.body, Shape::Lines);
            ended.line_is_open = if text.is_empty() { ended.line_is_open } else { !text.ends_with('\n') };
            out.write_all(text.as_bytes())?;
        }
        (ended.index, ended.said_last) = (index.saturating_add(1), last);
        out.flush()
    }

    /// What an answer still lacks when it is over.
    fn end(&self, ended: &Ended) -> Reader {
        if self.json && !ended.said_last {
            return try_say(&json!({"index": ended.index, "last": true}).to_string());
        }
        if ended.line_is_open { try_say("") } else { Reader::Here }
    }
}

/// Where the printing of an answer is.
struct Ended {
    index: u32,
    said_last: bool,
    line_is_open: bool,
}

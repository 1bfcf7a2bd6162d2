//! Bodies of messages: from the command line, from standard input whole, or one from each line of it.

use std::io::{BufRead, Read as _};

use bytes::Bytes;
use clap::Args;
use serde::de::IgnoredAny;
use testudo::ContentType;
use tokio::sync::mpsc;

use super::{CliError, Line, Who};

/// The largest body that any node takes. Nodes may take less, and say so.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Lines that are read before they are sent.
const AHEAD: usize = 16;

/// How bodies are read.
#[derive(Args, Debug)]
pub(super) struct How {
    /// Each line of standard input is a message of its own
    #[arg(long)]
    lines: bool,
    /// The body's media type; application/json when it is JSON, else text/plain
    #[arg(long = "type", value_name = "TYPE")]
    content_type: Option<ContentType>,
}

/// One body and what it is.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content_type: ContentType,
    pub(super) bytes: Bytes,
}

/// What is to be sent.
pub(super) struct Bodies {
    source: Source,
    content_type: Option<ContentType>,
    count: u64,
}

enum Source {
    One(Option<Vec<u8>>),
    Lines(mpsc::Receiver<Result<Vec<u8>, CliError>>),
}

fn too_large() -> CliError {
    CliError::Failed(format!(
        "a body of more than {BYTES_MAX} bytes; no node takes that: send less, or split it"
    ))
}

/// What a body is that nothing is said of. The guard lets no binary pass as text.
fn found(bytes: &[u8]) -> ContentType {
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        ContentType::json()
    } else if std::str::from_utf8(bytes).is_ok() {
        ContentType::text()
    } else {
        ContentType::parse("application/octet-stream").unwrap_or_default()
    }
}

fn whole() -> Result<Vec<u8>, CliError> {
    let mut body = Vec::new();
    std::io::stdin().take(BYTES_MAX as u64 + 1).read_to_end(&mut body)?;
    if body.len() > BYTES_MAX { Err(too_large()) } else { Ok(body) }
}

/// The next line without its end; `None` after the last.
fn line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, CliError> {
    let mut line = Vec::new();
    input.take(BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    if line.len() > BYTES_MAX { Err(too_large()) } else { Ok(Some(line)) }
}

/// Reads lines on a thread of its own: the runtime would wait for its own reader of standard input.
fn lines() -> Result<mpsc::Receiver<Result<Vec<u8>, CliError>>, CliError> {
    let (read, taken) = mpsc::channel(AHEAD);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = line(&mut input).transpose() {
            let is_last = line.is_err();
            if read.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    })?;
    Ok(taken)
}

impl How {
    /// The bodies that are meant by what was given. One from standard input is read to its end before anything
    /// is dialled.
    pub(super) fn bodies(&self, given: Option<&str>, who: &Who) -> Result<Bodies, CliError> {
        let given = given.filter(|given| *given != "-");
        if given.is_none() && who.token.as_deref() == Some("-") {
            let why = "standard input cannot be both token and body; give the token in a file; see --help";
            return Err(CliError::Usage(why.into()));
        }
        let source = match given {
            Some(_) if self.lines => {
                let why = "--lines reads bodies from standard input; leave out BODY; see --help";
                return Err(CliError::Usage(why.into()));
            }
            Some(body) => Source::One(Some(body.as_bytes().to_vec())),
            None if self.lines => Source::Lines(lines()?),
            None => Source::One(Some(whole()?)),
        };
        Ok(Bodies { source, content_type: self.content_type, count: 0 })
    }
}

impl Bodies {
    /// The next one; `None` after the last. To be interrupted while lines come is their end.
    pub(super) async fn next(&mut self, out: &Line) -> Result<Option<Body>, CliError> {
        let next = match &mut self.source {
            Source::One(body) => body.take(),
            Source::Lines(lines) => tokio::select! {
                biased;
                () = out.stopped() => None,
                line = lines.recv() => line.transpose()?,
            },
        };
        self.count += u64::from(next.is_some());
        Ok(next.map(|bytes| Body {
            content_type: self.content_type.unwrap_or_else(|| found(&bytes)),
            bytes: bytes.into(),
        }))
    }

    /// What went wrong with the last one, and with which of many.
    pub(super) fn blame(&self, error: CliError) -> CliError {
        match (&self.source, error) {
            (Source::Lines(_), CliError::Failed(why)) => {
                CliError::Failed(format!("line {}: {why}; the lines after it were not sent", self.count))
            }
            (Source::One(_) | Source::Lines(_), error) => error,
        }
    }

    /// How many there have been.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_s_end_is_no_part_of_it_and_an_empty_one_is_a_message() {
        let mut input = &b"one\r\n\ntwo\rx\nlast"[..];
        let mut lines = Vec::new();
        while let Some(line) = line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["one", "", "two\rx", "last"]);
    }

    #[test]
    fn a_line_without_end_is_not_read_to_memory_s_end() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b'a'));
        assert!(matches!(line(&mut endless), Err(CliError::Failed(why)) if why.contains("16777216")));
    }

    #[test]
    fn a_body_is_taken_for_what_it_is() {
        for (body, is) in [
            (&br#"{"a":[1]}"#[..], "application/json"),
            (b" 42\n", "application/json"),
            (b"{a}", "text/plain"),
            (b"", "text/plain"),
            (b"\xff", "application/octet-stream"),
        ] {
            assert_eq!(found(body).as_str(), is, "{body:?}");
        }
    }
}

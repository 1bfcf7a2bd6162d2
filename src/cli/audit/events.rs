//! `audit events`: signed events that an exporter sent, checked by somebody who has nothing but the log's key.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use testudo::files::FileError;
use testudo::rules::audit::VerifierKey;
use testudo::rules::event::{Break, Signed, StreamCheck, Verified};

use super::super::{CliError, Done, say};

/// Longest line: a batch of the largest size.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Args, Debug)]
pub(in crate::cli) struct Events {
    /// Events as exporters write them: one a line, or a batch a line; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's key, as `testudo audit key` prints it; get it from its operator, not with the events
    #[arg(long, value_name = "PUB")]
    key: VerifierKey,
    /// Of an exporter that sends some kinds of events only: what it leaves out is no gap
    #[arg(long)]
    filtered: bool,
    /// The signed part of each event as a line of JSON, instead of a summary
    #[arg(long)]
    json: bool,
}

/// What was read.
#[derive(Default)]
struct Tally {
    events: u64,
    repeated: u64,
    stream: StreamCheck,
    first: Option<String>,
    last: Option<String>,
}

impl Events {
    pub(super) fn run(self) -> Done {
        let input: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(&self.file).map_err(|error| FileError::of(&self.file, error))?)
        };
        let mut input = BufReader::new(input);
        let (mut tally, mut number) = (Tally::default(), 0_u64);
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
            if read.map_err(|error| FileError::of(&self.file, error))? == 0 {
                break;
            }
            number += 1;
            self.line(&line, &mut tally).map_err(|what| {
                CliError::Failed(format!("line {number} of {}: {what}", self.file.display()))
            })?;
        }
        self.tell(&tally);
        Ok(())
    }

    fn line(&self, line: &[u8], tally: &mut Tally) -> Result<(), String> {
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err("too long for events".to_owned());
        }
        let json: Value = serde_json::from_slice(line).map_err(|_| "not JSON; is it the right file?")?;
        let events = json.as_array().map_or_else(|| std::slice::from_ref(&json), Vec::as_slice);
        events.iter().try_for_each(|event| self.event(event, tally))
    }

    fn event(&self, json: &Value, tally: &mut Tally) -> Result<(), String> {
        let event = Signed::parse(json).map_err(|error| format!("no signed event: {error}"))?;
        // Anybody may have written it: no more of it is shown than names it.
        let id: String = event.event().id().chars().take(80).collect();
        let verified = event.verify(&self.key).map_err(|error| format!("event {id:?} is {error}"))?;
        match tally.stream.follow(&verified) {
            Err(Break::Repeated { .. }) => tally.repeated += 1,
            Err(Break::Gap { .. }) if self.filtered => {}
            Err(fault) => return Err(format!("event {id:?}: {fault}")),
            Ok(()) => {}
        }
        tally.events += 1;
        tally.first.get_or_insert_with(|| id.clone());
        tally.last = Some(id);
        if self.json {
            show(&verified);
        }
        Ok(())
    }

    fn tell(&self, tally: &Tally) {
        if self.json {
            return;
        }
        let (Some(first), Some(last)) = (&tally.first, &tally.last) else {
            say("verified: no events");
            return;
        };
        let Tally { events, repeated, .. } = tally;
        let whole = if self.filtered { "in order" } else { "none missing between them" };
        say(&format!("verified: {events} events, {first} to {last}, {whole}; {repeated} came again"));
    }
}

fn show(event: &Verified) {
    say(&Value::Object(event.event().to_json()).to_string());
}

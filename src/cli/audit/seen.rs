//! `audit seen`: what agents were told of their node's log, checked and compared by somebody who has nothing but the files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use testudo::files::{self, FileError};
use testudo::rules::audit::{VerifierKey, note_of_head};
use testudo::rules::gossip::{Alarm, Seen as Known, apart};
use testudo::seen::{self, beside, heads_of};
use testudo::wire::frame::LogHead;

use super::super::{CliError, Done, say};

#[derive(Args, Debug)]
pub(in crate::cli) struct Seen {
    /// An agent's identity file, or the file NAME.seen beside one; of several it is told whether they are of one log
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The log's key, as `testudo audit key` prints it: demand that it is the one that the agents go by
    #[arg(long, value_name = "PUB")]
    key: Option<VerifierKey>,
    /// Begin anew, after a look: the agent links again, and goes by what it is told then, under the key of --key if that is
    /// given. What was seen is kept beside as NAME.seen.old
    #[arg(long)]
    clear: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// One agent's file.
struct One {
    path: PathBuf,
    log: VerifierKey,
    seen: Known,
}

impl One {
    fn load(given: &Path) -> Result<Self, CliError> {
        // An identity file is never read for what was seen, also where that is not there.
        let is_seen = given.file_name().is_some_and(|name| name.to_string_lossy().contains(".seen"));
        let path = if is_seen { given.to_owned() } else { beside(given) };
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let found = seen::load(&path).map_err(|error| failed(&error))?;
        let (log, seen) = found.ok_or_else(|| {
            failed(&format!(
                "{} is not there: that agent has not linked yet, or cannot write there",
                path.display()
            ))
        })?;
        Ok(Self { path, log, seen })
    }

    /// All that its log's key has signed for it.
    fn heads(&self) -> Vec<LogHead> {
        let alarm = self.seen.alarm.as_ref().map(heads_of).unwrap_or_default();
        let own = self.seen.newest.into_iter().chain(self.seen.gaps.iter().copied());
        own.chain(alarm).filter(|head| head.log == self.seen.log).collect()
    }

    fn json(&self) -> Value {
        let note = |head: &LogHead| note_of_head(head, &self.log.origin);
        let alarm = self.seen.alarm.as_ref().map(|alarm| {
            json!({
                "kind": alarm.kind(), "what": alarm.to_string(), "shows_itself": alarm.shows_itself(),
                "notes": heads_of(alarm).iter().map(note).collect::<Vec<_>>(),
            })
        });
        json!({
            "file": self.path, "log": self.log.to_string(), "records": self.seen.newest.map(|head| head.size),
            "root": self.seen.newest.map(|head| head.root.to_string()),
            "gaps": self.seen.gaps.iter().map(note).collect::<Vec<_>>(), "alarm": alarm,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{}: ", self.path.display());
        // Writing to a string does not fail.
        let _ = match &self.seen.newest {
            Some(head) => write!(text, "{} records of {}, root {}", head.size, self.log.origin, head.root),
            None => write!(text, "nothing was told of {} yet", self.log.origin),
        };
        let gaps = self.seen.gaps.len();
        if gaps > 0 {
            let _ = write!(text, "; {gaps} heads of before were not proved to be of the same log");
        }
        if let Some(alarm) = &self.seen.alarm {
            let _ = write!(text, "\n  ALARM ({}): {alarm}", alarm.kind());
            text.push_str(if alarm.shows_itself() {
                "\n  the log's key signed both: whoever has that key can check it"
            } else {
                "\n  that one came after the other is this agent's word"
            });
        }
        text
    }
}

/// What is wrong between two agents.
fn between(one: &One, other: &One) -> Option<String> {
    let (a, b) = (one.path.display(), other.path.display());
    if one.log.origin != other.log.origin {
        return Some(format!("{a} and {b} are of two swarms: they cannot be compared"));
    }
    if one.seen.log != other.seen.log {
        return Some(format!("{a} and {b} go by logs with two keys"));
    }
    let heads = other.heads();
    let split = one.heads().into_iter().find_map(|head| heads.iter().find_map(|theirs| apart(&head, theirs)));
    split.map(|alarm| format!("{a} and {b} were shown two logs: {alarm}"))
}

impl Seen {
    pub(super) fn run(self) -> Done {
        let all = self.files.iter().map(|file| One::load(file)).collect::<Result<Vec<_>, _>>()?;
        if self.clear {
            return self.clear(&all);
        }
        let mut wrong = Vec::new();
        for (at, one) in all.iter().enumerate() {
            if self.key.as_ref().is_some_and(|key| *key != one.log) {
                wrong.push(format!("{} goes by another log's key", one.path.display()));
            }
            wrong.extend(one.seen.alarm.as_ref().map(|alarm| format!("{}: {alarm}", one.path.display())));
            wrong.extend(all.iter().skip(at + 1).filter_map(|other| between(one, other)));
        }
        if self.json {
            let agents: Vec<_> = all.iter().map(One::json).collect();
            say(&json!({"one_log": wrong.is_empty(), "agents": agents, "wrong": wrong}).to_string());
        } else {
            all.iter().for_each(|one| say(&one.text()));
            if all.len() > 1 && wrong.is_empty() {
                say(
                    "nothing speaks against one log; what is of different sizes only the log itself shows: `testudo audit verify --against FILE`",
                );
            }
        }
        match wrong.first() {
            None => Ok(()),
            Some(what) => Err(CliError::Failed(format!(
                "{what}; keep these files, and hold the node's log against them: `testudo audit verify --against FILE`"
            ))),
        }
    }

    fn clear(&self, all: &[One]) -> Done {
        let [one] = all else {
            return Err(CliError::Usage("--clear takes one FILE: look at each before".to_owned()));
        };
        let log = match (&self.key, &one.seen.alarm) {
            (Some(key), _) if key.origin == one.log.origin => key.key,
            (Some(_), _) => return Err(CliError::Usage("--key is of another swarm's log".to_owned())),
            (None, Some(Alarm::OtherKey { .. })) => {
                return Err(CliError::Usage(
                    "the log has another key: pass the one that counts from now on with --key, as `testudo audit key` prints it"
                        .to_owned(),
                ));
            }
            (None, _) => one.seen.log,
        };
        let old = files::with_suffix(&one.path, ".old");
        let text = seen::to_text(&one.log.origin, &one.seen);
        let written = files::replace(&old, text.as_bytes()).and_then(|()| {
            let anew = Known { log, newest: None, gaps: Vec::new(), alarm: None };
            files::replace(&one.path, seen::to_text(&one.log.origin, &anew).as_bytes())
        });
        written.map_err(|error: FileError| CliError::Failed(error.to_string()))?;
        let (path, old) = (one.path.display(), old.display());
        if self.json {
            say(&json!({"cleared": one.path, "kept": old.to_string()}).to_string());
        } else {
            say(&format!("{path} begins anew; what was seen is kept in {old}"));
        }
        Ok(())
    }
}

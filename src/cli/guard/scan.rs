//! `testudo guard scan`: one text, or a text a line.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use testudo::Capability;
use testudo::rules::inspect::{Alert, Inspection, Inspector, Scratch};

use super::super::{CliError, Done, Reader, say, try_say};
use super::{BYTES_MAX, Lines, gravest, inspector, read, rounded, rules, timed, verdict, word};

/// How much is shown around what was found, in characters.
const AROUND: usize = 40;

#[derive(Args, Debug)]
pub(in crate::cli) struct Scan {
    /// The file; standard input when it is not given
    file: Option<PathBuf>,
    /// Vet a text a line instead: {"id", "text"} and perhaps "content_type" in each; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    jsonl: Option<PathBuf>,
    /// Rules of your own, besides the standard ones
    #[arg(long, value_name = "PACK")]
    rules: Vec<PathBuf>,
    /// The capability under which it would be sent: packs may allow it more
    #[arg(long, value_name = "VERB:RESOURCE")]
    capability: Option<Capability>,
    /// Media type of the text
    #[arg(long, default_value = "text/plain")]
    content_type: String,
    /// JSON instead of text; lines are always answered so
    #[arg(long)]
    json: bool,
}

impl Scan {
    pub(super) fn run(self) -> Done {
        let inspector = inspector(&self.rules)?;
        match &self.jsonl {
            Some(path) => self.lines(&inspector, Lines::open(path)?),
            None => self.one(&inspector),
        }
    }

    /// Answers every line in its turn; what was blocked is in the answers, so the exit code is 0.
    fn lines(&self, inspector: &Inspector, mut lines: Lines) -> Done {
        let mut scratch = Scratch::default();
        while let Some(line) = lines.next()? {
            let item: Value = serde_json::from_str(&line).map_err(|_| lines.wrong("not a JSON object"))?;
            let text = item.get("text").and_then(Value::as_str);
            let text = text.ok_or_else(|| lines.wrong("no \"text\" in it"))?;
            let content_type = item.get("content_type").and_then(Value::as_str).unwrap_or(&self.content_type);
            let (inspection, micros) =
                timed(inspector, &mut scratch, self.capability(), content_type, text.as_bytes());
            let answer = json!({
                "id": item.get("id").unwrap_or(&Value::Null),
                "verdict": verdict(&inspection),
                "severity": word(gravest(&inspection)),
                "rules": rules(&inspection),
                "us": rounded(micros),
            });
            if try_say(&answer.to_string()) == Reader::Gone {
                break;
            }
        }
        Ok(())
    }

    fn capability(&self) -> &str {
        self.capability.as_ref().map_or("", Capability::as_str)
    }

    fn one(&self, inspector: &Inspector) -> Done {
        let body = read(self.file.as_deref(), BYTES_MAX)?.ok_or_else(|| {
            CliError::Failed(format!("blocked: larger than the {BYTES_MAX} bytes that a body may have"))
        })?;
        let (inspection, micros) =
            timed(inspector, &mut Scratch::default(), self.capability(), &self.content_type, &body);
        if self.json {
            say(&report(&inspection, micros).to_string());
        } else {
            let views = inspector.views(&self.content_type, &body);
            inspection.alerts().iter().for_each(|alert| say(&shown(alert, &views)));
        }
        if inspection.blocks() {
            return Err(CliError::Failed("blocked: the guard would not deliver this".into()));
        }
        if !self.json {
            say("would be delivered");
        }
        Ok(())
    }
}

fn report(inspection: &Inspection, micros: f64) -> Value {
    let alerts = inspection.alerts().iter().map(|alert| {
        let span = json!({"view": alert.span.view, "offset": alert.span.offset, "length": alert.span.length});
        json!({"rule": alert.rule.as_str(), "severity": word(Some(alert.severity)), "span": span})
    });
    json!({
        "blocked": inspection.blocks(),
        "verdict": verdict(inspection),
        "severity": word(gravest(inspection)),
        "alerts": alerts.collect::<Vec<_>>(),
        "rules": rules(inspection),
        "us": rounded(micros),
    })
}

/// One alert, with the place it is about marked.
fn shown(alert: &Alert, views: &[String]) -> String {
    let head = format!("{:8} {}", word(Some(alert.severity)), alert.rule);
    let view = views.get(usize::from(alert.span.view)).map_or("", String::as_str);
    let start = alert.span.offset as usize;
    let end = start + alert.span.length as usize;
    let (Some(before), Some(found), Some(after)) = (view.get(..start), view.get(start..end), view.get(end..))
    else {
        return head;
    };
    if found.is_empty() {
        return head;
    }
    let skipped = before.chars().count().saturating_sub(AROUND);
    let before: String = before.chars().skip(skipped).collect();
    let after: String = after.chars().take(AROUND).collect();
    let plain = |text: &str| text.escape_debug().to_string();
    let (on, off) = marks();
    let layer =
        if alert.span.view == 0 { String::new() } else { format!(" (read in view {})", alert.span.view) };
    format!("{head}{layer}\n         {}{on}{}{off}{}", plain(&before), plain(found), plain(&after))
}

/// What marks a place: reverse video on a terminal, brackets elsewhere.
fn marks() -> (&'static str, &'static str) {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        ("\u{1b}[7m", "\u{1b}[0m")
    } else {
        ("\u{bb}", "\u{ab}")
    }
}

//! What people see of a demo: a live view while it runs, the table of attacks at its end.

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use testudo::operator::Status;

use crate::triage::mallory::Attack;
use crate::triage::swarm::watcher::View;

/// The live view: five lines that redraw themselves on a terminal and are silent elsewhere.
pub(super) struct Live {
    _lines: MultiProgress,
    agents: ProgressBar,
    files: ProgressBar,
    messages: ProgressBar,
    refusals: ProgressBar,
    attacks: ProgressBar,
    delivered: u64,
    examined: usize,
}

impl Live {
    pub(super) fn new(silent: bool) -> Self {
        let target = if silent { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let lines = MultiProgress::with_draw_target(target);
        let line = |prefix: &'static str| {
            let line = lines.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>9} {wide_msg}") {
                line.set_style(style);
            }
            line.set_prefix(prefix);
            line
        };
        let (agents, files, messages) = (line("agents"), line("files"), line("messages"));
        let (refusals, attacks) = (line("refusals"), line("attacks"));
        Self { _lines: lines, agents, files, messages, refusals, attacks, delivered: 0, examined: 0 }
    }

    /// Draws what the agents said on their topic and the node's word on itself; `since` is the time since the
    /// last call.
    pub(super) fn draw(&mut self, status: &Status, view: &View, since: Duration) {
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |more: u64| more * 1000 / millis;
        let linked: Vec<_> = status.linked.iter().map(testudo::AgentName::as_str).collect();
        self.agents.set_message(linked.join(" "));

        let examined: usize = view.examined.values().sum();
        let more = examined.saturating_sub(std::mem::replace(&mut self.examined, examined));
        let more = u64::try_from(more).unwrap_or(u64::MAX / 1000);
        let readers: Vec<_> =
            view.examined.iter().map(|(reader, files)| format!("{reader} {files}")).collect();
        let so_far = match view.ranked {
            Some(findings) => format!("{findings} findings ranked"),
            None => format!("{} findings", view.findings),
        };
        self.files.set_message(format!(
            "{examined} of {} examined ({}/s), {so_far}; {}",
            view.files,
            rate(more),
            readers.join(", ")
        ));

        let number = |field: &str| status.account[field].as_u64().unwrap_or_default();
        let delivered = number("delivered");
        let more = delivered.saturating_sub(std::mem::replace(&mut self.delivered, delivered));
        self.messages.set_message(format!(
            "{} submitted, {delivered} delivered ({}/s), {} in flight",
            number("submitted"),
            rate(more),
            number("in_flight")
        ));
        let refusals: Vec<_> = status.refusals.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
        self.refusals.set_message(format!("{}; bundles {}", refusals.join(", "), status.bundles_refused));
    }

    pub(super) fn attack(&self, done: usize, attack: &Attack) {
        let word = if attack.refused { "refused" } else { "NOT REFUSED" };
        self.attacks.set_message(format!("{done}: {} - {word}: {}", attack.name, attack.reason));
    }

    pub(super) fn clear(&self) {
        for line in [&self.agents, &self.files, &self.messages, &self.refusals, &self.attacks] {
            line.finish_and_clear();
        }
    }
}

/// The second table: what mallory tried and what became of it.
pub(super) fn attacks(attacks: &[Attack]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["attack by mallory", "refused", "because"]);
    for attack in attacks {
        let refused = if attack.refused { "yes" } else { "NO" };
        table.add_row([attack.name.as_str(), refused, attack.reason.as_str()]);
    }
    table.to_string()
}

//! The watcher: hears on a topic how far the others are, and keeps the sum for whoever draws it.

use std::collections::BTreeMap;

use testudo::agents::{Handlers, HandlersError, Served};
use testudo::wire::AgentName;
use tokio::sync::watch;

use super::{PROGRESS, Progress};

#[cfg(test)]
#[path = "../tests/watcher.rs"]
mod tests;

/// What has been heard so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Publications heard.
    pub(crate) heard: u64,
    /// Files to examine.
    pub(crate) files: usize,
    /// Files examined, by reader.
    pub(crate) examined: BTreeMap<AgentName, usize>,
    /// Findings so far.
    pub(crate) findings: usize,
    /// Findings in the finished report.
    pub(crate) ranked: Option<usize>,
}

impl View {
    /// A publication; its sender is proved.
    fn hear(&mut self, from: AgentName, progress: &Progress) {
        self.heard += 1;
        match progress {
            Progress::Listed { files } => self.files = *files,
            Progress::Examined { files, findings } => {
                *self.examined.entry(from).or_default() += files;
                self.findings += findings;
            }
            Progress::Ranked { findings } => self.ranked = Some(*findings),
        }
    }
}

/// The agent that fills `view`.
pub(crate) fn watcher(view: &watch::Sender<View>) -> Result<Served, HandlersError> {
    let view = view.clone();
    Handlers::new()
        .on_topic(PROGRESS, move |progress: Progress, context| {
            view.send_modify(|view| view.hear(context.sender().name, &progress));
            async { Ok(()) }
        })
        .build()
}

//! `[[exporter]]` and `[export]`: where the log's events go, and the numbers that all exporters share.
//!
//! Read from the file and nowhere else, so that nobody who reaches a request or an environment variable can send
//! the log elsewhere (threat A76).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use testudo_rules::audit::NodeEvent;
use testudo_rules::event::{EventSource, Kind};
use testudo_rules::export::Settings;
use testudo_wire::{Digest, NodeName};

use super::TracesSection;
use super::sink::{FileSink, HttpSink, LinesSink, Off, Sink, Wire};

/// Exporters of one node.
const EXPORTERS_MAX: usize = 16;

/// `[export]`: for all exporters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSection {
    /// Events that each holds in memory.
    pub queue: u32,
    /// Events sent at once.
    pub batch: u32,
    /// An event waits so long for others to go with, in milliseconds.
    pub interval_ms: u32,
    /// An attempt takes no longer, in milliseconds.
    pub timeout_ms: u32,
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// An open breaker lets one attempt through after this time, in milliseconds.
    pub open_ms: u32,
}

impl Default for ExportSection {
    fn default() -> Self {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let of = Settings::default();
        Self {
            queue: u32::try_from(of.queue).unwrap_or(u32::MAX),
            batch: u32::try_from(of.batch).unwrap_or(u32::MAX),
            interval_ms: ms(of.interval),
            timeout_ms: ms(of.timeout),
            failures: of.failures,
            open_ms: ms(of.open),
        }
    }
}

impl ExportSection {
    pub(super) fn settings(self) -> Result<Settings, String> {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let settings = Settings {
            queue: self.queue as usize,
            batch: self.batch as usize,
            interval: ms(self.interval_ms),
            timeout: ms(self.timeout_ms),
            failures: self.failures,
            open: ms(self.open_ms),
        };
        settings.checked().map_err(|error| format!("export.{error}"))
    }
}

/// What an exporter speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExporterKind {
    /// JSON lines to a file.
    File,
    /// OpenTelemetry logs to a collector.
    Otlp,
    /// JSON lines to standard output.
    Stdout,
    /// CloudEvents batches to a web hook.
    Webhook,
}

/// One `[[exporter]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExporterSection {
    /// Its name: of its cursor, and in metrics.
    pub name: NodeName,
    /// What it speaks.
    pub kind: ExporterKind,
    /// Whether it sends; one that does not drops what it would have sent, and says so.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The kinds of events, or groups of them, that it sends; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// The `source` of its events, in the place of the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `file` and `stdout`: whether events are flat and unsigned, for readers that know no CloudEvents.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flat: bool,
    /// `file`: where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `file`: the size above which it is followed by another, in bytes; 64 MiB when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// `file`: how many are kept, the newest included; 8 when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
    /// `webhook` and `otlp`: where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `webhook` and `otlp`: a private file with a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<PathBuf>,
    /// `webhook` and `otlp`: the only authorities to be trusted, in PEM, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn enabled() -> bool {
    true
}

/// Where an exporter sends to.
pub(super) enum Target {
    File {
        path: PathBuf,
        bytes_max: u64,
        files_max: u32,
    },
    Http {
        wire: Wire,
        url: Url,
        bearer: Option<PathBuf>,
        ca: Option<PathBuf>,
    },
    Stdout,
    #[cfg(test)]
    Test(Box<dyn Sink>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Target {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Http { wire: Wire::CloudEvents, .. } => "webhook",
            Self::Http { wire: Wire::Otlp, .. } => "otlp",
            Self::Stdout => "stdout",
            #[cfg(test)]
            Self::Test(_) => "test",
        }
    }

    pub(super) fn sink(self, enabled: bool) -> Box<dyn Sink> {
        match self {
            _ if !enabled => Box::new(Off),
            Self::File { path, bytes_max, files_max } => Box::new(FileSink::new(path, bytes_max, files_max)),
            Self::Http { wire, url, bearer, ca } => Box::new(HttpSink::new(wire, url, bearer, ca)),
            Self::Stdout => Box::new(LinesSink::new(Box::new(std::io::stdout()))),
            #[cfg(test)]
            Self::Test(sink) => sink,
        }
    }
}

/// An exporter that can run.
#[derive(Debug)]
pub struct Exporter {
    pub(super) name: NodeName,
    pub(super) settings: Settings,
    pub(super) events: Vec<String>,
    pub(super) target: Target,
    /// In the place of the node's own.
    pub(super) source: Option<EventSource>,
    pub(super) flat: bool,
    pub(super) enabled: bool,
}

impl ExporterSection {
    /// An exporter of this name and kind that says nothing more.
    #[must_use]
    pub const fn new(name: NodeName, kind: ExporterKind) -> Self {
        Self {
            name,
            kind,
            enabled: true,
            events: Vec::new(),
            source: None,
            flat: false,
            path: None,
            file_bytes: None,
            files: None,
            url: None,
            bearer: None,
            ca: None,
        }
    }

    /// Takes relative paths from a folder.
    pub(crate) fn within(&mut self, folder: &Path) {
        for path in [&mut self.path, &mut self.bearer, &mut self.ca].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    fn exporter(self, settings: Settings) -> Result<Exporter, String> {
        let name = self.name;
        let wrong = |what: String| format!("exporter {name}: {what}");
        for word in &self.events {
            if !Kind::ALL.iter().any(|kind| kind.is(word)) {
                return Err(wrong(format!("{word:?} is no kind of event, such as message.refused or link")));
            }
        }
        let (events, enabled) = (self.events.clone(), self.enabled);
        let source = self.source.as_deref().map(EventSource::explicit).transpose();
        let source = source.map_err(|error| wrong(error.to_string()))?;
        let flat = self.flat;
        if flat && !matches!(self.kind, ExporterKind::File | ExporterKind::Stdout) {
            return Err(wrong("flat is for file and stdout; a receiver gets what is signed".to_owned()));
        }
        let target = self.target().map_err(wrong)?;
        Ok(Exporter { name, settings, events, target, source, flat, enabled })
    }

    fn target(self) -> Result<Target, String> {
        let http = self.url.is_some() || self.bearer.is_some() || self.ca.is_some();
        let file = self.path.is_some() || self.file_bytes.is_some() || self.files.is_some();
        match self.kind {
            ExporterKind::File if !http => {
                let path = self.path.ok_or("a file needs a path")?;
                let (bytes_max, files_max) =
                    (self.file_bytes.unwrap_or(64 * 1024 * 1024), self.files.unwrap_or(8));
                if bytes_max == 0 || !(1..=1000).contains(&files_max) {
                    return Err("file_bytes must be at least 1, files 1 to 1000".to_owned());
                }
                Ok(Target::File { path, bytes_max, files_max })
            }
            ExporterKind::Otlp | ExporterKind::Webhook if !file => {
                let wire = if self.kind == ExporterKind::Otlp { Wire::Otlp } else { Wire::CloudEvents };
                let url = url(&self.url.ok_or("it needs a url")?)?;
                Ok(Target::Http { wire, url, bearer: self.bearer, ca: self.ca })
            }
            ExporterKind::Stdout if !http && !file => Ok(Target::Stdout),
            ExporterKind::File => Err("url, bearer and ca are not for a file".to_owned()),
            ExporterKind::Otlp | ExporterKind::Webhook => {
                Err("path, file_bytes and files are for a file only".to_owned())
            }
            ExporterKind::Stdout => Err("stdout takes nothing but events".to_owned()),
        }
    }
}

/// An address that may be sent to: HTTPS, or HTTP on this machine, and no secret in it.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("its url cannot be read: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its url holds a password; write the token into a file and name it as bearer".to_owned());
    }
    if url.scheme() == "https" || (url.scheme() == "http" && local) {
        Ok(url)
    } else {
        Err("its url must be https, or http on this machine".to_owned())
    }
}

/// What is on record of a configuration: to how many the node sends, a collector of spans among them, and its digest.
pub(crate) fn on_record(sections: &[ExporterSection], traces: &TracesSection) -> NodeEvent {
    let text = if traces.url.is_some() {
        serde_json::to_vec(&(sections, traces))
    } else {
        serde_json::to_vec(sections)
    };
    let text = text.unwrap_or_default();
    let exporters = u16::try_from(sections.len() + usize::from(traces.url.is_some())).unwrap_or(u16::MAX);
    NodeEvent::Exporting { exporters, configuration: Digest::new(*blake3::hash(&text).as_bytes()) }
}

/// The exporters of a configuration.
///
/// # Errors
/// One line that says what is wrong with which.
pub fn exporters(common: ExportSection, sections: &[ExporterSection]) -> Result<Vec<Exporter>, String> {
    let settings = common.settings()?;
    if sections.len() > EXPORTERS_MAX {
        return Err(format!("{} exporters are too many; {EXPORTERS_MAX} are allowed", sections.len()));
    }
    let names: BTreeSet<_> = sections.iter().map(|section| section.name).collect();
    if names.len() < sections.len() {
        return Err("two exporters have one name".to_owned());
    }
    let files: Vec<_> = sections.iter().filter_map(|section| section.path.as_ref()).collect();
    if files.iter().collect::<BTreeSet<_>>().len() < files.len() {
        return Err("two exporters write one file".to_owned());
    }
    sections.iter().cloned().map(|section| section.exporter(settings)).collect()
}

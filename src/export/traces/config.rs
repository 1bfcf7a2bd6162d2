//! `[traces]`: whether a node tells of sampled messages in spans, how many, and whom.
//!
//! As with exporters, where to is read from the file and nowhere else (threat A76).

use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use testudo_rules::export::Settings;

use crate::export::config::{ExportSection, url};

/// `[traces]`. Without a url nothing is traced.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesSection {
    /// A collector's address for OTLP traces over HTTP, such as `https://collector.example:4318/v1/traces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A private file with a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<PathBuf>,
    /// The only authorities to be trusted, in PEM, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The share of sampled traces that is recorded here, 0 to 1; by trace id, so that all who use the same share record
    /// the same traces.
    pub ratio: f64,
    /// Spans in a second, whatever senders ask for. One sender has at most half of them.
    pub spans_per_second: u32,
    /// Spans that wait in memory; what comes beyond is dropped and counted.
    pub queue: u32,
    /// Spans sent at once.
    pub batch: u32,
}

impl Default for TracesSection {
    fn default() -> Self {
        Self {
            url: None,
            bearer: None,
            ca: None,
            ratio: 1.0,
            spans_per_second: 1000,
            queue: 4096,
            batch: 512,
        }
    }
}

/// What a section comes to.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) url: Url,
    pub(super) bearer: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) settings: Settings,
    pub(super) ratio: f64,
    pub(super) spans_per_second: u32,
}

impl TracesSection {
    /// Spans of every sampled message, within the standard bounds, to this address.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::default() }
    }

    /// Whether it says nothing.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Takes relative paths from a folder.
    pub(crate) fn within(&mut self, folder: &Path) {
        for path in [&mut self.bearer, &mut self.ca].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }

    /// One line that says what is wrong, if anything is.
    pub(crate) fn check(&self, common: ExportSection) -> Result<(), String> {
        self.plan(common).map(drop)
    }

    /// `None` when nothing is to be traced.
    pub(super) fn plan(&self, common: ExportSection) -> Result<Option<Plan>, String> {
        if !(0.0..=1.0).contains(&self.ratio) {
            return Err("traces.ratio must be 0 to 1".to_owned());
        }
        if !(1..=1_000_000).contains(&self.spans_per_second) {
            return Err("traces.spans_per_second must be 1 to 1000000".to_owned());
        }
        let common = ExportSection { queue: self.queue, batch: self.batch, ..common };
        let settings = common.settings().map_err(|error| error.replace("export.", "traces."))?;
        let Some(text) = &self.url else {
            let pointless = self.bearer.is_some() || self.ca.is_some();
            return if pointless { Err("traces.url is missing".to_owned()) } else { Ok(None) };
        };
        let url = url(text).map_err(|error| format!("traces: {error}"))?;
        let (bearer, ca) = (self.bearer.clone(), self.ca.clone());
        let Self { ratio, spans_per_second, .. } = *self;
        Ok(Some(Plan { url, bearer, ca, settings, ratio, spans_per_second }))
    }
}

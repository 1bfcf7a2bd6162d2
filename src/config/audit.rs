//! `[audit]`: how the log is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use testudo_bus::audit::AuditConfig;
use testudo_bus::node;
use testudo_rules::audit::WitnessKey;

/// What a hand-over waits for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Commit {
    /// For the write of its record; receipts wait for the disk.
    #[default]
    Receipt,
    /// For the disk, too.
    Delivery,
}

impl From<Commit> for node::Commit {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Receipt => Self::Receipt,
            Commit::Delivery => Self::Delivery,
        }
    }
}

/// `[audit]`; every key may be left out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSection {
    /// What a hand-over waits for.
    pub commit: Commit,
    /// Size above which a segment is followed by another, in bytes. Retention removes whole segments.
    pub segment_bytes: u64,
    /// Old segments go while there are more bytes than this; without it all is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_bytes: Option<u64>,
    /// Segments go when all that they hold is older, in days; without it all is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Where the witness listens that cosigns this log's checkpoints, such as `http://127.0.0.1:7610`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// The witness's public key, as `testudo audit witness` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness_key: Option<String>,
}

impl Default for AuditSection {
    fn default() -> Self {
        let segment_bytes = AuditConfig::default().segment_bytes_max;
        Self {
            commit: Commit::Receipt,
            segment_bytes,
            keep_bytes: None,
            keep_days: None,
            witness: None,
            witness_key: None,
        }
    }
}

impl AuditSection {
    /// As the log takes it.
    #[must_use]
    pub fn log(&self) -> AuditConfig {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        AuditConfig {
            keep_bytes: self.keep_bytes,
            keep_for: self.keep_days.map(days),
            segment_bytes_max: self.segment_bytes,
            ..AuditConfig::default()
        }
    }

    /// The witness: where it is, and its key.
    #[must_use]
    pub fn witness(&self) -> Option<(&str, WitnessKey)> {
        let key = self.witness_key.as_ref()?.parse().ok()?;
        Some((self.witness.as_deref()?, key))
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(what.to_owned());
        if !(64 * 1024..=1 << 32).contains(&self.segment_bytes) {
            return wrong("audit.segment_bytes must be 65536 to 4294967296");
        }
        if self.keep_bytes.is_some_and(|keep| keep < 2 * self.segment_bytes) {
            return wrong("audit.keep_bytes must be at least twice audit.segment_bytes");
        }
        if self.keep_days == Some(0) {
            return wrong("audit.keep_days must be at least 1; leave it out to keep all");
        }
        match (&self.witness, &self.witness_key) {
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => wrong("audit.witness and audit.witness_key go together"),
            (Some(url), Some(_)) if !url.starts_with("http://") && !url.starts_with("https://") => {
                wrong("audit.witness must start with http:// or https://")
            }
            (Some(_), Some(key)) => {
                let parsed: Result<WitnessKey, _> = key.parse();
                parsed.map(drop).map_err(|error| format!("audit.witness_key is {error}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_checked_and_named() {
        let good = AuditSection::default();
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.log(), AuditConfig::default());
        let bad = [
            (AuditSection { segment_bytes: 65_535, ..good.clone() }, "segment_bytes"),
            (AuditSection { keep_bytes: Some(good.segment_bytes), ..good.clone() }, "keep_bytes"),
            (AuditSection { keep_days: Some(0), ..good.clone() }, "keep_days"),
            (AuditSection { witness: Some("http://x".into()), ..good.clone() }, "go together"),
            (
                AuditSection {
                    witness: Some("ftp://x".into()),
                    witness_key: Some("k".into()),
                    ..good.clone()
                },
                "http://",
            ),
            (
                AuditSection {
                    witness: Some("http://x".into()),
                    witness_key: Some("k".into()),
                    ..good.clone()
                },
                "not a witness's key",
            ),
        ];
        for (section, what) in bad {
            assert!(section.check().unwrap_err().contains(what), "{section:?}");
        }
        let kept = AuditSection { keep_days: Some(2), keep_bytes: Some(1 << 30), ..good };
        assert_eq!(kept.log().keep_for, Some(Duration::from_secs(172_800)));
        assert_eq!((kept.check(), kept.log().keep_bytes), (Ok(()), Some(1 << 30)));
    }
}

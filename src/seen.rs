//! What an agent keeps of its node's audit log, beside its identity: the log's key, the head that it was told last, and
//! what is wrong with the log, if something is. No secret is in it: people hand it on to compare.
//!
//! The file of identity `NAME` is `NAME.seen`, TOML. Every head in it is the signed note (C2SP `tlog-checkpoint`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testudo_rules::audit::{Origin, VerifierKey, head_of, note_of_head};
use testudo_rules::gossip::{Alarm, GAPS_MAX, Seen};
use testudo_wire::frame::{LogHead, PROOF_MAX, Shown};
use testudo_wire::{LogRoot, PublicKey};

use crate::files::{self, FileError};

/// Longest file in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why what an agent has seen cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its content.
    #[error(
        "{path} is not what an agent has seen of its node's log ({what}); keep it for a look, and begin anew by moving it away"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    testudo_seen: u8,
    log: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alarm: Option<StoredAlarm>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredAlarm {
    kind: String,
    /// Of another log than the file's, for the kind `other-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    notes: Vec<String>,
    /// The root at the smaller size, and the hashes of the proof, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<LogRoot>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proof: Vec<LogRoot>,
}

/// Where the agent of an identity file keeps it.
#[must_use]
pub fn beside(identity: &Path) -> PathBuf {
    files::with_suffix(identity, ".seen")
}

/// What the alarm of a file consists of.
#[must_use]
pub fn heads_of(alarm: &Alarm) -> Vec<LogHead> {
    match alarm {
        Alarm::Split { one, other, .. } => vec![*one, *other],
        Alarm::Shorter { before, now } => vec![*before, *now],
        Alarm::OtherKey { now, .. } => vec![*now],
    }
}

/// The content of a file.
#[must_use]
pub fn to_text(origin: &Origin, seen: &Seen) -> String {
    let note = |head: &LogHead| note_of_head(head, origin);
    let verifier = |key: PublicKey| VerifierKey { origin: origin.clone(), key }.to_string();
    let alarm = seen.alarm.as_ref().map(|alarm| {
        let shown = match alarm {
            Alarm::Split { shown, .. } => shown.clone(),
            Alarm::Shorter { .. } | Alarm::OtherKey { .. } => None,
        };
        let log = match alarm {
            Alarm::OtherKey { now, .. } => Some(verifier(now.log)),
            Alarm::Split { .. } | Alarm::Shorter { .. } => None,
        };
        StoredAlarm {
            kind: alarm.kind().to_owned(),
            log,
            notes: heads_of(alarm).iter().map(note).collect(),
            root: shown.as_ref().map(|shown| shown.root),
            proof: shown.map(|shown| shown.hashes).unwrap_or_default(),
        }
    });
    let stored = Stored {
        testudo_seen: 1,
        log: verifier(seen.log),
        newest: seen.newest.as_ref().map(note),
        gaps: seen.gaps.iter().map(note).collect(),
        alarm,
    };
    // Text of text and lists of text: there is nothing in it that TOML cannot say.
    toml::to_string(&stored).unwrap_or_default()
}

/// Reads the content of a file. Every head in it must be signed by its log's key; that an alarm is one, too.
///
/// # Errors
/// What is wrong, in words.
pub fn of_text(text: &str) -> Result<(VerifierKey, Seen), String> {
    let stored: Stored = toml::from_str(text)
        .map_err(|error| error.message().lines().next().unwrap_or_default().to_owned())?;
    if stored.testudo_seen != 1 {
        return Err(format!("version {} is not known here", stored.testudo_seen));
    }
    let log: VerifierKey = stored.log.parse().map_err(|error| format!("{error}"))?;
    let head =
        |note: &String| head_of(note, &log.origin, &log.key).map_err(|error| format!("a head is {error}"));
    if stored.gaps.len() > GAPS_MAX
        || stored.alarm.as_ref().is_some_and(|alarm| alarm.proof.len() > PROOF_MAX)
    {
        return Err("it is too long".into());
    }
    let alarm = stored.alarm.map(|alarm| alarm.read(&log)).transpose()?;
    if let Some(alarm) = &alarm {
        alarm.check(&log.origin).map_err(|error| format!("its alarm shows nothing: {error}"))?;
    }
    let seen = Seen {
        log: log.key,
        newest: stored.newest.as_ref().map(head).transpose()?,
        gaps: stored.gaps.iter().map(head).collect::<Result<_, _>>()?,
        alarm,
    };
    Ok((log, seen))
}

impl StoredAlarm {
    fn read(self, log: &VerifierKey) -> Result<Alarm, String> {
        let key = match &self.log {
            Some(text) => text.parse::<VerifierKey>().map_err(|error| error.to_string())?.key,
            None => log.key,
        };
        let heads = self.notes.iter().map(|note| head_of(note, &log.origin, &key));
        let heads: Vec<_> = heads.collect::<Result<_, _>>().map_err(|error| format!("a head is {error}"))?;
        let shown = self.root.map(|root| Shown { root, hashes: self.proof });
        match (self.kind.as_str(), &heads[..]) {
            ("split", [one, other]) => Ok(Alarm::Split { one: *one, other: *other, shown }),
            ("shorter", [before, now]) => Ok(Alarm::Shorter { before: *before, now: *now }),
            ("other-key", [now]) => Ok(Alarm::OtherKey { before: log.key, now: *now }),
            _ => Err("an alarm of a kind that is not known here".into()),
        }
    }
}

/// Reads a file; nothing where there is none.
///
/// # Errors
/// [`SeenError`].
pub fn load(path: &Path) -> Result<Option<(VerifierKey, Seen)>, SeenError> {
    let text = match files::read_public(path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(FileError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let invalid = |what| SeenError::Invalid { path: path.to_owned(), what };
    of_text(&text).map(Some).map_err(invalid)
}

/// Writes a file, atomically; but never over an alarm that another process has found, nor over what is newer, even if both
/// write at once. What was seen of another swarm's log gives way. Waits for the disk, and a second at most for the other.
///
/// # Errors
/// [`SeenError`]; then the file is as it was.
pub fn keep(path: &Path, origin: &Origin, seen: &Seen) -> Result<(), SeenError> {
    let _alone = files::alone(path)?;
    if let Some((log, there)) = load(path)?
        && log.origin == *origin
    {
        let size = |seen: &Seen| seen.newest.map_or(0, |head| head.size);
        let is_newer = size(&there) > size(seen) && seen.alarm.is_none();
        if there.alarm.is_some() || is_newer || there.log != seen.log {
            return Ok(());
        }
    }
    Ok(files::replace(path, to_text(origin, seen).as_bytes())?)
}

#[cfg(test)]
mod tests {
    use testudo_rules::audit::{Checkpoint, LogHash};
    use testudo_wire::SecretKey;

    use super::*;

    fn origin() -> Origin {
        Origin::parse("testudo/test").unwrap()
    }

    fn head(size: u64, root: u8, key: u8) -> LogHead {
        let key = SecretKey::from_seed(&[key; 32]);
        Checkpoint { size, root: LogHash::new([root; 32]) }.head(&origin(), &key)
    }

    fn seen(size: u64, alarm: Option<Alarm>) -> Seen {
        let (newest, gaps) = (Some(head(size, 1, 1)), vec![head(3, 1, 1)]);
        Seen { log: SecretKey::from_seed(&[1; 32]).public(), newest, gaps, alarm }
    }

    fn alarms() -> [Alarm; 3] {
        [
            Alarm::Split { one: head(7, 1, 1), other: head(7, 2, 1), shown: None },
            Alarm::Shorter { before: head(9, 1, 1), now: head(7, 2, 1) },
            Alarm::OtherKey { before: SecretKey::from_seed(&[1; 32]).public(), now: head(7, 2, 2) },
        ]
    }

    #[test]
    fn t_a74_what_is_kept_is_read_again_and_nothing_that_was_changed() {
        for alarm in std::iter::once(None).chain(alarms().map(Some)) {
            let (seen, text) = (seen(9, alarm.clone()), to_text(&origin(), &seen(9, alarm)));
            assert_eq!(of_text(&text).unwrap().1, seen);
            let changed = text.replacen("\n9\n", "\n8\n", 1);
            assert_ne!(changed, text);
            assert!(of_text(&changed).is_err(), "{changed}");
        }
        // Two heads that may be of one log are no alarm, whoever writes so.
        let no_alarm = Alarm::Split { one: head(7, 1, 1), other: head(8, 2, 1), shown: None };
        assert!(of_text(&to_text(&origin(), &seen(9, Some(no_alarm)))).is_err());
    }

    #[test]
    fn t_a74_an_alarm_is_never_written_over_and_nothing_newer_by_what_is_older() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("a.id"));
        assert!(load(&path).unwrap().is_none());
        let size = || load(&path).unwrap().unwrap().1.newest.unwrap().size;
        for (kept, there) in [(5, 5), (9, 9), (7, 9)] {
            keep(&path, &origin(), &seen(kept, None)).unwrap();
            assert_eq!(size(), there);
        }
        let [alarm, ..] = alarms();
        keep(&path, &origin(), &seen(7, Some(alarm.clone()))).unwrap();
        keep(&path, &origin(), &seen(20, None)).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().1.alarm, Some(alarm));
        let other = Origin::parse("testudo/other").unwrap();
        let key = SecretKey::from_seed(&[3; 32]);
        let first = Checkpoint { size: 1, root: LogHash::new([1; 32]) }.head(&other, &key);
        let elsewhere = Seen { log: key.public(), newest: Some(first), gaps: Vec::new(), alarm: None };
        keep(&path, &other, &elsewhere).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().1, elsewhere, "another swarm's gives way");
        std::fs::write(&path, "something else").unwrap();
        assert!(matches!(keep(&path, &other, &elsewhere), Err(SeenError::Invalid { .. })));
    }

    #[test]
    fn t_a74_an_alarm_stays_whoever_writes_at_the_same_moment() {
        let dir = tempfile::tempdir().unwrap();
        let alarm = alarms().into_iter().next();
        for round in 0..50 {
            let (path, start) = (beside(&dir.path().join(round.to_string())), std::sync::Barrier::new(2));
            let keep = |seen: Seen| {
                start.wait();
                keep(&path, &origin(), &seen).unwrap();
            };
            std::thread::scope(|scope| {
                scope.spawn(|| keep(seen(9, None)));
                keep(seen(7, alarm.clone()));
            });
            assert_eq!(load(&path).unwrap().unwrap().1.alarm, alarm, "round {round}");
        }
    }

    #[test]
    fn who_does_not_let_go_of_the_file_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("a.id"));
        let held = files::alone(&path).unwrap();
        let busy = keep(&path, &origin(), &seen(9, None)).unwrap_err();
        assert!(matches!(busy, SeenError::File(FileError::Busy(_))), "{busy}");
        drop(held);
        keep(&path, &origin(), &seen(9, None)).unwrap();
        let lock = std::fs::metadata(dir.path().join("a.id.seen.lock")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&lock.permissions()) & 0o777, 0o600);
    }
}

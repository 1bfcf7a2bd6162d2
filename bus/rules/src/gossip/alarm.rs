//! Why an agent does not go on: heads under the log's own key that do not belong to one story.
//!
//! Nobody but the holder of the log's key can make one of these: other agents, and whoever is on the way, can only
//! repeat what it signed.

use testudo_wire::PublicKey;
use testudo_wire::frame::{LogHead, Shown};

use crate::audit::merkle::verify_consistency;
use crate::audit::{LogHash, Origin, is_head_signed};

/// Why the log is not believed any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Alarm {
    /// Two heads of which neither is the beginning of the other. Anybody can check it who has the log's key.
    Split {
        /// The one of fewer records, or of as many.
        one: LogHead,
        /// The other.
        other: LogHead,
        /// What `other` begins with, proved; none where both have one size.
        shown: Option<Shown>,
    },
    /// The node's newest head covers fewer records than one that it told before: the log is an older copy, or was
    /// cut. That it came later is this agent's word.
    Shorter {
        /// What was told before.
        before: LogHead,
        /// What was told then.
        now: LogHead,
    },
    /// The node's log has another key than it had. That it had that one is this agent's word.
    OtherKey {
        /// The key that it had.
        before: PublicKey,
        /// What was told then.
        now: LogHead,
    },
}

/// Why what is called an alarm shows nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unproved {
    /// A signature is not the log's.
    #[error("a head in it is not signed by the log's key")]
    Unsigned,
    /// They fit one log.
    #[error("its heads may be of one log")]
    OneLog,
}

/// Two heads of one size that are not of one log, if that is what they are.
#[must_use]
pub fn apart(one: &LogHead, other: &LogHead) -> Option<Alarm> {
    let is_split = one.log == other.log && one.size == other.size && one.root != other.root;
    is_split.then_some(Alarm::Split { one: *one, other: *other, shown: None })
}

/// Whether the larger head begins with this root at the smaller one's size.
pub(super) fn begins_with(old: u64, new: &LogHead, shown: &Shown) -> bool {
    let hash = |root: &testudo_wire::LogRoot| LogHash::new(*root.as_bytes());
    let hashes: Vec<_> = shown.hashes.iter().map(hash).collect();
    old < new.size
        && verify_consistency((old, &hash(&shown.root)), (new.size, &hash(&new.root)), &hashes).is_ok()
}

impl Alarm {
    /// Checks it as somebody who has nothing but the log's name, and the key that stands in it.
    ///
    /// # Errors
    /// [`Unproved`].
    pub fn check(&self, origin: &Origin) -> Result<(), Unproved> {
        let (heads, holds) = match self {
            Self::Split { one, other, shown: None } => (vec![one, other], apart(one, other).is_some()),
            Self::Split { one, other, shown: Some(shown) } => {
                let differs = one.log == other.log && shown.root != one.root;
                (vec![one, other], differs && begins_with(one.size, other, shown))
            }
            Self::Shorter { before, now } => {
                (vec![before, now], before.log == now.log && now.size < before.size)
            }
            Self::OtherKey { before, now } => (vec![now], *before != now.log),
        };
        if !heads.into_iter().all(|head| is_head_signed(head, origin)) {
            return Err(Unproved::Unsigned);
        }
        if holds { Ok(()) } else { Err(Unproved::OneLog) }
    }

    /// Whether the log's key alone shows it, whoever tells of it.
    #[must_use]
    pub const fn shows_itself(&self) -> bool {
        match self {
            Self::Split { .. } => true,
            Self::Shorter { .. } | Self::OtherKey { .. } => false,
        }
    }

    /// One word, for files and machines.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Split { .. } => "split",
            Self::Shorter { .. } => "shorter",
            Self::OtherKey { .. } => "other-key",
        }
    }
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Split { one, other, shown: None } => {
                write!(
                    f,
                    "the log's key signed two logs of {} records: {} and {}",
                    one.size, one.root, other.root
                )
            }
            Self::Split { one, other, shown: Some(_) } => write!(
                f,
                "the log's key signed {} records, and {} that do not begin with them",
                one.size, other.size
            ),
            Self::Shorter { before, now } => write!(
                f,
                "the node's log has {} records, and had {} before: it is an older copy, or was cut",
                now.size, before.size
            ),
            Self::OtherKey { before, now } => {
                write!(f, "the node's log has the key {}, and had {before} before", now.log)
            }
        }
    }
}

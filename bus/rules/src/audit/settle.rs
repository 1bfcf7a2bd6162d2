//! What a record says about messages that are under way, read without building the record: at its start a node
//! reads its whole log for that, and decoding in full would take several times as long as hashing it.

use std::fmt;
use std::io::Cursor;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use testudo_wire::canonical::CanonicalError;

use super::columns::ENVELOPES_MAX;

/// What a record says about messages that are under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// Nothing.
    None,
    /// Messages of this record were allowed, and each of their copies will have an outcome.
    Opens {
        /// Positions in its `envelopes`, each with its number of copies, which is never 0.
        copies: Vec<(u16, u32)>,
    },
    /// Copies of messages of an earlier record came to their end.
    Settles {
        /// That record's index.
        of: u64,
        /// Positions in its `envelopes`, once for each copy.
        positions: Vec<u16>,
    },
}

/// The shapes of `record`, `packed` and `columns`, with what does not matter left out; a test holds them against these.
#[derive(Deserialize)]
struct Record(IgnoredAny, IgnoredAny, Event);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Event {
    Bundle(IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, Vec<Packed>),
    BundleRefused(IgnoredAny),
    Columns(
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        IgnoredAny,
        Vec<Run>,
    ),
    Link(IgnoredAny),
    Node(IgnoredAny),
    Outcomes(u64, IgnoredAny, Vec<OutcomeOf>),
    Registry(IgnoredAny),
    Verdicts(IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, Vec<Envelope>),
}

#[derive(Deserialize)]
struct OutcomeOf(u16, IgnoredAny);

#[derive(Deserialize)]
struct Envelope(IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, IgnoredAny, Verdict);

/// So many envelopes with one verdict.
#[derive(Deserialize)]
struct Run(u16, IgnoredAny, IgnoredAny, IgnoredAny, Verdict);

/// The verdict on an envelope; `None` where that is the one on the envelope before it.
struct Packed(Option<Verdict>);

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Packed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Packed, A::Error> {
                for _ in 0..7 {
                    if of.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(Packed(None));
                    }
                }
                of.next_element().map(Packed)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Allowed(IgnoredAny, u32),
    Refused(IgnoredAny),
}

impl Verdict {
    const fn copies(&self) -> u32 {
        match self {
            Self::Allowed(_, copies) => *copies,
            Self::Refused(_) => 0,
        }
    }
}

/// Those of these numbers of copies that are not 0, each with its position.
fn opens(copies: impl IntoIterator<Item = u32>) -> Result<Settlement, CanonicalError> {
    let copies = copies.into_iter().enumerate().filter(|(_, copies)| *copies > 0);
    let placed = copies.map(|(at, copies)| Some((u16::try_from(at).ok()?, copies)));
    Ok(Settlement::Opens { copies: placed.collect::<Option<_>>().ok_or(CanonicalError::Unexpected)? })
}

impl Settlement {
    /// Reads the payload of a frame whose hash was checked.
    ///
    /// # Errors
    /// [`CanonicalError`] for what is no record.
    pub fn of(payload: &[u8]) -> Result<Self, CanonicalError> {
        let Record(_, _, event) =
            rmp_serde::from_read(Cursor::new(payload)).map_err(|_| CanonicalError::Unexpected)?;
        Ok(match event {
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => Self::None,
            Event::Outcomes(of, _, outcomes) => Self::Settles {
                of,
                positions: outcomes.into_iter().map(|OutcomeOf(position, _)| position).collect(),
            },
            Event::Verdicts(_, _, _, _, _, envelopes) => {
                opens(envelopes.iter().map(|envelope| envelope.7.copies()))?
            }
            Event::Columns(_, _, _, _, _, _, _, _, runs) => {
                let envelopes: usize = runs.iter().map(|Run(count, ..)| usize::from(*count)).sum();
                if envelopes > ENVELOPES_MAX {
                    return Err(CanonicalError::Limit);
                }
                opens(runs.iter().flat_map(|run| std::iter::repeat_n(run.4.copies(), run.0.into())))?
            }
            Event::Bundle(_, _, _, _, _, envelopes) => {
                opens(envelopes.into_iter().scan(0, |before, Packed(verdict)| {
                    *before = verdict.map_or(*before, |verdict| verdict.copies());
                    Some(*before)
                }))?
            }
        })
    }
}

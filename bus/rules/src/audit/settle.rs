//! What a record says about messages that are under way, read without building the record: at its start a node
//! reads its whole log for that, and decoding in full would take several times as long as hashing it.

use std::io::Cursor;

use serde::Deserialize;
use serde::de::IgnoredAny;
use testudo_wire::canonical::CanonicalError;

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

/// The shapes of `record`, with what does not matter left out; a test holds them against it.
#[derive(Deserialize)]
struct Record(IgnoredAny, IgnoredAny, Event);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Event {
    BundleRefused(IgnoredAny),
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

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Allowed(IgnoredAny, u32),
    Refused(IgnoredAny),
}

impl Settlement {
    /// Reads the payload of a frame whose hash was checked.
    ///
    /// # Errors
    /// [`CanonicalError::Unexpected`] for what is no record.
    pub fn of(payload: &[u8]) -> Result<Self, CanonicalError> {
        let Record(_, _, event) =
            rmp_serde::from_read(Cursor::new(payload)).map_err(|_| CanonicalError::Unexpected)?;
        Ok(match event {
            Event::BundleRefused(_) | Event::Link(_) | Event::Node(_) | Event::Registry(_) => Self::None,
            Event::Outcomes(of, _, outcomes) => Self::Settles {
                of,
                positions: outcomes.into_iter().map(|OutcomeOf(position, _)| position).collect(),
            },
            Event::Verdicts(_, _, _, _, _, envelopes) => Self::Opens {
                copies: (0..)
                    .zip(&envelopes)
                    .filter_map(|(position, envelope)| match envelope.7 {
                        Verdict::Allowed(_, 0) | Verdict::Refused(_) => None,
                        Verdict::Allowed(_, copies) => Some((position, copies)),
                    })
                    .collect(),
            },
        })
    }
}

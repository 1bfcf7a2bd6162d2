//! What a log says of its witness, under its own signature: so that the witness's word cannot be taken away from beside
//! the log without that being seen.

use testudo_wire::canonical::Reader;

use super::checkpoint::Origin;
use super::cosign::WitnessKey;
use super::note::Note;
use super::record::{Event, NodeEvent, Record};

/// How the event of a record about the node begins: a map of one, `node`.
const NODE: &[u8] = b"\x81\xa4node";

/// That a witness cosigned so many records of this log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Witnessed {
    /// How many.
    pub records: u64,
    /// The witness.
    pub witness: WitnessKey,
}

impl Witnessed {
    /// What the log is to say.
    #[must_use]
    pub fn event(&self) -> NodeEvent {
        let Self { records, witness } = self;
        NodeEvent::Cosigned { records: *records, witness: Note::new(witness.name.as_str()), key: witness.key }
    }

    /// What a record says, if it is about that.
    pub(super) fn of_payload(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let head = (reader.array(), reader.uint(), reader.uint());
        // Most records are of messages, and whole bundles long: those are not read.
        if !matches!(head, (Ok(3), Ok(_), Ok(_))) || !reader.rest().starts_with(NODE) {
            return None;
        }
        match Record::decode(payload).ok()?.event {
            Event::Node(NodeEvent::Cosigned { records, witness, key }) => {
                // The only character of a name that a note writes otherwise.
                let name = Origin::parse(&witness.as_str().replace("\\\\", "\\"))?;
                Some(Self { records, witness: WitnessKey { name, key } })
            }
            Event::BundleRefused(_)
            | Event::Link(_)
            | Event::Node(_)
            | Event::Outcomes(_)
            | Event::Registry(_)
            | Event::Verdicts(_) => None,
        }
    }
}

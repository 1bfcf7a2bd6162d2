//! The content stage: each body by itself, then together with what the same receiver was told before.
//!
//! Small bundles go through it in turns, so that others have theirs between ([`Authorised::in_turns`]). A large body is
//! read apart from the tails ([`Authorised::read`]), which takes long and changes nothing, and meets them afterwards
//! ([`Read::follow`]).

use testudo_wire::{AgentName, Capability, Destination, Header, Refusal, Resource};

use super::{Authorised, Inspected, Judged};
use crate::inspect::{Alert, Context, Inspection, Inspector, Said, Scratch};

/// Who speaks to whom: what is said between them is vetted as one talk.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Pair {
    sender: AgentName,
    receiver: To,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum To {
    /// A request, a message or an answer: the same reader.
    Agent(AgentName),
    /// Whoever of its servers gets it.
    Service(Option<Capability>),
    Topic(Resource),
}

impl Pair {
    /// The pair between which a message travels.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        let receiver = match header.destination {
            Destination::Agent(name) | Destination::Reply(name) => To::Agent(name),
            Destination::Service => To::Service(header.capability),
            Destination::Topic(topic) => To::Topic(topic),
        };
        Self { sender: header.sender, receiver }
    }
}

/// What vetting a message costs beside its bytes, as so many more of them.
const MESSAGE: usize = 256;

/// The content is vetted as far as somebody's turns have come.
#[derive(Debug)]
pub struct Inspecting {
    judged: Judged,
    /// Positions before this one are done.
    next: usize,
}

/// How a turn ended.
#[derive(Debug)]
pub enum Turn {
    /// There is more to vet.
    More(Inspecting),
    /// That was all.
    Done(Inspected),
}

/// The content was read, and not yet compared with what was said before.
#[derive(Debug)]
pub struct Read {
    judged: Judged,
    /// Of what was still allowed, in its order.
    read: Vec<(Inspection, Said<'static>)>,
}

/// Under which capability a pack's allowances are asked: that of the message, which its token covers. An answer has
/// none of its own.
fn capability(header: &Header) -> &str {
    header.capability.as_ref().map_or("", Capability::as_str)
}

/// Whether nobody but the node itself reads this, by a fixed grammar: what is asked of its own agent by name, and what
/// that one answers. Names are no content: else an agent that is called like an order could not be revoked.
fn is_the_nodes_own(resident: Option<AgentName>, header: &Header) -> bool {
    match header.destination {
        Destination::Agent(name) => resident == Some(name),
        Destination::Reply(_) => resident == Some(header.sender),
        Destination::Service | Destination::Topic(_) => false,
    }
}

fn decision(inspection: &Inspection) -> Result<Vec<Alert>, (Refusal, Vec<Alert>)> {
    let alerts = inspection.alerts().to_vec();
    if inspection.blocks() { Err((Refusal::Poisoned, alerts)) } else { Ok(alerts) }
}

impl Authorised {
    /// Vets the content of what is still allowed, and remembers the ends of what passes in `tails`.
    #[must_use]
    pub fn inspect(self, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
        let mut inspecting = self.in_turns();
        loop {
            match inspecting.turn(inspector, tails, usize::MAX) {
                Turn::More(more) => inspecting = more,
                Turn::Done(inspected) => return inspected,
            }
        }
    }

    /// The same in turns, the first of which is still to come.
    #[must_use]
    pub fn in_turns(self) -> Inspecting {
        Inspecting { judged: self.0, next: 0 }
    }

    /// Vets the content by itself.
    #[must_use]
    pub fn read(self, inspector: &Inspector) -> Read {
        let Self(judged) = self;
        let mut scratch = Scratch::default();
        let read = judged.allowed().map(|(_, envelope)| {
            let (header, body) = (envelope.header(), envelope.body_bytes());
            if is_the_nodes_own(judged.resident, header) {
                return (Inspection::default(), Said::default());
            }
            let content_type = header.content_type.as_str();
            let (alone, said) = inspector.vet(&mut scratch, capability(header), content_type, body);
            (alone, said.into_owned())
        });
        Read { read: read.collect(), judged }
    }
}

impl Inspecting {
    /// Vets about so many bytes more, at least one message, each counted with 256 bytes beside its body.
    #[must_use]
    pub fn turn(mut self, inspector: &Inspector, tails: &mut Context<Pair>, bytes_max: usize) -> Turn {
        let (mut scratch, mut bytes, resident) = (Scratch::default(), 0_usize, self.judged.resident);
        let done = self.judged.narrow_from(self.next, |envelope| {
            if bytes > 0 && bytes >= bytes_max {
                return None;
            }
            let (header, body) = (envelope.header(), envelope.body_bytes());
            if is_the_nodes_own(resident, header) {
                return Some(Ok(Vec::new()));
            }
            bytes = bytes.saturating_add(MESSAGE + body.len());
            let (capability, content_type) = (capability(header), header.content_type.as_str());
            let (alone, said) = inspector.vet(&mut scratch, capability, content_type, body);
            Some(decision(&tails.follow(inspector, &Pair::of(header), capability, &said, alone)))
        });
        match done {
            Some(next) => Turn::More(Self { next, ..self }),
            None => Turn::Done(Inspected(self.judged)),
        }
    }
}

impl Read {
    /// Vets it together with what the same receivers were told before.
    #[must_use]
    pub fn follow(self, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
        let Self { mut judged, read } = self;
        let (mut read, resident) = (read.into_iter(), judged.resident);
        judged.narrow(|envelope| {
            let header = envelope.header();
            if is_the_nodes_own(resident, header) {
                return read.next().map(|_| Vec::new()).ok_or((Refusal::GuardFault, Vec::new()));
            }
            // There is one for each that is allowed.
            let (alone, said) = read.next().ok_or((Refusal::GuardFault, Vec::new()))?;
            decision(&tails.follow(inspector, &Pair::of(header), capability(header), &said, alone))
        });
        Inspected(judged)
    }
}

//! The content stage: each body by itself, then together with what the same receiver was told before.
//!
//! Small bundles go through it in turns, so that others have theirs between ([`Authorised::in_turns`]). A large body is
//! read apart from the tails ([`Authorised::read`]), which takes long and changes nothing, and meets them afterwards
//! ([`Read::follow`]).

use std::ops::Range;

use testudo_wire::{AgentName, Capability, Destination, Envelope, Header, Refusal, Resource};

use super::{Authorised, Decision, Inspected, Judged};
use crate::inspect::{Body, Context, Inspection, Inspector, Rules, Said, Scratch, Talk};

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

impl Talk for Pair {
    type Sender = AgentName;

    fn sender(&self) -> AgentName {
        self.sender
    }
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
    /// The rules that it was read by. They may be others when it meets the tails.
    by: Rules,
    /// Of what is the guard's to vet, in its order.
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

fn body(envelope: &Envelope) -> Body<'_> {
    let header = envelope.header();
    Body {
        capability: capability(header),
        content_type: header.content_type.as_str(),
        bytes: envelope.body_bytes(),
    }
}

fn decision(inspection: &Inspection) -> Decision {
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
        let bodies: Vec<_> = judged.to_vet().map(|(_, envelope)| body(envelope)).collect();
        let mut read = Vec::with_capacity(bodies.len());
        inspector.vet_each(&mut Scratch::default(), &bodies, |_, alone, said| {
            read.push((alone, said.into_owned()));
        });
        Read { read, by: Rules::of(inspector), judged }
    }
}

impl Judged {
    /// What the guard is to vet of what is still allowed, with position.
    fn to_vet(&self) -> impl Iterator<Item = (usize, &Envelope)> {
        self.allowed().filter(|(_, envelope)| !is_the_nodes_own(self.resident, envelope.header()))
    }

    /// Takes the guard's decisions on what it was to vet, in its order. Where one is missing, nothing passes.
    fn vetted(&mut self, positions: Range<usize>, mut decided: impl FnMut(&Envelope) -> Option<Decision>) {
        let resident = self.resident;
        self.narrow_within(positions, |envelope| {
            if is_the_nodes_own(resident, envelope.header()) {
                return Ok(Vec::new());
            }
            decided(envelope).unwrap_or(Err((Refusal::GuardFault, Vec::new())))
        });
    }
}

impl Inspecting {
    /// Vets about so many bytes more, at least one message, each counted with 256 bytes beside its body.
    #[must_use]
    pub fn turn(mut self, inspector: &Inspector, tails: &mut Context<Pair>, bytes_max: usize) -> Turn {
        let (mut bytes, mut end) = (0_usize, None);
        let mut read = Vec::new();
        for (at, envelope) in self.judged.to_vet().skip_while(|(at, _)| *at < self.next) {
            if bytes > 0 && bytes >= bytes_max {
                end = Some(at);
                break;
            }
            let body = body(envelope);
            bytes = bytes.saturating_add(MESSAGE + body.bytes.len());
            read.push((envelope.header(), body));
        }
        let bodies: Vec<_> = read.iter().map(|(_, body)| *body).collect();
        let mut decided = Vec::with_capacity(bodies.len());
        let mut scratch = tails.scratch();
        inspector.vet_each(&mut scratch, &bodies, |at, alone, said| {
            if let Some((header, body)) = read.get(at) {
                let together = tails.follow(inspector, &Pair::of(header), body.capability, &said, alone);
                decided.push(decision(&together));
            }
        });
        tails.give_back(scratch);
        let mut decided = decided.into_iter();
        self.judged.vetted(self.next..end.unwrap_or(usize::MAX), |_| decided.next());
        match end {
            Some(next) => Turn::More(Self { next, ..self }),
            None => Turn::Done(Inspected(self.judged)),
        }
    }
}

impl Read {
    /// Vets it together with what the same receivers were told before.
    #[must_use]
    pub fn follow(self, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
        let Self { mut judged, read, by } = self;
        let mut read = read.into_iter().map(|(alone, said)| (alone, said.under(inspector, &by)));
        judged.vetted(0..usize::MAX, |envelope| {
            let (header, (alone, said)) = (envelope.header(), read.next()?);
            Some(decision(&tails.follow(inspector, &Pair::of(header), capability(header), &said, alone)))
        });
        Inspected(judged)
    }
}

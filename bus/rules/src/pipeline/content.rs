//! The content stage: each body by itself, then together with what the same receiver was told before.
//!
//! Small bundles go through it in one step. A large body is read apart from the tails ([`Authorised::read`]), which
//! takes long and changes nothing, and meets them afterwards ([`Read::follow`]).

use testudo_wire::{AgentName, Capability, Destination, Envelope, Header, Refusal, Resource};

use super::{Authorised, Inspected, Judged};
use crate::inspect::{Alert, Body, Context, Inspection, Inspector, Rules, Said, Scratch, Talk};

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

/// The content was read, and not yet compared with what was said before.
#[derive(Debug)]
pub struct Read {
    judged: Judged,
    /// The rules that it was read by. They may be others when it meets the tails.
    by: Rules,
    /// Of what was still allowed, in its order.
    read: Vec<(Inspection, Said<'static>)>,
}

/// Under which capability a pack's allowances are asked: that of the message, which its token covers. An answer has
/// none of its own.
fn capability(header: &Header) -> &str {
    header.capability.as_ref().map_or("", Capability::as_str)
}

fn body(envelope: &Envelope) -> Body<'_> {
    let header = envelope.header();
    Body {
        capability: capability(header),
        content_type: header.content_type.as_str(),
        bytes: envelope.body_bytes(),
    }
}

fn decision(inspection: &Inspection) -> Result<Vec<Alert>, (Refusal, Vec<Alert>)> {
    let alerts = inspection.alerts().to_vec();
    if inspection.blocks() { Err((Refusal::Poisoned, alerts)) } else { Ok(alerts) }
}

impl Authorised {
    /// Vets the content of what is still allowed, and remembers the ends of what passes in `tails`.
    #[must_use]
    pub fn inspect(mut self, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
        let read: Vec<_> =
            self.0.allowed().map(|(_, envelope)| (envelope.header(), body(envelope))).collect();
        let bodies: Vec<_> = read.iter().map(|(_, body)| *body).collect();
        let mut decided = Vec::with_capacity(read.len());
        let mut scratch = tails.scratch();
        inspector.vet_each(&mut scratch, &bodies, |at, alone, said| {
            if let Some((header, body)) = read.get(at) {
                let together = tails.follow(inspector, &Pair::of(header), body.capability, &said, alone);
                decided.push(decision(&together));
            }
        });
        tails.give_back(scratch);
        let mut decided = decided.into_iter();
        // There is one for each that is allowed.
        self.0.narrow(|_| decided.next().unwrap_or(Err((Refusal::GuardFault, Vec::new()))));
        Inspected(self.0)
    }

    /// Vets the content by itself.
    #[must_use]
    pub fn read(self, inspector: &Inspector) -> Read {
        let Self(judged) = self;
        let bodies: Vec<_> = judged.allowed().map(|(_, envelope)| body(envelope)).collect();
        let mut read = Vec::with_capacity(bodies.len());
        inspector.vet_each(&mut Scratch::default(), &bodies, |_, alone, said| {
            read.push((alone, said.into_owned()));
        });
        Read { read, by: Rules::of(inspector), judged }
    }
}

impl Read {
    /// Vets it together with what the same receivers were told before.
    #[must_use]
    pub fn follow(self, inspector: &Inspector, tails: &mut Context<Pair>) -> Inspected {
        let Self { mut judged, read, by } = self;
        let mut read = read.into_iter().map(|(alone, said)| (alone, said.under(inspector, &by)));
        judged.narrow(|envelope| {
            let header = envelope.header();
            // There is one for each that is allowed.
            let (alone, said) = read.next().ok_or((Refusal::GuardFault, Vec::new()))?;
            decision(&tails.follow(inspector, &Pair::of(header), capability(header), &said, alone))
        });
        Inspected(judged)
    }
}

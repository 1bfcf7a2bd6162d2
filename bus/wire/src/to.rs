//! Where a message goes, as whoever sends it says it: [`Destination`] without the answers, which go to whoever asked.

use crate::{AgentName, Destination, Resource};

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum To {
    /// One agent, by its name.
    Agent(AgentName),
    /// Any one live agent that serves the capability; at most one.
    Service,
    /// All subscribers of a topic.
    Topic(Resource),
}

impl To {
    /// Where a message went; `None` for an answer.
    #[must_use]
    pub const fn of(destination: &Destination) -> Option<Self> {
        match destination {
            Destination::Agent(name) => Some(Self::Agent(*name)),
            Destination::Service => Some(Self::Service),
            Destination::Topic(topic) => Some(Self::Topic(*topic)),
            Destination::Reply(_) => None,
        }
    }

    /// Who alone may answer or sign for it; `None` when that is not known beforehand.
    #[must_use]
    pub const fn only(self) -> Option<AgentName> {
        match self {
            Self::Agent(name) => Some(name),
            Self::Service | Self::Topic(_) => None,
        }
    }
}

impl From<AgentName> for To {
    fn from(name: AgentName) -> Self {
        Self::Agent(name)
    }
}

impl From<To> for Destination {
    fn from(to: To) -> Self {
        match to {
            To::Agent(name) => Self::Agent(name),
            To::Service => Self::Service,
            To::Topic(topic) => Self::Topic(topic),
        }
    }
}

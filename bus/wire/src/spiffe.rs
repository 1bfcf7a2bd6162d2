//! SPIFFE IDs, the names in certificates: `spiffe://<swarm>/agent/<name>` and `.../node/<name>`.
//!
//! The trust domain is the swarm id in lower-case hex. Exactly this grammar and nothing near it
//! (threats A14, A32); <https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>.

use std::fmt;

use crate::{AgentName, NodeName, SwarmId};

/// Text that is not a SPIFFE ID of Testudo.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not of the form spiffe://<swarm>/agent/<name> or spiffe://<swarm>/node/<name>")]
pub struct SpiffeError;

/// Who a certificate is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SpiffeId {
    /// An agent of a swarm.
    Agent(SwarmId, AgentName),
    /// A node of a swarm.
    Node(SwarmId, NodeName),
}

impl SpiffeId {
    /// Parses the one textual form.
    ///
    /// # Errors
    /// [`SpiffeError`].
    pub fn parse(uri: &str) -> Result<Self, SpiffeError> {
        let (domain, path) =
            uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).ok_or(SpiffeError)?;
        if domain.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(SpiffeError);
        }
        let swarm = domain.parse().map_err(|_| SpiffeError)?;
        match path.split_once('/') {
            Some(("agent", name)) => Ok(Self::Agent(swarm, AgentName::parse(name).map_err(|_| SpiffeError)?)),
            Some(("node", name)) => Ok(Self::Node(swarm, NodeName::parse(name).map_err(|_| SpiffeError)?)),
            _ => Err(SpiffeError),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(swarm, name) => write!(f, "spiffe://{swarm}/agent/{name}"),
            Self::Node(swarm, name) => write!(f, "spiffe://{swarm}/node/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_a32_only_the_exact_form_is_an_id() {
        let swarm = SwarmId::new([0xab; 32]);
        let id = SpiffeId::Agent(swarm, AgentName::parse("reader-1").unwrap());
        assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id));
        let node = SpiffeId::Node(swarm, NodeName::parse("n").unwrap());
        assert_eq!(SpiffeId::parse(&node.to_string()), Ok(node));
        for bad in [
            format!("SPIFFE://{swarm}/agent/a"),
            format!("spiffe://{}/agent/a", swarm.to_string().to_uppercase()),
            format!("spiffe://{swarm}/agent/A"),
            format!("spiffe://{swarm}/agent/a/"),
            format!("spiffe://{swarm}/agent/a/b"),
            format!("spiffe://{swarm}/agent/"),
            format!("spiffe://{swarm}//agent/a"),
            format!("spiffe://{swarm}/agent/../node/a"),
            format!("spiffe://{swarm}/agent/%61"),
            format!("spiffe://{swarm}/agent/a?x"),
            format!("spiffe://{swarm}/agent/a#x"),
            format!("spiffe://user@{swarm}/agent/a"),
            format!("spiffe://{swarm}:443/agent/a"),
            format!("spiffe://{swarm}/*/a"),
            format!("spiffe://{swarm}/agent/*"),
            "spiffe://example.org/agent/a".to_owned(),
            format!("https://{swarm}/agent/a"),
            format!(" spiffe://{swarm}/agent/a"),
        ] {
            assert_eq!(SpiffeId::parse(&bad), Err(SpiffeError), "{bad}");
        }
    }
}

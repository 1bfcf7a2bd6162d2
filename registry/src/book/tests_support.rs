//! Short ways to make names, keys and grants in tests.

use std::net::SocketAddr;

use testudo_wire::standing::{Grant, Holder};
use testudo_wire::{AgentName, PublicKey, SecretKey, SessionId, Timestamp};

use super::Login;

pub(crate) const AT: Timestamp = Timestamp::from_millis(1_000);

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

pub(crate) fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed(&[seed; 32]).public()
}

pub(crate) fn holder(text: &str, seed: u8) -> Holder {
    Holder { name: name(text), key: key(seed) }
}

pub(crate) fn grant(rights: &[&str]) -> Grant {
    let right = rights.iter().map(|text| text.parse().unwrap()).collect();
    Grant { right, ..Grant::default() }
}

pub(crate) fn session(number: u8) -> SessionId {
    SessionId::new([number; 16])
}

pub(crate) fn remote(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn login(holder: Holder, number: u8) -> Login {
    Login { holder, session: session(number), remote: remote(u16::from(number)), renews: None }
}

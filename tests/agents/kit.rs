//! Agents on a simulated node: hosted ones, and callers who only ask.

use std::sync::Arc;

use testudo::agents::{Agent, AskError, Bus, HostHandle, HostOptions, SendFailure, host};
use testudo::hosting::{Carrier, Mail, carrier};
use testudo_bus::client::{ClientIdentity, Member};
use testudo_bus::transport;
use testudo_wire::standing::Grant;
use testudo_wire::{Refusal, Resource};

use crate::support::World;
pub(crate) use crate::support::swarm::{capability as can, grant, name as agent};

/// An agent with a place on the bus that hosts nothing.
pub(crate) struct Caller {
    pub(crate) bus: Bus,
    /// Kept: an agent that takes no messages in would be another test.
    _mail: Mail,
}

/// Joins as this identity, link after link.
pub(crate) async fn join(world: &World, identity: ClientIdentity) -> (Carrier, Mail) {
    let (net, env) = (world.net.clone(), world.swarm.env.another());
    let endpoint = move || transport::dialler(net.bind().1);
    let (member, arrivals) = Member::join(endpoint, world.address, Arc::new(identity), None, env);
    member.connected().await.unwrap();
    let (out, mail, _) = carrier(member, arrivals);
    (out, mail)
}

/// Enrols an agent and hosts it.
pub(crate) async fn hosted<A: Agent>(
    world: &World,
    who: &str,
    grant: &Grant,
    factory: impl Fn() -> A + Send + 'static,
    options: HostOptions,
) -> HostHandle {
    let identity = world.swarm.enrol(&world.node, who, grant).await;
    hosted_as(world, identity, factory, options).await
}

pub(crate) async fn hosted_as<A: Agent>(
    world: &World,
    identity: ClientIdentity,
    factory: impl Fn() -> A + Send + 'static,
    options: HostOptions,
) -> HostHandle {
    let (out, mail) = join(world, identity).await;
    host(out, mail, factory, options)
}

/// Enrols an agent that only asks.
pub(crate) async fn caller(world: &World, who: &str, right: &[&str]) -> Caller {
    let (out, mail) = join(world, world.enrol(who, right, &[]).await).await;
    Caller { bus: Bus::new(out), _mail: mail }
}

/// Stops agents in good order.
pub(crate) async fn stop(hosts: impl IntoIterator<Item = HostHandle>) {
    for host in hosts {
        host.stop();
        host.stopped().await;
    }
}

/// Asks in JSON with `n` for the question and the answer.
pub(crate) async fn ask(bus: &Bus, of: &str, what: &str, n: u64) -> Result<u64, AskError> {
    bus.ask(agent(of), can(what), &n).await
}

/// The name of the refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, impl Into<AskError>>) -> Refusal {
    match result.map_err(Into::into) {
        Err(AskError::Send(SendFailure::Refused { refusal, .. })) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The code of the other agent's error.
#[track_caller]
pub(crate) fn remote<T: std::fmt::Debug>(result: Result<T, impl Into<AskError>>) -> String {
    match result.map_err(Into::into) {
        Err(AskError::Send(SendFailure::Remote { code, .. })) => code.to_string(),
        other => panic!("no error of the other agent: {other:?}"),
    }
}

pub(crate) fn topic(text: &str) -> Resource {
    Resource::parse(text).unwrap()
}

//! Attacks that break a link, or pretend to be the other end of one.

use std::sync::Arc;

use quinn::Endpoint;
use testudo::bus::client;
use testudo::bus::tls::{Listed, Listing, NodeCertificate, server_config};
use testudo::bus::transport::{self, Socket};
use testudo::env::System;
use testudo::wire::frame::{FromAgent, Heartbeat, Hello};
use testudo::wire::{Holder, Limits, MessageId};

use super::super::Favour;
use super::super::link::{self, RawLink};
use super::super::mishap::{Mishap, word};
use super::super::stage::{HELLO, Stage};
use super::delegations;

type Answer = Result<String, Mishap>;

/// A frame that says it is one byte longer than any may be; the link ends after the answer.
pub(super) async fn oversized(stage: &mut Stage<'_>) -> Answer {
    let link = stage.link().await?;
    let number = link.announce(Limits::standard().bundle_bytes_max + 1).await?;
    let answer = link.verdict(number, &MessageId::new([0; 16])).await?;
    link.closed().await;
    Ok(answer)
}

/// A sign of life that the accomplice signed, for mallory's session.
pub(super) async fn others_heartbeat(stage: &mut Stage<'_>) -> Answer {
    let other = stage.accomplice.client.clone();
    let link = stage.link().await?;
    let beat = Heartbeat::sign(&other.key, &other.swarm(), &link.session(), 1);
    link.say(FromAgent::Heartbeat(beat)).await?;
    Ok(word(&link.closed().await))
}

pub(super) async fn second_hello(stage: &mut Stage<'_>) -> Answer {
    let link = stage.link().await?;
    link.say(FromAgent::Hello(Hello { version: 1, seen: None, renews: None, trust: 0 })).await?;
    Ok(word(&link.closed().await))
}

/// Lets anyone in.
struct OpenDoor;

impl Listing for OpenDoor {
    fn look_up(&self, _: &Holder) -> Listed {
        Listed::Good
    }
}

/// A node with the certificate of an agent.
fn false_node(stage: &Stage<'_>) -> Result<Endpoint, Mishap> {
    let client = &stage.mallory.client;
    let certificate = NodeCertificate::certified(client.chain.clone(), &client.key)?;
    let certificate = Arc::new(NodeCertificate::new(certificate));
    let tls = server_config(client.trust.clone(), Arc::new(OpenDoor), certificate, System::shared())?;
    let socket = testudo::server::udp((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(transport::listen(tls, Socket::Udp(socket))?)
}

/// The accomplice dials mallory, which has a certificate of the same CA.
pub(super) async fn posing(stage: &mut Stage<'_>) -> Answer {
    let (node, env) = (false_node(stage)?, System::shared());
    let address = node.local_addr()?;
    let accepting = node.clone();
    let serving = tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            let _ = incoming.await;
        }
    });
    let from = link::endpoint(address)?;
    let dialled = client::dial(&from, address, &stage.accomplice.client, None, env).await;
    serving.abort();
    node.close(0_u32.into(), b"");
    Ok(match dialled {
        Ok(_) => "taken for a node".to_owned(),
        Err(error) => word(&error),
    })
}

/// The open link is cut, what is sent on it is lost, and nobody lets mallory in again.
pub(super) async fn after_revocation<D>(stage: &mut Stage<'_>, desk: &mut D) -> Answer
where
    D: AsyncFnMut(Favour) -> Result<(), String>,
{
    delegations::bequeath(stage).await?;
    let header = stage.header().await?;
    let identity = stage.mallory;
    let link = stage.link().await?;
    desk(Favour::RevokeAgent(identity.client.name)).await.map_err(Mishap::Desk)?;
    let bundle = link.sign(&[(header, HELLO)])?;
    // The cut may have come first: then there is no stream any more.
    let _ = link.send(bundle.bytes()).await;
    let cut = word(&link.closed().await);
    let again = match RawLink::dial(identity).await {
        Ok(_) => "let in".to_owned(),
        Err(Mishap::Link(error)) => word(&error),
        Err(error) => error.to_string(),
    };
    Ok(if cut == again { cut } else { format!("the open link: {cut}; the next: {again}") })
}

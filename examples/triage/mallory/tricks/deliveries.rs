//! Attacks on the kinds of delivery: topics, services, requests, receipts; and a flood.

use std::time::Duration;

use testudo::wire::frame::{Acknowledge, FromAgent, Received, sign_received};
use testudo::wire::{Capability, Destination, Envelope, Refusal, Resource};

use super::super::mishap::{Mishap, word};
use super::super::stage::{HELLO, Stage};
use super::messages::changed;
use crate::triage::swarm::PROGRESS;

type Answer = Result<String, Mishap>;

/// Bundles of a flood: many times what mallory may send in a second.
const FLOOD: usize = 2000;
/// Honest messages sent through it, and how long none of them may take.
const HONEST: usize = 20;
const STARVED: Duration = Duration::from_secs(1);
/// Until mallory may send a few again.
const REFILL: Duration = Duration::from_millis(50);

/// Listens to what the honest agents publish.
pub(super) async fn subscribing(stage: &mut Stage<'_>) -> Answer {
    let refusal = stage.link().await?.subscribe(Resource::parse(PROGRESS)?).await?;
    Ok(refusal.map_or_else(|| "subscribed".to_owned(), |refusal| refusal.to_string()))
}

/// Tells their watcher something else.
pub(super) async fn publishing(stage: &mut Stage<'_>) -> Answer {
    let (topic, publish) = (Resource::parse(PROGRESS)?, Capability::parse(&format!("publish:{PROGRESS}"))?);
    changed(stage, HELLO, |header| {
        (header.destination, header.capability) = (Destination::Topic(topic), Some(publish));
    })
    .await
}

/// Mallory would gladly serve what nobody else does. To say so there is no message: who serves what stands in the
/// registry, so nothing comes mallory's way.
pub(super) async fn unserved(stage: &mut Stage<'_>) -> Answer {
    stage.link().await?;
    stage.helper_asks_anybody(Capability::parse("say:oracle")?).await
}

/// Answers a request that is open, and was put to somebody else.
pub(super) async fn in_anothers_place(stage: &mut Stage<'_>) -> Answer {
    let (request, _asking) = stage.open_request().await?;
    let asker = stage.accomplice.client.name;
    changed(stage, HELLO, |header| {
        (header.destination, header.capability) = (Destination::Reply(asker), None);
        header.in_reply_to = Some(request);
    })
    .await
}

/// The accomplice was given messages, this link none: whoever could acknowledge them would hide them from a
/// revocation.
pub(super) async fn acknowledging(stage: &mut Stage<'_>) -> Answer {
    let link = stage.link().await?;
    link.say(FromAgent::Acknowledge(Acknowledge { lane: 0, upto: 1, refused: Vec::new() })).await?;
    Ok(word(&link.closed().await))
}

/// Signs, as its receiver, for a message that the accomplice was given.
pub(super) async fn signing_for(stage: &mut Stage<'_>) -> Answer {
    let (client, captured) = (stage.mallory.client.clone(), stage.captured.clone());
    let session = captured.first()?.session;
    let digests: Vec<_> = captured.envelopes().map(Envelope::digest).collect();
    let signature = sign_received(&client.key, &client.swarm(), &session, &digests);
    let signature = signature.ok_or(Mishap::Forgery("there is nothing to sign for"))?;
    let link = stage.link().await?;
    link.say(FromAgent::Received(Received { session, messages: vec![(0, 1, 0)], signature })).await?;
    Ok(word(&link.closed().await))
}

/// Messages that are right in everything, and far too many; honest ones pass through them.
pub(super) async fn flood(stage: &mut Stage<'_>) -> Answer {
    let (to, hello) = (Destination::Agent(stage.accomplice.client.name), stage.hello);
    let mut link = stage.take_link().await?;
    let mut flood = Vec::with_capacity(FLOOD);
    for _ in 0..FLOOD {
        let header = link.header(to, hello);
        flood.push((header.message, link.sign(&[(header, HELLO)])?));
    }
    let (poured, slowest) = tokio::join!(link.pour(&flood), stage.honest_work(HONEST));
    let (poured, slowest) = (poured?, slowest?);
    stage.give_back(link);
    // Within the quota they were as good as any.
    for message in &poured.accepted {
        stage.arrives(*message).await?;
    }
    tokio::time::sleep(REFILL).await;
    if let Some(other) = poured.refused.iter().find(|refusal| **refusal != Refusal::OverQuota) {
        return Ok(other.to_string());
    }
    if poured.refused.len() < FLOOD / 2 {
        return Ok(format!("{} of {FLOOD} were taken", poured.accepted.len()));
    }
    if slowest > STARVED {
        return Ok(format!("over quota, but an honest message took {} ms", slowest.as_millis()));
    }
    Ok(Refusal::OverQuota.to_string())
}

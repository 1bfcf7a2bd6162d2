//! Which part a process of this bench plays, by its arguments.

use std::path::Path;

use crate::{Done, many, nats, raw, raw_ends, revoked, role, testudo_many, testudo_peer};

/// Plays it to its end.
pub(crate) async fn play(arguments: &[String]) -> Done {
    let [part, rest @ ..] = arguments else { return Err("no part".into()) };
    match part.split_once('-') {
        Some(("testudo", _)) => testudo(part, rest).await,
        Some(("nats", _)) => nats(part, rest).await,
        Some(("raw", _)) => raw(part, rest).await,
        Some(_) | None => Err("no such part".into()),
    }
}

async fn testudo(part: &str, rest: &[String]) -> Done {
    match (part, rest) {
        (testudo_peer::SEND, [to, agents @ ..]) => {
            role::send(testudo_peer::Sending::open(to, agents).await?).await
        }
        (testudo_peer::PUBLISH, [topic, agents @ ..]) => {
            role::send(testudo_peer::Sending::publish(topic, agents).await?).await
        }
        (testudo_peer::RECEIVE, agents) => role::receive(testudo_peer::Receiving::open(agents).await?).await,
        (testudo_peer::SUBSCRIBE, [topic, agents @ ..]) => {
            role::receive(testudo_peer::Receiving::subscribe(topic, agents).await?).await
        }
        (testudo_peer::CIRCLE, [first, agents @ ..]) => {
            many::circle(testudo_many::Half::open(first, agents).await?).await
        }
        (testudo_peer::GATHER, [config, many]) => {
            many::crowd(testudo_many::Idle::enrol(config, many).await?).await
        }
        (revoked::PART, [revocations]) => revoked::run(revocations).await,
        _ => Err("no such part of Testudo".into()),
    }
}

async fn nats(part: &str, rest: &[String]) -> Done {
    let [url, folder, rest @ ..] = rest else { return Err("no address".into()) };
    let place = Path::new(folder);
    match (part, rest) {
        // Its first argument is the server's program.
        (nats::KEEP, [port]) => nats::keep(url, place, port).await,
        (nats::SEND, [subject, sign, many]) => {
            role::send(nats::Sending::open(url, place, (subject, sign, many)).await?).await
        }
        (nats::RECEIVE, [subject, sign, many]) => {
            role::receive(nats::Receiving::open(url, place, (subject, sign, many)).await?).await
        }
        (nats::CIRCLE, [from, to]) => many::circle(nats::Half::open(url, place, from, to).await?).await,
        (nats::GATHER, [crowd]) => many::crowd(nats::Idle::new(url, place, crowd)?).await,
        _ => Err("no such part of NATS".into()),
    }
}

async fn raw(part: &str, rest: &[String]) -> Done {
    let [folder, relay, numbers @ ..] = rest else { return Err("no address".into()) };
    let folder = Path::new(folder);
    if part == raw::KEEP {
        return raw::keep(folder, relay).await;
    }
    let relay = relay.parse()?;
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<u32>, _>>()?;
    match (part, <&[u32; 3]>::try_from(&numbers[..]).ok(), <&[u32; 2]>::try_from(&numbers[..]).ok()) {
        (raw::SEND, Some(of), _) => role::send(raw_ends::Sending::open(folder, relay, *of).await?).await,
        (raw::CIRCLE, Some(of), _) => many::circle(raw_ends::Half::open(folder, relay, *of).await?).await,
        (raw::RECEIVE, _, Some(of)) => {
            role::receive(raw_ends::Receiving::open(folder, relay, *of).await?).await
        }
        (raw::GATHER, _, Some(of)) => many::crowd(raw_ends::Idle::new(folder, relay, *of)).await,
        _ => Err("no such part of the relay".into()),
    }
}

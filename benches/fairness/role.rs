//! Processes that load the bus while they are told to: one sends large bodies, one as many messages as it can.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use testudo::{Client, ContentType, Deliveries, Identity, Outgoing};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::crowd::QUESTION;
use crate::stage::{ASK, BULK_TO, LARGE, SERVER};
use crate::{Done, nats};

/// Says that this program is one of the bench's parts.
pub(crate) const FLAG: &str = "--part";

/// A body that the content guard reads to its end.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// What a part is told: a line to begin, a line to stop.
pub(crate) type Orders = Lines<BufReader<Stdin>>;

/// Plays one part until standard input ends.
pub(crate) async fn play(part: &str, rest: &[String]) -> Done {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    if let (nats::BULK | nats::FLOOD, [url, folder]) = (part, rest) {
        return nats::play(&mut orders, part, url, Path::new(folder)).await;
    }
    let mut links = Vec::new();
    for identity in rest {
        links.push(testudo::dial(&Identity::load(Path::new(identity))?).await?);
    }
    ready()?;
    match (part, links.as_mut_slice()) {
        ("bulk", [(sender, _), (_, inbox)]) => bulk(&mut orders, sender, inbox).await,
        ("flood", [(sender, _)]) => flood(&mut orders, sender).await,
        _ => Err("no such part".into()),
    }
}

fn say(what: &str, count: u64) -> Done {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{}", json!({ what: count }))?)
}

/// Says that the part can be told to begin.
pub(crate) fn ready() -> Done {
    say("ready", 0)
}

/// Does a thing again and again between the word to begin and the word to stop, and says how often it was done. The
/// thing is told how often it was done before.
pub(crate) async fn between_words(orders: &mut Orders, mut thing: impl AsyncFnMut(u64) -> Done) -> Done {
    while orders.next_line().await?.is_some() {
        say("started", 0)?;
        let mut done = 0;
        loop {
            tokio::select! {
                biased;
                order = orders.next_line() => {
                    order?;
                    break;
                }
                once = thing(done) => {
                    once?;
                    done += 1;
                }
            }
        }
        say("stopped", done)?;
    }
    Ok(())
}

/// A large body.
pub(crate) fn body() -> Bytes {
    let line = "The quarterly report of the billing service lists every invoice by its number and day. ";
    line.repeat(BODY_BYTES / line.len()).into()
}

/// Large bodies, one after the other, each taken in by the receiver.
async fn bulk(orders: &mut Orders, sender: &Client, inbox: &mut Deliveries) -> Done {
    let body = body();
    between_words(orders, async |_| {
        let mut message = Outgoing::new(BULK_TO.parse()?, LARGE.parse()?, body.clone());
        message.content_type = ContentType::text();
        let (receipt, _) = tokio::join!(sender.deliver(message), inbox.next());
        receipt?;
        Ok(())
    })
    .await
}

/// Small messages to the server that everybody asks, as fast as the node takes them.
async fn flood(orders: &mut Orders, sender: &Client) -> Done {
    between_words(orders, async |_| {
        sender.post(Outgoing::new(SERVER.parse()?, ASK.parse()?, QUESTION)).await?;
        Ok(())
    })
    .await
}
